from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import zenoh
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import FoldedBlock
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.limits import RequestLimits
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.block.request import BlockFailed, MalformedRequest, NoWorker, pack, tensors_of
from perception_nodes.block.service import DeadlineExceeded, Overloaded

ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))
Sessions = tuple[zenoh.Session, zenoh.Session]


class Gate(nn.Module):
    """A tail that waits until it is opened."""

    def __init__(self, host: BlockHost) -> None:
        super().__init__()
        self.tail, self.open, self.entered = host.service.tail, threading.Event(), threading.Event()
        host.service.tail = self  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, residual: Tensor, attended: Tensor) -> Tensor:
        self.entered.set()
        self.open.wait(60)
        return self.tail(residual, attended)


@pytest.fixture
def blocks(sessions: Sessions) -> Iterator[ZenohBlocks]:
    blocks = ZenohBlocks(sessions[1])
    yield blocks
    blocks.close()


def make_tokens(seed: int = 0, count: int = 5) -> Tokens:
    return Tokens(
        torch.randn(2, count, 16, generator=torch.Generator().manual_seed(seed)),
        torch.ones(2, count, dtype=torch.bool),
    )


@pytest.mark.parametrize("count", [5, 400], ids=["in one packet", "through shared memory"])
def test_the_numbers_are_those_of_the_adapter_alone(
    sessions: Sessions, blocks: ZenohBlocks, adapter: FrozenBlockAdapter, folded: FoldedBlock, count: int
) -> None:
    with ZenohBlockWorker(sessions[0], BlockHost({"forecast": folded}), "alone"):
        block, tokens = RemoteBlock(blocks, "forecast", timeout_s=60), make_tokens(count=count)
        for readout in (ASKED, Readout()):
            alone = adapter(tokens, readout)
            assert (block(tokens, readout) - alone).norm() < 1e-6 * alone.norm()


def test_requests_spread_over_workers_and_follow_them_when_they_leave(
    sessions: Sessions, blocks: ZenohBlocks, folded: FoldedBlock, eventually: Callable[..., None]
) -> None:
    hosts = [BlockHost({"forecast": folded}) for _ in range(2)]
    workers = [ZenohBlockWorker(sessions[0], host, f"worker{i}") for i, host in enumerate(hosts)]
    block = RemoteBlock(blocks, "forecast", timeout_s=60)
    eventually(lambda: block(make_tokens(), ASKED) is not None and all(host.service.counts.requests for host in hosts))
    before = [host.service.counts.requests for host in hosts]
    for _ in range(20):
        block(make_tokens(), ASKED)
    assert [host.service.counts.requests - was for host, was in zip(hosts, before, strict=True)] == [10, 10]
    answers: list[Tensor] = []
    asking = threading.Thread(target=lambda: answers.extend(block(make_tokens(i), ASKED) for i in range(100)))
    asking.start()
    workers[0].close()
    asking.join(60)
    assert len(answers) == 100
    assert sum(host.service.counts.requests for host in hosts) == sum(before) + 120  # none lost, none computed twice
    workers[1].close()


def test_full_queues_are_said_only_when_no_worker_has_room(
    sessions: Sessions, blocks: ZenohBlocks, folded: FoldedBlock, eventually: Callable[..., None]
) -> None:
    host = BlockHost({"forecast": folded}, queue_size=1)
    gate = Gate(host)
    block = RemoteBlock(blocks, "forecast", timeout_s=60)

    def is_answered() -> bool:
        try:
            return block(make_tokens(), ASKED).shape == (2, 2, 16)
        except Overloaded:  # as long as the other worker is not known
            return False

    with ZenohBlockWorker(sessions[0], host, "small"), ThreadPoolExecutor(2) as pool:
        first = pool.submit(block, make_tokens(), ASKED)
        assert gate.entered.wait(60)
        second = pool.submit(block, make_tokens(), ASKED)
        eventually(lambda: any(host.service._queues.values()))
        with pytest.raises(Overloaded, match="forecast: 1 requests are waiting"):
            block(make_tokens(), ASKED)
        with ZenohBlockWorker(sessions[0], BlockHost({"forecast": folded}), "roomy"):
            eventually(is_answered)
        gate.open.set()
        assert first.result(60).shape == second.result(60).shape == (2, 2, 16)


