from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.service import (
    ACTIVE_DELAYS,
    STUCK_S,
    BlockService,
    DeadlineExceeded,
    Overloaded,
    ServiceClosed,
    ServiceCounts,
)

SOURCE = "random:128x344x4?seed=1"
WIDTHS = {"forecast": 16, "answer": 24, "image": 8, "cloud": 16}


class Gate(nn.Module):
    """A tail that waits until it is opened, and keeps the number of rows of each batch."""

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.tail, self.open, self.entered = tail, threading.Event(), threading.Event()
        self.rows: list[int] = []

    def forward(self, residual: Tensor, attended: Tensor) -> Tensor:
        self.entered.set()
        self.open.wait(60)
        self.rows.append(len(residual))
        return self.tail(residual, attended)


@pytest.fixture(scope="module")
def adapters() -> dict[str, FrozenBlockAdapter]:
    torch.manual_seed(0)
    return {
        n: build_adapter(dim, source=SOURCE, residual=n == "cloud").requires_grad_(False) for n, dim in WIDTHS.items()
    }


@pytest.fixture(scope="module")
def folded(adapters: dict[str, FrozenBlockAdapter]) -> dict[str, FoldedBlock]:
    tail = fold(adapters["forecast"]).tail
    return {name: fold(adapter, tail=tail) for name, adapter in adapters.items()}


@pytest.fixture
def service(folded: dict[str, FoldedBlock]) -> Iterator[BlockService]:
    with BlockService(folded["forecast"].tail, max_batch=64, max_delay_s=0.01, queue_size=8) as service:
        for name, pipeline in folded.items():
            service.pipeline(name, pipeline)
        yield service


@pytest.fixture
def gate(service: BlockService) -> Iterator[Gate]:
    gate = Gate(service.tail)
    service.tail = gate  # pyright: ignore[reportAttributeAccessIssue]
    yield gate
    gate.open.set()


def ask(name: str, rows: int = 2, seed: int = 0) -> tuple[Tokens, Readout]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 5, WIDTHS[name], generator=generator)
    valid = torch.rand(2, 5, generator=generator) < 0.8
    return Tokens(values, valid), Readout(torch.randint(5, (2, rows), generator=generator))


def hold(service: BlockService, gate: Gate) -> None:
    """Occupies the service with a request that waits at the gate."""
    service.submit("forecast", *ask("forecast"))
    while any(service._queues.values()):
        time.sleep(0.001)
    assert not gate.open.is_set()


