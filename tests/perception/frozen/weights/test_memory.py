from __future__ import annotations

import pytest
import torch

from perception.frozen.weights import WeightsError
from perception.frozen.weights.memory import available_memory, expect_memory


def test_the_available_memory_is_that_of_a_machine() -> None:
    assert 10**7 < available_memory() < 10**15


def test_what_fits_passes_and_what_does_not_is_refused_with_both_sizes() -> None:
    expect_memory(1_000, torch.float32, "a")
    with pytest.raises(WeightsError, match=r"^a: its weights take 4000000000\.0 GB of memory, of which .* GB are"):
        expect_memory(10**18, torch.float32, "a")
