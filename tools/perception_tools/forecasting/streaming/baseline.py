"""What a replay said, in small, to hold later replays of the same log against.

Of every object of every tick a baseline has where its forecast came from and why, its largest probability, where it is
expected to be after 1 and 3 s, and how wide its modes are apart then. Expected positions are means over the modes by
their probabilities: unlike the most likely mode, they do not jump where two modes are about equally probable, so that
another machine's rounding does not show. Numbers are whole (millimetres, ten-thousandths) and packed: a real log of
15 s takes some 300 kB.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from perception.errors import InputError
from perception.files import reading
from perception.traffic.scenario import STEP_S
from perception_nodes.forecasting.answer import ForecastResult
from perception_tools.json_files import write_json

FORMAT = "frozen-perception replay baseline 1"
POSITION_UNIT_M = 1e-3
PROBABILITY_UNIT = 1e-4
SHOWN_S = (1, 3)
"""Times at which positions are compared."""
COLUMNS = ("track", "source", "reason", "probability", "x_1", "y_1", "x_3", "y_3", "spread_3")
"""Columns of an object: whole numbers; positions are relative to the present one."""
MAX_OBJECTS = 10_000_000
_CURE = "expected a baseline that `perception replay … --write-baseline FILE` wrote; write it again"


@dataclass(frozen=True)
class Baseline:
    """A replay in small.

    Attributes:
        log: Name of the log.
        model: The model's id: recipe, first digits of its file's hash, precision.
        version: Version of this package that made it.
        tracks: Ids of all objects.
        stamps_ns: Stamp of each tick.
        reasons: Why the model did not answer a tick, empty where it did.
        sources: `model`, `fallback` or `none`.
        counts: Number of objects of each tick.
        objects: A row an object, tick after tick; columns as in `COLUMNS`.
        latency_p50_ms: Median latency of an answer.
    """

    log: str
    model: str
    version: str
    tracks: tuple[str, ...]
    stamps_ns: Int[np.ndarray, " ticks"]
    reasons: tuple[str, ...]
    sources: tuple[str, ...]
    counts: Int[np.ndarray, " ticks"]
    objects: Int[np.ndarray, "objects columns"]
    latency_p50_ms: float

    @classmethod
    def of(cls, log: str, model: str, results: Iterable[ForecastResult]) -> Baseline:
        """Returns the baseline of a replay's answers."""
        results = list(results)
        names = dict.fromkeys(name for result in results for name in result.objects.ids)
        track_of = {name: track for track, name in enumerate(names)}
        rows = [_rows(result, track_of) for result in results]
        return cls(
            log=log,
            model=model,
            version=version("frozen-perception"),
            tracks=tuple(names),
            stamps_ns=np.array([result.stamp_ns for result in results], dtype=np.int64),
            reasons=tuple(result.reason for result in results),
            sources=tuple(result.source for result in results),
            counts=np.array([len(result.objects) for result in results], dtype=np.int64),
            objects=np.concatenate([np.zeros((0, len(COLUMNS)), np.int64), *rows]),
            latency_p50_ms=float(np.median([result.latency_ms for result in results])),
        )

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        changes = np.diff(self.objects, axis=0, prepend=np.zeros((1, len(COLUMNS)), np.int64))  # compress better
        packed = zlib.compress(changes.astype("<i4").tobytes(order="F"), 9)
        values = {
            "format": FORMAT,
            "log": self.log,
            "model": self.model,
            "version": self.version,
            "latency_p50_ms": round(self.latency_p50_ms, 3),
            "tracks": self.tracks,
            "stamps_ns": self.stamps_ns.tolist(),
            "reasons": self.reasons,
            "sources": self.sources,
            "counts": self.counts.tolist(),
            "columns": COLUMNS,
            "objects": base64.b64encode(packed).decode(),
        }
        write_json(path, values)


def read_baseline(path: Path) -> Baseline:
    """Returns what `Baseline.write` wrote.

    Raises:
        InputError: There is no such file, or it is not a baseline of this version's format.
    """
    with reading(path, _CURE):
        values = json.loads(path.read_text())
        found = values.get("format")
        if found != FORMAT or tuple(values["columns"]) != COLUMNS:
            raise InputError(f"{path}: expected format {FORMAT!r}, found {found!r}; write the baseline again")
        counts = np.array(values["counts"], dtype=np.int64)
        return Baseline(
            log=_text(values["log"]),
            model=_text(values["model"]),
            version=_text(values["version"]),
            tracks=tuple(map(_text, values["tracks"])),
            stamps_ns=np.array(values["stamps_ns"], dtype=np.int64),
            reasons=_of_ticks(values["reasons"], counts),
            sources=_of_ticks(values["sources"], counts),
            counts=counts,
            objects=_unpacked(values["objects"], counts, len(values["tracks"])),
            latency_p50_ms=float(values["latency_p50_ms"]),
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, found {value!r}")
    return value


def _of_ticks(values: Any, counts: Int[np.ndarray, " ticks"]) -> tuple[str, ...]:
    if len(values) != len(counts):
        raise ValueError(f"expected {len(counts)} entries, one a tick, found {len(values)}")
    return tuple(map(_text, values))


def _unpacked(packed: str, counts: Int[np.ndarray, " ticks"], tracks: int) -> Int[np.ndarray, "objects columns"]:
    total = int(counts.sum())
    if not 0 <= total <= MAX_OBJECTS or (counts < 0).any():
        raise ValueError(f"expected at most {MAX_OBJECTS} objects, found {total}")
    size = 4 * total * len(COLUMNS)
    content = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), size + 1)
    if len(content) != size:
        raise ValueError(f"expected {total} objects, as its counts say, found another number")
    objects = np.frombuffer(content, "<i4").reshape(total, len(COLUMNS), order="F").astype(np.int64).cumsum(axis=0)
    if total and not (0 <= objects[:, 0].min() and objects[:, 0].max() < tracks):
        raise ValueError("expected the number of a track in each row, found another")
    return objects


def _rows(result: ForecastResult, track_of: dict[str, int]) -> Int[np.ndarray, "objects columns"]:
    """Returns the rows of a tick's objects."""
    position, probabilities = result.objects.position, result.probabilities
    steps = np.array([round(second / STEP_S) for second in SHOWN_S])
    ahead = result.trajectories[:, :, np.minimum(steps, result.trajectories.shape[2]) - 1] - position[:, None, None]
    mean = (probabilities[:, :, None, None] * ahead).sum(axis=1)
    square = np.square(ahead[:, :, -1] - mean[:, None, -1]).sum(axis=-1)
    spread = np.sqrt((probabilities * square).sum(axis=1))
    table = np.column_stack(
        [
            [track_of[name] for name in result.objects.ids],
            result.sources,
            result.reasons,
            probabilities.max(axis=1, initial=0.0) / PROBABILITY_UNIT,
            mean.reshape(len(mean), -1) / POSITION_UNIT_M,
            spread / POSITION_UNIT_M,
        ]
    )
    return np.rint(np.clip(table, -(2**30), 2**30)).astype(np.int64)
