"""mmTransformer's network: the published sizes, and the numbers of the released code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from perception.encoders.mm_transformer.batch import SceneBatch
from perception.encoders.mm_transformer.network import LaneNet, MMTransformer
from perception.heads.trajectory_proposals import ProposalDecoder

PARAMETERS = {
    "hist_tf": 663_680,
    "lane_enc": 265_216,
    "lane_dec": 397_824,
    "lane_emb": 8_320,
    "pos_emb": 4_480,
    "dist_emb": 115_200,
    "fusion1": 41_472,
    "fusion2": 41_472,
    "social_enc": 265_216,
    "query_embed": 768,
    "subgraph": 2_464,
}
"""Number of weights in each module of the released network; its header has 403,261 with 384 that it never uses."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def batch_of(
    histories: torch.Tensor, positions: torch.Tensor, lanes: torch.Tensor, agents: list[int], lane_counts: list[int]
) -> SceneBatch:
    """Views that ask about their first agent and look along its heading."""
    views, rows = len(histories), 1

    def valid(counts: list[int], most: int) -> torch.Tensor:
        return torch.arange(most) < torch.tensor(counts).unsqueeze(1)

    return SceneBatch(
        histories,
        positions,
        valid(agents, histories.shape[1]),
        lanes,
        valid(lane_counts, lanes.shape[1]),
        torch.zeros(views, rows, dtype=torch.long),
        torch.ones(views, rows, dtype=torch.bool),
        torch.tensor([1.0, 0.0]).expand(views, rows, 2).clone(),
        torch.zeros(views, rows, 2),
        torch.zeros(views, rows, 30, 2),
        torch.zeros(views, rows, 30, dtype=torch.bool),
    )


def random_batch(seed: int = 0) -> SceneBatch:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return batch_of(draw(2, 4, 19, 4), 10 * draw(2, 4, 2), 10 * draw(2, 5, 9, 7), [4, 2], [5, 3])


def test_every_module_has_as_many_parameters_as_the_released_one() -> None:
    encoder = MMTransformer()
    assert {name: count(module) for name, module in encoder.named_children()} == PARAMETERS
    assert count(ProposalDecoder()) == 403_261 - 384


def test_more_proposals_widen_the_queries_and_what_folds_them_alone() -> None:
    sizes = {name: count(module) for name, module in MMTransformer(modes=36).named_children()}
    assert sizes == PARAMETERS | {"query_embed": 36 * 128, "dist_emb": PARAMETERS["dist_emb"] + 30 * 128 * 128}


def test_equal_weights_give_the_numbers_of_the_released_code() -> None:
    """Expected: what decisionforce/mmTransformer's own modules gave for these weights and arrays, to 5 decimals."""
    encoder, head = MMTransformer(), ProposalDecoder()
    weights = {f"stacked_transformer.{name}": p for name, p in encoder.named_parameters() if "subgraph" not in name}
    weights |= {name: p for name, p in encoder.named_parameters() if "subgraph" in name}
    weights |= {f"stacked_transformer.prediction_header.{name}": p for name, p in head.named_parameters()}
    with torch.no_grad():
        for seed, name in enumerate(sorted(weights)):
            centre = float(weights[name].dim() == 1 and "norm" in name and name.endswith("weight"))
            weights[name].copy_(centre + _draw(tuple(weights[name].shape), seed, 0.1))
    lane = _draw((2, 4, 10, 5), 1003, 8.0)
    vectors = torch.cat([lane[:, :, :-1, :2], lane[:, :, 1:, :2], lane[:, :, 1:, 2:]], dim=-1)
    batch = batch_of(_draw((2, 3, 19, 4), 1001, 1.0), _draw((2, 3, 2), 1002, 20.0), vectors, [3, 2], [4, 2])
    tokens = encoder(batch)
    modes = head(*tokens.split(tokens.readout.gather(tokens.values)), tokens.headings)
    ends = [[-0.50181, 0.87727, -0.50398, 0.87735], [-0.52672, 0.87124, -0.52789, 0.87150]]
    torch.testing.assert_close(modes.trajectories[:, 0, [0, 5], -1].flatten(1), torch.tensor(ends), atol=3e-5, rtol=0)
    torch.testing.assert_close(
        modes.trajectories[0, 0, 3, [0, 10]], torch.tensor([[0.07276, -0.27284], [0.72247, 0.67933]]), atol=3e-5, rtol=0
    )
    confidences = torch.tensor([[0.165277, 0.168161], [0.166331, 0.166277]])
    torch.testing.assert_close(modes.probabilities[:, 0, [0, 5]], confidences, atol=3e-6, rtol=0)


