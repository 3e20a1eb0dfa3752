from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_tools.main import main


def test_the_report_holds_every_number_and_judges_them(
    trained_run: Path, sensor_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "node.json"
    words = ["--log", str(sensor_log), "--checkpoint", str(trained_run), "--large-block", "random:32x48x4?seed=0"]
    assert main(["bench", "node", "--quick", "--json", str(out), *words]) == 0
    report = json.loads(out.read_text())
    assert (report["drive"], report["weights"], report["threads"]) == ("log0", str(trained_run), 1)
    assert report["latency"].keys() == {"float32", "int8_dynamic"}
    for told in (*report["latency"].values(), *report["large_block"].values()):
        for times in (told["wall_ms"], told["cpu_ms"]):
            assert 0 < times["p50"] <= times["p99"] <= times["max"]
        assert told["agents"]["max"] == 3
        assert 0 < sum(told["parts_cpu_ms_p50"].values()) < 2 * told["cpu_ms"]["p50"]
    assert report["memory"]["frames"] == 300
    assert 0 < report["cpu_share_at_10_hz"] < 1
    for verdict in report["must"].values():
        assert verdict["met"] == (verdict["found"] <= verdict["at_most"])
    told = capsys.readouterr().out
    assert all(word in told for word in ("load", "decoder", "slope", "% of one core", "transport of"))


def test_numbers_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "node", "--minutes", "0"]) == 2
    assert "expected both above 0" in capsys.readouterr().err
