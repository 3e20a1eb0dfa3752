"""`perception prepare easy-vqa`: questions about simple shapes, in VQAv2's format."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from perception.errors import InputError
from perception.files import reading

_SPLITS = {"train": "train", "test": "val"}
_SUBSET = "easyvqa"
_CURE = "give the folder easy_vqa/data of the package easy-vqa 1.0 (pip download easy-vqa==1.0, and unzip the wheel)"


def prepare_easy_vqa(source: Path, out: Path) -> dict:
    """Writes easy-vqa's questions (https://github.com/vzhou842/easy-VQA, MIT) in VQAv2's format.

    Its splits train and test become train and val. Every question has one true answer, which ten annotators seem to
    have given. Pictures are linked, not copied.

    Args:
        source: Folder easy_vqa/data of the package.
        out: Folder for the files.
    """
    from perception_datasets.image_text.vqa import VqaQuestion, picture_file, write_vqa
    from perception_tools.output_places import keep_apart

    keep_apart([out], [source])
    counts: dict[str, int] = {}
    for theirs, split in _SPLITS.items():
        path, subset = source / theirs / "questions.json", f"{_SUBSET}-{split}"
        with reading(path, _CURE):
            asked = [(str(text), str(answer), int(image)) for text, answer, image in json.loads(path.read_text())]
        if not asked:
            raise InputError(f"{path}: expected questions, found none; {_CURE}")
        numbers: Counter[int] = Counter()
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
        names = (f"v2_OpenEnded_{split}_questions.json", f"v2_{split}_annotations.json")
        write_vqa(out / names[0], out / names[1], records, data_type=_SUBSET, data_subtype=subset)
        _link_pictures(source / theirs / "images", out / split, {of.image_id: of.image_file for of in records})
        counts[split] = len(records)
    print(f"{out}: " + ", ".join(f"{count:,} questions in {split}" for split, count in counts.items()))
    return counts


def _link_pictures(source: Path, out: Path, names: dict[int, str]) -> None:
    from perception.files import writing

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for image, name in names.items():
            link = out / name
            if not link.is_symlink():
                link.symlink_to((source / f"{image}.png").resolve())
