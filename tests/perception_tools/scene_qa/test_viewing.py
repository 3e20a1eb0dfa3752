"""What a trained model answered, in the viewer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.main import main
from perception_tools.scene_qa.model import load_answerer
from perception_tools.scene_qa.viewing import view_scene


@pytest.fixture(scope="module")
def evaluated(trained_answerer: Path, rooms_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("viewed")
    words = f"evaluate {trained_answerer} --data {rooms_store} --split test --viewer --out {out}"
    assert main(words.split()) == 0
    return out


def content(folder: Path) -> dict:
    """What a viewer holds."""
    found = re.search(r'id="content">(.*?)</script>', (folder / "viewer.html").read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_viewer_shows_what_was_scored(evaluated: Path) -> None:
    shown = {question["id"]: question for question in content(evaluated)["questions"]}
    scored = [json.loads(line) for line in (evaluated / "answers.jsonl").read_text().splitlines()]
    assert len(shown) == len(scored) > 0
    for record in scored:
        (said,) = record["systems"].values()
        question = shown[str(record["question_id"])]
        assert question["answers"] == said["answers"][: len(question["answers"])]
        assert question["right"] == said["em1"]
        assert question["probabilities"] == sorted(question["probabilities"], reverse=True)
    verdicts = [question["right"] for question in shown.values()]
    assert verdicts == sorted(verdicts)  # the wrong ones first


def test_attention_and_guess_are_those_of_the_model(trained_answerer: Path, rooms_store: Path) -> None:
    trained, scans = load_answerer(trained_answerer), open_scene_store(rooms_store)
    questions = read_questions(rooms_store, "test")
    viewed = view_scene(trained, questions, scans.read(questions[0].scene_id).scene)
    assert [item.question for item in viewed] == questions
    for item in viewed:
        assert item.attention is not None
        assert item.attention.shares.sum() == pytest.approx(1, abs=1e-5)
        assert len(item.attention.boxes) == len(item.attention.labels) == trained.recipe.proposals
        assert item.guess is not None
        assert np.linalg.norm(item.guess.rotation) == pytest.approx(1)


def test_a_viewer_without_predictions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "score sqa3d --baseline majority --questions q.json --annotations a.json --viewer store --out"
    assert main([*words.split(), str(tmp_path)]) == 2
    assert "--viewer store: expected a file of predictions to show, got none" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_anybodys_predictions_are_shown_where_they_were_asked(
    evaluated: Path, made_rooms: Path, rooms_store: Path, tmp_path: Path
) -> None:
    """The model's own answers by way of a file: the same answers, and the same places in the scene."""
    questions, annotations = sorted(map(str, made_rooms.rglob("v1_balanced_*_test_*.json")))
    words = f"score sqa3d {evaluated}/predictions.json --questions {questions}"
    words += f" --annotations {annotations} --viewer {rooms_store} --out {tmp_path}"
    assert main(words.split()) == 0
    theirs, ours = content(tmp_path), content(evaluated)
    assert theirs["scenes"] == ours["scenes"]
    known = {question["id"]: question for question in ours["questions"]}
    assert known.keys() == {question["id"] for question in theirs["questions"]}
    for question in theirs["questions"]:
        model = known[question["id"]]
        for part in ("question", "true", "right", "answers"):
            assert question[part] == model[part]
        np.testing.assert_allclose(question["asker"], model["asker"], atol=2e-3)
        np.testing.assert_allclose(question["guess"], model["guess"], atol=2e-3)
        assert question["attention"] is None


def test_a_part_of_the_questions_is_shown_and_that_is_said(
    evaluated: Path, made_rooms: Path, rooms_store: Path, tmp_path: Path
) -> None:
    questions, annotations = sorted(map(str, made_rooms.rglob("v1_balanced_*_test_*.json")))
    asked = [question["id"] for question in content(evaluated)["questions"]]
    words = f"score sqa3d {evaluated}/predictions.json --questions {questions} --only {asked[1]}"
    words += f" --annotations {annotations} --viewer {rooms_store} --out {tmp_path}"
    assert main(words.split()) == 0
    assert [question["id"] for question in content(tmp_path)["questions"]] == asked[1:2]
    assert f", 1 of {len(asked):,} questions" in (tmp_path / "viewer.html").read_text()
