"""`perception prepare easy-vqa`: questions about simple shapes, in VQAv2's format."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError
from perception.files import reading

_SPLITS = {"train": "train", "test": "val"}
_SUBSET = "easyvqa"
_CURE = "give the folder easy_vqa/data of the package easy-vqa 1.0 (pip download easy-vqa==1.0, and unzip the wheel)"


def prepare_easy_vqa(source: Path, out: Path, held_out: int = 0) -> dict:
    """Writes easy-vqa's questions (https://github.com/vzhou842/easy-VQA, MIT) in VQAv2's format.

    Its splits train and test become train and val. Every question has one true answer, which ten annotators seem to
    have given. Pictures are linked, not copied.

    Args:
        source: Folder easy_vqa/data of the package.
        out: Folder for the files.
        held_out: Number of training pictures, the last ones, whose questions become the split `dev` in place of
            training questions, so that a recipe can be chosen without a look at val.
    """
    from perception_tools.output_places import keep_apart

    keep_apart([out], [source])
    asked = {split: _read(source / theirs / "questions.json") for theirs, split in _SPLITS.items()}
    folders = {split: source / theirs / "images" for theirs, split in _SPLITS.items()}
    if held_out:
        numbers = sorted({image for _, _, image in asked["train"]})
        if not 0 < held_out < len(numbers):
            raise InputError(
                f"--held-out {held_out}: expected fewer than the {len(numbers)} training pictures; give such a number"
            )
        held = set(numbers[-held_out:])
        asked["dev"] = [one for one in asked["train"] if one[2] in held]
        asked["train"] = [one for one in asked["train"] if one[2] not in held]
        folders["dev"] = folders["train"]
    for split, questions in asked.items():
        _write(out, split, questions, folders[split])
    print(f"{out}: " + ", ".join(f"{len(questions):,} questions in {split}" for split, questions in asked.items()))
    return {split: len(questions) for split, questions in asked.items()}


def _read(path: Path) -> list[tuple[str, str, int]]:
    """Question, answer and number of the picture."""
    with reading(path, _CURE):
        asked = [(str(text), str(answer), int(image)) for text, answer, image in json.loads(path.read_text())]
    if not asked:
        raise InputError(f"{path}: expected questions, found none; {_CURE}")
    return asked


def _write(out: Path, split: str, asked: Sequence[tuple[str, str, int]], pictures: Path) -> None:
    from perception_datasets.image_text.vqa import VqaQuestion, picture_file, split_files, write_vqa

    subset, numbers = f"{_SUBSET}-{split}", Counter[int]()
    records = []
    for text, answer, image in asked:
        records.append(
            VqaQuestion(
                id=1000 * image + numbers[image],
                image_id=image,
                image_file=picture_file(image, subset),
                question=text,
                answers=(answer,) * 10,
                frequent_answer=answer,
                answer_type="yes/no" if answer in ("yes", "no") else "other",
                question_type=" ".join(text.lower().split()[:2]),
            )
        )
        numbers[image] += 1
    write_vqa(*split_files(out, split), records, data_type=_SUBSET, data_subtype=subset)
    _link_pictures(pictures, out / split, {of.image_id: of.image_file for of in records})


def _link_pictures(source: Path, out: Path, names: dict[int, str]) -> None:
    from perception.files import writing

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for image, name in names.items():
            link = out / name
            if not link.is_symlink():
                link.symlink_to((source / f"{image}.png").resolve())
