from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from perception_tools.supervision import CONFIGURATION, configuration_of

PATIENCE_S = 90.0
Start = Callable[..., subprocess.Popen[str]]
PROGRAMS = {
    "lasts": "import time; time.sleep(3600)",
    "mistaken": "import sys; print('perception node: a.pem: cannot be read; make it', file=sys.stderr); sys.exit(2)",
    "fails": "print('tried', flush=True); raise SystemExit(1)",
    "deaf": "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(3600)",
    "tells": "import os; print('told', repr(os.environ['NOTIFY_SOCKET']), flush=True); raise SystemExit(2)",
    "mumbles": "import sys; sys.stderr.write('half a line'); sys.exit(2)",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a supervisor of some of the programs, of which the first is required."""
    with ExitStack() as open_:

        def start(*names: str, **options: object) -> subprocess.Popen[str]:
            programs = {name: [sys.executable, "-c", PROGRAMS[name.rstrip("0123456789")]] for name in names}
            folder = tmp_path / "up"
            folder.mkdir()
            (folder / CONFIGURATION).write_text(configuration_of(programs, folder))
            command = [sys.executable, "-m", "perception_tools.supervision", str(folder / CONFIGURATION), names[0]]
            outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
            process = open_.enter_context(subprocess.Popen(command, **outputs))  # pyright: ignore[reportCallIssue, reportArgumentType]
            open_.callback(process.kill)
            return process

        yield start


def lines_of(process: subprocess.Popen[str]) -> queue.Queue[str]:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda stream: [lines.put(line) for line in stream], args=(process.stdout,)).start()
    return lines


def wait_for(lines: queue.Queue[str], text: str) -> str:
    end, seen = time.monotonic() + PATIENCE_S, []
    while time.monotonic() < end:
        try:
            seen.append(lines.get(timeout=1))
        except queue.Empty:
            continue
        if text in seen[-1]:
            return seen[-1]
    raise AssertionError(f"no line with {text!r}: {seen}")


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_mistake_ends_its_process_for_good_and_the_others_go_on(start: Start) -> None:
    process = start("lasts", "mistaken", "lasts2")
    lines = lines_of(process)
    said = wait_for(lines, "is not started again")
    assert said == (
        "perception up: mistaken is not started again after exit status 2 (perception node: a.pem: cannot be read; "
        "make it); lasts, lasts2 go on without it\n"
    )
    assert len(children(process.pid)) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("names", [("mistaken", "lasts"), ("lasts", "mistaken"), ("lasts", "mistaken", "mistaken2")])
def test_without_the_required_process_or_any_other_all_ends_with_the_mistakes_status(
    start: Start, names: tuple[str, ...], tmp_path: Path
) -> None:
    process = start(*names)
    lines = lines_of(process)
    assert "nothing is left to run, so all ends" in wait_for(lines, "so all ends")
    assert process.wait(PATIENCE_S) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_fails_otherwise_is_tried_again_and_later_every_time(start: Start) -> None:
    lines = lines_of(start("lasts", "fails"))
    times = []
    for _ in range(3):
        wait_for(lines, "tried")
        times.append(time.monotonic())
    assert times[2] - times[0] > 2  # 1 s and then 2 s; under load longer


def test_children_end_with_a_supervisor_that_is_killed(start: Start, eventually: Callable[..., None]) -> None:
    process = start("lasts", "deaf")
    wait_for(lines_of(process), "deaf")
    eventually(lambda: len(children(process.pid)) == 2, PATIENCE_S)
    pids = children(process.pid)
    process.kill()
    eventually(lambda: not any(map(is_running, pids)), PATIENCE_S)


def test_what_does_not_stop_is_stopped_by_force(start: Start) -> None:
    process = start("lasts", "deaf")
    wait_for(lines_of(process), "deaf")
    pids = children(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert not any(map(is_running, pids))


def test_output_goes_where_the_supervisors_goes_even_into_a_socket(start: Start) -> None:
    """As into systemd's journal, which is a socket, of which /dev/fd/1 cannot be opened."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = start("lasts", "fails", stdout=theirs, stderr=theirs)
        ours.settimeout(PATIENCE_S)
        heard = b""
        while b"tried\n" not in heard:
            heard += ours.recv(1 << 16)
        process.kill()


def test_lines_in_one_file_do_not_overwrite_each_other(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as one, file.open("wb") as other:  # as `> log 2> log`
        one.write(b"before\n")
        one.flush()
        process = start("mistaken", "lasts", stdout=one, stderr=other)
        assert process.wait(PATIENCE_S) == 2
    lines = file.read_text().splitlines()
    assert lines[0] == "before"
    assert "perception node: a.pem: cannot be read; make it" in lines
    assert any(line.startswith("perception up: mistaken is not started again") for line in lines)
    assert "\0" not in file.read_text()


def test_systemd_hears_of_the_supervisor_and_not_of_its_processes(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        process = start("lasts", "lasts2", "tells", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        assert wait_for(lines_of(process), "told") == "told ''\n"
        assert manager.recv(100) == b"WATCHDOG=1"


def test_a_line_that_is_never_ended_is_passed_on_at_the_end(start: Start) -> None:
    said = wait_for(lines_of(start("lasts", "mumbles", "lasts2")), "is not started again")
    assert "(half a line)" in said
