"""Files of forecasts in the benchmarks' own formats, read and written.

* Argoverse 2 (`.parquet`): av2's `ChallengeSubmission`, one row for each scenario, track and world with scenario_id,
  track_id, probability, predicted_trajectory_x and predicted_trajectory_y. A scenario's probabilities sum to 1.
* Argoverse 1 (`.h5`): argoverse-api's `generate_forecasting_h5`, one dataset `argoverse_forecasting` of rows
  (sequence, x, y[, probability]), 30 in a row for each mode of the AGENT. Probabilities need not sum to 1: like
  argoverse-api we normalise them, and without any the modes are equally likely, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from perception.errors import InputError
from perception.files import reading, whole_file
from perception.metrics.forecasting import PROBABILITY_SUM_TOLERANCE
from perception.traffic.scenario import COORDINATE_LIMIT_M
from perception_datasets.argoverse import argoverse1, argoverse2

H5_DATASET = "argoverse_forecasting"
H5_ENDINGS = (".h5", ".hdf5")
MAX_NUMBERS = 500_000_000
"""Most coordinates of a file, 4 GB: some ten times those of six futures for all 39,472 val scenes."""
_COLUMNS = ("scenario_id", "track_id", "probability", "predicted_trajectory_x", "predicted_trajectory_y")
_CURE = "write it with av2's ChallengeSubmission (.parquet) or argoverse-api's generate_forecasting_h5 (.h5)"


@dataclass(frozen=True)
class GivenForecast:
    """Somebody's forecast of a scenario.

    Attributes:
        tracks: Ids of its tracks; None in Argoverse 1, whose files hold the AGENT alone.
        trajectories: City frame, metres.
        probabilities: Probability of each mode of a track; they sum to 1.
    """

    tracks: tuple[str, ...] | None
    trajectories: Float[np.ndarray, "tracks modes steps 2"]
    probabilities: Float[np.ndarray, "tracks modes"]


def read_submission(path: Path) -> dict[str, GivenForecast]:
    """Reads a file of forecasts: scenario id → forecast.

    Raises:
        InputError: The file cannot be used, holds a scenario or track twice, or probabilities that are none.
    """
    with reading(path, _CURE):
        if path.suffix in H5_ENDINGS:
            return _read_h5(path)
        if path.suffix == ".parquet":
            return _read_parquet(path)
    raise InputError(f"{path}: expected a name that ends in .parquet or .h5, got {path.suffix or 'none'}; {_CURE}")


def write_argoverse2(path: Path, forecasts: Iterable[tuple[str, GivenForecast]]) -> None:
    """Writes forecasts as av2's `ChallengeSubmission` does.

    Args:
        path: File to write.
        forecasts: Scenario ids and forecasts of 60 steps; all tracks of one have the same probabilities.
    """
    rows: dict[str, list] = {name: [] for name in _COLUMNS}
    for scenario, forecast in forecasts:
        _expect_steps(scenario, forecast, argoverse2.FUTURE_STEPS, "Argoverse 2")
        if not (forecast.probabilities == forecast.probabilities[0]).all():
            raise ValueError(f"scenario {scenario}: expected tracks of the same probabilities, those of the worlds")
        for track, modes, chances in zip(
            forecast.tracks or (), forecast.trajectories, forecast.probabilities, strict=True
        ):
            for trajectory, chance in zip(modes, chances / chances.sum(), strict=True):
                for name, value in zip(_COLUMNS, (scenario, track, chance, *trajectory.T), strict=True):
                    rows[name].append(value)
    with whole_file(path) as temporary:
        pq.write_table(pa.table(rows), temporary, compression="zstd")


def write_argoverse1(path: Path, forecasts: Iterable[tuple[str, GivenForecast]]) -> None:
    """Writes forecasts as argoverse-api's `generate_forecasting_h5` does, with probabilities.

    Args:
        path: File to write.
        forecasts: Sequence numbers and forecasts of the AGENT, 30 steps each.
    """
    import h5py

    parts = []
    for scenario, forecast in forecasts:
        _expect_steps(scenario, forecast, argoverse1.FUTURE_STEPS, "Argoverse 1")
        modes = forecast.trajectories[0].astype(np.float32).astype(np.float64)
        chances = np.broadcast_to(forecast.probabilities[0][:, None, None], (*modes.shape[:2], 1))
        numbers = np.full((*modes.shape[:2], 1), int(scenario))
        parts.append(np.concatenate([numbers, modes, chances], axis=-1).reshape(-1, 4))
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset(H5_DATASET, data=np.concatenate(parts), compression="gzip", compression_opts=9)


def _expect_steps(scenario: str, forecast: GivenForecast, steps: int, benchmark: str) -> None:
    if forecast.trajectories.shape[2] != steps:
        raise InputError(
            f"scenario {scenario}: expected forecasts of {steps} steps for {benchmark}'s format, got "
            f"{forecast.trajectories.shape[2]}; use a model that was trained on that data"
        )


def _read_h5(path: Path) -> dict[str, GivenForecast]:
    import h5py

    with h5py.File(path, "r") as file:
        data = file.get(H5_DATASET)
        if not isinstance(data, h5py.Dataset) or data.ndim != 2 or data.shape[1] not in (3, 4):
            raise InputError(
                f"{path}: expected a dataset {H5_DATASET} of rows (sequence, x, y[, probability]); {_CURE}"
            )
        _expect_size(path, int(np.prod(data.shape)))
        rows = np.asarray(data[:], dtype=np.float64)
    steps = argoverse1.FUTURE_STEPS
    if (
        not (np.abs(rows) <= COORDINATE_LIMIT_M).all()
        or (rows[:, 0] != np.rint(rows[:, 0])).any()
        or len(rows) % steps
        or not len(rows)
    ):
        raise InputError(f"{path}: expected finite numbers, {steps} rows for each mode, found others; {_CURE}")
    modes = rows.reshape(-1, steps, rows.shape[1])
    if (modes[:, :, [0]] != modes[:, :1, [0]]).any():
        raise InputError(f"{path}: expected {steps} rows of one sequence for each mode, found others; {_CURE}")
    sequence = modes[:, 0, 0].astype(np.int64)
    starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
    names, counts = np.unique(sequence[starts], return_counts=True)
    if (counts > 1).any():
        raise _twice(path, f"sequence {names[counts > 1][0]}")
    found = {}
    for part in np.split(modes, starts[1:]):
        chances = part[:, 0, 3] if rows.shape[1] == 4 else np.ones(len(part))
        name = str(int(part[0, 0, 0]))
        found[name] = GivenForecast(None, part[None, :, :, 1:3], _normalised(path, name, chances)[None])
    return found


def _normalised(path: Path, name: str, chances: Float[np.ndarray, " modes"]) -> Float[np.ndarray, " modes"]:
    if (chances < 0).any() or chances.sum() <= 0:
        raise InputError(f"{path}: sequence {name}: expected probabilities of at least 0, not all 0, found {chances}")
    return chances / chances.sum()


def _read_parquet(path: Path) -> dict[str, GivenForecast]:
    with pq.ParquetFile(path) as file:
        missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: expected the columns {', '.join(_COLUMNS)}; missing: {', '.join(missing)}")
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        sizes = [group.column(i).total_uncompressed_size for group in groups for i in range(group.num_columns)]
        _expect_size(path, sum(map(abs, sizes)) // 8)
        table = file.read(list(_COLUMNS), use_threads=False)
    table.validate(full=True)
    if table.num_rows == 0 or any(table[name].null_count for name in _COLUMNS):
        raise InputError(f"{path}: expected rows without empty cells, found none or some that are; {_CURE}")
    scenarios, tracks = (np.array(table[name].cast(pa.string()).to_pylist()) for name in _COLUMNS[:2])
    chances = table["probability"].to_numpy().astype(np.float64)
    trajectories = np.stack([_stacked(path, table[name]) for name in _COLUMNS[3:]], axis=-1)
    order = np.lexsort((-chances, tracks, scenarios))  # stable: equally likely modes stay in their order
    return {
        str(scenarios[rows[0]]): _of_scenario(path, str(scenarios[rows[0]]), rows, tracks, chances, trajectories)
        for rows in _groups(order, scenarios)
    }


def _stacked(path: Path, column: pa.ChunkedArray) -> Float[np.ndarray, "rows steps"]:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any():
        raise InputError(f"{path}: expected trajectories of one length, found {lengths.min()} and {lengths.max()}")
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    if not (np.abs(values) <= COORDINATE_LIMIT_M).all():
        raise InputError(f"{path}: expected finite coordinates in metres, found others; {_CURE}")
    return values.reshape(len(lengths), -1)


def _groups(order: np.ndarray, keys: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of equal keys, which stand together in this order."""
    of = keys[order]
    return iter(np.split(order, np.flatnonzero(of[1:] != of[:-1]) + 1))


