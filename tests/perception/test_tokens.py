"""Tokens of an encoder and the rows that a head reads."""

import pytest
import torch

from perception.tokens import Readout, Tokens


def test_a_readout_gathers_repeated_and_unsorted_rows() -> None:
    values = torch.arange(12.0).reshape(2, 3, 2)
    rows = torch.tensor([[2, 0, 2], [1, 1, 0]])
    expected = torch.stack([values[0, [2, 0, 2]], values[1, [1, 1, 0]]])
    assert torch.equal(Readout(rows).gather(values), expected)


def test_without_rows_every_row_is_read() -> None:
    values = torch.randn(2, 3, 4)
    assert Readout().gather(values) is values


def test_the_first_row_is_the_class_token() -> None:
    tokens = Tokens(torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    assert torch.equal(Readout.first(tokens).gather(tokens.values), tokens.values[:, :1])


def test_padding_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected rows beside it"):
        Readout(None, torch.ones(1, 1, dtype=torch.bool))
