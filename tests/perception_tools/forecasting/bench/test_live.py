from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.forecasting.bench.live import run_live
from perception_tools.forecasting.bench.node_timing import synthetic_drive


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True])
def test_a_deployment_answers_frames_in_real_time(trained_run: Path, tmp_path: Path, secure: bool) -> None:
    times = run_live(trained_run, synthetic_drive(frames=20), tmp_path, seconds=1, secure=secure)
    assert times.sent == 10
    assert 0 < len(times.latency_ms) <= 10, "a machine that is busy with other things may lose some"
    assert all(latency > 0 for latency in times.latency_ms.values())
    assert times.cpu_share.keys() == {"serve router", "serve block", "node forecast"}
    assert times.cpu_share["node forecast"] > 0
    assert times.summary()["lost"] == 10 - len(times.latency_ms)
    assert (tmp_path / "certificates").exists() == secure
