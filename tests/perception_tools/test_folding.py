from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.tokens import Readout, Tokens
from perception_nodes.block.host import load_pipelines
from perception_tools.pipeline_files import write_pipelines


def test_two_models_around_one_block_become_pipelines_of_one_service(tmp_path: Path) -> None:
    torch.manual_seed(0)
    widths = {"forecast/vectornet-llama": 16, "scene-qa/rooms-llama": 24}
    adapters = {
        name: build_adapter(dim, source="random:32x48x4?seed=0").requires_grad_(False) for name, dim in widths.items()
    }
    for name, adapter in adapters.items():
        assert write_pipelines(adapter, Path("run"), name, tmp_path, ["float32"]).keys() == {"float32"}
    pipelines = load_pipelines(tmp_path / "float32")
    assert pipelines.keys() == {"forecast-vectornet-llama", "scene-qa-rooms-llama"}
    assert len({id(pipeline.tail) for pipeline in pipelines.values()}) == 1
    for name, adapter in adapters.items():
        tokens = Tokens(torch.randn(1, 5, widths[name]), torch.ones(1, 5, dtype=torch.bool))
        ours, alone = pipelines[name.replace("/", "-")](tokens, Readout()), adapter(tokens, Readout())
        assert (ours - alone).norm() < 1e-5 * alone.norm()


@pytest.mark.parametrize("kind", ["mlp", "none"])
def test_what_has_no_language_block_has_nothing_to_fold(tmp_path: Path, kind) -> None:
    with pytest.raises(InputError, match="run: expected a model with a language block"):
        write_pipelines(build_adapter(16, kind=kind), Path("run"), "x", tmp_path, ["float32"])
    with pytest.raises(InputError, match="nothing to fold"):
        write_pipelines(None, Path("run"), "x", tmp_path, ["float32"])
