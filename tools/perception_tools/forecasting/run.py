"""What training a forecaster is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.bounds import Amount
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class ForecastRun(TrainingRun):
    """Train a forecaster on Argoverse 1 or 2, sensor logs, synthetic scenarios, or a prepared store of any of them.

    Attributes:
        keep: Number of scenarios that each reading process keeps in memory where `cache_gb` is 0; the others are read
            again in every pass.
        cache_gb: Size in 10⁹ bytes up to which prepared scenarios are kept on disk in $PERCEPTION_CACHE, or else
            ~/.cache/frozen-perception, for all runs and processes of this host; 0 for not at all.
    """

    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe]
    cache_gb: Amount = 4.0
