from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from perception.errors import InputError
from perception_tools.training.bounds import Count, Decay, Index, Positive, Seed, Weight, check_bounds


@dataclass
class Inner:
    rate: Positive = 1.0
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    rates: Mapping[str, Weight] = field(default_factory=dict)


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    passes: Count = 1
    workers: Index = 0
    seed: Seed = 0
    limit: Count | None = None
    name: str = ""
    free: float = -1.0


def test_numbers_in_their_bounds_pass() -> None:
    check_bounds(Outer())
    check_bounds(Outer(Inner(1e-30, (0.0, 0.99), {"head": 0.0}), 10**9, 10**9, 2**32 - 1, 1))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (Outer(passes=0), "passes: expected a number of at least 1, got 0; "),
        (Outer(workers=-1), "workers: expected a number of at least 0, got -1; "),
        (Outer(seed=2**32), r"seed: expected a number from 0 to 4,294,967,295, got 4294967296; "),
        (Outer(limit=0), "limit: expected a number of at least 1, got 0; "),
        (Outer(Inner(rate=0.0)), r"inner\.rate: expected a number above 0, got 0\.0; "),
        (Outer(Inner(rate=math.nan)), r"inner\.rate: expected a number above 0, got nan; "),
        (Outer(Inner(rate=math.inf)), r"inner\.rate: expected a number above 0, got inf; "),
        (Outer(Inner(betas=(0.9, 1.0))), r"inner\.betas: expected a number from 0 to below 1, got 1\.0; "),
        (Outer(Inner(rates={"head": -1.0})), r"inner\.rates: expected a number of at least 0, got -1\.0; "),
    ],
)
def test_a_number_out_of_bounds_is_named_with_them(values: Outer, complaint: str) -> None:
    with pytest.raises(InputError, match=f"^{complaint}"):
        check_bounds(values)
