"""A forecasting node with the model of its plan; `perception node` as a process is tested with the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.encoders.vectornet.input import VectorizedInput
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.operations.deployment import read_deployment
from perception_tools.forecasting.node import configured_node
from perception_tools.forecasting.streaming.drive import Drive, open_drive
from perception_tools.forecasting.streaming.playback import ReplayClock, play_lockstep


@pytest.fixture
def plan_of(trained_run: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Reads a node's plan from a deployment's file."""

    def read(options: str) -> Any:
        config = tmp_path / "deployment.yaml"
        config.write_text(f"nodes: {{ego: {{kind: forecast, checkpoint: {trained_run}, {options}}}}}")
        return read_deployment(config).nodes_of("forecast")["ego"]

    return read


@pytest.fixture(scope="module")
def drive(sensor_log: Path) -> Drive:
    return open_drive(sensor_log)


def test_a_configured_node_forecasts_with_its_plans_precision_and_threads(
    plan_of: Callable[[str], Any],
    drive: Drive,
    make_replay_node: Callable[[], tuple[ForecastingNode, ReplayClock]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,))  # takes long, tested with nodes
    plan = plan_of("precision: int8, threads: 2")
    with ExitStack() as open_:
        node = configured_node(plan, None, open_)  # pyright: ignore[reportArgumentType]  # no block elsewhere
        assert torch.get_num_threads() == 2
        node.set_map(drive.lanes)
        node.activate()
        results = play_lockstep(node, ReplayClock(), drive.frames[:8], lambda *_: None)
    expected = play_lockstep(*make_replay_node(), drive.frames[:8], lambda *_: None)
    for result, as_trained in zip(results, expected, strict=True):
        assert result.valid
        assert result.model_id.startswith("forecast/vectornet-llama@")
        assert result.model_id.endswith(":int8")
        ours, theirs = result.by_model, as_trained.by_model
        if len(ours):  # with a few ticks of history the model is asked
            np.testing.assert_array_equal(ours, theirs)
            np.testing.assert_allclose(result.trajectories[ours], as_trained.trajectories[theirs], atol=0.5)
    assert len(results[-1].by_model)


def test_a_first_answer_waits_for_no_import_that_only_a_model_a_recording_or_a_certificate_needs() -> None:
    code = (
        "import sys, perception_tools.commands.node, perception_tools.forecasting.node\n"
        "print(*sorted(sys.modules.keys() & {'torch', 'ruamel.yaml', 'mcap', 'cryptography', 'scipy', 'pandas'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []
