"""Random scenarios, scenarios in another city frame, and a tiny tokenizer in the hub's layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

NEED_TIMM = (
    "encoders/test_point_bert.py",
    "encoders/test_vit.py",
    "encoders/test_vit_weights.py",
    "images/test_picture_input.py",
    "losses/test_classification.py",
    "models/test_action_recognizer.py",
    "models/test_image_classifier.py",
)
"""Parity with timm, which is not there where the lowest versions are tested: it needs torchvision."""
collect_ignore = [] if find_spec("timm") else list(NEED_TIMM)

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.geometry import SE2
    from perception.traffic.scenario import Scenario


@pytest.fixture(scope="session")
def random_scenario(make_scenario: Callable[..., Scenario]) -> Callable[[int], Scenario]:
    """Makes a seeded scenario: agents that wander and are sometimes unobserved, lanes and crosswalks of every kind."""

    def make(seed: int) -> Scenario:
        rng = np.random.default_rng(seed)
        agents, lanes = int(rng.integers(2, 6)), int(rng.integers(1, 8))
        walk = rng.normal(0, 20, (agents, 1, 2)) + np.cumsum(rng.normal(0.5, 0.3, (agents, 15, 2)), axis=1)
        scenario = make_scenario(position=walk, kinds=rng.integers(0, 10, agents))
        valid = rng.random((agents, 15)) < 0.8
        valid[scenario.focal, scenario.present] = True
        start, step = rng.normal(0, 30, (lanes, 1, 2)), rng.normal(0, 3, (lanes, 9, 2))
        return replace(
            scenario,
            agents=replace(
                scenario.agents,
                position=np.where(valid[..., None], walk, 0.0),
                heading=rng.uniform(-np.pi, np.pi, (agents, 15)),
                valid=valid,
                scored=rng.random(agents) < 0.5,
            ),
            map=replace(
                scenario.map,
                ids=np.arange(lanes),
                points=np.cumsum(np.concatenate([start, step], axis=1), axis=1),
                kinds=rng.integers(0, 4, lanes),
                turns=rng.integers(0, 3, lanes),
                is_intersection=rng.random(lanes) < 0.5,
                has_traffic_control=rng.random(lanes) < 0.5,
            ),
        )

    return make


@pytest.fixture(scope="session")
def moved() -> Callable[[Scenario, SE2], Scenario]:
    """Moves a scenario to a city frame with another origin and north."""

    def move(scenario: Scenario, new_SE2_old: SE2) -> Scenario:
        tracks = scenario.agents
        return replace(
            scenario,
            agents=replace(
                tracks,
                position=new_SE2_old.apply(tracks.position),
                heading=tracks.heading + new_SE2_old.heading_rad,
                velocity=new_SE2_old.rotate(tracks.velocity),
            ),
            map=replace(scenario.map, points=new_SE2_old.apply(scenario.map.points)),
        )

    return move


@pytest.fixture(scope="session")
def bpe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer in the hub's layout. Tests must not change the folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bpe")
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"abdeirst?Ġ", "re", "red", "Ġi", "<mask>"]
    merges = [("r", "e"), ("re", "d"), ("Ġ", "i")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    transformers.RobertaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def expect_the_arrays(make_scenario: Callable[..., Scenario]) -> Callable[[Any, type], None]:
    """Checks that an input's tensors are its arrays, and that the read-out names the agents asked about."""

    def expect(shown: Any, batch_type: type) -> None:
        import torch

        from perception.batches import named_tensors

        scenarios = [make_scenario("a", agents=3), make_scenario("b", agents=2)]
        prepared, asked = [shown.prepare(scenario) for scenario in scenarios], [np.array([0, 2]), np.array([1])]
        arrays, batch = shown.arrays(prepared, asked), shown.collate(prepared, asked)
        assert isinstance(batch, batch_type)
        tensors = named_tensors(batch)
        assert tensors.keys() == arrays.keys()
        assert all(torch.equal(tensors[name], torch.from_numpy(array)) for name, array in arrays.items())
        assert batch.readout.rows is batch.rows
        assert int(batch.rows_valid.sum()) == 3

    return expect
