"""Submissions are read back by the official reader, and broken ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_datasets.argoverse.submissions import (
    GivenForecast,
    read_submission,
    write_argoverse1,
    write_argoverse2,
)


def forecast(tracks: int = 1, modes: int = 3, steps: int = 60, seed: int = 0) -> GivenForecast:
    rng = np.random.default_rng(seed)
    chances = np.sort(rng.dirichlet(np.ones(modes)))[::-1]
    ids = tuple(f"t{i}" for i in range(tracks))
    return GivenForecast(ids, rng.normal(0, 50, (tracks, modes, steps, 2)), np.broadcast_to(chances, (tracks, modes)))


@pytest.fixture
def two_scenarios() -> dict[str, GivenForecast]:
    return {"a": forecast(tracks=2), "b": forecast(tracks=1, seed=1)}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # av2 calls what pandas will drop
def test_av2_reads_what_we_write_and_we_read_what_av2_writes(
    two_scenarios: dict[str, GivenForecast], tmp_path: Path
) -> None:
    submission = pytest.importorskip("av2.datasets.motion_forecasting.eval.submission")
    write_argoverse2(tmp_path / "ours.parquet", two_scenarios.items())
    theirs = submission.ChallengeSubmission.from_parquet(tmp_path / "ours.parquet")
    assert theirs.predictions.keys() == two_scenarios.keys()
    for name, given in two_scenarios.items():
        chances, tracks = theirs.predictions[name]
        np.testing.assert_allclose(chances, given.probabilities[0])
        for track, trajectories in zip(given.tracks or (), given.trajectories, strict=True):
            np.testing.assert_array_equal(tracks[track], trajectories)
    theirs.to_parquet(tmp_path / "theirs.parquet")
    assert_same(read_submission(tmp_path / "theirs.parquet"), two_scenarios)


def test_argoverse_1_files_have_the_official_layout_and_come_back(tmp_path: Path) -> None:
    given = {"7": forecast(steps=30), "12": forecast(modes=1, steps=30, seed=1)}
    write_argoverse1(tmp_path / "ours.h5", given.items())
    with h5py.File(tmp_path / "ours.h5") as file:
        stored = file["argoverse_forecasting"]
        assert isinstance(stored, h5py.Dataset)
        rows = np.asarray(stored)
        assert stored.compression_opts == 9
    assert rows.shape == (4 * 30, 4)
    np.testing.assert_allclose(rows[30:60, 1:3], given["7"].trajectories[0, 1], rtol=1e-6)
    assert set(rows[:90, 0]) == {7}
    found = read_submission(tmp_path / "ours.h5")
    assert found.keys() == given.keys()
    assert found["7"].tracks is None
    np.testing.assert_allclose(found["7"].trajectories, given["7"].trajectories, rtol=1e-6)
    np.testing.assert_allclose(found["7"].probabilities, given["7"].probabilities)


def test_argoverse_1_probabilities_are_normalised_or_even(tmp_path: Path) -> None:
    rows = np.concatenate([np.full((60, 1), 5.0), np.zeros((60, 2)), np.repeat([[3.0], [1.0]], 30, axis=0)], axis=1)
    write_h5(tmp_path / "with.h5", rows)
    write_h5(tmp_path / "without.hdf5", rows[:, :3])
    assert read_submission(tmp_path / "with.h5")["5"].probabilities.tolist() == [[0.75, 0.25]]
    assert read_submission(tmp_path / "without.hdf5")["5"].probabilities.tolist() == [[0.5, 0.5]]


def test_rows_may_stand_in_any_order(two_scenarios: dict[str, GivenForecast], tmp_path: Path) -> None:
    write_argoverse2(tmp_path / "ours.parquet", two_scenarios.items())
    table = pq.read_table(tmp_path / "ours.parquet")
    pq.write_table(table.take(np.random.default_rng(0).permutation(table.num_rows)), tmp_path / "shuffled.parquet")
    assert_same(read_submission(tmp_path / "shuffled.parquet"), two_scenarios)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pa.concat_tables([t, t]), "scenario a, track t0, is in the file twice"),
        (lambda t: t.slice(1), "scenario a: expected as many modes of each track, found different numbers"),
        (
            lambda t: t.filter(np.arange(t.num_rows) % 3 > 0),
            "scenario a, track t0: expected probabilities .* the sum 0",
        ),
        (lambda t: t.drop_columns("track_id"), "missing: track_id"),
        (lambda t: t.slice(0, 0), "expected rows without empty cells"),
        (lambda t: with_x(t, [[1.0]] + [[1.0, 2.0]] * (t.num_rows - 1)), "of one length, found 1 and 2"),
        (lambda t: with_x(t, [[float("nan")] * 60] * t.num_rows), "expected finite coordinates"),
    ],
)
def test_a_broken_file_of_argoverse_2_is_refused(
    two_scenarios: dict[str, GivenForecast], tmp_path: Path, change, words: str
) -> None:
    path = tmp_path / "f.parquet"
    write_argoverse2(path, two_scenarios.items())
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(InputError, match=words):
        read_submission(path)


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        ([1.0] * 29, "30 rows for each mode"),
        ([1.0] * 29 + [2.0], "30 rows of one sequence for each mode"),
        ([1.0] * 30 + [2.0] * 30 + [1.0] * 30, "sequence 1 is in the file twice"),
        ([1.5] * 30, "expected finite numbers"),
    ],
)
def test_a_broken_file_of_argoverse_1_is_refused(sequences: list[float], words: str, tmp_path: Path) -> None:
    write_h5(tmp_path / "f.h5", np.column_stack([sequences, np.zeros((len(sequences), 2))]))
    with pytest.raises(InputError, match=words):
        read_submission(tmp_path / "f.h5")


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.h5").write_text("nonsense")
    (tmp_path / "f.parquet").write_text("nonsense")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = np.zeros(3)
    for name, words in (("f.h5", "f.h5"), ("f.parquet", "f.parquet"), ("other.h5", "expected a dataset argoverse_")):
        with pytest.raises(InputError, match=words):
            read_submission(tmp_path / name)
    with pytest.raises(InputError, match=r"ends in \.parquet or \.h5, got \.csv"):
        read_submission(tmp_path / "f.csv")


def test_the_wrong_horizon_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected forecasts of 60 steps for Argoverse 2's format, got 30"):
        write_argoverse2(tmp_path / "f.parquet", [("a", forecast(steps=30))])
    with pytest.raises(InputError, match="expected forecasts of 30 steps for Argoverse 1's format, got 60"):
        write_argoverse1(tmp_path / "f.h5", [("1", forecast(steps=60))])


def with_x(table: pa.Table, lists: list[list[float]]) -> pa.Table:
    return table.set_column(3, "predicted_trajectory_x", pa.array(lists))


def write_h5(path: Path, rows: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["argoverse_forecasting"] = rows


def assert_same(found: dict[str, GivenForecast], expected: dict[str, GivenForecast]) -> None:
    assert found.keys() == expected.keys()
    for name, given in expected.items():
        assert found[name].tracks == given.tracks
        np.testing.assert_array_equal(found[name].trajectories, given.trajectories)
        np.testing.assert_allclose(found[name].probabilities, given.probabilities)
