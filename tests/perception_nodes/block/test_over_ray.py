"""Runs a cluster of Ray on loopback. Needs `pip install ".[ray]"`, which CI does not do, since it is 500 MB."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import FoldedBlock
from perception.frozen.folded_file import save_folded
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.request import MalformedRequest, NoWorker, UnknownPipeline, pack, tensors_of
from perception_nodes.block.service import DeadlineExceeded

ray = pytest.importorskip("ray", reason='needs Ray: pip install "frozen-perception[ray]"')

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray 2.60 uses deprecated parts of pydantic
    from perception_nodes.block.over_ray import BlockReplica, RayBlocks, serve_blocks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own sockets and files, when it is shut down
]
ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))


@pytest.fixture(scope="module")
def folder(folded: FoldedBlock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folded")
    save_folded(folded, folder, "forecast")
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[None]:
    """Two replicas; Ray counts a core for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=3,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            object_store_memory=80 * 2**20,
        )
        serve_blocks(folder, replicas=2)
        yield
        ray.serve.shutdown()
        ray.shutdown()


@pytest.fixture
def blocks(cluster: None) -> Iterator[RayBlocks]:  # noqa: ARG001
    with RayBlocks() as blocks:
        yield blocks


def make_tokens(seed: int = 0) -> Tokens:
    return Tokens(
        torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(seed)), torch.ones(2, 5, dtype=torch.bool)
    )


def replicas() -> list[str]:
    """Names of Ray's actors."""
    return [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True) if "REPLICA" in actor["name"]]


def test_the_numbers_are_those_of_the_adapter_alone(blocks: RayBlocks, adapter: FrozenBlockAdapter) -> None:
    block = RemoteBlock(blocks, "forecast", timeout_s=30)
    for readout in (ASKED, Readout()):
        alone = adapter(make_tokens(), readout)
        assert (block(make_tokens(), readout) - alone).norm() < 1e-6 * alone.norm()


def test_when_a_replica_is_killed_every_request_is_answered_all_the_same(
    blocks: RayBlocks, adapter: FrozenBlockAdapter
) -> None:
    block, progress = RemoteBlock(blocks, "forecast", timeout_s=60), threading.Semaphore(0)

    def ask(seed: int) -> Tensor:
        answer = block(make_tokens(seed), ASKED)
        progress.release()
        return answer

    before = replicas()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, seed) for seed in range(400)]
        for _ in range(40):
            assert progress.acquire(timeout=60)
        ray.kill(ray.get_actor(before[0], namespace="serve"))
        answers = [answer.result(120) for answer in asked]
    for seed, answer in enumerate(answers):
        torch.testing.assert_close(answer, adapter(make_tokens(seed), ASKED), rtol=0, atol=1e-5)
    end = time.monotonic() + 60
    while len(living := set(replicas())) < 2 or before[0] in living:  # Ray starts another
        assert time.monotonic() < end, living
        time.sleep(0.2)


def test_what_cannot_be_answered_is_said_in_the_words_of_every_transport(blocks: RayBlocks) -> None:
    sound = tensors_of(make_tokens(), ASKED)
    with pytest.raises(UnknownPipeline, match="pipeline 'nobodys': expected one of forecast"):
        blocks.infer("nobodys", sound, timeout_s=30)
    with pytest.raises(MalformedRequest, match="finite"):
        blocks.infer("forecast", sound | {"values": sound["values"] * float("nan")}, timeout_s=30)
    with pytest.raises(DeadlineExceeded, match=r"ray application block: no answer"):
        blocks.infer("forecast", sound, timeout_s=1e-4)
    assert blocks.infer("forecast", sound, timeout_s=float("inf")).shape == (2, 2, 16)
    with pytest.raises(NoWorker, match="Application 'nothing' does not exist"):
        RayBlocks("nothing")


@pytest.mark.usefixtures("cluster")
def test_a_folder_without_pipelines_is_said_and_the_number_of_replicas_is_checked(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="expected replicas and threads of at least 1, got 0 and 1"):
        serve_blocks(folder, replicas=0)
    with pytest.raises(
        InputError, match=r"every host of the cluster can read, but replicas fail .*, found none; write"
    ):
        serve_blocks(tmp_path, application="broken")
    ray.serve.delete("broken")


@pytest.mark.usefixtures("cluster")
def test_a_deleted_application_answers_nobody(folder: Path) -> None:
    serve_blocks(folder, application="short")
    with RayBlocks("short") as blocks:
        assert blocks.infer("forecast", tensors_of(make_tokens(), ASKED), timeout_s=30).shape == (2, 2, 16)
        ray.serve.delete("short")
        with pytest.raises((DeadlineExceeded, NoWorker)):  # the latter if Ray has reported the loss already
            blocks.infer("forecast", tensors_of(make_tokens(), ASKED), timeout_s=1)
        with pytest.raises(NoWorker, match="nobody serves it any more"):
            blocks.infer("forecast", tensors_of(make_tokens(), ASKED), timeout_s=1)


def test_a_replica_says_errors_in_words_and_keeps_what_nobody_foresaw_to_its_log(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, request = BlockReplica(str(folder)), pack(tensors_of(make_tokens(), ASKED))

    def ask(payload: bytes, timeout_s: float = 30.0) -> tuple[str, bytes]:
        return asyncio.run(replica.infer("forecast", payload, timeout_s))

    assert ask(request)[0] == ""
    assert ask(request, -1.0)[0] == "deadline"
    assert ask(request[:100])[0] == "malformed"

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(replica._host, "submit", fail)
    assert ask(request) == ("failed", b"look at the replica's log")
    assert "secret" in caplog.text
    replica._host.drain()
