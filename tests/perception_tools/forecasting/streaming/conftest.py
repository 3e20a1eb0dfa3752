"""A part of a real log through the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.forecasting.replay import Played

REAL_TICKS = 55


@pytest.fixture(scope="session")
def real_replay(real_data: Path, trained_run: Path) -> Played:
    """The first 5.5 s of a real Argoverse 2 sensor log. Tests must not change it."""
    from dataclasses import replace

    from perception.encoders.vectornet.input import VectorizedInput
    from perception_tools.forecasting.replay import play_drive
    from perception_tools.forecasting.streaming.drive import open_drive

    drive = open_drive(sorted((real_data / "argoverse2" / "sensor_logs").iterdir())[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,))
        return play_drive(replace(drive, frames=drive.frames[:REAL_TICKS]), trained_run)
