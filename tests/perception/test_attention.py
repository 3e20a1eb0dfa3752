"""Attention layers shared by the encoders."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.attention import GatheredAttention, Neighbours, RelativeAttention, SelfAttention, pack, unpack

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
    with pytest.raises(ValueError, match="got heads=3"):
        GatheredAttention(8, 3, 2)


def gathered_like(relative: RelativeAttention, dim: int, relation_dim: int) -> GatheredAttention:
    """The same weights, written as gathered attention has them; a value's bias is the output's."""
    heads = relative.heads
    gathered = GatheredAttention(dim, heads, relation_dim).double()
    query, key, value = relative.query_key_value.weight.unflatten(0, (3, -1)).unbind(0)
    bias = relative.query_key_value.bias.unflatten(0, (3, -1))
    with torch.no_grad():
        gathered.query.weight.copy_(query)
        gathered.query.bias.copy_(bias[0])
        gathered.key.copy_(key.unflatten(0, (heads, -1)))
        gathered.value.copy_(value.unflatten(0, (heads, -1)).transpose(1, 2))
        gathered.relation_key.copy_(relative.relation_key)
        gathered.relation_value.copy_(relative.relation_value)
        gathered.out.weight.copy_(relative.out.weight)
        gathered.out.bias.copy_(relative.out.bias + relative.out.weight @ bias[2])
    return gathered


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), tokens=st.integers(1, 9), count=st.integers(1, 9))
def test_gathered_attention_equals_the_dense_masked_one(seed: int, tokens: int, count: int) -> None:
    torch.manual_seed(seed)
    relative = RelativeAttention(8, 2, 3).double()
    gathered = gathered_like(relative, 8, 3)
    valid = torch.ones(1, tokens, dtype=torch.bool)
    neighbours = neighbours_of(valid, count)
    x, relations = torch.randn(tokens, 8).double(), torch.randn(1, tokens, count, 3).double()
    expected = relative(x, valid, neighbours, relations)
    out = gathered(x.unsqueeze(1), x, neighbours.index[0], neighbours.valid[0], relations[0])
    torch.testing.assert_close(out.squeeze(1), expected, rtol=0, atol=1e-12)


def test_gathered_attention_equals_message_passing_of_torch_geometric() -> None:
    """Messages along a list of edges, weighted by a softmax over the edges that end in the same row."""
    geometric = pytest.importorskip("torch_geometric.nn", reason="needs torch-geometric, the extra [graph]")
    from torch_geometric.utils import softmax

    class EdgeAttention(geometric.MessagePassing):
        def __init__(self, of: GatheredAttention) -> None:
            super().__init__(aggr="add", node_dim=0)
            self.of = of

        def forward(self, x, table, edge_index, relations):
            query = self.of.query(x).unflatten(-1, (self.of.heads, -1))
            gathered = self.propagate(edge_index, x=(table, None), query=(None, query), relations=relations)
            return self.of.out(gathered.flatten(1))

        def message(self, x_j, query_i, relations, index, size_i):
            of = self.of
            key = torch.einsum("hdf,ef->ehd", of.key, x_j) + torch.einsum("hdn,en->ehd", of.relation_key, relations)
            value = torch.einsum("hfd,ef->ehd", of.value, x_j) + torch.einsum(
                "hnd,en->ehd", of.relation_value, relations
            )
            weights = softmax((query_i * key).sum(-1) * key.shape[-1] ** -0.5, index, num_nodes=size_i)
            return weights.unsqueeze(-1) * value

    torch.manual_seed(0)
    attention = GatheredAttention(8, 2, 3).double()
    x, table = torch.randn(5, 8).double(), torch.randn(7, 8).double()
    index, valid, relations = torch.randint(7, (5, 4)), torch.rand(5, 4) < 0.6, torch.randn(5, 4, 3).double()
    valid[2] = False  # a row without neighbours
    row, place = valid.nonzero().T
    edges = torch.stack([index[row, place], row])
    expected = EdgeAttention(attention)(x, table, edges, relations[row, place])
    out = attention(x.unsqueeze(1), table, index, valid, relations)
    torch.testing.assert_close(out.squeeze(1), expected, rtol=0, atol=1e-12)


def test_queries_of_a_row_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    attention = GatheredAttention(8, 2, 3)
    x, table = torch.randn(3, 4, 8), torch.randn(5, 8)
    index, valid, relations = torch.randint(5, (3, 2)), torch.ones(3, 2, dtype=torch.bool), torch.randn(3, 2, 3)
    together = attention(x, table, index, valid, relations)
    for query in range(4):
        alone = attention(x[:, [query]], table, index, valid, relations)
        torch.testing.assert_close(together[:, [query]], alone)
