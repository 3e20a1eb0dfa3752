"""The exported file of a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_tools import model_metadata
from perception_tools.export import exported_run
from perception_tools.export import run as exporting
from perception_tools.export.exported_run import current_export, exported_file
from perception_tools.model_metadata import MODEL_FILE


@pytest.fixture
def copy(trained_run: Path, exported_forecaster: tuple[Path, dict], tmp_path: Path) -> Path:
    """A copy of the run, exported; copying has changed the time of its model file."""
    shutil.copytree(trained_run, tmp_path / "run")
    os.utime(tmp_path / "run" / MODEL_FILE, (1e9, 1e9))
    put_beside(tmp_path / "run" / "exported" / "float32.onnx", exported_forecaster[0])
    return tmp_path / "run"


def put_beside(out: Path, exported: Path) -> None:
    out.parent.mkdir(exist_ok=True)
    for file in exported.parent.glob("*.*"):
        shutil.copy(file, out.parent / (out.name if file.suffix == ".onnx" else file.name))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, exported_forecaster: tuple[Path, dict]) -> list[Path]:
    """The files that are exported, which are copies of one."""
    made: list[Path] = []

    def export(_run: Path, out: Path, _precision: str) -> None:
        made.append(out)
        put_beside(out, exported_forecaster[0])

    monkeypatch.setattr(exporting, "export_run", export)
    return made


def test_it_is_made_once_and_again_where_it_is_damaged(copy: Path, made: list[Path]) -> None:
    path = copy / "exported" / "float32.onnx"
    assert exported_file(copy).path == path
    assert made == []
    path.write_bytes(b"damaged")
    assert exported_file(copy).path == path
    shutil.rmtree(path.parent)
    assert exported_file(copy / MODEL_FILE).path == path
    assert made == [path, path]
    assert exported_file(path).path == path, "an exported file is taken as it is"


def test_a_model_of_another_content_is_not_what_was_exported(copy: Path) -> None:
    assert current_export(copy) is not None
    content = bytearray((copy / MODEL_FILE).read_bytes())
    content[-1] ^= 1
    (copy / MODEL_FILE).write_bytes(content)
    assert current_export(copy) is None
    assert current_export(copy, "int8") is None, "there is none of this precision"


def test_where_size_and_time_are_those_of_the_export_the_model_is_not_read(
    trained_run: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: Path) -> str:
        raise AssertionError("the model was read")

    shutil.copystat(trained_run / MODEL_FILE, copy / MODEL_FILE)
    monkeypatch.setattr(exported_run, "digest_of", refuse)
    assert current_export(copy) is not None
    os.utime(copy / MODEL_FILE, (1e9, 1e9))
    with pytest.raises(AssertionError, match="was read"):
        current_export(copy)


def test_a_model_is_hashed_once_as_long_as_it_stays(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real: Callable[..., Any] = model_metadata.hashlib.file_digest

    def digest(*given: Any) -> Any:
        read.append(1)
        return real(*given)

    monkeypatch.setattr(model_metadata.hashlib, "file_digest", digest)
    first = model_metadata.digest_of(copy / MODEL_FILE)
    assert (model_metadata.digest_of(copy / MODEL_FILE), len(read)) == (first, 1)
    os.utime(copy / MODEL_FILE, (2e9, 2e9))
    assert (model_metadata.digest_of(copy / MODEL_FILE), len(read)) == (first, 2)


def test_a_process_without_pytorch_has_another_one_export(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 2, "", "a warning\nperception export: it is too large\n")

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(exported_run.subprocess, "run", run)
    with pytest.raises(InputError, match=r"cannot be exported: perception export: it is too large; run perception exp"):
        exported_file(copy, "int8")
    ((_, *words),) = asked
    out = str(copy / "exported" / "int8.onnx")
    assert words == ["-m", "perception_tools.main", "export", str(copy), out, "--precision", "int8"]
