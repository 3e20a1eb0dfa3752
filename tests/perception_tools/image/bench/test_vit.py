from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from perception.errors import InputError
from perception_tools.image.bench import vit
from perception_tools.image.bench.vit import Work, bench_vit, compare, make_classifier, peak_megabytes


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
        assert timing.pictures_per_s == pytest.approx(2 / timing.seconds)
        if timing.way == "timm, bare":
            assert timing.speed == timing.cpu_speed == 1
        if timing.kind == "training":
            assert timing.memory_mb is not None
            assert timing.memory_mb > 4 * 20, "weights of ViT-Ti, their gradients, and two moments of each"
    assert "ours, with the block" in capsys.readouterr().out


def test_ratios_are_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    durations = {"one": iter([9, 1, 4, 2]), "two": iter([9, 2, 16, 2])}  # the first is a warm-up

    def work(name: str) -> Work:
        def run() -> None:
            nonlocal now
            now += next(durations[name])

        return Work(run)

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now / 2)
    monkeypatch.setattr(vit, "time", clock)
    one, two = compare("inference", {name: work(name) for name in durations}, 4, 3, {"one": 50.0, "two": 60.0})
    assert (one.speed, one.seconds, one.pictures_per_s) == (1, 2, 2)
    assert (two.speed, two.speed_range) == (two.cpu_speed, two.cpu_speed_range) == (0.5, (0.25, 1.0))
    assert (two.seconds, two.seconds_range) == (2, (2, 16))
    assert (two.memory_mb, two.memory_ratio) == (60, 1.2)


def test_peak_memory_counts_what_is_let_go_and_not_what_was_there() -> None:
    kept = torch.ones(40 * 2**18)
    peak = peak_megabytes(Work(lambda: torch.ones(64 * 2**18).sum() + kept[0], trained_bytes=3 * 2**20))
    assert peak == pytest.approx(64 + 3, abs=0.1)


@pytest.mark.parametrize(("options", "message"), [({"batch": 0}, "at least 1"), ({"size": "huge"}, "--size huge")])
def test_what_cannot_be_timed_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench_vit(**options)
