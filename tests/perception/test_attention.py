"""Attention layers shared by the encoders."""

import pytest
import torch

from perception.attention import Neighbours, RelativeAttention, SelfAttention, pack, unpack

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


def neighbours_of(valid: torch.Tensor, count: int) -> Neighbours:
    """At most `count` valid tokens of the same entry in random order; padding tokens have no neighbours."""
    index = torch.zeros(*valid.shape, count, dtype=torch.long)
    known = torch.zeros(*valid.shape, count, dtype=torch.bool)
    for entry, token in valid.nonzero().tolist():
        others = valid[entry].nonzero().squeeze(1)
        chosen = others[torch.randperm(len(others))[:count]]
        index[entry, token, : len(chosen)], known[entry, token, : len(chosen)] = chosen, True
    return Neighbours(index, known)


def test_relative_attention_equals_the_definition_of_shaw_et_al() -> None:
    torch.manual_seed(0)
    heads, width, attention = 2, 4, RelativeAttention(8, 2, 3).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    neighbours, relations = neighbours_of(VALID, 3), torch.randn(3, 5, 3, 3, dtype=torch.float64)
    query, key, value = attention.query_key_value(x).unflatten(-1, (3, heads, width)).unbind(2)
    expected = []
    for entry, token in VALID.nonzero().tolist():
        seen = neighbours.valid[entry, token]
        who, relation = neighbours.index[entry, token][seen], relations[entry, token][seen]
        gathered = []
        for head in range(heads):
            keys = key[entry, who, head] + relation @ attention.relation_key[head].T
            values = value[entry, who, head] + relation @ attention.relation_value[head]
            weights = (keys @ query[entry, token, head] / width**0.5).softmax(0)
            gathered.append(weights @ values)
        expected.append(attention.out(torch.cat(gathered)))
    out = attention(pack(x, VALID), VALID, neighbours, relations)
    torch.testing.assert_close(out, torch.stack(expected), rtol=0, atol=1e-12)


def test_relative_attention_to_all_tokens_without_relations_is_self_attention() -> None:
    torch.manual_seed(0)
    relative, plain = RelativeAttention(8, 2, 3).double(), SelfAttention(8, 2).double()
    plain.load_state_dict({n: p for n, p in relative.state_dict().items() if not n.startswith("relation")})
    x, nothing = torch.randn(int(VALID.sum()), 8, dtype=torch.float64), torch.zeros(3, 5, 5, 3, dtype=torch.float64)
    out = relative(x, VALID, neighbours_of(VALID, 5), nothing)
    torch.testing.assert_close(out, plain(x, VALID), rtol=0, atol=1e-12)


def test_gather_returns_the_values_of_the_neighbours() -> None:
    neighbours, values = neighbours_of(VALID, 2), torch.randn(3, 5, 4)
    gathered = neighbours.gather(values)
    for entry, token, place in neighbours.valid.nonzero().tolist():
        theirs = values[entry, neighbours.index[entry, token, place]]
        torch.testing.assert_close(gathered[entry, token, place], theirs, rtol=0, atol=0)


def test_unpack_undoes_pack_except_for_padding() -> None:
    values = torch.randn(3, 5, 8)
    packed = pack(values, VALID)
    torch.testing.assert_close(packed, values[VALID], rtol=0, atol=0)
    torch.testing.assert_close(unpack(packed, VALID), values * VALID[..., None], rtol=0, atol=0)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="got heads=3"):
        SelfAttention(8, 3)
    with pytest.raises(ValueError, match="got heads=3"):
        RelativeAttention(8, 3, 2)
