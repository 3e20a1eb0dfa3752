from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from perception.frozen.weights import WeightsError, write_tensors
from perception.frozen.weights import writing as writing_module

TENSORS = {"a": torch.arange(3)}


def test_folders_are_made_and_everybody_may_read(tmp_path: Path):
    path = tmp_path / "new" / "file.safetensors"
    write_tensors(path, TENSORS, {})
    assert torch.equal(load_file(path)["a"], TENSORS["a"])
    assert path.stat().st_mode & stat.S_IROTH


def test_a_failed_write_keeps_the_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, {})

    def full(_tensors: dict, name: Path, _metadata: dict) -> None:
        name.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing_module, "save_file", full)
    with pytest.raises(WeightsError, match=r"file\.safetensors: cannot be written .*No space left"):
        write_tensors(path, {"a": torch.zeros(3)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["file.safetensors"]
    assert torch.equal(load_file(path)["a"], TENSORS["a"])


def test_an_error_of_safetensors_itself_is_reported_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(writing_module, "save_file", full)
    with pytest.raises(WeightsError, match=r"file\.safetensors: cannot be written \(I/O error: No space left"):
        write_tensors(tmp_path / "file.safetensors", TENSORS, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name_length", range(0, 70, 9))
def test_tensors_are_aligned_for_the_kernels(tmp_path: Path, name_length: int):
    path = tmp_path / "file.safetensors"
    write_tensors(path, {"x" * name_length + "a": torch.zeros(16), "b": torch.ones(64, dtype=torch.int8)}, {"of": "us"})
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["of"] == "us"
        addresses = [file.get_tensor(name).data_ptr() for name in file.keys()]
    assert [address % writing_module.ALIGNMENT for address in addresses] == [0, 0]
