import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception.traffic.scenario import AgentKind
from perception_datasets.argoverse.argoverse2 import read_argoverse2
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting

KINDS = tuple(kind.name.lower() for kind in AgentKind)


def parquet_of(folder: Path) -> Path:
    return folder / f"scenario_{folder.name}.parquet"


def assert_equal_to_av2(folder: Path) -> None:
    av2 = pytest.importorskip("av2.datasets.motion_forecasting.scenario_serialization")
    ours, theirs = read_argoverse2(folder), av2.load_argoverse_scenario_parquet(parquet_of(folder))
    assert ours.id == theirs.scenario_id
    assert ours.city == theirs.city_name
    assert ours.agents.ids[ours.focal] == theirs.focal_track_id
    assert ours.ego is not None
    assert ours.agents.ids[ours.ego] == "AV"
    assert list(ours.agents.ids) == [track.track_id for track in theirs.tracks]
    for agent, track in enumerate(theirs.tracks):
        steps = [state.timestep for state in track.object_states]
        assert np.flatnonzero(ours.agents.valid[agent]).tolist() == steps
        assert AgentKind(ours.agents.kinds[agent]).name.lower() == track.object_type.value
        assert ours.agents.scored[agent] == (track.category.value >= 2)
        states = track.object_states
        np.testing.assert_array_equal(ours.agents.position[agent, steps], [s.position for s in states])
        np.testing.assert_array_equal(ours.agents.heading[agent, steps], [s.heading for s in states])
        np.testing.assert_array_equal(ours.agents.velocity[agent, steps], [s.velocity for s in states])
        assert not ours.agents.position[agent, ~ours.agents.valid[agent]].any()


def test_made_scenarios_are_read_as_by_av2s_own_loader(made_argoverse2: Path) -> None:
    for folder in sorted((made_argoverse2 / "val").iterdir()):
        assert_equal_to_av2(folder)


def test_recorded_scenarios_are_read_as_by_av2s_own_loader(real_data: Path) -> None:
    folders = sorted((real_data / "argoverse2" / "scenarios").iterdir())
    assert folders
    for folder in folders:
        assert_equal_to_av2(folder)


def test_made_scenarios_can_never_pass_for_recorded_ones(made_argoverse2: Path, argoverse2: Path) -> None:
    made = open_forecasting(made_argoverse2, "val")
    assert made.source == made[0].source == "synthetic"
    assert made[0].synthetic
    assert open_forecasting(made_argoverse2 / "val", "val").source == "synthetic"
    assert open_forecasting(argoverse2, "val").source == "argoverse2"  # the marker was not copied


def test_a_split_level_is_optional(argoverse2: Path) -> None:
    assert open_forecasting(argoverse2 / "val", "val").ids == open_forecasting(argoverse2, "val").ids


def test_a_test_split_ends_at_the_present(argoverse2: Path) -> None:
    folder = next((argoverse2 / "val").iterdir())
    table = pq.read_table(parquet_of(folder))
    pq.write_table(table.filter(table["observed"]), parquet_of(folder))
    scenario = read_argoverse2(folder)
    assert (scenario.history_steps, scenario.future_steps) == (50, 0)
    assert scenario.agents.scored.any()


def test_an_incomplete_focal_track_is_masked(argoverse2: Path) -> None:
    """About 3 % of the recorded scenarios have one (av2-api issue 47)."""
    folder = next((argoverse2 / "val").iterdir())
    table = pq.read_table(parquet_of(folder))
    is_focal = np.array(table["track_id"]) == table["focal_track_id"][0].as_py()
    lost = is_focal & np.isin(table["timestep"].to_numpy(), [3, 49, 100])
    pq.write_table(table.filter(pa.array(~lost)), parquet_of(folder))
    scenario = read_argoverse2(folder)
    assert np.flatnonzero(~scenario.agents.valid[scenario.focal]).tolist() == [3, 49, 100]
    assert not scenario.has_complete_future[scenario.focal]
    assert len(scenario.map)


def change(folder: Path, name: str, value: object, row: int = 0) -> None:
    """Overwrites one cell of a scenario's table."""
    table = pq.read_table(parquet_of(folder))
    cells = table[name].to_pylist()
    cells[row] = value
    index = table.column_names.index(name)
    pq.write_table(table.set_column(index, name, pa.array(cells, table.schema.field(name).type)), parquet_of(folder))


def recast(folder: Path, **changes: Callable[[list], list]) -> None:
    """Replaces columns of a scenario's table, also by others of another type."""
    table = pq.read_table(parquet_of(folder))
    for name, change_cells in changes.items():
        cells = pa.array(change_cells(table[name].to_pylist()))
        table = table.set_column(table.column_names.index(name), name, cells)
    pq.write_table(table, parquet_of(folder))


