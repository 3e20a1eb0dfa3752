"""A trained model as a node runs it: its block folded in a precision, or answered for by a service."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception.kernels.linear import InferenceLinear
from perception_datasets.forecasting import open_forecasting
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlockWorker
from perception_nodes.ros.topics import open_session
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.scored import asked_agents
from perception_tools.served_models import served_model, use_remote_block


@pytest.fixture
def trained(trained_run: Path) -> TrainedForecaster:
    return load_model(trained_run)


@pytest.fixture
def plan_with(trained_run: Path):
    """A node's plan."""

    def make(**options: Any) -> Any:
        given = {
            "precision": "float32",
            "backend": "torch",
            "provider": None,
            "share_weights": False,
            "block": None,
            "timeout_ms": 1e4,
            "threads": 1,
        }
        return SimpleNamespace(checkpoint=trained_run, **given | options)

    return make


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_served_model_has_the_folded_block_and_the_trained_one_keeps_its_own(
    trained: TrainedForecaster, plan_with, precision: str
) -> None:
    model, name = served_model(trained, plan_with(precision=precision, threads=2))
    assert isinstance(model.block, FoldedBlock)
    assert model.block.tail.precision == precision
    assert isinstance(trained.model.block, FrozenBlockAdapter)
    assert name.startswith("forecast/vectornet-llama@")
    assert name.endswith(f":{precision}")
    assert torch.get_num_threads() == 2


def test_a_narrow_precision_of_a_model_without_a_language_block_is_refused(
    trained: TrainedForecaster, plan_with
) -> None:
    trained.model.block = build_adapter(16, kind="none")
    served, _ = served_model(trained, plan_with())
    assert all(mine is theirs for mine, theirs in zip(served.parameters(), trained.model.parameters(), strict=True))
    with pytest.raises(InputError, match=r"precision int8: .* leave the precision out"):
        served_model(trained, plan_with(precision="int8"))


def test_a_model_without_a_block_elsewhere_stays_as_it_is(trained: TrainedForecaster, plan_with) -> None:
    block = trained.model.block
    with ExitStack() as open_:
        use_remote_block(trained.model, plan_with(), None, open_)  # pyright: ignore[reportArgumentType]
    assert trained.model.block is block


def test_a_service_answers_for_the_block_and_the_forecasts_are_the_same(
    trained: TrainedForecaster, plan_with, data: Path
) -> None:
    scenario = open_forecasting(data, "val")[0]
    question = [scenario], [asked_agents(scenario)]
    (expected,) = trained.model.forecast(*question)
    adapter, plan = trained.model.block, plan_with(block="tiny")
    assert isinstance(adapter, FrozenBlockAdapter)
    model, name = served_model(trained, plan)
    assert name.endswith(":service/tiny")
    assert any(isinstance(module, InferenceLinear) for module in model.modules())
    host = BlockHost({"tiny": fold(adapter)})
    with ExitStack() as open_, open_session(connect=[], listen=["tcp/127.0.0.1:0"]) as session:
        with ZenohBlockWorker(session, host, "alone"), open_:
            use_remote_block(model, plan, session, open_)
            assert isinstance(model.block, RemoteBlock)
            assert trained.model.block is adapter
            (answered,) = model.forecast(*question)
    np.testing.assert_allclose(answered.trajectories, expected.trajectories, atol=1e-4)
