from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perception.encoders.vectornet.input import VectorizedInput
from perception_tools.forecasting.bench import node
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.main import main
from perception_tools.training.recipes import BlockRecipe


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tiny_recipe: ForecastRecipe) -> None:
    """Untrained models as small as trained ones here, and nodes that warm up for one size."""
    monkeypatch.setattr(node, "_recipe", lambda source: replace(tiny_recipe, block=BlockRecipe(source=source)))
    monkeypatch.setattr(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,))


@pytest.mark.usefixtures("small")
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
    assert report["memory"]["frames"] == 120
    assert 0 < report["cpu_share_at_10_hz"] < 1
    for verdict in report["must"].values():
        assert verdict["met"] == (verdict["found"] <= verdict["at_most"])
    told = capsys.readouterr().out
    assert all(word in told for word in ("load", "decoder", "slope", "% of one core", "transport of"))


def test_numbers_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "node", "--minutes", "0"]) == 2
    assert "expected both above 0" in capsys.readouterr().err
