"""Memory of some work."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from perception_tools.bench import resident
from perception_tools.bench.resident import growth_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def test_the_growth_is_that_of_the_peak_and_not_of_what_is_kept() -> None:
    def work() -> int:
        held = np.ones(64 << 20, np.uint8)
        return int(held[0])

    result, megabytes = growth_of(work)
    assert result == 1
    assert megabytes is not None
    assert 60 < megabytes < 100
    _, idle = growth_of(lambda: None)
    assert idle is not None
    assert idle < 10


def test_a_system_that_does_not_tell_gives_none(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(resident, "_CLEAR", tmp_path / "nowhere" / "clear_refs")
    assert growth_of(lambda: 2) == (2, None)