def test_numbers_of_another_type_give_the_same_scenario(argoverse2: Path) -> None:
    """As pandas writes them: whole numbers as float64, ids as int64, texts as categories of which some have no row."""
    folder = sorted((argoverse2 / "val").iterdir())[0]
    table = pq.read_table(parquet_of(folder))
    number_of = {name: 71_000 + i for i, name in enumerate(sorted(set(table["track_id"].to_pylist()) - {"AV"}))}
    rows = [name in number_of for name in table["track_id"].to_pylist()]
    pq.write_table(table.filter(pa.array(rows)), parquet_of(folder))
    recast(
        folder,
        track_id=lambda cells: [str(number_of[cell]) for cell in cells],
        focal_track_id=lambda cells: [str(number_of[cell]) for cell in cells],
    )
    expected = read_argoverse2(folder)
    recast(
        folder,
        timestep=lambda cells: [float(cell) for cell in cells],
        object_category=lambda cells: [float(cell) for cell in cells],
        track_id=lambda cells: [int(cell) for cell in cells],
        object_type=lambda cells: pa.DictionaryArray.from_arrays(
            [("ghost", *KINDS).index(cell) for cell in cells], ["ghost", *KINDS]
        ),
    )
    found = read_argoverse2(folder)
    assert found.agents.ids == expected.agents.ids
    assert found.focal == expected.focal
    for name in ("position", "heading", "velocity", "valid", "kinds", "scored"):
        np.testing.assert_array_equal(getattr(found.agents, name), getattr(expected.agents, name))


FAULTS = {
    "truncated parquet": (lambda f: parquet_of(f).write_bytes(parquet_of(f).read_bytes()[:20_000]), "cannot be parsed"),
    "empty parquet": (lambda f: parquet_of(f).write_bytes(b""), "cannot be parsed"),
    "no parquet": (lambda f: parquet_of(f).unlink(), "no such file"),
    "a missing column": (
        lambda f: pq.write_table(pq.read_table(parquet_of(f)).drop_columns(["heading"]), parquet_of(f)),
        "missing: heading",
    ),
    "no rows": (lambda f: pq.write_table(pq.read_table(parquet_of(f)).slice(0, 0), parquet_of(f)), "expected rows"),
    "a NaN": (
        lambda f: change(f, "velocity_x", float("nan")),
        "column velocity_x, row 1: expected a finite number, found nan",
    ),
    "an empty cell": (lambda f: change(f, "track_id", None), "column track_id, row 1: expected a value, found none"),
    "an unknown type": (
        lambda f: change(f, "object_type", "spaceship"),
        "column object_type: expected one of vehicle, .*, found 'spaceship'",
    ),
    "a wrong timestep": (
        lambda f: change(f, "timestep", 500),
        "column timestep, row 1: expected a number from 0 to 109, found 500",
    ),
    "a duplicated row": (
        lambda f: pq.write_table(
            pa.concat_tables([pq.read_table(parquet_of(f)), pq.read_table(parquet_of(f)).slice(7, 1)]), parquet_of(f)
        ),
        "has 2 rows for step",
    ),
    "a focal track that is not there": (
        lambda f: change(f, "focal_track_id", "nobody"),
        "expected one value in all rows",
    ),
    "another focal track": (
        lambda f: recast(f, focal_track_id=lambda cells: ["nobody"] * len(cells)),
        "column track_id: expected the track nobody, which focal_track_id names, found \\d+ others",
    ),
    "a step between two": (
        lambda f: recast(f, timestep=lambda cells: [cells[0] + 0.5, *map(float, cells[1:])]),
        "column timestep, row 1: expected a whole number, found 0.5",
    ),
    "steps as text": (
        lambda f: recast(f, timestep=lambda cells: [str(cell) for cell in cells]),
        "column timestep: expected whole numbers, found string",
    ),
    "a position that cannot be": (
        lambda f: change(f, "position_x", 1e300),
        r"column position_x, row 1: expected a number from -1e\+07 to 1e\+07, found 1e\+300",
    ),
    "track ids as fractions": (
        lambda f: recast(f, track_id=lambda cells: [1.5] * len(cells)),
        "column track_id: expected text, found double",
    ),
    "a track id without an end": (
        lambda f: change(f, "track_id", "x" * 1000),
        "column track_id: expected texts of at most 200 characters, found one of 1000",
    ),
    "no map": (lambda f: next(f.glob("*.json")).unlink(), "no such file"),
    "a broken map": (lambda f: next(f.glob("*.json")).write_text('{"lane_segments": {'), "cannot be parsed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_scenario_is_named_and_the_others_are_read(fault: str, argoverse2: Path) -> None:
    spoil, reason = FAULTS[fault]
    folder = sorted((argoverse2 / "val").iterdir())[1]
    spoil(folder)
    with pytest.raises(RecordError, match=reason) as raised:
        read_argoverse2(folder)
    assert folder.name in str(raised.value)
    assert "extract the scenario's folder again" in str(raised.value) or "keep one row" in str(raised.value)

    val, failures = open_forecasting(argoverse2, "val"), Failures()
    assert len(list(val.read_all(failures.add))) == 3
    assert list(failures.reasons) == [folder.name]


def test_a_hidden_or_unfinished_folder_is_not_a_scenario(argoverse2: Path) -> None:
    shutil.copytree(next((argoverse2 / "val").iterdir()), argoverse2 / "val" / ".unfinished")
    assert len(open_forecasting(argoverse2, "val")) == 4