def test_many_threads_get_the_numbers_that_each_would_get_alone(
    service: BlockService, adapters: dict[str, FrozenBlockAdapter]
):
    errors: list[float] = []

    def pipeline(name: str) -> None:
        for seed in range(20):
            question = ask(name, rows=1 + seed % 3, seed=seed)
            answer, alone = service.submit(name, *question).result(60), adapters[name](*question)
            errors.append(((answer - alone).norm() / alone.norm()).item())

    threads = [threading.Thread(target=pipeline, args=(name,)) for name in WIDTHS for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 160
    assert max(errors) < 1e-5
    assert service.counts.requests == 160
    assert service.counts.batches < 160  # some shared one


def test_what_waits_passes_the_tail_as_one_matrix(service: BlockService, gate: Gate):
    hold(service, gate)
    futures = [service.submit(name, *ask(name, rows=3)) for name in WIDTHS]
    gate.open.set()
    assert [future.result(60).shape for future in futures] == [(2, 3, dim) for dim in WIDTHS.values()]
    assert gate.rows == [4, 24]
    assert service.counts == ServiceCounts(batches=2, requests=5, rows=28)


def test_a_tick_takes_turns_between_pipelines(service: BlockService, gate: Gate):
    service.max_batch = 8
    hold(service, gate)
    order: list[str] = []
    for name, seed in [*(("forecast", seed) for seed in range(6)), ("answer", 0), ("image", 0)]:
        future = service.submit(name, *ask(name, seed=seed))
        future.add_done_callback(lambda _, name=name: order.append(name))
    gate.open.set()
    service.close()
    assert order[:3].count("forecast") == 1  # not all six before the others, though all six came first
    assert len(order) == 8


def test_a_pipeline_that_did_not_fit_is_first_in_the_next_batch(service: BlockService, gate: Gate):
    service.max_batch = 8
    hold(service, gate)
    order: list[str] = []
    for seed in range(2):
        for name in ("forecast", "answer", "image"):
            future = service.submit(name, *ask(name, seed=seed))
            future.add_done_callback(lambda _, name=name: order.append(name))
    gate.open.set()
    service.close()
    assert gate.rows == [4, 8, 8, 8]
    assert order == ["answer", "image", "forecast"] * 2


def test_a_request_larger_than_a_tick_has_one_of_its_own(service: BlockService, gate: Gate):
    service.max_batch = 8
    hold(service, gate)
    small = service.submit("answer", *ask("answer", rows=2))
    large = service.submit("image", *ask("image", rows=30))
    gate.open.set()
    assert small.result(60).shape[1] == 2
    assert large.result(60).shape[1] == 30
    assert sorted(gate.rows) == [4, 4, 60]


def test_a_full_queue_says_so_at_once_and_others_are_not_touched(service: BlockService, gate: Gate):
    hold(service, gate)
    for seed in range(8):
        service.submit("forecast", *ask("forecast", seed=seed))
    with pytest.raises(Overloaded, match="forecast: 8 requests"):
        service.submit("forecast", *ask("forecast"))
    other = service.submit("answer", *ask("answer"))
    gate.open.set()
    assert other.result(60) is not None
    assert service.counts.rejected == 1


def test_a_request_past_its_deadline_is_not_computed(service: BlockService, gate: Gate):
    hold(service, gate)
    late = service.submit("answer", *ask("answer"), timeout_s=0.01)
    patient = service.submit("image", *ask("image"), timeout_s=10)
    time.sleep(0.03)
    gate.open.set()
    with pytest.raises(DeadlineExceeded, match="waited"):
        late.result(60)
    patient.result(60)
    assert gate.rows == [4, 4]
    assert service.counts.expired == 1


def test_a_request_waits_for_a_pipeline_that_asked_lately_but_no_longer_than_the_delay(folded: dict[str, FoldedBlock]):
    with BlockService(folded["forecast"].tail, max_delay_s=0.05) as service:
        served, other = (service.pipeline(name, folded[name]) for name in ("forecast", "answer"))
        other(*ask("answer"))
        began = time.monotonic()
        served(*ask("forecast"))
        assert 0.05 <= time.monotonic() - began < 30


def test_a_request_waits_for_nobody_who_has_not_asked_for_long(
    folded: dict[str, FoldedBlock], monkeypatch: pytest.MonkeyPatch
):
    minute, passed_s = 60.0, 0.0
    real = time.monotonic
    monkeypatch.setattr("perception_nodes.block.service.time.monotonic", lambda: real() + passed_s)
    with BlockService(folded["forecast"].tail, max_delay_s=minute) as service:
        service.pipeline("forecast", folded["forecast"])
        assert service.submit("forecast", *ask("forecast")).result(60).shape == (2, 2, WIDTHS["forecast"])
        service.pipeline("answer", folded["answer"])
        passed_s += (ACTIVE_DELAYS + 1) * minute
        assert service.submit("forecast", *ask("forecast")).result(60).shape == (2, 2, WIDTHS["forecast"])
        together = [service.submit(name, *ask(name)) for name in ("answer", "forecast")]
        assert all(future.result(60) is not None for future in together)
        assert service.counts.requests == 4


def test_a_bad_request_fails_alone(service: BlockService, gate: Gate):
    hold(service, gate)
    bad = service.submit("answer", *ask("image"))
    good = service.submit("image", *ask("image"))
    gate.open.set()
    with pytest.raises((RuntimeError, TypeCheckError), match=r"cannot be multiplied|parameter .weight"):
        bad.result(60)
    good.result(60)
    service.submit("answer", *ask("answer")).result(60)
    assert service.counts.failed == 1


def test_a_tail_that_fails_is_told_to_all_of_its_tick(service: BlockService, gate: Gate):
    hold(service, gate)
    futures = [service.submit(name, *ask(name)) for name in ("answer", "image")]
    gate.tail = nn.Bilinear(1, 1, 1)  # pyright: ignore[reportAttributeAccessIssue]
    gate.open.set()
    for future in futures:
        assert isinstance(future.exception(10), RuntimeError)
    gate.tail = service._pipelines["answer"].tail
    service.submit("answer", *ask("answer")).result(60)


def test_of_requests_that_fail_together_only_the_one_at_fault_fails(service: BlockService, gate: Gate):
    class FailsForLarge(nn.Module):
        """A tail that fails for more than 8 rows, as for lack of memory."""

        def forward(self, residual: Tensor, attended: Tensor) -> Tensor:
            if len(residual) > 8:
                raise MemoryError("too many rows")
            return gate.tail(residual, attended)

    hold(service, gate)
    good = [service.submit(name, *ask(name, rows=3)) for name in ("answer", "image")]
    bad = service.submit("cloud", *ask("cloud", rows=5))
    service.tail = FailsForLarge()  # pyright: ignore[reportAttributeAccessIssue]
    gate.open.set()
    assert [future.result(60).shape[1] for future in good] == [3, 3]
    assert isinstance(bad.exception(10), MemoryError)
    assert (service.counts.failed, service.trouble()) == (1, "")


@pytest.mark.parametrize("step", ["cat", "split"])
def test_a_step_between_attention_and_tail_that_fails_leaves_the_service_alive(
    service: BlockService, monkeypatch: pytest.MonkeyPatch, step: str
):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(*((torch, "cat") if step == "cat" else (Tensor, "split")), fail)
        with pytest.raises(RuntimeError, match="no memory"):
            service.submit("answer", *ask("answer")).result(60)
    assert service.submit("answer", *ask("answer")).result(60).shape == (2, 2, WIDTHS["answer"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_thread_itself_dies_those_who_wait_and_those_who_come_are_told(service: BlockService, gate: Gate):
    class Ends(nn.Module):
        def forward(self, *_: Tensor) -> Tensor:
            raise SystemExit

    hold(service, gate)
    service.tail = Ends()  # pyright: ignore[reportAttributeAccessIssue]
    waiting = [service.submit(name, *ask(name, rows=33)) for name in WIDTHS]  # a batch each
    gate.open.set()
    for future in waiting:
        assert isinstance(future.exception(10), ServiceClosed)
    assert service.trouble() == "the block service's thread has died"
    with pytest.raises(ServiceClosed):
        service.submit("forecast", *ask("forecast"))


def test_a_batch_that_takes_too_long_is_trouble_until_it_ends(
    service: BlockService, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    assert service.trouble() == ""
    asked = service.submit("forecast", *ask("forecast"))
    assert gate.entered.wait(60)
    assert service.trouble() == ""
    real = time.monotonic
    monkeypatch.setattr("perception_nodes.block.service.time.monotonic", lambda: real() + STUCK_S)
    assert service.trouble().startswith("a batch takes 3")
    gate.open.set()
    asked.result(60)
    service.close()
    assert service.trouble() == ""


def test_a_request_of_another_shape_fails_where_it_is_asked(service: BlockService):
    with pytest.raises((ValueError, TypeCheckError)):
        service.submit("forecast", Tokens(torch.zeros(5, 16), torch.ones(5, dtype=torch.bool)))
    assert service.submit("forecast", *ask("forecast")).result(60).shape == (2, 2, WIDTHS["forecast"])


def test_a_cancelled_request_is_not_computed(service: BlockService, gate: Gate):
    hold(service, gate)
    assert service.submit("answer", *ask("answer")).cancel()
    gate.open.set()
    service.submit("image", *ask("image")).result(60)
    assert gate.rows == [4, 4]


def test_closing_answers_what_waits_and_takes_no_more(service: BlockService, gate: Gate):
    hold(service, gate)
    waiting = [service.submit(name, *ask(name)) for name in WIDTHS]
    closing = threading.Thread(target=service.close)
    closing.start()
    gate.open.set()
    closing.join(60)
    assert all(future.done() for future in waiting)
    with pytest.raises(ServiceClosed):
        service.submit("forecast", *ask("forecast"))


def test_closing_waits_no_longer_than_it_is_told(service: BlockService, gate: Gate):
    hold(service, gate)
    service.close(timeout_s=0.01)
    assert service._thread.is_alive()


def test_a_pipeline_of_another_tail_or_of_a_taken_name_is_refused(
    service: BlockService, adapters: dict[str, FrozenBlockAdapter], folded: dict[str, FoldedBlock]
):
    with pytest.raises(InputError, match="this service's tail"):
        service.pipeline("other", fold(adapters["image"]))
    with pytest.raises(InputError, match="choose another"):
        service.pipeline("image", folded["image"])
