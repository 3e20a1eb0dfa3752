"""The attention that the encoders share."""

import pytest
import torch

from perception.attention import SelfAttention
from perception.tokens import Readout


def test_it_equals_pytorchs_multi_head_attention() -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(8, 2).double(), torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    valid = torch.tensor([[True] * 5, [True, False, True, True, False], [False] * 4 + [True]])
    expected, _ = theirs(x, x, x, key_padding_mask=~valid, need_weights=False)
    torch.testing.assert_close(ours(x, valid), expected, rtol=0, atol=1e-12)


def test_reading_rows_gives_the_rows_of_the_whole() -> None:
    attention = SelfAttention(8, 4)
    x, valid = torch.randn(2, 6, 8), torch.ones(2, 6, dtype=torch.bool)
    readout = Readout(torch.tensor([[5, 0], [2, 2]]))
    torch.testing.assert_close(attention(x, valid, readout), readout.gather(attention(x, valid)))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="got heads=3"):
        SelfAttention(8, 3)
