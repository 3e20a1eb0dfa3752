from __future__ import annotations

import pytest

from perception_tools.bench.roofline import Machine, measure_machine


def test_the_slower_of_arithmetic_and_reading_sets_the_limit():
    machine = Machine("of paper", 1, {"float32": 100.0}, 10.0)
    assert machine.limit_seconds("float32", 2e11, 1e10) == pytest.approx(2.0)
    assert machine.limit_seconds("float32", 1e9, 5e10) == pytest.approx(5.0)


def test_peaks_are_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("perception_tools.bench.roofline.WIDTH", 64)
    machine = measure_machine(("float32", "int8"))
    assert machine.gflops.keys() == {"float32", "int8"}
    assert min(*machine.gflops.values(), machine.read_gbytes_per_s) > 0
    assert machine.processor
