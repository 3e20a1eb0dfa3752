"""`score vqav2`: files of any kind, several side by side, degenerate ones named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.image_text.vqa import read_questions
from perception_tools.image_text.score import score_vqav2
from perception_tools.main import main


@pytest.fixture
def files(questions_folder: Path) -> tuple[Path, Path]:
    return questions_folder / "v2_val_questions.json", questions_folder / "v2_val_annotations.json"


def submission(path: Path, answers: dict[int, str]) -> Path:
    path.write_text(json.dumps([{"question_id": number, "answer": answer} for number, answer in answers.items()]))
    return path


def test_evalais_format_is_scored_from_the_command_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = read_questions(*files)
    answers = {of.id: of.frequent_answer if of.answer_type == "other" else "no" for of in asked}
    path = submission(tmp_path / "ours.json", answers)
    words = ["score", "vqav2", str(path), "--questions", str(files[0]), "--annotations", str(files[1])]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    no = sum(of.frequent_answer == "no" for of in asked) / 9
    assert found["questions"] == 18
    assert found["accuracy"] == {
        "overall": pytest.approx((1 + no) / 2),
        "yes/no": pytest.approx(no),
        "other": pytest.approx(1.0),
    }
    assert found["by_question_type"]["what color is"]["questions"] == 9
    assert "18 questions about 9 pictures" in capsys.readouterr().out
    assert "Accuracy" in (tmp_path / "out" / "report.html").read_text()


def test_other_formats_and_missing_answers_are_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    asked = read_questions(*files)
    table = tmp_path / "answers.csv"
    table.write_text("question_id,answer\n" + "".join(f"{of.id},{of.frequent_answer}\n" for of in asked[1:]))
    found = score_vqav2((table,), *files, tmp_path / "out")
    assert found["unanswered"] == 1
    assert any("1 questions have no answer, which counts as wrong: 0" in remark for remark in found["remarks"])
    packed = tmp_path / "answers.json.gz"
    packed.write_bytes(gzip.compress(json.dumps({str(of.id): "yes" for of in asked}).encode()))
    assert score_vqav2((packed,), *files, tmp_path / "packed")["unanswered"] == 0


def test_degenerate_files_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    asked = read_questions(*files)
    truth = submission(tmp_path / "truth.json", {of.id: of.frequent_answer for of in asked})
    constant = submission(tmp_path / "constant.json", {of.id: "no" for of in asked})
    wrong = submission(tmp_path / "wrong.json", {of.id: f"x{of.id}" for of in asked})
    found = score_vqav2((truth, constant, wrong), *files, tmp_path / "out")
    said = "\n".join(found["remarks"])
    assert "truth.json: every answer is the annotators' most frequent one. Check that the file" in said
    assert "constant.json: all 18 answers are the same, 'no'" in said
    assert "constant.json: not better than the best answer to each type of question" in said
    assert "wrong.json: no answer is worth anything" in said
    assert found["paired"]["constant.json"]["overall"]["told_apart"]
    assert found["blind_answers"]["constant"] <= found["blind_answers"]["by_question_type"] < 1


def test_answers_to_other_questions_and_two_answers_to_one_are_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="found '999'"):
        score_vqav2((submission(tmp_path / "a.json", {999: "no"}),), *files, tmp_path / "out")
    twice = tmp_path / "b.json"
    twice.write_text('[{"question_id": 0, "answer": "a"}, {"question_id": 0, "answer": "b"}]')
    with pytest.raises(InputError, match="expected one answer a question"):
        score_vqav2((twice,), *files, tmp_path / "out")
    with pytest.raises(InputError, match="at least one file of answers"):
        score_vqav2((), *files, tmp_path / "out")


def test_yes_to_everything_scores_as_counted_on_the_shared_subset(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "vqa_v2_mini"
    files = (
        folder / "v2_OpenEnded_mscoco_mini_test_questions.json.gz",
        folder / "v2_mscoco_mini_test_annotations.json.gz",
    )
    path = submission(tmp_path / "yes.json", {of.id: "yes" for of in read_questions(files[0])})
    found = score_vqav2((path,), *files, tmp_path / "out")
    assert found["questions"] == 782
    assert found["accuracy"]["overall"] == pytest.approx(0.2125, abs=5e-5)
    assert found["questions_by_type"] == {"overall": 782, "yes/no": 259, "number": 264, "other": 259}
