"""Fixtures for all tests."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["fixtures.traffic", "fixtures.scenes", "fixtures.messages", "fixtures.routers"]

CHECKOUT = Path(__file__).resolve().parent.parent

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure of the example
settings.load_profile("no deadline")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would children
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other where all cores run tests


@pytest.fixture(autouse=True)
def _sampled_alike() -> None:
    """Lets every run draw the same: weights, and, by `random`, the one item of a container that beartype checks."""
    seed = int(os.environ.get("TEST_SEED", "0"))
    random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Fails a test after which SIGINT or SIGTERM does something else in this process, where other tests follow."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
    assert after == before, "this test leaves another handler of SIGINT or SIGTERM; put the former back"


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Waits until something is so; a busy machine may take its time, and a minute is a failure."""

    def wait(is_so: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data ($PERCEPTION_DATA or ../shared/data); the test is skipped where there is none."""
    folder = Path(os.environ.get("PERCEPTION_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set PERCEPTION_DATA to its folder")
    return folder
