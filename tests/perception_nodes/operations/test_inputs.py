from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_nodes.operations.inputs import Input


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_latest_keeps_the_newest_and_counts_the_others(messages: list[int], size: int) -> None:
    queue: Input[int] = Input("latest", size)
    for message in messages:
        queue.put(message)
    kept = messages[-size:]
    assert queue.waiting == len(kept)
    assert [queue.get(0) for _ in kept] == kept
    assert queue.get(0) is None
    assert queue.dropped == len(messages) - len(kept)


def test_fifo_lets_the_sender_wait_and_loses_nothing() -> None:
    queue: Input[int] = Input("fifo", 2)
    sent: list[int] = []

    def send() -> None:
        for message in range(50):
            queue.put(message)
            sent.append(message)

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.05)
    assert len(sent) == 2
    assert [queue.get(5) for _ in range(50)] == list(range(50))
    sender.join(60)
    assert queue.dropped == 0


def test_what_waited_beyond_its_deadline_is_not_used() -> None:
    now = [0.0]
    queue: Input[str] = Input("latest", 3, deadline_s=0.1, clock=lambda: now[0])
    queue.put("old")
    now[0] = 0.2
    queue.put("new")
    assert queue.get(0) == "new"
    assert queue.dropped == 1


def test_closing_lets_sender_and_receiver_go() -> None:
    queue: Input[int] = Input("fifo", 1)
    queue.put(1)
    waiting = [threading.Thread(target=queue.put, args=(2,)), threading.Thread(target=queue.put, args=(3,))]
    for thread in waiting:
        thread.start()
    queue.close()
    for thread in waiting:
        thread.join(60)
        assert not thread.is_alive()
    assert queue.get() == 1
    assert queue.get() is None
    assert queue.dropped == 2


@pytest.mark.parametrize("wrong", [{"size": 0}, {"deadline_s": 0.0}, {"deadline_s": float("nan")}])
def test_bounds_that_let_nothing_through_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="expected a size of at least 1"):
        Input("latest", **wrong)
