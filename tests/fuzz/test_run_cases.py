"""The harness itself: it must notice what it is there for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError


def _careful(folder: Path) -> None:
    try:
        if json.loads((folder / "a.json").read_text()) != {"a": [1, 2, 3]}:
            raise InputError("other values")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("a.json cannot be read") from error


def _careless(folder: Path) -> None:
    json.loads((folder / "a.json").read_text())["a"][2].bit_length()


def _killed(folder: Path) -> None:
    if (folder / "a.json").read_text() != '{"a": [1, 2, 3]}':
        os.abort()


def _greedy(folder: Path) -> None:
    if not (folder / "a.json").read_text().startswith("{"):
        bytearray(5 << 28)[:: 1 << 12] = b"x" * (5 << 16)


def _endless(folder: Path) -> None:
    while (folder / "a.json").read_text() != '{"a": [1, 2, 3]}':
        time.sleep(0.01)


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    folder = tmp_path / "seeds"
    folder.mkdir()
    (folder / "a.json").write_text('{"a": [1, 2, 3]}')
    return folder


def test_a_careful_reader_passes(fuzz: Callable[..., None], seeds: Path) -> None:
    fuzz(_careful, seeds, 200)


def test_a_traceback_is_found(fuzz: Callable[..., None], seeds: Path) -> None:
    with pytest.raises(AssertionError, match=r"\d+ of 200 with FUZZ_SEED[\s\S]*(KeyError|TypeError|AttributeError)"):
        fuzz(_careless, seeds, 200)


def test_a_crash_is_found_and_the_cases_after_it_are_read(fuzz: Callable[..., None], seeds: Path) -> None:
    with pytest.raises(AssertionError, match=r"3 of 3 .*\n.*\n *ended with -6"):
        fuzz(_killed, seeds, 3)


def test_a_case_that_stalls_is_found(fuzz: Callable[..., None], seeds: Path) -> None:
    with pytest.raises(AssertionError, match=r"1 of 1 .*\n.*\n *stalled"):
        fuzz(_endless, seeds, 1, stalled_s=2)


def test_memory_is_found(fuzz: Callable[..., None], seeds: Path) -> None:
    with pytest.raises(AssertionError, match="grew by 12"):
        fuzz(_greedy, seeds, 40)
