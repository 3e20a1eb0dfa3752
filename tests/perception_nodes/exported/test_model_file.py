"""Which exported files are opened, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.exported.model_file import FORMAT, expect_inputs, is_exported, open_exported


def test_a_file_says_what_it_is(write_model: Callable[..., Path], tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", {"format": FORMAT, "name": "forecast/tiny", "future_steps": 30})
    file = open_exported(path)
    assert (file.name, file.metadata["future_steps"], file.weights) == ("forecast/tiny", 30, ())
    assert is_exported(path)
    assert not is_exported(tmp_path / "model.safetensors")


def test_weights_beside_it_are_found(write_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "block.weights").write_bytes(bytes(4096 + 24))
    path = write_model(tmp_path / "model.onnx", location="block.weights", offset=4096)
    assert open_exported(path).weights == (tmp_path / "block.weights",)


@pytest.mark.parametrize("place", ["../block.weights", "/etc/passwd", "sub/block.weights", "..", "", "a\\b"])
def test_weights_elsewhere_are_refused(place: str, write_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "block.weights").write_bytes(bytes(24))
    with pytest.raises(InputError, match="expected the names of files beside it"):
        open_exported(write_model(tmp_path / "model.onnx", location=place))


def test_weights_that_are_named_deep_inside_are_refused_too(
    write_model: Callable[..., Path], hide_in_subgraph: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path = write_model(tmp_path / "model.onnx")
    hide_in_subgraph(path, "../../secret")
    with pytest.raises(InputError, match=r"expected the names of files beside it, it names '\.\./\.\./secret'"):
        open_exported(path)


def test_a_link_a_missing_file_and_a_short_one_are_refused(write_model: Callable[..., Path], tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", location="block.weights")
    with pytest.raises(InputError, match=r"expected a plain file with the weights of model\.onnx, found none"):
        open_exported(path)
    (tmp_path / "other").write_bytes(bytes(24))
    (tmp_path / "block.weights").symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match="expected a plain file"):
        open_exported(path)
    (tmp_path / "block.weights").unlink()
    (tmp_path / "block.weights").write_bytes(bytes(23))
    with pytest.raises(InputError, match="expected at least 24 bytes, found 23"):
        open_exported(path)


@pytest.mark.parametrize("metadata", [{}, {"format": "something else"}])
def test_files_of_others_are_refused(metadata: dict, write_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file of format 'frozen-perception onnx 1'"):
        open_exported(write_model(tmp_path / "model.onnx", metadata))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="expected an ONNX file, found something else"):
        open_exported(tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"none\.onnx"):
        open_exported(tmp_path / "none.onnx")


def test_a_batch_without_an_input_is_refused(write_model: Callable[..., Path], tmp_path: Path) -> None:
    file = open_exported(write_model(tmp_path / "model.onnx"))
    expect_inputs(file, {"x", "further"}, {"x"})
    with pytest.raises(InputError, match="its graph reads x, which its input does not give"):
        expect_inputs(file, {"y"}, {"x"})
