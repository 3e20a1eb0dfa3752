from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception.frozen.folded_file import save_folded
from perception.tokens import Readout, Tokens
from perception_nodes.block.host import BlockHost, load_pipelines
from perception_nodes.block.limits import RequestLimits
from perception_nodes.block.request import MalformedRequest, UnknownPipeline, tensors_of
from perception_nodes.block.service import ServiceClosed

ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))


def tokens(dim: int) -> Tokens:
    return Tokens(torch.randn(2, 5, dim), torch.ones(2, 5, dtype=torch.bool))


@pytest.fixture(scope="module")
def adapters() -> dict[str, FrozenBlockAdapter]:
    torch.manual_seed(0)
    widths = {"forecast": 16, "answer": 24}
    return {name: build_adapter(dim, source="random:64x96x4").requires_grad_(False) for name, dim in widths.items()}


@pytest.fixture(scope="module")
def folder(adapters: dict[str, FrozenBlockAdapter], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folded")
    tail = fold(adapters["forecast"]).tail
    for name, adapter in adapters.items():
        save_folded(fold(adapter, tail=tail), out, name)
    return out


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> dict[str, FoldedBlock]:
    return load_pipelines(folder)


def test_pipelines_of_a_folder_share_one_tail_and_give_their_adapters_numbers(
    pipelines: dict[str, FoldedBlock], adapters: dict[str, FrozenBlockAdapter]
) -> None:
    assert pipelines["forecast"].tail is pipelines["answer"].tail
    with BlockHost(pipelines) as host:
        for name, adapter in adapters.items():
            asked = tokens(adapter.project_in.in_features)  # pyright: ignore[reportArgumentType]
            alone = adapter(asked, ASKED)
            torch.testing.assert_close(host.submit(name, tensors_of(asked, ASKED)).result(60), alone, rtol=0, atol=1e-6)
            torch.testing.assert_close(host.block(name)(asked, ASKED), alone, rtol=0, atol=1e-6)


def test_only_the_pipelines_that_are_named_are_loaded(folder: Path) -> None:
    assert list(load_pipelines(folder, ["answer"])) == ["answer"]


@pytest.mark.parametrize(
    ("names", "complaint"), [(["forecats"], "expected forecats, found answer, forecast"), ([], "expected folded pipe")]
)
def test_a_missing_file_is_named_beside_those_that_are_there(
    folder: Path, tmp_path: Path, names: list[str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        load_pipelines(folder if names else tmp_path, names)


def test_a_damaged_file_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes((folder / "answer.safetensors").read_bytes()[:50])
    with pytest.raises(InputError, match=r"broken\.safetensors: it cannot be parsed .*; fold the adapter again"):
        load_pipelines(tmp_path)


def test_bad_requests_fail_alone_and_none_is_taken_after_the_drain(pipelines: dict[str, FoldedBlock]) -> None:
    host = BlockHost(pipelines)
    sound = tensors_of(tokens(16), ASKED)
    with pytest.raises(UnknownPipeline, match="expected one of answer, forecast"):
        host.submit("image", sound)
    with pytest.raises(MalformedRequest, match="anyxanyx24"):
        host.submit("answer", sound)
    waiting = [host.submit("forecast", sound) for _ in range(5)]
    host.drain(5)
    assert all(future.done() and future.exception() is None for future in waiting)
    assert not host.ready
    with pytest.raises(ServiceClosed):
        host.submit("forecast", sound)


def test_a_small_message_that_asks_for_much_is_refused_and_the_next_is_answered(
    pipelines: dict[str, FoldedBlock],
) -> None:
    token = {"values": torch.randn(1, 1, 16), "valid": torch.ones(1, 1, dtype=torch.bool)}
    limits = RequestLimits(max_memory_mb=4, max_gflop=1)
    with BlockHost(pipelines, limits=limits) as host:
        with pytest.raises(MalformedRequest, match=r"MiB of memory; expected at most 4 \(max_request_mb\)"):
            host.submit("forecast", {**token, "rows": torch.zeros(1, 200_000, dtype=torch.long)})
        with pytest.raises(MalformedRequest, match=r"MiB of memory; expected at most 4 \(max_request_mb\)"):
            host.submit("forecast", {"values": torch.zeros(9_000, 1, 16), "valid": torch.ones(9_000, 1) > 0})
        answer = host.submit("forecast", {**token, "rows": torch.zeros(1, 200, dtype=torch.long)})
        assert answer.result(60).shape == (1, 200, 16)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_host_whose_thread_has_died_is_not_ready(pipelines: dict[str, FoldedBlock]) -> None:
    def end(*_: object) -> None:
        raise SystemExit

    with BlockHost(pipelines) as host:
        assert (host.ready, host.trouble()) == (True, "")
        host.service.tail = end  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(ServiceClosed):
            host.submit("forecast", tensors_of(tokens(16), ASKED)).result(60)
        assert (host.ready, host.trouble()) == (False, "the block service's thread has died")


def test_a_host_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one pipeline"):
        BlockHost({})
