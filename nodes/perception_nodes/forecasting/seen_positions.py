"""Where objects were in the last ticks of a stream, and between them: the truth that forecasts are compared with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from perception.traffic.resampling import grid_coordinates


class SeenPositions:
    """Where objects were in the last ticks: a row a tick, a column (slot) an object.

    A slot is given to another object once no kept tick has the former one.

    Args:
        count: Number of slots.
        ticks: Number of ticks that are kept.
    """

    def __init__(self, count: int, ticks: int) -> None:
        self._positions = np.full((ticks, count, 2), np.nan)
        self._count = count
        self.clear()

    def clear(self) -> None:
        """Forgets all objects."""
        self._ticks = 0
        self._slot_of: dict[str, int] = {}
        self._seen_ns = np.zeros(self._count, np.int64)
        self._free = list(range(self._count))

    def place(self, stamp_ns: int, oldest_ns: int, ids: list[str]) -> Int[np.ndarray, " ids"]:
        """Returns the slot of each object of a tick, -1 where there is none left; ids are not repeated.

        Args:
            stamp_ns: Stamp of the tick.
            oldest_ns: Stamp of the oldest tick that anybody asks for.
            ids: Ids of its objects.
        """
        if new := [name for name in ids if name not in self._slot_of]:
            if len(new) > len(self._free):
                gone = [name for name, slot in self._slot_of.items() if self._seen_ns[slot] < oldest_ns]
                self._free += [self._slot_of.pop(name) for name in gone]
                new = [name for name in ids if name not in self._slot_of]
            for name in new[: len(self._free)]:
                self._slot_of[name] = self._free.pop()
        slots = np.array([self._slot_of.get(name, -1) for name in ids], dtype=np.int64)
        self._seen_ns[slots[slots >= 0]] = stamp_ns
        return slots

    def put(self, slots: Int[np.ndarray, " objects"], position: Float[np.ndarray, "objects 2"]) -> None:
        """Keeps the positions of the newest tick."""
        row = self._positions[self._ticks % len(self._positions)]
        row[:] = np.nan
        row[slots] = position
        self._ticks += 1

    def last(
        self, ticks: int, slots: Int[np.ndarray, " objects"], chosen: Int[np.ndarray, " chosen"]
    ) -> Float[np.ndarray, "chosen objects 2"]:
        """Returns the positions of some objects in some of the last ticks; NaN where they were not seen.

        Args:
            ticks: Number of ticks that the choice is from.
            slots: Slots of the objects.
            chosen: Numbers of the chosen ticks, 0 for the oldest of them.
        """
        rows = (self._ticks - ticks + chosen) % len(self._positions)
        return self._positions[rows[:, None], slots]


def steps_since_first(stamps_ns: Int[np.ndarray, " ticks"]) -> Float[np.ndarray, " ticks"]:
    """Returns the steps of 0.1 s from the first tick to each, counted as a history counts them, with time reversed.

    Args:
        stamps_ns: Stamps of the ticks, ascending.
    """
    return -grid_coordinates(-stamps_ns[::-1])[::-1]


def interpolate(
    coordinates: Float[np.ndarray, " ticks"],
    seen: Float[np.ndarray, "ticks objects 2"],
    steps: Int[np.ndarray, " steps"],
    longest_bridge: float,
) -> Float[np.ndarray, "steps objects 2"]:
    """Returns where each object was at some steps, between the ticks before and after that have it; NaN if unknown."""
    ticks = np.arange(len(coordinates))[:, None]
    there = np.isfinite(seen[..., 0])
    before = np.maximum.accumulate(np.where(there, ticks, -1), axis=0)
    after = np.minimum.accumulate(np.where(there, ticks, len(ticks))[::-1], axis=0)[::-1]
    before = before[np.searchsorted(coordinates, steps, side="right") - 1]
    after = after[np.minimum(np.searchsorted(coordinates, steps, side="left"), len(ticks) - 1)]
    known = (before >= 0) & (after < len(ticks))
    before, after = np.where(known, before, 0), np.where(known, after, 0)
    bridge = coordinates[after] - coordinates[before]
    known &= bridge <= longest_bridge
    share = (steps[:, None] - coordinates[before]) / np.where(bridge > 0, bridge, 1.0)
    objects = np.arange(seen.shape[1])
    start, end = seen[before, objects], seen[after, objects]
    positions = start + np.where(known & (bridge > 0), share, 0.0)[..., None] * (end - start)
    return np.where(known[..., None], positions, np.nan)
