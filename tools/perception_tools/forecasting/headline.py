"""The few numbers of a forecaster that tell whether a change of its block's form matters."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception.metrics.forecasting import ForecastTable
from perception.models.forecaster import Forecaster
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.model import TrainedForecaster
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split, trained_shape


def headline(
    model: Forecaster, trained: TrainedForecaster, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """MinFDE and miss rate of six modes, and minFDE of the most probable one; focal agents, metres.

    Raises:
        InputError: There is no usable scenario.
    """
    table = ForecastTable()
    scenes = Split(open_forecasting(data, split, limit=limit), trained_shape([trained]))
    for (scenario,) in scenes.batches(1):
        (forecast,) = model.forecast([scenario], [asked_agents(scenario)])
        table.add(scenario, forecast)
    if not table.scenarios:
        failed = scenes.failures.report(len(scenes.folder))
        raise InputError(f"{data}: expected scenarios to measure on, got none in split {split}\n{failed}")
    scores = table.as_json()
    return {
        "min_fde": scores["k6"]["min_fde"],
        "miss_rate": scores["k6"]["miss_rate"],
        "min_fde_k1": scores["k1"]["min_fde"],
    }
