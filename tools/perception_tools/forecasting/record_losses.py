"""The loss of each scenario by itself, for whoever looks at gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from perception.losses.trajectory import trajectory_loss
from perception.models.forecaster import Forecaster
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import open_forecasting
from perception_tools.analysis.gradients import RecordLosses
from perception_tools.forecasting.model import TrainedForecaster, build_forecaster
from perception_tools.forecasting.prepared import has_target
from perception_tools.forecasting.split import Split, trained_shape


def record_losses(trained: TrainedForecaster, data: Path, split: str, limit: int | None) -> RecordLosses:
    """Loss of the focal agent of each scenario; scenarios without a future to learn from are failures.

    Raises:
        InputError: The scenarios cannot be opened.
    """
    scenes = Split(open_forecasting(data, split, limit=limit), trained_shape([trained]))

    def losses(model: Forecaster) -> Iterator[Float[Tensor, ""]]:
        device = next(model.parameters()).device
        for (scenario,) in scenes.batches(1):
            if not has_target(scenario)[scenario.focal]:
                scenes.failures.add(scenario.id, RecordError(f"{scenario.id}: its focal agent has no labelled future"))
                continue
            batch = model.collate([model.prepare(scenario)], [np.array([scenario.focal])]).to(device)
            weights = torch.ones(batch.rows_valid.shape, device=device)
            loss = trajectory_loss(model(batch), batch.futures, batch.futures_valid, weights)
            yield loss.total(trained.recipe.expected_error_weight)

    def initial(seed: int) -> Forecaster:
        return build_forecaster(replace(trained.recipe, seed=seed), trained.training.future_steps)

    return RecordLosses("scenarios", losses, initial, scenes.failures)
