"""UUIDs of tracked objects, by which Autoware's messages name them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
from jaxtyping import UInt8


def uuids_of(ids: Iterable[str]) -> UInt8[np.ndarray, "objects 16"]:
    """Returns track ids that are UUIDs as they are, and for each other id a UUID that is the same every time."""
    return np.frombuffer(b"".join(_uuid(name).bytes for name in ids), np.uint8).reshape(-1, 16)


def texts_of(uuids: UInt8[np.ndarray, "objects 16"]) -> tuple[str, ...]:
    """Returns UUIDs as text; nothing for the nil UUID, which names no object."""
    digits = uuids.tobytes().hex()
    rows = (digits[start : start + 32] for start in range(0, len(digits), 32))
    nil = "0" * 32
    return tuple("" if d == nil else f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in rows)


def passing_id(stamp_ns: int, number: int) -> str:
    """Returns a name for an object that has none: no two of a stream are equal, and a replay gives the same."""
    return str(uuid5(NAMESPACE_OID, f"{stamp_ns} {number}"))


@lru_cache(8192)
def _uuid(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        return uuid5(NAMESPACE_OID, name)
