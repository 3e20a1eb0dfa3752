"""Damaged files for every reader: bounded, seeded, and beside the corpus of what once failed.

`make fuzz` reads many; the suite reads some of the same. A file that once ended in anything but an InputError lies in
`corpus/NAME_OF_THE_TEST_FILE/`, and the test file reads it again.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN_CASES = Path(__file__).with_name("run_cases.py")
CASES = int(os.environ.get("FUZZ_CASES", "60"))
"""Number of damaged copies for each reader."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))
STALLED_S = 60.0

Fuzz = Callable[..., None]


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> Path:
    """Folder with what once failed a reader of this test file."""
    return request.path.parent / "corpus" / request.path.stem.removeprefix("test_")


@pytest.fixture
def fuzz(tmp_path: Path) -> Fuzz:
    """Reads damaged copies of a folder; every one of them must be read, or refused with an InputError."""

    def read_damaged(read: Callable[[Path], Any], seeds: Path, cases: int = CASES) -> None:
        """Fails with all that was found.

        Args:
            read: A function of the test file, without fixtures; it is given a folder.
            seeds: Folder with files that can be read, all small.
            cases: Number of damaged copies.
        """
        source, first, found = str(inspect.getsourcefile(read)), 0, []
        while first < cases:
            scratch = tmp_path / f"scratch-{first}"
            words = [source, read.__name__, seeds, first, cases, SEED, scratch]
            with subprocess.Popen(
                [sys.executable, RUN_CASES, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                try:
                    out, errors = process.communicate(timeout=STALLED_S + cases)
                    ended = f"ended with {process.returncode}"
                except subprocess.TimeoutExpired:
                    process.kill()
                    out, errors = process.communicate()
                    ended = "stalled"
            lines = out.splitlines()
            numbers = [int(line) for line in lines if line.isdigit()]
            assert numbers, f"the undamaged files cannot be read: {errors[-2000:]}"
            found += [json.loads(line) for line in lines if line.startswith("{")]
            if process.returncode != 0:
                found.append({"case": numbers[-1], "found": f"{ended}: {errors[-500:]}"})
            first = numbers[-1] + 1
        texts = [f"case {f['case']} {f.get('file', '')}\n{f['found']}" for f in found]
        assert not found, f"{len(found)} of {cases} with FUZZ_SEED={SEED}:\n" + "\n".join(texts[:10])

    return read_damaged
