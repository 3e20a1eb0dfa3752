"""Zarr groups whose attributes hold a digest of the other attributes, so that a changed bit in them is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.files import reading, whole_file

METADATA = "zarr.json"
_DIGEST = "digest"
_DIGEST_BYTES = 16


def digest(*pieces: Any) -> str:
    """Returns the first 128 bits of the SHA-256 of objects with a buffer, one after the other, in hexadecimal."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()[:_DIGEST_BYTES].hex()


def write_group(folder: Path, attributes: Mapping[str, Any]) -> str:
    """Writes the metadata of a group; returns the digest of its attributes."""
    own = _digest_of(attributes)
    content = {"zarr_format": 3, "node_type": "group", "attributes": {**attributes, _DIGEST: own}}
    with whole_file(folder / METADATA) as path:
        path.write_text(json.dumps(content))
    return own


def load_attributes(folder: Path, cure: str) -> dict[str, Any] | None:
    """Returns the attributes of a group as they are in its file; None if the folder has no metadata.

    Raises:
        InputError: The file cannot be parsed, or is not that of a Zarr group; `cure` says what to do.
    """
    path = folder / METADATA
    with reading(path, cure):
        if not path.is_file():
            return None
        content = json.loads(path.read_bytes())
        if (content["zarr_format"], content["node_type"]) != (3, "group"):
            raise ValueError("expected the metadata of a Zarr v3 group")
        attributes = content.get("attributes", {})
        if not isinstance(attributes, dict):
            raise TypeError(f"expected attributes by name, found {type(attributes).__name__}")
        return attributes


def check_digest(folder: Path, attributes: dict[str, Any], cure: str) -> str:
    """Returns the digest of attributes after comparing it with the one among them, which is removed.

    Raises:
        InputError: They differ: the file was damaged, or edited.
    """
    with reading(folder / METADATA, cure):
        stated = attributes.pop(_DIGEST, None)
        own = _digest_of(attributes)
    if stated != own:
        raise InputError(f"{folder / METADATA}: expected attributes with the digest {own}, found {stated!r}; {cure}")
    return own


def read_group(folder: Path, cure: str) -> tuple[dict[str, Any], str] | None:
    """Returns the attributes of a group and their digest; None if the folder has no metadata.

    Raises:
        InputError: The file is damaged; `cure` says what to do.
    """
    attributes = load_attributes(folder, cure)
    if attributes is None:
        return None
    own = check_digest(folder, attributes, cure)
    return attributes, own


def _digest_of(attributes: Mapping[str, Any]) -> str:
    return digest(json.dumps(attributes, sort_keys=True, separators=(",", ":")).encode())
