"""Evaluation: what is written, what stands beside it, and runs side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_tools.image_text.evaluate import evaluate_image_text
from perception_tools.image_text.job import image_text_job
from perception_tools.image_text.run import ImageTextRun
from perception_tools.image_text.score import score_vqav2
from perception_tools.training.fit import fit


@pytest.fixture(scope="module")
def untrained(make_run: Callable[..., ImageTextRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of another seed that was never trained."""
    path = tmp_path_factory.mktemp("untrained") / "model.safetensors"
    image_text_job(make_run(path.parent / "run", recipe={"seed": 1})).save(path, 12)
    return path


def test_answers_are_scored_with_and_without_their_pictures(
    trained_answers: Path, untrained: Path, questions_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_image_text((trained_answers, untrained), questions_folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == json.loads(json.dumps(found))
    assert (found["questions"], found["pictures"]) == (18, 9)
    assert found["accuracy"].keys() == {"overall", "yes/no", "other"}
    for table in (found, *found["others"].values()):
        for shown in ("without_picture", "shuffled_pictures"):
            assert 0 <= table[shown]["accuracy"]["overall"] <= 1
            difference = table["accuracy"]["overall"] - table[shown]["accuracy"]["overall"]
            assert table[shown]["first_against_this"]["overall"]["difference"] == pytest.approx(difference)
    (other,) = found["paired"].values()
    assert other["overall"].keys() >= {"difference", "interval", "p_value", "told_apart"}
    assert [len(of["seeds"]) for of in found["systems"]] == [2], "they differ in their seed alone"
    rows = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    assert len(rows) == 36
    mean = sum(row["accuracy"] for row in rows[:18]) / 18
    assert mean == pytest.approx(found["accuracy"]["overall"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "picture removed" in page
    assert "Published rows" in page
    assert "other pictures" in capsys.readouterr().out


def test_the_written_answers_score_alike(trained_answers: Path, questions_folder: Path, tmp_path: Path) -> None:
    expected = evaluate_image_text((trained_answers,), questions_folder, tmp_path / "out")
    files = (questions_folder / "v2_val_questions.json", questions_folder / "v2_val_annotations.json")
    found = score_vqav2((tmp_path / "out" / "answers.json",), *files, tmp_path / "scored")
    for name in ("questions", "accuracy", "interval", "by_question_type"):
        assert found[name] == expected[name]


def test_captions_and_pictures_are_found_by_each_other(
    trained_ranks: Path, captions_folder: Path, tmp_path: Path
) -> None:
    found = evaluate_image_text((trained_ranks,), captions_folder, tmp_path / "out", pairs=7)
    assert (found["pictures"], found["captions"]) == (9, 18)
    for direction in ("image_retrieval", "text_retrieval"):
        assert found["recall"][direction].keys() == {"1", "5", "10"}
        assert found["recall"][direction]["1"] <= found["recall"][direction]["5"]
    assert found["recall"]["image_retrieval"]["10"] == 1, "there are 9 pictures"
    blind = found["without_picture"]["recall"]["image_retrieval"]
    assert blind == {"1": 0, "5": 0, "10": 1}, "every picture is alike, and ties count against"
    assert "recall" in found["shuffled_pictures"]
    rows = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    assert sum(row["picture_rank"] == 1 for row in rows) / 18 == found["recall"]["image_retrieval"]["1"]
    assert "image retrieval R@1" in (tmp_path / "out" / "report.html").read_text()


def test_a_shortlist_says_what_it_scored_and_what_it_cost(
    trained_ranks: Path, captions_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_image_text((trained_ranks,), captions_folder, tmp_path / "out", shortlist=2)
    assert 18 * 2 < found["shortlist"]["scored"] < found["shortlist"]["of"] == 9 * 18
    assert found["shortlist"]["checked"].keys() == {"image_retrieval", "text_retrieval"}
    sentence = f"{found['shortlist']['scored']} of 162 pairs were scored, a shortlist of 2 pictures for each caption"
    assert sentence in capsys.readouterr().out
    assert sentence in (tmp_path / "out" / "report.html").read_text()
    full = evaluate_image_text((trained_ranks,), captions_folder, tmp_path / "full")
    assert full["shortlist"] is None
    assert "every pair was scored" in (tmp_path / "full" / "report.html").read_text()
    all_of_them = evaluate_image_text((trained_ranks,), captions_folder, tmp_path / "all", shortlist=9)
    assert all_of_them["recall"] == full["recall"]
    with pytest.raises(InputError, match="--shortlist 0"):
        evaluate_image_text((trained_ranks,), captions_folder, tmp_path / "none", shortlist=0)


def test_a_broken_picture_is_named_and_its_question_counts_as_wrong(
    trained_answers: Path, questions_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(questions_folder, tmp_path / "data"))
    first, second = sorted((data / "val").iterdir())[:2]
    first.write_bytes(b"\xff\xd8\xff")
    second.unlink()
    found = evaluate_image_text((trained_answers,), data, tmp_path / "out")
    assert (found["questions"], found["unanswered"], found["missing"]) == (16, 2, [second.name])
    assert any(first.name in fault for fault in found["unread"])
    assert second.name in found["unread"][0]


def test_a_model_that_learned_to_look_is_better_than_without_its_pictures(
    make_run: Callable[..., ImageTextRun], questions_folder: Path, tmp_path: Path
) -> None:
    """The colour of a picture is what every question is about; a third of the answers can be guessed."""
    changes = {"passes": 20, "validate_every": 20, "learning_rate": 1e-2, "dropout": 0.0, "gradient_clip": 1.0}
    fit(make_run(tmp_path / "run", recipe=changes))
    found = evaluate_image_text((tmp_path / "run",), questions_folder, tmp_path / "out")
    assert found["accuracy"]["other"] > 0.8
    for shown in ("without_picture", "shuffled_pictures"):
        assert found[shown]["accuracy"]["other"] < 0.5
        assert found[shown]["first_against_this"]["overall"]["told_apart"]


def test_what_cannot_be_compared_is_refused(
    trained_answers: Path, trained_ranks: Path, questions_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="all answer or all rank"):
        evaluate_image_text((trained_answers, trained_ranks), questions_folder, tmp_path)
    with pytest.raises(InputError, match="at least one run"):
        evaluate_image_text((), questions_folder, tmp_path)
    with pytest.raises(InputError, match="--pairs 0: expected at least 1"):
        evaluate_image_text((trained_ranks,), questions_folder, tmp_path, pairs=0)
    with pytest.raises(InputError, match="question files there: v2_train"):
        evaluate_image_text((trained_answers,), questions_folder, tmp_path, split="elsewhere")
