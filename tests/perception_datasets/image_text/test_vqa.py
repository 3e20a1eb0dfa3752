"""VQAv2's files: found by split, joined, compressed or not, written and read back, and refused where broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from perception.texts.answers import frequent_answers
from perception.texts.vqa_normalization import normalize_vqa
from perception_datasets.errors import RecordError
from perception_datasets.image_text.vqa import VqaQuestion, picture_file, question_files, read_questions, write_vqa

QUESTIONS = [
    VqaQuestion(10, 1, picture_file(1, "val2014"), "is it red?", ("yes",) * 9 + ("no",), "yes", "yes/no", "is it"),
    VqaQuestion(11, 2, picture_file(2, "val2014"), "how many?", ("2",) * 10, "2", "number", "how many"),
]


def written(folder: Path, split: str = "val2014") -> tuple[Path, Path]:
    questions = folder / f"v2_OpenEnded_mscoco_{split}_questions.json"
    annotations = folder / f"v2_mscoco_{split}_annotations.json"
    write_vqa(questions, annotations, QUESTIONS, data_type="mscoco", data_subtype=split)
    return questions, annotations


def test_what_is_written_is_read_back_also_compressed(tmp_path: Path) -> None:
    files = written(tmp_path)
    assert read_questions(*files) == QUESTIONS
    for file in files:
        Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert question_files(tmp_path, "val") == tuple(Path(f"{file}.gz") for file in files)
    assert read_questions(*question_files(tmp_path, "val")) == QUESTIONS
    assert read_questions(question_files(tmp_path, "val")[0])[0].answers == ()


def test_a_split_is_found_by_its_name_alone(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, "train2014")
    assert "train2014" in question_files(tmp_path, "train")[0].name
    with pytest.raises(RecordError, match=r"_test…_questions\.json.*found 0 and 0 .*train2014"):
        question_files(tmp_path, "test")
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(RecordError, match="found 1 and 0"):
        question_files(tmp_path, "val")
    assert question_files(tmp_path, "val", annotated=False)[1] is None


def test_pictures_have_cocos_names() -> None:
    assert picture_file(262148, "val2014") == "COCO_val2014_000000262148.jpg"
    assert picture_file(5, "") == "000000000005.jpg"


@pytest.mark.parametrize(
    ("which", "change", "message"),
    [
        (0, lambda c: c["questions"].append(c["questions"][0]), "found 10 twice"),
        (0, lambda c: c["questions"].clear(), "expected questions, found none"),
        (0, lambda c: c["questions"][0].pop("image_id"), "image_id"),
        (0, lambda c: c["questions"][0].update(question=3), "expected a text as question"),
        (0, lambda c: c.update(questions={}), r'expected \{"questions"'),
        (1, lambda c: c["annotations"].pop(0), "no annotation of 1 of 2 questions: 10"),
        (1, lambda c: c["annotations"][0].update(image_id=7), "expected picture 1, found 7"),
        (1, lambda c: c["annotations"][0].update(answers=[]), "expected answers, found none"),
        (1, lambda c: c["annotations"][0].update(answers="yes"), "it cannot be parsed"),
    ],
)
def test_broken_files_are_named_with_their_fault(tmp_path: Path, which: int, change: object, message: str) -> None:
    files = written(tmp_path)
    content = json.loads(files[which].read_text())
    change(content)  # pyright: ignore[reportCallIssue]
    files[which].write_text(json.dumps(content))
    with pytest.raises(RecordError, match=message) as caught:
        read_questions(*files)
    assert files[which].name in str(caught.value)


def test_the_shared_subset_gives_the_vocabulary_that_was_counted(real_data: Path) -> None:
    """METER's rule over the shared train questions; the answers are those of the published table."""
    folder = real_data / "vqa_v2_mini"
    asked = [q for split in ("mini_train", "mini_noimage") for q in read_questions(*question_files(folder, split))]
    vocabulary = frequent_answers((normalize_vqa(q.frequent_answer) for q in asked), at_least=9)
    published = json.loads((real_data / "vqa" / "trainval_label2ans.json").read_text())
    assert len(asked) == 58_964
    assert len(vocabulary) == 430
    assert set(vocabulary) <= set(published)
    test = read_questions(*question_files(folder, "mini_test"))
    assert sum(q.frequent_answer in vocabulary for q in test) / len(test) == pytest.approx(0.84, abs=0.005)
