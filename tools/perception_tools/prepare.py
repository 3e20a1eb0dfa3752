"""`perception prepare`: data sets as stores that are quick to read again and again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from perception_datasets.errors import Failures

Raw = Annotated[Positional[Path], arg(metavar="RAW")]
Store = Annotated[Positional[Path], arg(metavar="STORE")]


def prepare_forecasting(
    raw: Raw,
    out: Store,
    splits: tuple[str, ...] = ("train", "val"),
    processes: int | None = None,
) -> None:
    """Writes scenarios to a sharded Zarr store; the same command continues an interrupted run.

    Args:
        raw: Folder of Argoverse 1, Argoverse 2, or Argoverse 2 sensor logs.
        out: The store's folder.
        splits: Which splits to prepare.
        processes: How many processes to use; all cores unless given.
    """
    from perception_datasets.forecasting import open_forecasting
    from perception_datasets.stores.forecasting import prepare

    for split in splits:
        scenarios = open_forecasting(raw, split)
        failures = _watch(prepare(scenarios, out, processes=processes), split, len(scenarios), "scenario")
        print(f"{split}: {len(scenarios) - len(failures)} scenarios in {out}")
        if failures:
            print(failures.report(of=len(scenarios)))


def prepare_scannet(raw: Raw, out: Store, processes: int | None = None) -> None:
    """Writes scanned rooms to a sharded Zarr store; the same command continues an interrupted run.

    Args:
        raw: Folder of ScanNet's own files, of the arrays of VoteNet, mmdetection3d, ScanQA or SQA3D, or of made rooms.
        out: The store's folder.
        processes: How many processes to use; all cores unless given.
    """
    from perception_datasets.scannet.folder import open_scans
    from perception_datasets.stores.scenes import prepare_scans

    scans = open_scans(raw)
    count = len(scans.names())
    failures = _watch(prepare_scans(scans, out, processes=processes), "scans", count, "scan")
    print(f"{count - len(failures)} scenes in {out}")
    if failures:
        print(failures.report(of=count, noun="scans"))


def prepare_sqa3d(questions: Annotated[Positional[tuple[Path, ...]], arg(metavar="QUESTIONS...")], out: Store) -> None:
    """Joins the questions of SQA3D to the scenes of a store: places become viewpoints in the frame of the scene.

    Args:
        questions: Folders with files of SQA3D's release, or of made rooms; every split that is there is joined.
        out: The store that `perception prepare scannet` wrote.
    """
    from perception.errors import InputError
    from perception_datasets.sqa3d.questions import SPLITS, question_files, read_questions
    from perception_datasets.sqa3d.scenes import join_questions
    from perception_datasets.stores.questions import write_questions
    from perception_datasets.stores.scenes import open_scene_store

    scans = open_scene_store(out)
    asked = {split: [question_files(q, split) for q in questions if _has_split(q, split)] for split in SPLITS}
    if not any(asked.values()):
        raise InputError(
            f"{', '.join(map(str, questions))}: expected SQA3D's question files, found none; check the path"
        )
    joined = {
        split: join_questions([q for pair in files for q in read_questions(*pair)], scans)
        for split, files in asked.items()
        if files
    }
    if not any(split.questions for split in joined.values()):
        missing = next(iter(joined.values())).report()
        raise InputError(
            f"{out}: expected the scenes that are asked about, found none of them; prepare them ({missing})"
        )
    for name, split in joined.items():
        write_questions(out, scans.source, name, split.questions)
        scenes = len({question.scene_id for question in split.questions})
        print(f"{name}: {len(split.questions)} questions about {scenes} scenes in {out}")
        if split.report():
            print(split.report())


def _has_split(folder: Path, split: str) -> bool:
    """Whether a folder has any file of a split of SQA3D; half of them are an error to name, not a split to skip."""
    return any(folder.rglob(f"v1_balanced_*_{split}_scannetv2.json"))


def _watch(parts: Iterable[tuple[int, Failures]], name: str, total: int, unit: str) -> Failures:
    """Shows how far a preparation is; gives what could not be read."""
    from tqdm import tqdm

    from perception_datasets.errors import Failures

    failures = Failures()
    with tqdm(desc=name, total=total, unit=unit) as progress:
        for looked_at, failed in parts:
            progress.update(looked_at)
            failures.reasons.update(failed.reasons)
    return failures
