from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.points.bench import points
from perception_tools.points.bench.points import bench_points


@pytest.fixture(autouse=True)
def few_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "SAMPLES", ((2, 64, 8),))
    monkeypatch.setattr(points, "READ", 2)


def test_every_way_is_timed_against_the_first_of_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "points.json"
    bench_points(out, size="micro", block="random:64x96x4", batch=2, points=64, repeat=1)
    written = json.loads(out.read_text())
    ways = {(t["kind"], t["way"]) for t in written["timings"]}
    assert ways >= {
        ("8/64", "a loop in PyTorch"),
        ("8/64", "ours"),
        ("8/64", "Open3D"),
        ("training", "usual PyTorch, bare"),
        ("training", "ours, bare"),
        ("training", "ours, with the block"),
        ("inference", "ours, with the block in bfloat16"),
        ("reading", "text"),
        ("reading", "arrays, and 1,024 of them sampled"),
    }
    for timing in written["timings"]:
        assert (timing["memory_mb"] is not None) == (timing["kind"] == "training")
        if timing["way"] in ("a loop in PyTorch", "usual PyTorch, bare", "text, NumPy alone"):
            assert timing["speed"] == 1
    assert "ours, with the block" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [({"batch": 0}, "at least 1"), ({"size": "huge"}, "--size huge")])
def test_what_cannot_be_timed_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench_points(**options)
