"""Fingerprints of the files that a record was read from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_SAMPLE_BYTES = 4096


def fingerprint(paths: Iterable[Path]) -> str:
    """Returns 32 hexadecimal digits that change with the files; a folder stands for the files directly in it.

    They depend on each file's name, size, time of modification, and first and last 4 kB. The times tell of an edit in
    place; the samples tell files of the same size apart whose times were lost, as in container images. A whole file is
    not read, because that would take as long as preparing it again.
    """
    hashed = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            hashed.update(_state(file))
    return hashed.hexdigest()[:32]


def _state(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            head = opened.read(_SAMPLE_BYTES)
            opened.seek(max(0, status.st_size - _SAMPLE_BYTES))
            sample = hashlib.sha256(head + opened.read(_SAMPLE_BYTES)).hexdigest()
        return f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\0{sample}\n".encode()
    except OSError as error:  # such as a folder in the folder; reading the record tells whether it matters
        return f"{file.name}\0{error.errno}\n".encode()
