"""Files of forecasts in the benchmarks' own formats, from a trained forecaster or several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tqdm import tqdm

from perception.errors import InputError
from perception.traffic.scenario import Forecast, Scenario
from perception_datasets.argoverse.submissions import GivenForecast, write_argoverse1, write_argoverse2
from perception_datasets.forecasting import open_forecasting
from perception_tools.devices import find_device
from perception_tools.forecasting.mean_forecast import MeanForecaster
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split
from perception_tools.output_places import keep_apart


def predict_forecasts(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    agents: Literal["focal", "scored"] = "focal",
    mirrored: bool = False,
    limit: int | None = None,
    device: str = "cpu",
) -> None:
    """Writes a trained forecaster's forecasts as a submission, of labelled scenarios or not; of several, their mean.

    With `scored` a world holds the futures of one rank of every scored and focal track, the likeliest first, with the
    focal track's probabilities: a forecaster of single agents knows no others.

    Args:
        runs: Folders of runs or model files.
        data: Folder of Argoverse 1 or 2.
        out: File to write: .parquet for Argoverse 2, .h5 for Argoverse 1.
        split: Split to forecast.
        agents: Tracks to forecast.
        mirrored: Also average over each scenario and its mirror image, in twice the time.
        limit: Forecast this many of the first scenarios only.
        device: Where the model runs: cpu, cuda.
    """
    if not runs:
        raise InputError("predict: expected at least one run, got none; give a run's folder")
    keep_apart([out], [data, *runs])
    formats = {".parquet": write_argoverse2, ".h5": write_argoverse1}
    if out.suffix not in formats:
        raise InputError(f"--out {out}: expected a name that ends in .parquet (Argoverse 2) or .h5 (Argoverse 1)")
    if out.suffix == ".h5" and agents != "focal":
        raise InputError("--agents scored: expected focal, because Argoverse 1's format holds the AGENT alone")
    place = find_device(device)
    forecaster = MeanForecaster(tuple(load_model(run).model.to(place) for run in runs), mirrored)
    folder = open_forecasting(data, split, limit=limit)
    scenes = Split(folder)
    forecasts = list(_forecasts(forecaster, scenes, agents == "focal"))
    if len(scenes.failures):
        raise InputError(
            f"{out}: expected a forecast of every scenario, which the benchmarks ask for\n"
            + scenes.failures.report(len(folder))
        )
    formats[out.suffix](out, forecasts)
    print(f"{out}: {len(forecasts):,} scenarios")


def _forecasts(forecaster: MeanForecaster, scenes: Split, focal_only: bool) -> Iterator[tuple[str, GivenForecast]]:
    for (scenario,) in tqdm(scenes.batches(1), total=len(scenes.folder), desc="forecast"):
        asked = np.array([scenario.focal]) if focal_only else asked_agents(scenario)
        (forecast,) = forecaster.forecast([scenario], [asked])
        yield scenario.id, as_given(scenario, forecast)


def as_given(scenario: Scenario, forecast: Forecast) -> GivenForecast:
    """A forecast with its tracks' ids and the modes of each in the order of their probabilities, as worlds."""
    order = np.argsort(-forecast.probabilities, axis=1, kind="stable")
    trajectories = np.take_along_axis(forecast.trajectories, order[:, :, None, None], axis=1)
    focal = int(np.flatnonzero(forecast.agents == scenario.focal)[0])
    worlds = np.take_along_axis(forecast.probabilities, order, axis=1)[focal]
    ids = tuple(scenario.agents.ids[agent] for agent in forecast.agents)
    return GivenForecast(ids, trajectories, np.broadcast_to(worlds / worlds.sum(), order.shape))
