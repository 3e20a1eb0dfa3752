"""Damaged files for every reader: bounded, seeded, and beside the corpus of what once failed.

`make fuzz` reads many; the suite reads some of the same. A file that once ended in anything but an InputError lies in
`corpus/NAME_OF_THE_TEST_FILE/`, and the test file reads it again.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RUN_CASES = Path(__file__).with_name("run_cases.py")
CASES = int(os.environ.get("FUZZ_CASES", "60"))
"""Number of damaged copies for each reader."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))
STALLED_S = 60

Fuzz = Callable[..., None]


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> Path:
    """Folder with what once failed a reader of this test file."""
    return request.path.parent / "corpus" / request.path.stem.removeprefix("test_")


@pytest.fixture(scope="session")
def reader() -> Iterator[Callable[..., int]]:
    """Answers requests of `run_cases.py`, and gives the exit status of the process that did."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        [sys.executable, RUN_CASES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | one_thread,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def read(**request: Any) -> int:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = answers.readline()
            assert line, "the test file cannot be imported; its traceback is above"
            return int(line)

        yield read
        requests.close()


@pytest.fixture
def fuzz(tmp_path: Path, reader: Callable[..., int]) -> Fuzz:
    """Reads damaged copies of a folder; every one of them must be read, or refused with an InputError."""

    def read_damaged(
        read: Callable[[Path], Any], seeds: Path, cases: int = CASES, *, stalled_s: int = STALLED_S
    ) -> None:
        """Fails with all that was found.

        Args:
            read: A function of the test file, without fixtures; it is given a folder.
            seeds: Folder with files that can be read, all small.
            cases: Number of damaged copies.
            stalled_s: Seconds beyond one a case after which a process has stalled.
        """
        source, first, found = str(inspect.getsourcefile(read)), 0, []
        while first < cases:
            output, errors = tmp_path / f"output-{first}", tmp_path / f"errors-{first}"
            status = reader(
                source=source,
                function=read.__name__,
                seeds=str(seeds),
                first=first,
                last=cases,
                seed=SEED,
                scratch=str(tmp_path / f"scratch-{first}"),
                seconds=stalled_s + cases,
                output=str(output),
                errors=str(errors),
            )
            lines, complaint = output.read_text().splitlines(), errors.read_text(errors="replace")
            numbers = [int(line) for line in lines if line.isdigit()]
            assert numbers, f"the undamaged files cannot be read: {complaint[-2000:]}"
            found += [json.loads(line) for line in lines if line.startswith("{")]
            if status != 0:
                ended = "stalled" if status == -signal.SIGALRM else f"ended with {status}"
                found.append({"case": numbers[-1], "found": f"{ended}: {complaint[-500:]}"})
            first = numbers[-1] + 1
        texts = [f"case {f['case']} {f.get('file', '')}\n{f['found']}" for f in found]
        assert not found, f"{len(found)} of {cases} with FUZZ_SEED={SEED}:\n" + "\n".join(texts[:10])

    return read_damaged
