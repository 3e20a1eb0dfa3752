"""A scene answerer's training run from start to end: what it leaves, broken off and gone on with, on broken data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from perception.errors import InputError
from perception.models.scene_answerer import SceneAnswerer
from perception.texts.answers import AnswerVocabulary
from perception_datasets.sqa3d.answer_dict import write_answer_dict
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.scene_qa.data import first_scenes
from perception_tools.scene_qa.job import known_words, mean_sizes, scene_qa_job
from perception_tools.scene_qa.model import build_answerer, load_answerer
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.scene_qa.run import SceneQaRun
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit
from perception_tools.training.run import RUN_FILE

MakeRun = Callable[..., SceneQaRun]


@pytest.fixture(autouse=True)
def one_thread():
    """The same number of threads as the processes that tests start, so that sums are bit-equal."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_run_leaves_its_model_its_curves_and_how_to_go_on(trained_answerer: Path) -> None:
    trained = load_answerer(trained_answerer)
    assert (trained.training.name, trained.training.source) == ("scene-qa/rooms-llama", "synthetic")
    assert trained.training.scenes == 3
    assert trained.training.steps == 2 * (trained.training.steps // 2) > 0
    assert json.loads((trained_answerer / RUN_FILE).read_text())["recipe"] == trained.recipe.to_json()
    curves = read_curves(trained_answerer)
    assert curves.keys() >= {"train/loss", "train/answer", "train/viewpoint", "train/objectness", "val/em1"}
    assert len(curves["val/em1"]) == 2
    assert {"yes", "no"} <= set(trained.answers.answers)


@pytest.mark.parametrize("detector_first", [0.0, 1.0])
def test_first_only_the_detector_learns(detector_first: float, make_answerer_run: MakeRun, tmp_path: Path) -> None:
    run = make_answerer_run(tmp_path, {"passes": 1, "detector_first": detector_first})
    fit(run)
    trained = load_answerer(tmp_path)
    fresh = scene_qa_job(run).task.model
    assert isinstance(fresh, SceneAnswerer)
    same = {
        name.split(".")[0]
        for (name, before), after in zip(fresh.named_parameters(), trained.model.parameters(), strict=True)
        if torch.equal(before, after)
    }
    learned = {name.split(".")[0] for name, _ in fresh.named_parameters()} - same
    assert "scene" in learned
    assert ("text_in" in learned) == (detector_first == 0)
    assert ("train/answer" in read_curves(tmp_path)) == (detector_first == 0)


def test_a_detector_that_is_taken_stays_as_it_is(make_answerer_run: MakeRun, tmp_path: Path) -> None:
    detecting = make_answerer_run(tmp_path / "detector", {"passes": 1, "detector_first": 1.0})
    assert scene_qa_job(detecting).monitor == "val/detection_loss"
    fit(detecting)
    validated = {name for name in read_curves(tmp_path / "detector") if name.startswith("val/")}
    assert validated == {"val/detection_loss"}, "a detector has no answers to count"
    taking = make_answerer_run(tmp_path / "answerer", {"detector_first": 0.5}, detector_run=tmp_path / "detector")
    assert not scene_qa_job(taking).has_unused_parameters, "every parameter that learns is used in every step"
    fit(make_answerer_run(tmp_path / "answerer", {"passes": 1}, detector_run=tmp_path / "detector"))
    detector, answerer = (load_answerer(tmp_path / name).model for name in ("detector", "answerer"))
    assert detector.scene is not None
    assert answerer.scene is not None
    theirs = answerer.scene.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in detector.scene.state_dict().items())
    curves = read_curves(tmp_path / "answerer")
    assert "train/answer" in curves
    assert "train/vote" not in curves


def test_another_recipes_detector_is_not_taken(
    trained_answerer: Path, make_answerer_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="proposals=9"):
        fit(make_answerer_run(tmp_path / "run", {"proposals": 9}, detector_run=trained_answerer))
    assert not (tmp_path / "run").exists()


def test_a_job_says_what_comes_next_and_by_what_it_is_judged(make_answerer_run: MakeRun, tmp_path: Path) -> None:
    answering = scene_qa_job(make_answerer_run(tmp_path, {"detector_first": 0.5}))
    assert (answering.monitor, answering.mode, answering.has_unused_parameters) == ("val/em1", "max", True)
    assert answering.next_command.startswith(f"perception evaluate {tmp_path} --data ")
    detecting = scene_qa_job(make_answerer_run(tmp_path, {"detector_first": 1.0}))
    assert (detecting.monitor, detecting.mode) == ("val/detection_loss", "min")
    assert f"--detector-run {tmp_path}" in detecting.next_command
    assert answering.closing_message() == ""


