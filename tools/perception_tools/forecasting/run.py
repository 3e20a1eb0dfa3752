"""What training a forecaster is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class ForecastRun(TrainingRun):
    """Train a forecaster on Argoverse 1 or 2, sensor logs, synthetic scenarios, or a prepared store of any of them."""

    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe]
