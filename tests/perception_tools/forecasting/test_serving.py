from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import FoldedBlock
from perception.kernels.precision import Precision
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.serving import served_model


@pytest.fixture
def trained(trained_run: Path) -> TrainedForecaster:
    return load_model(trained_run)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_served_model_has_the_folded_block_and_the_trained_one_keeps_its_own(
    trained: TrainedForecaster, precision: Precision
) -> None:
    block = served_model(trained, precision).block
    assert isinstance(block, FoldedBlock)
    assert block.tail.precision == precision
    assert isinstance(trained.model.block, FrozenBlockAdapter)


def test_a_baseline_is_served_with_its_own_weights_and_has_nothing_to_narrow(trained: TrainedForecaster) -> None:
    trained.model.block = build_adapter(16, kind="none")
    baseline = replace(trained, training=replace(trained.training, name="forecast/vectornet"))
    served = served_model(baseline, "float32")
    assert dict(served.named_parameters()).keys() == dict(trained.model.named_parameters()).keys()
    assert all(mine is theirs for mine, theirs in zip(served.parameters(), trained.model.parameters(), strict=True))
    with pytest.raises(
        InputError, match=r"precision int8: expected a model with one language block, .* got forecast/vectornet;"
    ):
        served_model(baseline, "int8")
