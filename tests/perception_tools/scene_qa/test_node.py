"""A scene question node with the model of its plan; `perception node` as a process is tested with the command."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perception.errors import InputError
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_nodes.operations.deployment import read_deployment
from perception_nodes.scene_qa.question import AskedQuestion
from perception_nodes.scene_qa.scene_map import SceneSnapshot
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.scene_qa.model import (
    KnownWords,
    SceneQaTraining,
    build_answerer,
    load_answerer,
    save_answerer,
)
from perception_tools.scene_qa.node import configured_node
from perception_tools.scene_qa.recipes import SceneQaRecipe


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Any]:
    """Reads a node's plan from a deployment's file."""

    def read(checkpoint: Path, options: str) -> Any:
        config = tmp_path / "deployment.yaml"
        config.write_text(f"nodes: {{answerer: {{kind: scene-qa, checkpoint: {checkpoint}, {options}}}}}")
        return read_deployment(config).nodes_of("scene-qa")["answerer"]

    return read


def save(folder: Path, recipe: SceneQaRecipe, trained_answerer: Path) -> Path:
    """The file of an untrained model of a recipe, with the trained one's words."""
    trained = load_answerer(trained_answerer)
    words = KnownWords(trained.model.text.vocabulary, trained.answers)  # pyright: ignore[reportArgumentType]
    model = build_answerer(recipe, words, torch.ones(18, 3))
    save_answerer(folder / MODEL_FILE, model, recipe, words, SceneQaTraining("scene-qa/rooms", "synthetic", 1, 1, 0))
    return folder / MODEL_FILE


@pytest.mark.parametrize("legacy_color", [False, True])
def test_a_configured_node_answers_what_its_model_answers_offline(
    tiny_answerer: SceneQaRecipe,
    trained_answerer: Path,
    rooms_store: Path,
    tmp_path: Path,
    plan_of: Callable[..., Any],
    legacy_color: bool,
) -> None:
    """Also where colours are normalised twice: how a scene is shown is the model's own."""
    file = save(tmp_path, replace(tiny_answerer, legacy_color=legacy_color), trained_answerer)
    question, *_ = read_questions(rooms_store, "val")
    scene = open_scene_store(rooms_store).read(question.scene_id).scene
    with ExitStack() as open_:
        plan = plan_of(file, "threads: 2, min_confidence: 0.001")
        node = configured_node(plan, None, open_)  # pyright: ignore[reportArgumentType]  # no block elsewhere
        assert torch.get_num_threads() == 2
        assert node.settings.min_confidence == 0.001
        node.set_scene(SceneSnapshot.of_scene(scene, time.time_ns()))
        node.activate()
        given = node.answer(AskedQuestion("q", question.question, question.situation))
    assert given.model_id.startswith("scene-qa/rooms@")
    assert given.model_id.endswith(":float32")
    trained = load_answerer(file)
    with torch.inference_mode():
        tokens = trained.model.encode([scene])
        said = trained.model.ask(tokens, [question.situation], [question.question]).probabilities[0]
    best = said[:-1].topk(3)
    likely = [(given.answer, given.confidence), *given.alternatives] if given.answer else list(given.alternatives)
    assert [answer for answer, _ in likely[:3]] == [trained.answers.answer_of(i) for i in best.indices.tolist()]
    assert [share for _, share in likely[:3]] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_a_blind_model_is_refused(
    tiny_answerer: SceneQaRecipe, trained_answerer: Path, tmp_path: Path, plan_of: Callable[..., Any]
) -> None:
    file = save(tmp_path, replace(tiny_answerer, blind=True), trained_answerer)
    with ExitStack() as open_, pytest.raises(InputError, match="expected a model that sees scenes, got a blind one"):
        configured_node(plan_of(file, "threads: 1"), None, open_)  # pyright: ignore[reportArgumentType]
