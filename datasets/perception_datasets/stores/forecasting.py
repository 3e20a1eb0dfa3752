"""Scenarios in a prepared store (`perception_datasets.stores.store`)."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.traffic.scenario import AgentTracks, MapPolylines, Scenario
from perception_datasets.argoverse.scenario_folder import ScenarioFiles, ScenarioFolder
from perception_datasets.rounding import check_decimals, rounded
from perception_datasets.stores import store
from perception_datasets.stores.schema import Record, Schema
from perception_datasets.stores.tracks import from_integers, to_integers
from perception_datasets.stores.writer import Prepared, write_split

SCHEMA = Schema(
    fields=(
        ("kinds", "<i8", 1),
        ("position", "<i8", 3),
        ("heading", "<i8", 2),
        ("velocity", "<i8", 3),
        ("valid", "|b1", 2),
        ("scored", "|b1", 1),
        ("text", "|u1", 1),
    ),
    shared=(
        ("lane_ids", "<i8", 1),
        ("lane_points", "<f8", 3),
        ("lane_kinds", "<i8", 1),
        ("lane_turns", "<i8", 1),
        ("lane_is_intersection", "|b1", 1),
        ("lane_has_traffic_control", "|b1", 1),
    ),
)
"""Tracks are integers (`perception_datasets.stores.tracks`). `text` is UTF-8 JSON with the ids, the city, the scalar
fields, and how the tracks became integers."""

KIND = "forecasting"


def to_record(scenario: Scenario) -> dict[str, np.ndarray]:
    """Converts a scenario to the arrays of `SCHEMA`."""
    agents, lanes = scenario.agents, scenario.map
    names = ("id", "source", "city", "history_steps", "focal", "ego")
    tracks, known = to_integers(agents.position, agents.heading, agents.velocity, agents.valid, scenario.present)
    text = {**{name: getattr(scenario, name) for name in names}, "agents": agents.ids, "tracks": known}
    return {
        **tracks,
        "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
        "kinds": agents.kinds,
        "valid": agents.valid,
        "scored": agents.scored,
        "lane_ids": lanes.ids,
        "lane_points": lanes.points,
        "lane_kinds": lanes.kinds,
        "lane_turns": lanes.turns,
        "lane_is_intersection": lanes.is_intersection,
        "lane_has_traffic_control": lanes.has_traffic_control,
    }


def from_record(record: Record) -> Scenario:
    """Returns the scenario of a record; the inverse of `to_record`."""
    text = json.loads(record["text"].tobytes())
    tracks = from_integers(record, record["valid"], text["history_steps"] - 1, text.pop("tracks"))
    agents = AgentTracks(
        ids=tuple(text.pop("agents")),
        kinds=record["kinds"],
        **tracks,
        valid=record["valid"],
        scored=record["scored"],
    )
    lanes = MapPolylines(
        ids=record["lane_ids"],
        points=record["lane_points"],
        kinds=record["lane_kinds"],
        turns=record["lane_turns"],
        is_intersection=record["lane_is_intersection"],
        has_traffic_control=record["lane_has_traffic_control"],
    )
    return Scenario(agents=agents, map=lanes, **text)


class StoredScenarios(store.StoredSplit):
    """Scenarios in one split of a store."""

    schema = SCHEMA

    def read(self, name: str) -> Scenario:
        """Reads one scenario."""
        return self.read_as(name, from_record)


def find_store(folder: Path, split: str) -> StoredScenarios | None:
    """Opens the scenarios of a split; returns None if the folder is not a store."""
    info = store.read_info(folder)
    if info is None:
        return None
    if (info.kind, info.schema) != (KIND, SCHEMA):
        raise InputError(
            f"{folder}: expected a store of {KIND} records, found {info.kind} or an old schema; prepare it again"
        )
    return StoredScenarios(folder, split, info.source)


def prepare(
    raw: ScenarioFolder,
    folder: Path,
    *,
    processes: int | None = None,
    cluster: str | None = None,
    replace: bool = False,
    decimals: int | None = None,
) -> Generator[Prepared, None, None]:
    """Writes the scenarios of a split to a store; other arguments and outcomes are those of `writer.write_split`.

    Args:
        raw: The split.
        folder: The store.
        processes: See `write_split`.
        cluster: See `write_split`.
        replace: See `write_split`.
        decimals: To how many decimals tracks are rounded (`perception_datasets.rounding`); None keeps every bit.
    """
    if decimals is not None:
        check_decimals(decimals)
    info, records = store.StoreInfo(KIND, raw.source, SCHEMA, decimals), RawScenarios(raw.files, decimals)
    how = {"processes": processes, "cluster": cluster, "replace": replace}
    return write_split(folder, info, raw.split, raw.ids, records, **how)


@dataclass(frozen=True)
class RawScenarios:
    """Scenarios as records to write.

    Attributes:
        files: Where they are.
        decimals: See `prepare`.
    """

    files: ScenarioFiles
    decimals: int | None = None

    def inputs(self, name: str) -> Sequence[Path]:
        """Returns the files that a scenario is read from."""
        return self.files.inputs(name)

    def read(self, name: str) -> Record:
        """Reads one scenario."""
        scenario = self.files.read(name)
        return to_record(scenario if self.decimals is None else rounded(scenario, self.decimals))
