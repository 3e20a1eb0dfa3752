import json

import numpy as np
import pytest

from perception_tools.main import main
from perception_tools.scene_qa.bench.cloud import make_room


def test_all_ways_are_timed_in_one_run_and_give_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--points", "700", "--centres", "60", "--repeat", "2"]
    assert main(["bench", "cloud", *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["points"], printed["centres"], printed["threads"]) == (700, 60, 1)
    timings = printed["timings"]
    assert {"perception", "naive torch"} <= {t["by"] for t in timings}
    for timing in timings:
        assert timing["wall_ms"] > 0
        assert timing["same"] in (True, None), timing
        assert (timing["ratio"] == 1) == (timing["by"] == "perception")
    assert main(["bench", "cloud", *options]) == 0
    assert "x ours" in capsys.readouterr().out


def test_the_room_is_hollow_and_the_same_each_time() -> None:
    room = make_room(5000)
    np.testing.assert_array_equal(room, make_room(5000))
    inside = ((room > 0.3) & (room < np.array([6.7, 5.7, 2.5]))).all(axis=1)
    assert inside.mean() < 0.5
    assert (room.max(axis=0) - room.min(axis=0) > [6.5, 5.5, 2.5]).all()


def test_more_centres_than_points_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "cloud", "--points", "10", "--centres", "20"]) == 2
    assert "expected 0 < centres <= points" in capsys.readouterr().err