def _draw(shape: tuple[int, ...], seed: int, scale: float) -> torch.Tensor:
    """NumPy keeps this generator's numbers for ever."""
    return torch.from_numpy(scale * np.random.RandomState(seed).standard_normal(shape)).float()


def test_agents_and_lanes_are_one_sequence_and_padding_is_marked() -> None:
    batch = random_batch()
    tokens = MMTransformer(dim=16)(batch)
    assert tokens.values.shape == (2, 4 + 5, 16)
    assert tokens.valid.tolist() == [[True] * 9, [True] * 2 + [False] * 2 + [True] * 3 + [False] * 2]
    assert tokens.proposals is not None
    assert tokens.proposals.shape == (2, 1, 6, 16)
    assert tokens.readout.rows is batch.rows


def test_the_block_may_see_agents_alone() -> None:
    tokens = MMTransformer(dim=16, block_tokens="agents")(random_batch())
    assert tokens.values.shape == (2, 4, 16)


def test_proposals_that_pass_the_block_stand_behind_all_tokens_and_come_back_as_they_were() -> None:
    batch = random_batch()
    torch.manual_seed(0)
    beside = MMTransformer(dim=16)(batch)
    torch.manual_seed(0)
    through = MMTransformer(dim=16, block_rows="proposals")(batch)
    assert through.values.shape == (2, 9 + 6, 16)
    assert through.proposals is None
    for ours, theirs in zip(
        through.split(through.readout.gather(through.values)),
        beside.split(beside.readout.gather(beside.values)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("rows", ["agents", "proposals"])
def test_what_pads_changes_nothing(rows) -> None:
    torch.manual_seed(0)
    encoder, batch = MMTransformer(dim=16, block_rows=rows).eval(), random_batch()
    shorter = batch_of(batch.histories[1:, :2], batch.positions[1:, :2], batch.lanes[1:, :3], [2], [3])
    (padded, alone) = (
        tokens.split(tokens.readout.gather(tokens.values)) for tokens in (encoder(batch), encoder(shorter))
    )
    torch.testing.assert_close(padded[0][1:], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded[1][1:], alone[1], atol=1e-5, rtol=1e-5)


def test_an_agent_sees_lanes_and_other_agents() -> None:
    torch.manual_seed(0)
    encoder, batch = MMTransformer(dim=16).eval(), random_batch()
    before = encoder(batch)
    batch.lanes[0, 4] += 1.0
    lanes_moved = encoder(batch)
    batch.histories[1, 1] += 1.0
    agent_moved = encoder(batch)
    assert not torch.allclose(before.values[0, 0], lanes_moved.values[0, 0])
    torch.testing.assert_close(before.values[1], lanes_moved.values[1])
    assert not torch.allclose(lanes_moved.values[1, 0], agent_moved.values[1, 0])


def test_without_lanes_all_numbers_are_finite() -> None:
    batch = random_batch()
    batch.lanes_valid[:] = False
    tokens = MMTransformer(dim=16)(batch)
    assert tokens.values.isfinite().all()
    assert tokens.proposals is not None
    assert tokens.proposals.isfinite().all()


def test_a_lane_feature_does_not_depend_on_the_order_of_its_vectors() -> None:
    net, vectors = LaneNet(7, 32), torch.randn(3, 9, 7)
    assert net(vectors).shape == (3, 64)
    torch.testing.assert_close(net(vectors.flip(1)), net(vectors))


def test_proposals_begin_orthogonal_and_do_not_decay() -> None:
    encoder = MMTransformer()
    queries = encoder.query_embed.weight
    torch.testing.assert_close(queries @ queries.T, torch.eye(6), atol=1e-5, rtol=0)
    assert queries.requires_grad
    assert encoder.no_weight_decay() == ["query_embed.weight"]