def _of_scenario(
    path: Path,
    name: str,
    rows: np.ndarray,
    tracks: np.ndarray,
    chances: np.ndarray,
    trajectories: np.ndarray,
) -> GivenForecast:
    """A scenario's forecast from its rows, which are in the order of their tracks, the likeliest first."""
    of_tracks = list(_groups(rows, tracks))
    if len({len(own) for own in of_tracks}) > 1:
        raise InputError(f"{path}: scenario {name}: expected as many modes of each track, found different numbers")
    found = np.stack([chances[own] for own in of_tracks])
    total = found.sum(axis=1)
    for own, track_total in zip(of_tracks, total, strict=True):
        if abs(track_total - 2) <= PROBABILITY_SUM_TOLERANCE:
            raise _twice(path, f"scenario {name}, track {tracks[own[0]]},")
        if abs(track_total - 1) > PROBABILITY_SUM_TOLERANCE or (chances[own] < 0).any():
            raise InputError(
                f"{path}: scenario {name}, track {tracks[own[0]]}: expected probabilities of at least 0 that sum to 1, "
                f"found the sum {track_total:.4g}; normalise them"
            )
    ids = tuple(str(tracks[own[0]]) for own in of_tracks)
    return GivenForecast(ids, np.stack([trajectories[own] for own in of_tracks]), found / total[:, None])


def _twice(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what} is in the file twice; keep one forecast of each scenario")


def _expect_size(path: Path, numbers: int) -> None:
    if numbers > MAX_NUMBERS:
        raise InputError(f"{path}: expected at most {MAX_NUMBERS:,} numbers, found {numbers:,}; split it by scenario")
