"""A tail in another runtime, which a stand-in computes here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import BlockTail, FoldedBlock, fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.exported_tail import ExportedTail
from perception_nodes.block.host import BlockHost
from perception_nodes.block.request import tensors_of
from perception_nodes.exported.model_file import ExportedFile


class StandIn:
    """A runtime that asks the tail."""

    backend, inputs, plans_by_size = "stand-in", ("residual", "attended"), False

    def __init__(self, tail: BlockTail, fingerprint: str) -> None:
        self.tail, self.calls = tail, 0
        self.file = ExportedFile(Path("tail.onnx"), {"fingerprint": fingerprint}, ())

    def run(self, arrays):
        self.calls += 1
        with torch.inference_mode():
            return {"hidden": self.tail(*(torch.from_numpy(arrays[name]) for name in self.inputs)).numpy()}


@pytest.fixture(scope="module")
def folded() -> FoldedBlock:
    torch.manual_seed(0)
    return fold(build_adapter(16, source="random:64x96x4").requires_grad_(False))


def test_a_host_answers_with_it_as_with_its_own(folded: FoldedBlock) -> None:
    runtime = StandIn(folded.tail, folded.tail.fingerprint)
    tokens = Tokens(torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))
    asked = Readout(torch.tensor([[0, 3], [4, 1]]))
    with BlockHost({"forecast": folded}, tail=ExportedTail(runtime, folded.tail)) as host:
        found = host.submit("forecast", tensors_of(tokens, asked)).result(60)
    torch.testing.assert_close(found, folded(tokens, asked), rtol=0, atol=1e-6)
    assert runtime.calls == 1


def test_the_tail_of_another_block_is_refused(folded: FoldedBlock) -> None:
    with pytest.raises(InputError, match=r"tail\.onnx: expected the tail of the block .*, found that of another"):
        ExportedTail(StandIn(folded.tail, "another"), folded.tail)
