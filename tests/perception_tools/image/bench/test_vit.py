from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.image.bench import vit
from perception_tools.image.bench.vit import bench_vit, make_classifier


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit, "PICTURE", 32)
    monkeypatch.setattr(vit, "make_timm", lambda _: make_classifier("tiny", None))  # timm has none of this size


def test_every_way_is_timed_against_timms_in_the_same_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "vit.json"
    timings = bench_vit(out, size="tiny", block="random:64x96x4", batch=2, repeat=2)
    written = json.loads(out.read_text())
    assert [(t["kind"], t["way"]) for t in written["timings"]] == [
        ("training", "timm, bare"),
        ("training", "ours, bare"),
        ("training", "ours, with the block"),
        ("training", "ours, with the block in bfloat16"),
        ("inference", "timm, bare"),
        ("inference", "ours, bare"),
        ("inference", "ours, with the block"),
        ("inference", "ours, with the block in bfloat16"),
    ]
    assert written["machine"]["processor"]
    for timing in timings:
        low, high = timing.seconds_range
        assert 0 < low <= timing.seconds <= high
        assert timing.records_per_s == pytest.approx(2 / timing.seconds)
        if timing.way == "timm, bare":
            assert timing.speed == timing.cpu_speed == 1
        if timing.kind == "training":
            assert timing.memory_mb is not None
            assert timing.memory_mb > 4 * 20, "weights of ViT-Ti, their gradients, and two moments of each"
    assert "ours, with the block" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [({"batch": 0}, "at least 1"), ({"size": "huge"}, "--size huge")])
def test_what_cannot_be_timed_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench_vit(**options)
