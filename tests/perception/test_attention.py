"""The attention that the encoders share."""

import pytest
import torch

from perception.attention import SelfAttention, pack, unpack

VALID = torch.tensor([[True] * 5, [True, False, True, True, False], [False] * 4 + [True]])


def test_it_equals_pytorchs_multi_head_attention() -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(8, 2).double(), torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.query_key_value.weight)
        theirs.in_proj_bias.copy_(ours.query_key_value.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    expected, _ = theirs(x, x, x, key_padding_mask=~VALID, need_weights=False)
    torch.testing.assert_close(ours(pack(x, VALID), VALID), expected[VALID], rtol=0, atol=1e-12)


def test_unpacking_undoes_packing_but_for_what_was_not_valid() -> None:
    values = torch.randn(3, 5, 8)
    packed = pack(values, VALID)
    torch.testing.assert_close(packed, values[VALID], rtol=0, atol=0)
    torch.testing.assert_close(unpack(packed, VALID), values * VALID[..., None], rtol=0, atol=0)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="got heads=3"):
        SelfAttention(8, 3)
