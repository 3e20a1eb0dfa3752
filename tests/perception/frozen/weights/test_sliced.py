from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from perception.frozen.weights import WeightsError, load_blocks, write_slice


def cut(uri: str, path: Path, dtype: torch.dtype | None = None) -> Path:
    write_slice(load_blocks(uri, dtype), path)
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Changes tensors and metadata of a file, keeping the rest."""
    with safe_open(path, framework="pt") as file:
        kept = {name: file.get_tensor(name).clone() for name in file.keys()}
        metadata = (file.metadata() or {}) | metadata
    save_file(kept | tensors, path, metadata)


def test_slice_of_a_model_holds_the_blocks_of_the_model(hugging_face_folder: Path, tmp_path: Path) -> None:
    source = load_blocks(f"{hugging_face_folder}#1,2")
    path = cut(f"{hugging_face_folder}#1,2", tmp_path / "new folder" / "cut.safetensors")
    blocks = load_blocks(str(path))
    assert (blocks.config, blocks.layers, blocks.source_layers) == (source.config, (1, 2), 3)
    assert blocks.fingerprint == source.fingerprint
    assert blocks.sliced_from == source.source
    assert torch.equal(blocks.final_norm["weight"], source.final_norm["weight"])
    assert all(torch.equal(blocks.states[1][name], value) for name, value in source.states[1].items())


def test_layers_of_a_slice_count_as_in_the_whole_model(hugging_face_folder: Path, tmp_path: Path) -> None:
    path = cut(f"{hugging_face_folder}#0,1", tmp_path / "cut.safetensors")
    expected = load_blocks(f"{hugging_face_folder}#1")
    assert load_blocks(f"{path}#1").fingerprint == load_blocks(f"{path}#-2").fingerprint == expected.fingerprint
    with pytest.raises(WeightsError, match=r"has no block 2: it holds \[0, 1\] of its model"):
        load_blocks(f"{path}#-1")


def test_slice_of_a_slice_keeps_the_source_model(hugging_face_folder: Path, tmp_path: Path) -> None:
    first = cut(f"{hugging_face_folder}#0,1", tmp_path / "first.safetensors")
    second = load_blocks(str(cut(f"{first}#1", tmp_path / "second.safetensors")))
    assert second.sliced_from == f"{hugging_face_folder}#0,1"
    assert second.layers == (1,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_stored_type_is_the_one_asked_for(hugging_face_folder: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    path = cut(str(hugging_face_folder), tmp_path / "cut.safetensors", dtype)
    stored = load_blocks(str(path), dtype=None)
    assert stored.states[0]["up.weight"].dtype is dtype
    assert f"torch.{stored.stored_dtype}" == str(dtype)
    assert load_blocks(str(path)).states[0]["up.weight"].dtype is torch.float32


@pytest.mark.parametrize("name", ["2.q.weight", "final_norm.weight"])
def test_changed_weight_is_detected(hugging_face_folder: Path, tmp_path: Path, name: str) -> None:
    path = cut(str(hugging_face_folder), tmp_path / "cut.safetensors")
    with safe_open(path, framework="pt") as file:
        value = file.get_tensor(name).clone()
    value.view(-1)[0] += 1e-3
    rewrite(path, {name: value}, {})
    with pytest.raises(WeightsError, match=r"cut\.safetensors: its weights have changed since it was written"):
        load_blocks(str(path))


def test_changed_configuration_is_detected(hugging_face_folder: Path, tmp_path: Path) -> None:
    path = cut(str(hugging_face_folder), tmp_path / "cut.safetensors")
    with safe_open(path, framework="pt") as file:
        config = file.metadata()["config"]
    rewrite(path, {}, {"config": config.replace("1e-05", "1e-02")})
    with pytest.raises(WeightsError, match="its weights have changed since it was written"):
        load_blocks(str(path))


def test_cut_short_file_is_named(hugging_face_folder: Path, tmp_path: Path) -> None:
    path = cut(str(hugging_face_folder), tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: it cannot be parsed .*cut it again"):
        load_blocks(str(path))


def test_safetensors_file_of_a_model_is_not_taken_for_a_slice(tmp_path: Path) -> None:
    save_file({"model.norm.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="expected a file that `perception block slice` wrote"):
        load_blocks(str(tmp_path / "model.safetensors"))


def test_name_that_would_not_be_recognised_is_refused(hugging_face_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a name that ends in \.safetensors"):
        cut(str(hugging_face_folder), tmp_path / "cut.bin")
