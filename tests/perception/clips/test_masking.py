from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from perception.clips.masking import tube_masks


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(2, 5), st.floats(0, 1))
def test_the_same_places_are_hidden_at_all_times(count: int, times: int, rows: int, columns: int, ratio: float) -> None:
    masked = tube_masks(count, (times, rows, columns), ratio).view(count, times, rows * columns)
    assert (masked == masked[:, :1]).all()
    hidden = masked[:, 0].sum(1)
    assert (hidden == hidden[0]).all()
    assert 1 <= hidden[0] < rows * columns


def test_nine_tenths_of_videomaes_places_are_hidden_and_drawn_anew() -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = (tube_masks(2, (8, 14, 14), 0.9, draw) for _ in range(2))
    assert first.sum(1).tolist() == [8 * 176] * 2
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, tube_masks(2, (8, 14, 14), 0.9, torch.Generator().manual_seed(0)))
