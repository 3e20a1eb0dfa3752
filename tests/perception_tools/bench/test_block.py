from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_tools.main import main

TINY = ["bench", "block", "--quick", "--repeat", "1", "--block", "random:64x96x4"]
CONTRACT = {
    "case", "dtype", "regime", "seconds", "baseline_seconds", "ratio", "max_relative_error", "gflops", "gbytes_per_s",
}  # fmt: skip


def test_rows_hold_what_the_contract_names_and_say_on_what_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, plot = tmp_path / "new" / "block.json", tmp_path / "block.png"
    cases = ["frame", "service", "agents-backward"]
    assert main([*TINY, "--json", str(out), "--plot", str(plot), "--cases", *cases]) == 0
    rows = json.loads(out.read_text())
    assert {row["case"] for row in rows} == set(cases)
    for row in rows:
        assert row.keys() >= CONTRACT | {"processor", "threads", "peak_gflops", "limit_seconds"}
        assert row["ratio"] == pytest.approx(row["baseline_seconds"] / row["seconds"])
    exact = [row["max_relative_error"] for row in rows if row["dtype"] == "float32"]
    assert max(exact) < 1e-5
    narrow = [row["max_relative_error"] for row in rows if row["dtype"] != "float32"]
    assert 0 < min(narrow) <= max(narrow) < 0.2
    assert plot.stat().st_size > 1000
    assert "of the limit" in capsys.readouterr().out


def test_the_baseline_is_held_against_code_that_is_not_ours(tmp_path: Path):
    out = tmp_path / "block.json"
    assert main([*TINY, "--json", str(out), "--cases", "plain"]) == 0
    rows = {row["way"]: row for row in json.loads(out.read_text())}
    assert rows.keys() == {"our plain block", "with our kernels", "transformers' layer"}
    assert all(row["max_relative_error"] < 1e-5 for row in rows.values())


def test_an_unknown_case_is_named(capsys: pytest.CaptureFixture[str]):
    assert main([*TINY, "--cases", "frame", "fram"]) == 2
    assert "no case fram; there are vit-cls" in capsys.readouterr().err
