import json
import runpy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_nodes.forecasting.answer import Source
from perception_tools.forecasting.replay import Played
from perception_tools.forecasting.streaming.baseline import COLUMNS, FORMAT, Baseline, read_baseline
from perception_tools.forecasting.streaming.baseline_comparison import Bounds, compare_baselines

GOLDEN = Path(__file__).with_name("golden_replay.json")
BOUNDS = Bounds(max_position_m=0.02, max_probability=0.005, max_refusals=0)
"""Another machine's arithmetic differs by a thousandth of this."""


@pytest.fixture(scope="module")
def replayed() -> Baseline:
    script = Path(__file__).with_name("make_golden_replay.py")
    return runpy.run_path(str(script))["golden_replay"]()


def test_a_made_drive_is_still_answered_as_it_was(replayed: Baseline) -> None:
    """If this is meant to change, run make_golden_replay.py and look at what `git diff` says."""
    comparison = compare_baselines(read_baseline(GOLDEN), replayed)
    assert comparison.complaints(BOUNDS) == []
    assert comparison.changed.sum() == 0


def test_the_golden_drive_shows_the_model_and_each_way_without_it(replayed: Baseline) -> None:
    sources = replayed.objects[:, COLUMNS.index("source")]
    assert {Source.MODEL, Source.AT_REST} <= set(sources.tolist())
    of_cone = replayed.objects[:, 0] == replayed.tracks.index("cone")
    assert set(sources[of_cone].tolist()) == {Source.AT_REST}
    assert replayed.counts.tolist() == [5] * 9 + [6] * 15


def test_what_is_written_is_read_again(replayed: Baseline, tmp_path: Path) -> None:
    replayed.write(tmp_path / "new" / "a.json")
    again = read_baseline(tmp_path / "new" / "a.json")
    for column in fields(Baseline):
        then, now = getattr(replayed, column.name), getattr(again, column.name)
        np.testing.assert_array_equal(now, np.round(then, 3) if column.name == "latency_p50_ms" else then)
    assert (tmp_path / "new" / "a.json").stat().st_size < 8_000


def test_a_real_log_has_a_small_baseline_and_a_tenth_of_a_metre_shows_in_it(
    real_replay: Played, tmp_path: Path
) -> None:
    then = real_replay.baseline()
    then.write(tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_size < 4_000 * len(then.counts)
    results = list(real_replay.results)
    moved = results[40].trajectories.copy()
    moved[results[40].by_model[3]] += 0.1
    results[40] = replace(results[40], trajectories=moved)
    read = read_baseline(tmp_path / "a.json")
    comparison = compare_baselines(read, Baseline.of(then.log, then.model, results))
    (complaint,) = comparison.complaints(Bounds(0.05, 0.01, 0))
    assert complaint.startswith("positions differ by up to 0.141 m (at 4.0 s, ")
    assert compare_baselines(read, then).complaints(Bounds(0.0, 0.0, 0)) == []


def test_a_replay_without_a_tick_or_an_object_has_a_baseline_too(replayed: Baseline, tmp_path: Path) -> None:
    empty = np.zeros((0, len(COLUMNS)), np.int64)
    silent = replace(replayed, objects=empty, counts=np.zeros_like(replayed.counts), tracks=())
    silent.write(tmp_path / "a.json")
    assert read_baseline(tmp_path / "a.json").objects.shape == (0, len(COLUMNS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another 7"}, f"expected format '{FORMAT}', found 'another 7'"),
        ({"counts": [3]}, "expected 1 entries, one a tick, found 24"),
        ({"counts": [10**9] * 24}, "expected at most 10000000 objects"),
        ({"objects": "AAAA"}, "expected a baseline that"),
        ({"tracks": ["car"]}, "expected the number of a track in each row"),
        ({"log": 7}, "expected text, found 7"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_by_its_name(tmp_path: Path, change: dict, message: str) -> None:
    (tmp_path / "broken.json").write_text(json.dumps(json.loads(GOLDEN.read_text()) | change))
    with pytest.raises(InputError, match=r"broken\.json") as refused:
        read_baseline(tmp_path / "broken.json")
    assert message in str(refused.value)


def test_a_file_that_is_not_there_or_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    for name in ("a.json", "b.json"):
        with pytest.raises(InputError, match=name):
            read_baseline(tmp_path / name)
