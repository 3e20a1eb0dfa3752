"""Tiny pictures, made by Pillow."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encodes a picture of a size, of smooth colours that its seed draws."""

    def make(seed: int = 0, width: int = 48, height: int = 40, format: str = "JPEG", mode: str = "RGB") -> bytes:
        small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
        file = io.BytesIO()
        picture.save(file, format, **({"quality": 92} if format == "JPEG" else {}))
        return file.getvalue()

    return make


@pytest.fixture
def folder(tmp_path: Path, encode: Callable[..., bytes]) -> Path:
    """An ImageFolder: three classes with three training pictures and a validation picture each."""
    for number, name in enumerate(("cat", "dog", "owl")):
        for split, count in (("train", 3), ("val", 1)):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for picture in range(count):
                data = encode(10 * number + picture)
                (tmp_path / "set" / split / name / f"{picture}.jpg").write_bytes(data)
    return tmp_path / "set"


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """Writes members into an archive."""

    def write(path: Path, members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=format) as archive:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path

    return write
