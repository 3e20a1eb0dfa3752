"""`perception prepare scannet` and `sqa3d`: scanned rooms, and questions about them, as a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError, first_of
from perception_tools.output_places import keep_apart
from perception_tools.progress import report_preparation, watch_preparation

Raw = Annotated[Positional[Path], arg(metavar="RAW")]
Store = Annotated[Positional[Path], arg(metavar="STORE")]


def prepare_scannet(raw: Raw, out: Store, processes: int | None = None, replace: bool = False) -> int:
    """Writes scanned rooms to a sharded Zarr store; the same command continues an interrupted run.

    Scans whose files have changed since are read again; questions about them must then be joined again. The exit status
    is 1 if no scan can be read.

    Args:
        raw: Folder of ScanNet's own files, of the arrays of VoteNet, mmdetection3d, ScanQA or SQA3D, or of made rooms.
        out: The store's folder.
        processes: How many processes to use; all cores unless given.
        replace: Drop scans that the store holds and RAW lacks; without it, that is refused.
    """
    from perception_datasets.scannet.folder import open_scans
    from perception_datasets.stores.scenes import open_scene_store, prepare_scans

    keep_apart([out], [raw])
    scans = open_scans(raw)
    count = len(scans.names())
    writing = prepare_scans(scans, out, processes=processes, replace=replace)
    prepared = watch_preparation(writing, "scans", count, "scan")
    print(f"{count - len(prepared.failures)} scenes in {out}")
    bare = open_scene_store(out).without_objects()
    if bare:
        print(f"{len(bare)} scenes without a labelled object: {first_of(bare, 10)}")
    return report_preparation(prepared, "scans", "scans")


def prepare_sqa3d(questions: Annotated[Positional[tuple[Path, ...]], arg(metavar="QUESTIONS...")], out: Store) -> None:
    """Joins the questions of SQA3D to the scenes of a store: places become viewpoints in the frame of the scene.

    Args:
        questions: Folders with files of SQA3D's release, or of made rooms; every split that is there is joined.
        out: The store that `perception prepare scannet` wrote.
    """
    from perception.files import alone_in
    from perception_datasets.sqa3d.questions import SPLITS, question_files, read_questions
    from perception_datasets.sqa3d.scenes import join_questions
    from perception_datasets.stores.questions import write_questions
    from perception_datasets.stores.scenes import open_scene_store

    keep_apart([out], questions)
    open_scene_store(out)  # before the lock leaves a file in another folder
    asked = {split: [question_files(q, split) for q in questions if _has_split(q, split)] for split in SPLITS}
    if not any(asked.values()):
        raise InputError(
            f"{', '.join(map(str, questions))}: expected SQA3D's question files, found none; check the path"
        )
    read = {split: [q for pair in files for q in read_questions(*pair)] for split, files in asked.items() if files}
    with alone_in(out, "perception prepare"):
        scans = open_scene_store(out)
        joined = {split: join_questions(of_split, scans) for split, of_split in read.items()}
        if not any(split.questions for split in joined.values()):
            missing = next(iter(joined.values())).report()
            raise InputError(
                f"{out}: expected the scenes that are asked about, found none of them; prepare them ({missing})"
            )
        for name, split in joined.items():
            write_questions(scans, name, split.questions)
            scenes = len({question.scene_id for question in split.questions})
            print(f"{name}: {len(split.questions)} questions about {scenes} scenes in {out}")
            if split.report():
                print(split.report())


def _has_split(folder: Path, split: str) -> bool:
    """Whether a folder has any file of a split of SQA3D; half of them are an error to name, not a split to skip."""
    return any(folder.rglob(f"v1_balanced_*_{split}_scannetv2.json"))
