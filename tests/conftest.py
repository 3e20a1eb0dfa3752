"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data ($PERCEPTION_DATA or ../shared/data); the test is skipped where there is none."""
    folder = Path(os.environ.get("PERCEPTION_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set PERCEPTION_DATA to its folder")
    return folder
