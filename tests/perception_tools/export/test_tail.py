"""Tails in other runtimes give the block service's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.exported_tail import ExportedTail
from perception_nodes.block.host import BlockHost
from perception_nodes.block.request import tensors_of
from perception_nodes.exported.runtimes import Backend, open_runtime
from perception_tools.export import tail as exporting
from perception_tools.export.tail import exported_tail


@pytest.fixture(scope="module")
def folded() -> FoldedBlock:
    torch.manual_seed(0)
    return fold(build_adapter(16, source="random:64x96x4").requires_grad_(False))


@pytest.fixture(scope="module")
def file(folded: FoldedBlock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_tail(folded.tail, tmp_path_factory.mktemp("folded"))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_services_answers_are_those_of_pytorchs_tail(backend: Backend, file: Path, folded: FoldedBlock) -> None:
    pytest.importorskip(backend)
    tail = ExportedTail(open_runtime(file, backend), folded.tail)
    with BlockHost({"forecast": folded}, tail=tail) as host:
        for count in (1, 5):
            tokens = Tokens(torch.randn(2, 7, 16), torch.rand(2, 7) < 0.8)
            asked = Readout(torch.randint(7, (2, count)))
            found = host.submit("forecast", tensors_of(tokens, asked)).result(60)
            torch.testing.assert_close(found, folded(tokens, asked), rtol=0, atol=1e-5)


def test_it_is_made_once_and_again_where_it_is_damaged(
    file: Path, folded: FoldedBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("traced")

    monkeypatch.setattr(exporting, "trace", refuse)
    folder, content = file.parent.parent, file.read_bytes()
    assert exported_tail(folded.tail, folder) == file
    for damaged in (b"damaged", content[:100]):
        file.write_bytes(damaged)
        with pytest.raises(AssertionError, match="traced"):
            exported_tail(folded.tail, folder)
    file.write_bytes(content)


def test_narrower_weights_change_the_answer_a_little(folded: FoldedBlock, tmp_path: Path) -> None:
    file = exported_tail(folded.tail, tmp_path, "int8")
    assert file.name.endswith("-int8.onnx")
    residual, attended = torch.randn(4, 64), torch.randn(4, 64)
    with torch.inference_mode():
        expected = folded.tail(residual, attended).numpy()
        found = ExportedTail(open_runtime(file, "onnxruntime"), folded.tail)(residual, attended).numpy()
    assert 0 < np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.1


def test_a_folder_that_is_narrow_already_is_refused(tmp_path: Path) -> None:
    narrow = fold(build_adapter(16, source="random:64x96x4").requires_grad_(False), "bfloat16")
    with pytest.raises(InputError, match=r"expected a folder of float32 .*, found bfloat16; fold again"):
        exported_tail(narrow.tail, tmp_path)
