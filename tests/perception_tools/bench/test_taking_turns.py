from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from perception_tools.bench import taking_turns
from perception_tools.bench.taking_turns import Work, compare, peak_megabytes


def test_ratios_are_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    durations = {"one": iter([9, 1, 4, 2]), "two": iter([9, 2, 16, 2])}  # the first is a warm-up

    def work(name: str) -> Work:
        def run() -> None:
            nonlocal now
            now += next(durations[name])

        return Work(run)

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now / 2)
    monkeypatch.setattr(taking_turns, "time", clock)
    one, two = compare("inference", {name: work(name) for name in durations}, 4, 3, {"one": 50.0, "two": 60.0})
    assert (one.speed, one.seconds, one.records_per_s) == (1, 2, 2)
    assert (two.speed, two.speed_range) == (two.cpu_speed, two.cpu_speed_range) == (0.5, (0.25, 1.0))
    assert (two.seconds, two.seconds_range) == (2, (2, 16))
    assert (two.memory_mb, two.memory_ratio) == (60, 1.2)


def test_peak_memory_counts_what_is_let_go_and_not_what_was_there() -> None:
    kept = torch.ones(40 * 2**18)
    peak = peak_megabytes(Work(lambda: torch.ones(64 * 2**18).sum() + kept[0], trained_bytes=3 * 2**20))
    assert peak == pytest.approx(64 + 3, abs=0.1)
