"""Fixtures for tests of stores."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of stores are written by the test's own process: starting others takes seconds."""
    pool = SimpleNamespace(map=map)
    monkeypatch.setattr("perception_datasets.stores.writer.worker_pool", lambda *_: nullcontext(pool))
