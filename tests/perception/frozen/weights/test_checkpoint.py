from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from perception.frozen.weights import WeightsError, load_blocks, memory
from perception.frozen.weights.hugging_face import LLAMA_BLOCK

DIM, FFN, LAYERS = 512, 1376, 24
BLOCK_BYTES = 4 * (4 * DIM * DIM + 3 * DIM * FFN + 2 * DIM)

MEASURE = """
import resource, sys, time
import torch
from perception.frozen.weights import load_blocks, write_slice
from pathlib import Path
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load_blocks("random:64x64x4?seed=0").fingerprint  # so that code that is loaded on first use does not count
before, start = peak(), time.perf_counter()
write_slice(load_blocks(sys.argv[1], dtype=None), Path(sys.argv[2]))
print(peak() - before, time.perf_counter() - start)
"""


@pytest.fixture(params=["hugging face", "meta"])
def large_checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of some 300 MB, as two safetensors shards or as one of Meta's files."""
    sizes = {"hidden_size": DIM, "intermediate_size": FFN, "num_attention_heads": 8, "num_hidden_layers": LAYERS}
    shapes = {"q": (DIM, DIM), "k": (DIM, DIM), "v": (DIM, DIM), "o": (DIM, DIM), "up": (FFN, DIM), "gate": (FFN, DIM)}
    shapes |= {"down": (DIM, FFN), "attention_norm": (DIM,), "ffn_norm": (DIM,)}
    if request.param == "hugging face":
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "rms_norm_eps": 1e-6, **sizes}))
        files = {}
        for shard in range(2):
            tensors = {}
            for layer in range(shard, LAYERS, 2):
                for ours, theirs in LLAMA_BLOCK.items():
                    tensors[f"model.layers.{layer}.{theirs}"] = torch.randn(shapes[ours.removesuffix(".weight")])
            files |= dict.fromkeys(tensors, f"model-{shard}.safetensors")
            save_file(tensors, tmp_path / f"model-{shard}.safetensors")
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
        return tmp_path
    from perception.frozen.weights.meta import NAMING

    params = {"dim": DIM, "n_heads": 8, "n_layers": LAYERS, "norm_eps": 1e-6, "multiple_of": 32}
    (tmp_path / "params.json").write_text(json.dumps(params))
    tensors = {
        f"layers.{layer}.{theirs}": torch.randn(shapes[ours.removesuffix(".weight")])
        for layer in range(LAYERS)
        for ours, theirs in NAMING.block.items()
    }
    torch.save(tensors, tmp_path / "consolidated.00.pth")
    return tmp_path


def test_a_stored_transposed_matrix_is_read_in_rows(write_meta: Callable[..., Path]) -> None:
    folder = write_meta()
    tensors = torch.load(folder / "consolidated.00.pth", weights_only=True)
    tensors = {name: value.mT.contiguous().mT if value.dim() > 1 else value for name, value in tensors.items()}
    torch.save(tensors, folder / "consolidated.00.pth")
    found = load_blocks(str(folder)).states[0]
    assert all(value.is_contiguous() for value in found.values())
    assert torch.equal(found["q.weight"], tensors["layers.2.attention.wq.weight"])


def test_only_as_many_blocks_are_read_as_fit_into_memory(
    write_meta: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_meta()
    block = sum(value.numel() for value in load_blocks(str(folder)).states[0].values())
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * block)
    assert load_blocks(f"{folder}#0,1").layers == (0, 1)
    with pytest.raises(WeightsError, match=r"meta1: its weights take .* take fewer blocks"):
        load_blocks(f"{folder}#0,1,2")
    assert load_blocks(f"{folder}#0,1,2", torch.bfloat16).layers == (0, 1, 2)


@pytest.mark.slow
def test_slicing_a_large_checkpoint_needs_memory_for_one_block(large_checkpoint: Path, tmp_path: Path) -> None:
    total = sum(path.stat().st_size for path in large_checkpoint.iterdir())
    assert total > 20 * BLOCK_BYTES
    command = [sys.executable, "-c", MEASURE, f"{large_checkpoint}#13", str(tmp_path / "cut.safetensors")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, seconds = (float(word) for word in result.stdout.split())
    assert grown < 4 * BLOCK_BYTES, "the block, its pages in the file's cache, and some slack"
    assert seconds < 5