def test_a_given_model_is_trained_in_place_of_the_recipes(
    make_answerer_run: MakeRun, tiny_answerer: SceneQaRecipe, rooms_store: Path, tmp_path: Path
) -> None:
    questions = first_scenes(read_questions(rooms_store, "train"), 3)
    given = build_answerer(replace(tiny_answerer, seed=9), known_words(questions, None, None), torch.ones(18, 3))
    learned = given.get_parameter("text_in.0.weight")
    before = learned.detach().clone()
    fit(make_answerer_run(tmp_path, {"passes": 1}), model=given)
    assert not torch.equal(learned, before)
    assert torch.equal(load_file(tmp_path / MODEL_FILE)["text_in.0.weight"], learned)


KILLED = """
import os, pickle, signal, sys
from perception_tools.scene_qa.learning import SceneQaTask
from perception_tools.training.fit import fit

step = SceneQaTask.training_step

def killed_in_the_second_pass(self, batch, batch_idx):
    if (self.current_epoch, batch_idx) == (1, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

SceneQaTask.training_step = killed_in_the_second_pass
fit(pickle.loads(sys.stdin.buffer.read()))
"""


def test_a_run_that_is_killed_and_gone_on_with_ends_bit_equal_to_an_unbroken_one(
    make_answerer_run: MakeRun,
    assert_same_model: Callable[[Path, Path], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import pickle

    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    fit(make_answerer_run(unbroken, accelerator="cpu"))
    run = make_answerer_run(broken, accelerator="cpu")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], input=pickle.dumps(run), env=environment, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    fit(run)
    assert "going on with the run" in capsys.readouterr().out
    assert_same_model(broken, unbroken)
    assert read_curves(broken) == read_curves(unbroken)


def test_a_blind_model_trains_too(make_answerer_run: MakeRun, tmp_path: Path) -> None:
    fit(make_answerer_run(tmp_path, {"blind": True, "passes": 1}))
    assert load_answerer(tmp_path).recipe.blind
    assert "train/objectness" not in read_curves(tmp_path)


def test_a_folder_with_other_answers_is_another_run(
    make_answerer_run: MakeRun, trained_answerer: Path, tmp_path: Path
) -> None:
    write_answer_dict(tmp_path / "answers.json", AnswerVocabulary(("yes", "no")))
    with pytest.raises(InputError, match=r"it holds a run with answers None, not .*answers\.json"):
        fit(make_answerer_run(trained_answerer, answers=tmp_path / "answers.json", accelerator="cpu"))


def test_words_and_answers_are_those_of_the_training_questions_or_of_files(rooms_store: Path, tmp_path: Path) -> None:
    questions = first_scenes(read_questions(rooms_store, "train"), 3)
    asked = [replace(q, answers=("once",)) if i == 0 else q for i, q in enumerate(questions)]
    words = known_words(asked, None, None)
    assert "once" not in words.answers
    assert {"yes", "no", "left"} <= set(words.answers.answers)
    assert words.vocabulary.unknown_words("Is there a zebra in the room?") == ["zebra"]
    write_answer_dict(tmp_path / "answers.json", AnswerVocabulary(("yes", "no")))
    (tmp_path / "glove.txt").write_text("room 1 2 3\nunk 4 5 6\n")
    words = known_words(asked, tmp_path / "answers.json", tmp_path / "glove.txt")
    assert words.answers.answers == ("yes", "no")
    assert words.vectors is not None
    assert words.vectors[words.vocabulary.words.index("room") + 1].tolist() == [1, 2, 3]
    assert words.vectors[0].tolist() == [4, 5, 6]


def test_mean_sizes_are_those_of_the_training_scenes(rooms_store: Path) -> None:
    scans = open_scene_store(rooms_store)
    name = scans.names()[0]
    sizes, scene = mean_sizes(scans, [name]), scans.read(name).scene
    of_beds = scene.boxes[scene.box_classes == scene.box_classes[0], 3:].mean(0)
    assert any(torch.allclose(row, torch.from_numpy(of_beds)) for row in sizes)


def test_fewer_scenes_than_processes_are_refused(make_answerer_run: MakeRun, tmp_path: Path) -> None:
    job = scene_qa_job(make_answerer_run(tmp_path))
    with pytest.raises(InputError, match=r"expected at least 2 scenes \(one a process\), got 1"):
        job.loaders(0, 2)


def test_questions_of_one_split_are_not_trained_and_validated_on(make_answerer_run: MakeRun, tmp_path: Path) -> None:
    run = make_answerer_run(tmp_path)
    with pytest.raises(InputError, match="--split train: expected another split than that of --val-split"):
        scene_qa_job(replace(run, val_split="train"))
