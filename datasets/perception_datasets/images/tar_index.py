"""Where the members of a tar archive lie in it, found in one pass over their headers, so that each can be read alone.

Reads POSIX's format of 1988 and 2001 and GNU's. Python's `tarfile` takes a damaged header for the end of an archive;
this reader refuses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from perception_datasets.errors import bad_file, reading
from perception_datasets.images.decoding import CURE as PICTURE_CURE
from perception_datasets.images.records import MAX_PICTURE_BYTES, Lookup

CURE = "copy the archive again, or write it anew with tar"
_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_MAX_TEXT_BYTES = 1 << 20
"""Maximum size of a name that does not fit into a header, and of attributes."""
_FILES, _FOLDERS, _LINKS = b"0\x007", b"5", b"12"
_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _GLOBAL_ATTRIBUTES = b"L", b"K", b"x", b"g"


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Path in the archive, without a leading `./`.
        offset: Number of bytes before its content.
        size: Number of bytes.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class MemberPlace:
    """A member of an archive, as a place of a picture."""

    archive: Path
    member: str
    offset: int
    size: int

    @property
    def name(self) -> Path:
        """The archive and the member."""
        return self.archive / self.member

    def read(self) -> bytes:
        """Reads the member."""
        with reading(self.name, PICTURE_CURE):
            if self.size > MAX_PICTURE_BYTES:
                found = f"expected at most {MAX_PICTURE_BYTES >> 20} MB, found {self.size >> 20} MB"
                raise bad_file(self.name, found, PICTURE_CURE)
            with self.archive.open("rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(self.size)
            if len(data) != self.size:
                raise bad_file(self.name, f"expected {self.size:,} bytes, found {len(data):,}", CURE)
            return data


@dataclass(frozen=True)
class MemberPlaces:
    """Members of archives.

    Attributes:
        archives: The archives.
        names: Name of each member.
        rows: Archive (its index), offset and size of each member.
    """

    archives: tuple[Path, ...]
    names: Lookup[str]
    rows: Int64[np.ndarray, "members 3"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> MemberPlace:
        archive, offset, size = map(int, self.rows[index])
        return MemberPlace(self.archives[archive], self.names[index], offset, size)


def read_index(path: Path) -> list[Member]:
    """Returns the files in an archive, in its order.

    Raises:
        RecordError: It is no tar archive, is compressed, truncated or damaged, or holds links or sparse files.
    """
    with reading(path, CURE), path.open("rb", buffering=0) as file:
        return list(_members(path, file.fileno(), path.stat().st_size))


def _members(path: Path, file: int, size: int) -> Iterator[Member]:
    position = 0
    attributes: dict[bytes, bytes] = {}
    while True:
        header = os.pread(file, _BLOCK, position)
        if header == _EMPTY:
            return
        if len(header) < _BLOCK:
            raise bad_file(path, f"expected the end of the archive, found that of the file at byte {size:,}", CURE)
        _check_sum(path, header, position)
        kind, start = header[156:157], position + _BLOCK
        length = (
            int(attributes.get(b"size", -1)) if kind in _FILES and b"size" in attributes else _number(header[124:136])
        )
        name = _text(attributes.get(b"path") or _header_name(header))
        if length < 0 or start + length > size:
            raise bad_file(path, f"{name}: expected {length:,} bytes from byte {start:,}, found {size - start:,}", CURE)
        if kind in (_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _GLOBAL_ATTRIBUTES):
            if length > _MAX_TEXT_BYTES:
                raise bad_file(path, f"byte {position:,}: expected at most 1 MB of attributes, found {length:,}", CURE)
            content = os.pread(file, length, start)
            if kind == _LONG_NAME:
                attributes[b"path"] = content.rstrip(b"\0")
            elif kind == _ATTRIBUTES:
                attributes |= _read_attributes(content)
        else:
            _check_kind(path, name, kind, attributes)
            if kind in _FILES and not name.endswith("/"):
                yield Member(name, start, length)
            attributes = {}
        position = start + -(-length // _BLOCK) * _BLOCK


def _check_sum(path: Path, header: bytes, position: int) -> None:
    stated = header[148:156].strip(b" \0")
    if not stated.isdigit() or int(stated, 8) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        compressed = header[:2] == b"\x1f\x8b" or header[:4] == b"\x28\xb5\x2f\xfd" or header[:3] == b"BZh"
        if position == 0 and compressed:
            raise bad_file(path, "expected an archive that is not compressed, found one that is", "decompress it")
        raise bad_file(path, f"expected the header of a member at byte {position:,}, found something else", CURE)


def _check_kind(path: Path, name: str, kind: bytes, attributes: dict[bytes, bytes]) -> None:
    if kind in _LINKS:
        raise bad_file(path, f"{name}: expected a file, found a link", "write the archive with tar --dereference")
    if kind not in _FILES + _FOLDERS or any(key.startswith(b"GNU.sparse") for key in attributes):
        raise bad_file(path, f"{name}: expected a file, found a member of kind {kind!r}", "write it without --sparse")


def _number(digits: bytes) -> int:
    if digits[0] & 0x80:  # GNU's form for large numbers
        return int.from_bytes(digits[1:], "big")
    return int(digits.strip(b" \0") or b"0", 8)


def _header_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace").removeprefix("./")


def _read_attributes(content: bytes) -> dict[bytes, bytes]:
    """Parses records of the form `LENGTH KEY=VALUE` and a new line, where the length counts the whole record."""
    attributes = {}
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits)
        if not len(digits) + 1 < length <= len(content):
            raise ValueError(f"expected attributes of {len(content)} bytes, found one of {length}")
        key, equals, value = content[len(digits) + 1 : length - 1].partition(b"=")
        if not equals:
            raise ValueError(f"expected an attribute with a value, found {key[:40]!r}")
        attributes[key] = value
        content = content[length:]
    return attributes
