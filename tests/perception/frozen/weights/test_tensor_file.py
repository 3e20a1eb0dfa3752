from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from perception.frozen.weights import WeightsError
from perception.frozen.weights.tensor_file import open_tensors

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


@pytest.mark.parametrize("content", [STATE, {"model": STATE}, {"epoch": 3, "state_dict": STATE}])
def test_tensors_of_a_pth_file_are_found_where_training_scripts_put_them(content: dict, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    found = open_tensors(tmp_path / "model.pth")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())


def test_tensors_of_a_safetensors_file(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    found = open_tensors(tmp_path / "model.safetensors")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())


@pytest.mark.parametrize("content", [{"weights": STATE}, {"model": {"inner": STATE}}, [1]])
def test_tensors_elsewhere_are_not_looked_for(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="expected a flat dict of tensors"):
        open_tensors(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_file_that_is_cut_short_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(WeightsError, match=rf"{name}: it cannot be parsed .*download it again"):
        open_tensors(path)
