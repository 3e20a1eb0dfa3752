"""Pedestrians on crosswalks and along the kerb."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from jaxtyping import Float

from perception_datasets.procedural.curves import length_of, offset
from perception_datasets.procedural.lane_graph import LaneGraph

_APPROACH_M = 8.0
_WAIT_AT_M = 0.7
_PATIENCE_S = 1.5


class Pedestrians:
    """Pedestrians who walk along one line each; at a crosswalk they wait until no vehicle has claimed it.

    Attributes:
        lines: Line of each pedestrian; for a crosswalk, its axis extended over the pavement at both ends.
        crosswalk: Index of the crosswalk of each pedestrian; -1 for those who walk along the kerb.
        walked: Distance along the line in metres.
        speed_mps: Walking speed, 0 while waiting.
    """

    def __init__(self, graph: LaneGraph, count: int, rng: np.random.Generator) -> None:
        self.lines: list[Float[np.ndarray, "points 2"]] = []
        self.crosswalk: list[int] = []
        self._road_m: list[float] = []
        count = count if graph.kerbs else 0  # motorways have no pedestrians
        for _ in range(count):
            if graph.crosswalks and rng.random() < 0.7:
                self._add_crosser(graph, rng)
            else:
                self._add_walker(graph, rng)
        self._pace = rng.normal(1.35, 0.2, count).clip(0.8, 2.0)
        self.walked = np.array([rng.uniform(0.0, 0.6) * length_of(line) for line in self.lines])
        for i, crosswalk in enumerate(self.crosswalk):
            if crosswalk >= 0:
                self.walked[i] = rng.uniform(-12.0, _APPROACH_M - _WAIT_AT_M)
        self.speed_mps = self._pace.copy()
        self._waited = np.zeros(count)

    def _add_crosser(self, graph: LaneGraph, rng: np.random.Generator) -> None:
        index = int(rng.integers(len(graph.crosswalks)))
        start, end = graph.crosswalks[index].axis[:: rng.choice([-1, 1])]
        length = float(np.linalg.norm(end - start))
        along = (end - start) / length
        sideways = rng.uniform(-1.0, 1.0) * np.array([-along[1], along[0]])
        line = np.stack([start - _APPROACH_M * along, end + 3 * _APPROACH_M * along]) + sideways
        self.lines.append(line)
        self.crosswalk.append(index)
        self._road_m.append(length)

    def _add_walker(self, graph: LaneGraph, rng: np.random.Generator) -> None:
        kerb = graph.kerbs[rng.integers(len(graph.kerbs))]
        pavement = offset(kerb, -4.5 - rng.uniform(0.0, 1.5))
        self.lines.append(pavement[:: rng.choice([-1, 1])])
        self.crosswalk.append(-1)
        self._road_m.append(0.0)

    def on_road(self, row: int) -> bool:
        """Returns whether a pedestrian is between the kerbs of a crosswalk."""
        entered = float(self.walked[row]) - _APPROACH_M
        return self.crosswalk[row] >= 0 and -_WAIT_AT_M + 0.05 < entered < self._road_m[row] + 0.3

    def blocked_crosswalks(self) -> set[int]:
        """Returns the crosswalks that vehicles must not enter, because someone is on them or has waited long enough."""
        return {
            crosswalk
            for row, crosswalk in enumerate(self.crosswalk)
            if crosswalk >= 0 and (self.on_road(row) or self._waited[row] > _PATIENCE_S)
        }

    def step(self, step_s: float, claimed_crosswalks: Set[int]) -> None:
        """Moves all pedestrians by one time step; those at the kerb of a claimed crosswalk wait."""
        for row, crosswalk in enumerate(self.crosswalk):
            before_kerb = _APPROACH_M - _WAIT_AT_M - self.walked[row]
            held = 0.0 <= before_kerb < 1.0 and crosswalk in claimed_crosswalks
            self._waited[row] = self._waited[row] + step_s if held else 0.0
            target = min(self._pace[row], before_kerb / step_s) if held else self._pace[row]
            self.speed_mps[row] += np.clip(target - self.speed_mps[row], -3.0 * step_s, 1.5 * step_s)
            if held:
                self.speed_mps[row] = min(self.speed_mps[row], max(before_kerb, 0.0) / step_s)
            self.walked[row] += self.speed_mps[row] * step_s

    def poses(
        self, walked: Float[np.ndarray, "steps people"]
    ) -> tuple[Float[np.ndarray, "people steps 2"], Float[np.ndarray, "people steps"]]:
        """Returns positions and headings at distances along the lines, which are extended beyond their ends."""
        position = np.zeros((len(self.lines), len(walked), 2))
        heading = np.zeros((len(self.lines), len(walked)))
        for row, line in enumerate(self.lines):
            travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
            piece = np.clip(np.searchsorted(travelled, walked[:, row], side="right") - 1, 0, len(line) - 2)
            direction = np.diff(line, axis=0)[piece] / np.diff(travelled)[piece, None]
            position[row] = line[piece] + (walked[:, row] - travelled[piece])[:, None] * direction
            heading[row] = np.arctan2(direction[:, 1], direction[:, 0])
        return position, heading
