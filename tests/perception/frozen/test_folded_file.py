from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import load_folded, load_tail, save_folded
from perception.frozen.weights import WeightsError
from perception.tokens import Tokens

SOURCE = "random:128x344x4?seed=1"


@pytest.fixture
def adapter() -> FrozenBlockAdapter:
    torch.manual_seed(0)
    return build_adapter(16, source=SOURCE, bias=True, residual=True, matched=True).requires_grad_(False)


@pytest.fixture
def tokens() -> Tokens:
    torch.manual_seed(1)
    return Tokens(torch.randn(3, 10, 16), torch.rand(3, 10) < 0.8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8", "int8_dynamic"])
@pytest.mark.parametrize("post_norm", ["unit_rms", "none"])
def test_a_loaded_pipeline_gives_the_same_values_as_the_saved_one(precision, post_norm, tokens: Tokens, tmp_path: Path):
    folded = fold(build_adapter(16, source=SOURCE, post_norm=post_norm), precision)
    loaded = load_folded(save_folded(folded, tmp_path, "forecaster"))
    assert torch.equal(loaded(tokens), folded(tokens))
    assert loaded.fingerprint == folded.fingerprint


def test_pipelines_share_the_tails_file_and_object(adapter: FrozenBlockAdapter, tokens: Tokens, tmp_path: Path):
    first = fold(adapter)
    second = fold(build_adapter(24, source=SOURCE), tail=first.tail)
    paths = [save_folded(first, tmp_path, "forecaster"), save_folded(second, tmp_path, "answerer")]
    assert len(list(tmp_path.glob("block-*"))) == 1
    tail = load_tail(next(tmp_path.glob("block-*")))
    loaded = [load_folded(path, tail) for path in paths]
    assert all(one.tail is tail for one in loaded)
    assert torch.equal(loaded[0](tokens), first(tokens))


def test_int8_weights_load_for_either_kernel(adapter: FrozenBlockAdapter, tmp_path: Path):
    save_folded(fold(adapter, "int8"), tmp_path, "forecaster")
    assert load_tail(next(tmp_path.glob("block-*")), "int8_dynamic").precision == "int8_dynamic"
    with pytest.raises(WeightsError, match=r"expected float32 weights, found int8"):
        load_tail(next(tmp_path.glob("block-*")), "float32")


def test_a_tail_of_another_block_is_refused(adapter: FrozenBlockAdapter, tmp_path: Path):
    path = save_folded(fold(adapter), tmp_path, "forecaster")
    other = fold(build_adapter(16, source="random:128x344x4?seed=2"))
    with pytest.raises(WeightsError, match="folded from the block"):
        load_folded(path, other.tail)


def test_a_changed_weight_is_noticed(adapter: FrozenBlockAdapter, tmp_path: Path):
    path = save_folded(fold(adapter), tmp_path, "forecaster")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["attention.q"][0, 0] += 1
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match="changed since it was written"):
        load_folded(path)


@pytest.mark.parametrize("size", [0, 20, 1000])
def test_a_truncated_file_is_named(adapter: FrozenBlockAdapter, tmp_path: Path, size: int):
    path = save_folded(fold(adapter), tmp_path, "forecaster")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"forecaster\.safetensors: it cannot be parsed .*fold the adapter again"):
        load_folded(path)


def test_a_missing_tail_is_named(adapter: FrozenBlockAdapter, tmp_path: Path):
    path = save_folded(fold(adapter), tmp_path, "forecaster")
    next(tmp_path.glob("block-*")).unlink()
    with pytest.raises(WeightsError, match=r"block-.*: no such file; fold the adapter again"):
        load_folded(path)


def test_a_pipelines_file_is_not_accepted_as_a_tail(adapter: FrozenBlockAdapter, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"expected a perception-folded-tail file, got format 'perception-folded"):
        load_tail(save_folded(fold(adapter), tmp_path, "forecaster"))


def test_a_folder_that_cannot_be_written_is_named(adapter: FrozenBlockAdapter, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        save_folded(fold(adapter), tmp_path / "file", "forecaster")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux' account of mapped memory")
def test_processes_share_one_copy_of_the_tail(tmp_path: Path):
    """A process that loads and uses 40 MB of weights allocates almost no memory, because it maps the file."""
    save_folded(fold(build_adapter(16, source="random:1024x2752x8")), tmp_path, "p")
    script = f"""
        import torch
        from pathlib import Path
        from perception.frozen.folded_file import load_folded
        from perception.tokens import Tokens
        def anonymous():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("Anonymous")).split()[1])
        tokens = Tokens(torch.randn(1, 4, 16), torch.ones(1, 4, dtype=torch.bool))
        torch.randn(64, 64) @ torch.randn(64, 64)
        before = anonymous()
        loaded = load_folded(Path({str(tmp_path / "p.safetensors")!r}))
        loaded(tokens)
        print(anonymous() - before)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    allocated_kb = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert allocated_kb < 12_000  # of 38 MB of tail
