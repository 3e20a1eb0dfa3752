from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import FoldedBlock
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.request import BlockFailed, MalformedRequest, NoWorker, UnknownPipeline
from perception_nodes.block.service import DeadlineExceeded
from perception_nodes.security.identity import identity_in

pytest.importorskip("grpc", reason="the extra [oip] is not installed")
from perception_nodes.block.oip import OipBlockServer
from perception_nodes.block.oip_client import OipBlocks

TOKENS = Tokens(torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)), torch.ones(2, 5, dtype=torch.bool))
ASKED = Readout(torch.tensor([[0, 3], [4, 1]]))


@pytest.fixture(scope="module")
def blocks(folded: FoldedBlock) -> Iterator[OipBlocks]:
    with OipBlockServer(BlockHost({"forecast": folded})) as server, OipBlocks([f"127.0.0.1:{server.port}"]) as blocks:
        yield blocks


def test_the_numbers_are_those_of_the_adapter_alone(blocks: OipBlocks, adapter: FrozenBlockAdapter) -> None:
    block = RemoteBlock(blocks, "forecast", timeout_s=10)
    for readout in (ASKED, Readout()):
        alone = adapter(TOKENS, readout)
        assert (block(TOKENS, readout) - alone).norm() < 1e-6 * alone.norm()


def test_the_services_complaints_keep_their_kind_and_words(blocks: OipBlocks) -> None:
    with pytest.raises(UnknownPipeline, match="expected one of forecast"):
        RemoteBlock(blocks, "other", timeout_s=10)(TOKENS, ASKED)
    with pytest.raises(MalformedRequest, match="rows in 0 to 4"):
        RemoteBlock(blocks, "forecast", timeout_s=10)(TOKENS, Readout(torch.full((2, 1), 9)))


def test_requests_go_to_another_server_when_one_leaves(folded: FoldedBlock) -> None:
    hosts = [BlockHost({"forecast": folded}) for _ in range(2)]
    servers = [OipBlockServer(host) for host in hosts]
    with OipBlocks([f"127.0.0.1:{server.port}" for server in servers]) as blocks:
        block = RemoteBlock(blocks, "forecast", timeout_s=10)
        for number in range(60):
            if number == 30:
                servers[0].close()
            assert block(TOKENS, ASKED).shape == (2, 2, 16)
    assert sum(host.service.counts.requests for host in hosts) == 60
    assert all(host.service.counts.requests > 5 for host in hosts)
    servers[1].close()


def test_nobody_there_is_said_at_once() -> None:
    with OipBlocks(["127.0.0.1:1"]) as blocks, pytest.raises(NoWorker):
        RemoteBlock(blocks, "forecast", timeout_s=5)(TOKENS, ASKED)
    with pytest.raises(InputError, match="at least one server"):
        OipBlocks([])


def test_over_tls_the_numbers_are_the_same_and_strangers_are_not_answered(
    folded: FoldedBlock, adapter: FrozenBlockAdapter, papers: Path, forged_papers: Path
) -> None:
    host = BlockHost({"forecast": folded})
    with OipBlockServer(host, identity=identity_in(papers, "router"), clients=["client"]) as server:
        place = [f"127.0.0.1:{server.port}"]
        with OipBlocks(place, identity_in(papers, "client")) as blocks:
            alone = adapter(TOKENS, ASKED)
            answer = RemoteBlock(blocks, "forecast", timeout_s=10)(TOKENS, ASKED)
            assert (answer - alone).norm() < 1e-6 * alone.norm()
        for intruder in (OipBlocks(place, identity_in(forged_papers, "client")), OipBlocks(place)):
            with intruder, pytest.raises((NoWorker, DeadlineExceeded)):
                RemoteBlock(intruder, "forecast", timeout_s=2)(TOKENS, ASKED)
    assert host.service.counts.requests == 1


def test_a_certificate_alone_gives_no_right_to_ask(folded: FoldedBlock, papers: Path) -> None:
    host = BlockHost({"forecast": folded})
    with OipBlockServer(host, identity=identity_in(papers, "router"), clients=["client"]) as server:
        place = [f"127.0.0.1:{server.port}"]
        with (
            OipBlocks(place, identity_in(papers, "stranger")) as blocks,
            pytest.raises(BlockFailed, match="stranger: no accepted client"),
        ):
            RemoteBlock(blocks, "forecast", timeout_s=5)(TOKENS, ASKED)
        with OipBlocks(place, identity_in(papers, "client")) as blocks:
            RemoteBlock(blocks, "forecast", timeout_s=5)(TOKENS, ASKED)
    assert host.service.counts.requests == 1


def test_who_may_ask_must_be_said_where_there_are_certificates(folded: FoldedBlock, papers: Path) -> None:
    host = BlockHost({"forecast": folded})
    with pytest.raises(InputError, match="got 0 clients and a certificate"):
        OipBlockServer(host, identity=identity_in(papers, "router"))
    with pytest.raises(InputError, match="got 1 clients and no certificate"):
        OipBlockServer(host, clients=["client"])


def test_a_server_of_another_authority_is_not_asked(folded: FoldedBlock, papers: Path, forged_papers: Path) -> None:
    host = BlockHost({"forecast": folded})
    with (
        OipBlockServer(host, identity=identity_in(forged_papers, "router"), clients=["client"]) as server,
        OipBlocks([f"127.0.0.1:{server.port}"], identity_in(papers, "client")) as blocks,
        pytest.raises((NoWorker, DeadlineExceeded)),
    ):
        RemoteBlock(blocks, "forecast", timeout_s=2)(TOKENS, ASKED)
    assert host.service.counts.requests == 0