def test_a_request_past_its_deadline_is_given_up_and_never_computed(
    sessions: Sessions, blocks: ZenohBlocks, folded: FoldedBlock
) -> None:
    host = BlockHost({"forecast": folded})
    gate = Gate(host)
    block = RemoteBlock(blocks, "forecast", timeout_s=60)
    with ZenohBlockWorker(sessions[0], host, "slow"), ThreadPoolExecutor(1) as pool:
        first = pool.submit(block, make_tokens(), ASKED)
        assert gate.entered.wait(60)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            blocks.infer("forecast", tensors_of(make_tokens(), ASKED), timeout_s=0.2)
        assert time.monotonic() - began < 30
        gate.open.set()
        assert first.result(60).shape == (2, 2, 16)
    assert (host.service.counts.requests, host.service.counts.expired) == (1, 1)


def test_nobody_there_is_said_when_the_time_is_over(blocks: ZenohBlocks) -> None:
    began = time.monotonic()
    with pytest.raises(NoWorker, match=r"pipeline nobodys: expected a worker within 0\.2 s"):
        blocks.infer("nobodys", tensors_of(make_tokens(), ASKED), timeout_s=0.2)
    assert 0.2 <= time.monotonic() - began < 30
    with pytest.raises(InputError, match=r"name '\*\*': expected letters"):
        blocks.infer("**", tensors_of(make_tokens(), ASKED), timeout_s=0.2)


def test_a_worker_that_comes_late_gets_the_waiting_request(
    sessions: Sessions, blocks: ZenohBlocks, folded: FoldedBlock
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(RemoteBlock(blocks, "forecast", timeout_s=60), make_tokens(), ASKED)
        time.sleep(0.2)
        with ZenohBlockWorker(sessions[0], BlockHost({"forecast": folded}), "late"):
            assert waiting.result(60).shape == (2, 2, 16)


def test_bad_requests_are_refused_in_words_and_good_ones_go_on(
    sessions: Sessions, blocks: ZenohBlocks, folded: FoldedBlock, caplog: pytest.LogCaptureFixture
) -> None:
    host = BlockHost({"forecast": folded}, limits=RequestLimits(max_bytes=50_000, max_memory_mb=1))
    sound = pack(tensors_of(make_tokens(), ASKED))

    def ask(payload: bytes | None, attachment: bytes | None = None) -> str:
        key = "blk/forecast/strict/infer"
        (reply,) = sessions[1].get(key, payload=payload, attachment=attachment, timeout=10)
        return "" if reply.err is None else reply.err.payload.to_string()

    with ZenohBlockWorker(sessions[0], host, "strict"):
        block = RemoteBlock(blocks, "forecast", timeout_s=60)
        block(make_tokens(), ASKED)
        assert ask(sound) == ""
        assert ask(None).startswith("malformed: expected a request's tensors")
        assert ask(sound[:100]).startswith("malformed: expected named tensors")
        assert ask(sound + bytes(60_000)).startswith("malformed: a message of")
        assert ask(sound, b"soon").startswith("malformed: expected a request's remaining seconds")
        assert ask(sound, b"nan").startswith("malformed: expected a request's remaining seconds")
        assert ask(sound, b"-1").startswith("deadline: ")
        with pytest.raises(MalformedRequest, match="finite"):
            block(Tokens(torch.full((1, 5, 16), math.nan), torch.ones(1, 5, dtype=torch.bool)))

        with pytest.raises(MalformedRequest, match=r"MiB of memory; expected at most 1 \(max_request_mb\)"):
            block(Tokens(torch.zeros(1, 1, 16), torch.ones(1, 1) > 0), Readout(torch.zeros(1, 3_000).long()))

        class Broken(nn.Module):
            def forward(self, *_: Tensor) -> Tensor:
                raise ZeroDivisionError("secret")

        tail, host.service.tail = host.service.tail, Broken()  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(BlockFailed, match="look at the service's log"):
            block(make_tokens(), ASKED)
        assert "secret" in caplog.text
        host.service.tail = tail
        assert block(make_tokens(), ASKED).shape == (2, 2, 16)
