"""From files to numbers: the released test split must give the constants that are known of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.texts.answers import AnswerVocabulary
from perception_datasets.sqa3d.answer_dict import write_answer_dict
from perception_datasets.sqa3d.questions import question_files, read_questions
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.scene_qa.files import evaluate_files, find_answer_dict

WRITTEN = Path(__file__).parents[1] / "answer_files" / "written"

PLACE = {"position": {"x": 1.0, "y": 2.0, "z": 0}, "rotation": {"_x": 0, "_y": 0, "_z": 0, "_w": 1}}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two questions and their annotations, one with an answer outside the dictionary that lies one folder up."""
    folder = tmp_path / "sqa_task" / "balanced"
    folder.mkdir(parents=True)
    asked = [
        {"question_id": n, "scene_id": "scene0", "situation": "I sit.", "question": text, "alternative_situation": []}
        for n, text in ((1, "Is it open?"), (2, "What is it?"))
    ]
    annotated = [
        {"question_id": n, "scene_id": "scene0", "answers": [{"answer": answer}], **PLACE}
        for n, answer in ((1, "yes"), (2, "yoga mat"))
    ]
    paths = (
        folder / "v1_balanced_questions_val_scannetv2.json",
        folder / "v1_balanced_sqa_annotations_val_scannetv2.json",
    )
    paths[0].write_text(json.dumps({"questions": asked}))
    paths[1].write_text(json.dumps({"annotations": annotated}))
    write_answer_dict(tmp_path / "sqa_task" / "answer_dict.json", AnswerVocabulary(("yes", "no")))
    return paths


def write_predictions(path: Path, answers: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answers))
    return path


def test_the_dictionary_is_found_in_the_release_or_given(files: tuple[Path, Path], tmp_path: Path) -> None:
    metrics = evaluate_files(*files, tmp_path / "out", baseline="majority")
    assert (metrics["out_of_vocabulary"], metrics["data"]) == (1, "SQA3D val")
    write_answer_dict(tmp_path / "other.json", AnswerVocabulary(("yes", "yoga mat")))
    metrics = evaluate_files(*files, tmp_path / "out", baseline="majority", answers=tmp_path / "other.json")
    assert metrics["out_of_vocabulary"] == 0
    assert find_answer_dict(tmp_path / "elsewhere" / "deep" / "a.json") is None


