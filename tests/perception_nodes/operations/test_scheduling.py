from __future__ import annotations

import errno
import os
import threading

import pytest

from perception_nodes.operations.scheduling import run_first


def in_a_thread(found: dict[str, object]) -> None:
    """Asks for the priority in the present thread, and notes that thread's policy and its child's."""
    found["refusal"] = run_first()
    found["policy"] = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    child = threading.Thread(target=lambda: found.update(child=os.sched_getscheduler(0)))
    child.start()
    child.join()


def test_only_the_thread_that_asks_gets_a_priority_of_real_time_and_none_that_it_starts() -> None:
    found: dict[str, object] = {}
    before = os.sched_getscheduler(0)
    thread = threading.Thread(target=in_a_thread, args=(found,))
    thread.start()
    thread.join()
    if found["refusal"]:
        pytest.skip(str(found["refusal"]))
    assert found == {"refusal": "", "policy": os.SCHED_FIFO, "child": os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == before


def test_a_system_that_does_not_permit_it_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert run_first() == (
        "expected a limit RTPRIO of at least 1 ([Errno 1] Operation not permitted); raise it for this process"
    )


def test_a_system_without_real_time_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_RESET_ON_FORK")
    assert run_first() == "expected Linux's real-time scheduling, which this system lacks"
