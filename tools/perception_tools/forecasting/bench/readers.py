"""`perception bench readers`: how long reading a scenario takes, beside Argoverse 2's official loader."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tyro.conf import Positional

from perception.errors import InputError

T = TypeVar("T")

if TYPE_CHECKING:
    from perception_datasets.forecasting import ScenarioFolder


@dataclass(frozen=True)
class Timing:
    """How long one reader took for each scenario; `first_touch_ms` holds those that parsed a map which others share."""

    source: str
    reader: str
    scenarios: int
    median_ms: float
    p95_ms: float
    first_touch_ms: list[float]


def bench_readers(data: Positional[Path], split: str = "val", limit: int = 200, repeat: int = 3) -> dict:
    """Times the reader of a forecasting data set, scenario by scenario, on one core.

    The first scenario of every city or log is timed apart, since it parses the map that the others share. Where the
    data are Argoverse 2 scenarios and `av2` is installed, its loader reads the same files in the same run.

    Args:
        data: Folder of a data set, or of several data sets (each sub-folder that can be read is timed).
        split: Which split to read.
        limit: Only the first so many scenarios.
        repeat: Rounds; of each scenario the fastest counts, so that the disk cache and other programs do not.
    """
    rows = [row for folder in _data_sets(data, split, limit) for row in _bench(folder, repeat)]
    print(_as_table(rows))
    return {"readers": [asdict(row) for row in rows]}


def _data_sets(data: Path, split: str, limit: int) -> list[ScenarioFolder]:
    from perception_datasets.forecasting import open_forecasting

    try:
        return [open_forecasting(data, split, limit=limit)]
    except InputError as error:
        found = []
        for folder in sorted(data.iterdir()) if data.is_dir() else []:
            try:
                found.append(open_forecasting(folder, split, limit=limit))
            except InputError:
                continue
        if not found:
            raise error
        return found


def _bench(folder: ScenarioFolder, repeat: int) -> list[Timing]:
    """Rows for our reader and, where it applies, for av2's."""
    first_touch: dict[object, float] = {}
    for index, path in enumerate(folder.paths):
        start = time.perf_counter()
        city = folder[index].city
        took_ms = 1000 * (time.perf_counter() - start)
        if folder.source in ("argoverse1", "argoverse2-sensor"):
            first_touch.setdefault(path if folder.source == "argoverse2-sensor" else city, took_ms)
    ours = _time(folder.__getitem__, range(len(folder)), repeat)
    rows = [_row(folder.source, "perception: tracks + map", ours, list(first_touch.values()))]
    if folder.source in ("argoverse2", "synthetic"):
        rows += _bench_av2(folder, repeat)
    return rows


def _bench_av2(folder: ScenarioFolder, repeat: int) -> list[Timing]:
    """The official loader and map API on the same scenarios; nothing where av2 is not installed."""
    try:
        from av2.datasets.motion_forecasting.scenario_serialization import load_argoverse_scenario_parquet
        from av2.map.map_api import ArgoverseStaticMap
    except ImportError:
        return []
    tracks = [path for path in folder.paths if path.suffix == ".parquet"]
    if not tracks:  # a prepared store
        return []
    maps = [path.with_name(f"log_map_archive_{path.parent.name}.json") for path in tracks]
    return [
        _row(folder.source, "av2: tracks", _time(load_argoverse_scenario_parquet, tracks, repeat), []),
        _row(folder.source, "av2: map", _time(ArgoverseStaticMap.from_json, maps, repeat), []),
    ]


def _time(read: Callable[[T], object], items: Sequence[T], repeat: int) -> list[float]:
    """For each item the fastest of some readings, milliseconds."""
    fastest = [float("inf")] * len(items)
    for _ in range(repeat):
        for index, item in enumerate(items):
            start = time.perf_counter()
            read(item)
            fastest[index] = min(fastest[index], 1000 * (time.perf_counter() - start))
    return fastest


def _row(source: str, reader: str, took_ms: list[float], first_touch_ms: list[float]) -> Timing:
    import numpy as np

    median, p95 = np.quantile(took_ms, [0.5, 0.95])
    return Timing(source, reader, len(took_ms), float(median), float(p95), first_touch_ms)


def _as_table(rows: list[Timing]) -> str:
    lines = [
        f"{'source':<18} {'reader':<26} {'scenarios':>9} {'median ms':>10} {'p95 ms':>8}  first touch of a map, ms"
    ]
    for row in rows:
        first = ", ".join(f"{took:.0f}" for took in row.first_touch_ms) or "-"
        times = f"{row.scenarios:>9} {row.median_ms:>10.2f} {row.p95_ms:>8.2f}"
        lines.append(f"{row.source:<18} {row.reader:<26} {times}  {first}")
    return "\n".join(lines)
