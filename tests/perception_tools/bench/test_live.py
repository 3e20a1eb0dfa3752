from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.bench.live import run_live
from perception_tools.bench.node_timing import synthetic_drive


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True])
def test_a_deployment_forecasts_every_frame_that_it_is_sent(trained_run: Path, tmp_path: Path, secure: bool) -> None:
    times = run_live(trained_run, synthetic_drive(frames=20), tmp_path, seconds=1, secure=secure)
    assert (times.sent, len(times.latency_ms)) == (10, 10)
    assert all(latency > 0 for latency in times.latency_ms.values())
    assert times.cpu_share.keys() == {"serve router", "serve block", "node forecast"}
    assert times.cpu_share["node forecast"] > 0
    assert times.summary()["lost"] == 0
    assert (tmp_path / "certificates").exists() == secure
