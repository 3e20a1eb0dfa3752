"""Limits of a request to the block service. Importing them costs nothing, so that help and checks are instant."""

from __future__ import annotations

from dataclasses import dataclass, fields

from perception.errors import InputError


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request, so that no client can fill the service's memory, or keep it from the others for long.

    Attributes:
        max_bytes: Maximum size of a message. A busy scene has 100 kB.
        max_tokens: Maximum number of tokens of a set.
        max_memory_mb: Maximum memory that computing a request takes, MiB.
        max_gflop: Maximum work of a request, 10⁹ multiplications and additions. With LLaMA-7B's block, 256 rows are 80.
    """

    max_bytes: int = 16 * 2**20
    max_tokens: int = 8192
    max_memory_mb: int = 512
    max_gflop: int = 100

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise InputError(
                    f"{field.name}: expected at least 1, got {getattr(self, field.name)}; give a positive number"
                )


DEFAULT_LIMITS = RequestLimits()
