from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from perception.frozen.weights import WeightsError
from perception.frozen.weights.pickled import open_pickled


class Attack:
    """An object of a malicious file: unpickling it runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch attacked",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Attack()}, "model.bin")
    with pytest.raises(WeightsError, match=r"refused, it holds more than tensors \(.*\bsystem\b.*\)$") as error:
        open_pickled(Path("model.bin"))
    assert not Path("attacked").exists()
    assert "Re-running" not in str(error.value), "PyTorch's advice to switch the protection off"


def test_cut_short_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"weight": torch.ones(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"model\.bin: it cannot be parsed .*download it again"):
        open_pickled(path)


def test_file_of_the_old_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"weight": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"one from before PyTorch 1\.6 must be saved anew"):
        open_pickled(path)


@pytest.mark.parametrize("content", [torch.ones(2), {"model": {"weight": torch.ones(2)}}])
def test_anything_but_a_flat_dict_of_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(WeightsError, match="expected a flat dict of tensors"):
        open_pickled(tmp_path / "model.bin")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        open_pickled(tmp_path / "model.bin")


def test_compressed_content_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(1_000_000))
    assert (tmp_path / "bomb.bin").stat().st_size < 2_000
    with pytest.raises(WeightsError, match=r"bomb\.bin: refused, 'model/data\.pkl' in it is compressed"):
        open_pickled(tmp_path / "bomb.bin")


def test_a_shape_without_its_numbers_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "model.bin")
    with pytest.raises(WeightsError, match="'weight' has fewer numbers in the file than its shape"):
        open_pickled(tmp_path / "model.bin")


def test_a_file_saved_on_a_gpu_is_opened_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.bin")
    assert torch.equal(open_pickled(tmp_path / "model.bin")["weight"], torch.ones(2))


def test_an_object_of_another_kind_is_named(tmp_path: Path) -> None:
    torch.save({"weight": Path("model")}, tmp_path / "model.bin")
    with pytest.raises(WeightsError, match=r"refused, it holds more than tensors \(.*Path"):
        open_pickled(tmp_path / "model.bin")
