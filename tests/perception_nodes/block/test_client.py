from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost


class Direct:
    """Calls a host directly, and keeps the requests."""

    def __init__(self, host: BlockHost) -> None:
        self.host = host
        self.calls: list[tuple[str, float, int]] = []

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        self.calls.append((pipeline, timeout_s, sum(tensor.nbytes for tensor in tensors.values())))
        return self.host.submit(pipeline, tensors, timeout_s).result(timeout_s)


def test_it_stands_where_the_adapter_stood_and_sends_tokens_only() -> None:
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:256x384x4").requires_grad_(False)
    tokens = Tokens(torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))
    with BlockHost({"forecast": fold(adapter)}) as host:
        transport = Direct(host)
        block = RemoteBlock(transport, "forecast", timeout_s=5.0)
        for readout in (Readout(), Readout.first(tokens)):
            torch.testing.assert_close(block(tokens, readout), adapter(tokens, readout), rtol=0, atol=1e-6)
        torch.testing.assert_close(block(tokens), adapter(tokens), rtol=0, atol=1e-6)
    everything = 2 * 5 * (16 * 4 + 1)
    assert transport.calls == [("forecast", 5.0, size) for size in (everything, everything + 2 * 8, everything)]
    assert list(block.parameters()) == []
