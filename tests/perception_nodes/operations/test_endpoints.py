from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from perception.errors import InputError
from perception_nodes.operations.endpoints import OperationsServer, StopSignal


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_follow_the_process_and_numbers_are_prometheus_text() -> None:
    registry, wrong = CollectorRegistry(), {"live": "", "ready": "no map yet"}
    Counter("frames", "Frames", registry=registry).inc(3)
    with OperationsServer(0, live=lambda: wrong["live"], ready=lambda: wrong["ready"], registry=registry) as server:
        assert get(server.port, "/livez") == (200, "ok\n")
        assert get(server.port, "/readyz") == (503, "no map yet\n")
        wrong |= {"live": "stuck for 9 s", "ready": ""}
        assert get(server.port, "/livez") == get(server.port, "/readyz") == (503, "stuck for 9 s\n")
        wrong |= {"live": ""}
        assert get(server.port, "/livez") == get(server.port, "/readyz") == (200, "ok\n")
        del wrong["ready"]
        assert get(server.port, "/readyz") == (503, "the check itself fails: KeyError: 'ready'\n")
        assert "frames_total 3.0" in get(server.port, "/metrics")[1]
        assert get(server.port, "/etc/passwd")[0] == 404
        with pytest.raises(InputError, match="choose another port"):
            OperationsServer(server.port, live=str, ready=str, registry=registry)
    with pytest.raises(urllib.error.URLError):
        get(server.port, "/livez")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_wait_and_not_the_process(number: signal.Signals) -> None:
    code = """
from perception_nodes.operations.endpoints import StopSignal
with StopSignal() as stop:
    print("holds", flush=True)
    print(stop.wait())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        os.kill(process.pid, number)
        assert process.communicate(timeout=60)[0] == "True\n"
    assert process.returncode == 0


def test_a_process_that_does_not_work_any_more_ends_the_wait() -> None:
    code = """
from perception_nodes.operations.endpoints import StopSignal
working = iter([True, True, False])
with StopSignal() as stop:
    print(stop.wait(lambda: next(working), every_s=0.01))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_signals_do_afterwards_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopSignal() as stop:
        assert not stop.within(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.within(60.0)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_leaving_says_what_was_still_to_be_said() -> None:
    code = """
from perception_nodes.operations.endpoints import leave
print('last words')
leave(3, 'since it rains')
"""
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (left.returncode, left.stdout, left.stderr) == (3, "last words\n", "since it rains\n")
