"""Trained answerers on a split: scored as anybody's predictions are, and their predictions come back as a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from perception.errors import InputError
from perception.heads.answer import SceneAnswers
from perception.scenes.scene import SceneQuestion
from perception.scenes.viewpoint import ViewpointEstimate
from perception.texts.answers import AnswerVocabulary
from perception_tools.main import main
from perception_tools.scene_qa.evaluate import evaluate_answerers, remember
from perception_tools.scene_qa.predictions import AnswerPredictions
from perception_tools.scene_qa.run import SceneQaRun
from perception_tools.training.fit import fit


@pytest.fixture(scope="module")
def evaluated(
    trained_answerer: Path,
    rooms_store: Path,
    make_answerer_run: Callable[..., SceneQaRun],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The evaluation of the tiny model beside a blind one, from the command line."""
    out = tmp_path_factory.mktemp("evaluated")
    fit(make_answerer_run(out / "blind", {"blind": True, "passes": 1}, name="scene-qa/rooms"))
    words = f"evaluate {trained_answerer} {out / 'blind'} --data {rooms_store} --split test --out {out}"
    assert main([*words.split(), "--json", str(out / "returned.json")]) == 0
    return out


def test_several_models_are_scored_side_by_side(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert json.loads((evaluated / "returned.json").read_text()) == metrics
    assert metrics["name"] == "scene-qa/rooms-llama"
    assert metrics["others"].keys() == {"scene-qa/rooms", "majority", "majority-per-type"}
    assert metrics["paired"].keys() == {"scene-qa/rooms"}
    assert metrics["localization"]["given"] == metrics["questions"] > 0
    assert metrics["others"]["scene-qa/rooms"]["localization"] is None
    assert 0 <= metrics["em1"] <= metrics["em10"] <= 1
    assert metrics["milliseconds"]["scene-qa/rooms-llama"]["encode_scene"] > 0
    assert metrics["source"] == "synthetic"
    assert (evaluated / "report.html").is_file()


def test_every_question_has_a_record_with_the_models_probabilities(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    records = pq.read_table(evaluated / "records.parquet").to_pylist()
    assert len(records) == 2 * metrics["questions"]
    for record in records:
        assert len(record["probabilities"]) == len(record["answers"])
        assert record["probabilities"] == sorted(record["probabilities"], reverse=True)
        assert 0 <= record["probabilities"][-1] <= record["probabilities"][0] <= 1
    ours = [record for record in records if record["system"] == "scene-qa/rooms-llama"]
    assert np.mean([record["em1"] for record in ours]) == pytest.approx(metrics["em1"])
    within = [record["distance_m"] <= 1.0 for record in ours]
    assert np.mean(within) == pytest.approx(metrics["localization"]["acc_1m"])


def test_a_blind_run_filters_the_questions_for_all(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    left = metrics["beyond_blind"]
    assert left["blind"] == ["scene-qa/rooms"]
    assert left["systems"]["scene-qa/rooms"]["em1_cleaned"] == 0
    answered = metrics["others"]["scene-qa/rooms"]["em1_cleaned"] * metrics["questions"]
    assert left["systems"]["scene-qa/rooms-llama"]["questions"] == metrics["questions"] - round(answered)


def test_the_written_predictions_score_alike_from_their_file(evaluated: Path, made_rooms: Path) -> None:
    names = [f"v1_balanced_{kind}_test_scannetv2.json" for kind in ("questions", "sqa_annotations")]
    words = f"{evaluated / 'predictions.json'} {evaluated / 'predictions-scene-qa-rooms.json'}"
    words += f" --questions {made_rooms / names[0]} --annotations {made_rooms / names[1]}"
    assert main(["score", "sqa3d", *words.split(), "--out", str(evaluated / "again")]) == 0
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (evaluated, evaluated / "again"))
    for name in ("questions", "em1", "em10", "by_type"):
        assert theirs[name] == ours[name], name
    assert theirs["localization"] == pytest.approx(ours["localization"])
    (blind,) = (value for name, value in theirs["others"].items() if name.startswith("predictions"))
    assert blind["em1"] == ours["others"]["scene-qa/rooms"]["em1"]


def test_the_unknown_answer_is_never_given() -> None:
    vocabulary = AnswerVocabulary(("yes", "no"))
    logits = torch.tensor([[0.0, 1.0, 9.0], [3.0, 1.0, 9.0]])
    estimate = ViewpointEstimate(torch.ones(2, 3), torch.tensor([[0, 0, 0, 2.0], [0, 0, 3.0, 0]]))
    questions = [SceneQuestion(number, "s", "", "?", (), None) for number in (7, 8)]
    said = AnswerPredictions()
    remember(said, questions, SceneAnswers(logits, None, estimate), vocabulary)
    assert said.answers == {7: ("no", "yes"), 8: ("yes", "no")}
    assert said.viewpoints[8].rotation.tolist() == [0, 0, 1, 0]


def test_runs_of_one_recipe_are_told_apart_by_their_folders(
    trained_answerer: Path, rooms_store: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained_answerer, tmp_path / "again")
    metrics = evaluate_answerers((trained_answerer, tmp_path / "again"), rooms_store, tmp_path / "out", limit=1)
    names = {"scene-qa/rooms-llama [run]", "scene-qa/rooms-llama [again]"}
    assert {metrics["name"], *metrics["paired"]} == names
    assert {*metrics["recipes"]["scene-qa/rooms-llama"]["runs"]} == names
    with pytest.raises(InputError, match="expected models of different runs"):
        evaluate_answerers((trained_answerer, trained_answerer), rooms_store, tmp_path / "out", limit=1)