def test_files_of_one_name_are_told_apart_by_their_folders(files: tuple[Path, Path], tmp_path: Path) -> None:
    first = write_predictions(tmp_path / "a" / "predictions.json", {"1": "yes"})
    second = write_predictions(tmp_path / "b" / "predictions.json", {"1": "no"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[first, second])
    assert metrics["name"] == "predictions [a]"
    assert metrics["em1"] == 0.5
    assert metrics["others"]["predictions [b]"]["em1"] == 0.0
    third = write_predictions(tmp_path / "a" / "predictions.txt", {"1": "no"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[first, third])
    assert (metrics["name"], *metrics["paired"]) == ("predictions.json [a]", "predictions.txt [a]")
    deep = [write_predictions(tmp_path / name / "sqa3d" / "results.json", {"1": "no"}) for name in ("run1", "run2")]
    assert evaluate_files(*files, tmp_path / "out", predictions=deep)["name"] == str(deep[0])
    with pytest.raises(InputError, match="expected systems of different names"):
        evaluate_files(*files, tmp_path / "out", predictions=[first, first])


def test_a_file_with_the_name_of_a_baseline_is_told_from_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "a" / "majority.json", {"1": "no"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[path])
    assert (metrics["name"], metrics["em1"]) == ("majority [a]", 0.0)
    assert metrics["others"]["majority"]["em1"] == 0.5


def test_a_place_is_compared_in_the_frame_of_the_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    item = {"question_id": 1, "answer": "yes", "position": [1.0, 2.4, 0.0], "rotation": [0, 0, 0, 1]}
    (tmp_path / "p.json").write_text(json.dumps([item]))
    scores = evaluate_files(*files, tmp_path / "out", predictions=[tmp_path / "p.json"])["localization"]
    assert (scores["questions"], scores["given"], scores["acc_0.5m"], scores["acc_15deg"]) == (2, 1, 0.5, 0.5)


def test_the_same_answers_score_the_same_in_the_files_of_every_project(tmp_path: Path) -> None:
    files = sorted((WRITTEN / "formats").iterdir())
    metrics = evaluate_files(WRITTEN / "questions.json", WRITTEN / "annotations.json", tmp_path, predictions=files)
    scores = {metrics["name"]: metrics, **metrics["others"]}
    assert len(scores) == len(files) + 2  # and the two baselines
    keys = metrics["others"]["majority"].keys()
    written = [scores[f"{path.name} [formats]"] for path in files]
    assert all({key: score[key] for key in keys} == {key: written[0][key] for key in keys} for score in written)
    assert (written[0]["em1"], written[0]["unanswered"]) == (0.4, 0)


def test_a_file_of_true_answers_is_remarked_on_in_every_output(
    files: tuple[Path, Path], tmp_path: Path, capsys
) -> None:
    (tmp_path / "p.json").write_text(
        json.dumps(
            [
                {"question_id": 1, "answer": "Yes", "model_answer": "no", **PLACE},
                {"question_id": 2, "answer": "yoga mat", "model_answer": "no"},
            ]
        )
    )
    with pytest.raises(InputError, match=r"p.json: .*found answer \('Yes'\), model_answer \('no'\).*--answer-field"):
        evaluate_files(*files, tmp_path / "out", predictions=[tmp_path / "p.json"])
    assert not (tmp_path / "out").exists()
    for field, remark in (("answer", "p: all 2 answers are right."), ("model_answer", "p: all 2 answers are the same")):
        choice = FieldChoice(answer=field)
        metrics = evaluate_files(*files, tmp_path / "out", predictions=[tmp_path / "p.json"], choice=choice)
        printed, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
        for sentence in (remark, "p: every asker's position is the annotated one", "; not read: "):
            assert any(sentence in note for note in metrics["notes"])
            assert sentence in printed
            assert sentence in page.replace("&#39;", "'")


def test_a_part_of_the_questions_is_scored_and_that_is_said_in_every_output(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_predictions(tmp_path / "a" / "p.json", {"1": "no", "2": "yoga mat"})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[path], baseline="majority", only="2")
    assert (metrics["questions"], metrics["em1"]) == (1, 1.0)
    assert metrics["data"] == "SQA3D val, 1 of 2 questions"
    note = "Scored on 1 of the 2 questions (--only 2): not comparable with scores on others."
    assert metrics["notes"][0] == note
    assert note in capsys.readouterr().out
    assert note in (tmp_path / "out" / "report.html").read_text()
    assert len((tmp_path / "out" / "answers.jsonl").read_text().splitlines()) == 1
    whole = evaluate_files(*files, tmp_path / "out", predictions=[path], only="2,1")
    assert (whole["data"], whole["questions"]) == ("SQA3D val", 2)


def test_an_answer_to_a_question_of_no_split_is_refused_also_with_a_subset(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    path = write_predictions(tmp_path / "a" / "p.json", {"2": "yoga mat", "99": "no"})
    with pytest.raises(InputError, match=r"p.json: expected ids of the 2 questions asked, found 1 unknown .*\(99\)"):
        evaluate_files(*files, tmp_path / "out", predictions=[path], only="2")


def test_a_blind_systems_questions_are_left_out_of_a_second_scoring(files: tuple[Path, Path], tmp_path: Path) -> None:
    ours = write_predictions(tmp_path / "a" / "ours.json", {"1": "no", "2": "a yoga mat"})
    deaf = write_predictions(tmp_path / "a" / "deaf.json", {"1": "Yes."})
    metrics = evaluate_files(*files, tmp_path / "out", predictions=[ours], blind=[deaf])
    assert (metrics["name"], metrics["beyond_blind"]["blind"]) == ("ours", ["deaf"])
    left = metrics["beyond_blind"]["systems"]
    assert {name: (of["questions"], of["em1_cleaned"]) for name, of in left.items()} == {
        "ours": (1, 1.0), "deaf": (1, 0.0)
    }  # fmt: skip


def test_answers_are_cleaned_where_that_is_asked_for_and_the_outputs_say_so(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    path = write_predictions(tmp_path / "a" / "p.json", {"1": "Answer: Yes</s>", "2": "no"})
    plain, cleaned = (
        evaluate_files(*files, tmp_path / "out", predictions=[path], clean=clean) for clean in (False, True)
    )
    assert (plain["em1_cleaned"], cleaned["em1_cleaned"]) == (0.0, 0.5)
    assert "Answers were cleaned (--clean)." in cleaned["notes"]
    assert "Answers were cleaned (--clean)." not in plain["notes"]


def test_nothing_to_score_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a file of answers, or give --baseline NAME"):
        evaluate_files(*files, tmp_path / "out")


def test_the_released_test_split_gives_the_known_constants(real_data: Path, tmp_path: Path) -> None:
    questions, annotations = question_files(real_data / "sqa3d", "test")
    truth = {str(question.id): question.answers[0] for question in read_questions(questions, annotations)}
    perfect = write_predictions(tmp_path / "perfect.json", truth)
    metrics = evaluate_files(questions, annotations, tmp_path / "out", predictions=[perfect])
    assert (metrics["questions"], metrics["scenes"], metrics["out_of_vocabulary"]) == (3519, 67, 95)
    assert metrics["em1"] == metrics["em10"] == 1.0
    counts = {rule: [group["questions"] for group in groups.values()] for rule, groups in metrics["by_type"].items()}
    assert counts["first_token"] == [1144, 652, 465, 338, 351, 569]
    assert counts["mcan"] == [1147, 652, 465, 338, 351, 566]
    assert metrics["others"]["majority"]["em1"] == 385 / 3519
    assert round(100 * metrics["others"]["majority-per-type"]["em1"], 4) == 21.3129
    by_type = metrics["others"]["majority-per-type"]["by_type"]["first_token"]
    assert [round(100 * group["em1"], 2) for group in by_type.values()] == [4.98, 15.64, 34.62, 54.73, 36.75, 20.39]
