"""The head for proposals: frames, regions, and which of many are given out."""

from __future__ import annotations

import pytest
import torch

from perception.heads.trajectory import TrajectoryModes
from perception.heads.trajectory_proposals import ProposalDecoder


def test_steps_add_up_and_are_turned_into_each_agents_own_frame() -> None:
    decoder = ProposalDecoder(8, modes=3, steps=4)
    torch.nn.init.zeros_(decoder.get_parameter("reg_mlp.4.weight"))
    with torch.no_grad():
        decoder.get_parameter("reg_mlp.4.bias").copy_(
            torch.tensor([0.0, 2.0]).repeat(4)
        )  # 2 m a step along the view's +y
    headings = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])  # along +y, +x, -y
    modes = decoder(torch.randn(3, 8), torch.randn(3, 3, 8), headings)
    assert modes.trajectories.shape == (3, 3, 4, 2)
    expected = torch.tensor([[8.0, 0.0], [0.0, 8.0], [-8.0, 0.0]])
    torch.testing.assert_close(modes.trajectories[:, 1, -1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(modes.trajectories[0, 0, :, 0], torch.tensor([2.0, 4.0, 6.0, 8.0]), atol=1e-5, rtol=0)


def test_a_point_is_in_the_region_with_the_least_distance_less_the_weight() -> None:
    decoder = ProposalDecoder(8, modes=6, regions=3)
    decoder.set_regions(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), torch.tensor([0.0, 60.0, 0.0]))
    ends = torch.tensor([[1.0, 0.0], [4.0, 0.0], [1.0, 9.0]])
    assert decoder.region_of(ends).tolist() == [0, 1, 2]  # the second is nearer to the first centre


def test_up_to_six_proposals_are_given_out_as_they_are() -> None:
    modes = TrajectoryModes(torch.randn(2, 6, 5, 2), torch.randn(2, 6))
    assert ProposalDecoder(8).answer(modes) is modes


def test_of_many_the_likeliest_that_end_apart_come_first_and_then_the_others() -> None:
    ends = torch.tensor([0.0, 1.0, 10.0, 11.0, 20.0, 30.0, 40.0, 41.0])
    trajectories = torch.stack([ends, torch.zeros(8)], dim=-1)[None, :, None]
    logits = torch.tensor([[8.0, 7.0, 5.0, 6.0, 4.0, 3.0, 2.0, 1.0]])
    answered = ProposalDecoder(8, modes=8).answer(TrajectoryModes(trajectories, logits))
    assert answered.trajectories[0, :, 0, 0].tolist() == [0.0, 11.0, 20.0, 30.0, 40.0, 1.0]
    assert answered.logits.tolist() == [[8.0, 6.0, 4.0, 3.0, 2.0, 7.0]]
    torch.testing.assert_close(answered.probabilities.sum(), torch.tensor(1.0))


def test_of_equally_likely_proposals_the_first_comes_first_and_near_ones_keep_their_order() -> None:
    ends = torch.tensor([0.0, 10.0, 20.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    trajectories = torch.stack([ends, torch.zeros(8)], dim=-1)[None, :, None]
    logits = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 4e-7, 0.0, 0.0]])
    answered = ProposalDecoder(8, modes=8).answer(TrajectoryModes(trajectories, logits))
    torch.testing.assert_close(answered.trajectories[0, :, 0, 0], torch.tensor([0.0, 10.0, 20.0, 0.3, 0.1, 0.2]))


def test_proposals_are_shared_out_evenly() -> None:
    with pytest.raises(ValueError, match="regions that divide modes=6, got regions=4"):
        ProposalDecoder(8, modes=6, regions=4)


def test_regions_are_kept_with_the_weights() -> None:
    decoder = ProposalDecoder(8, modes=6, regions=2)
    decoder.set_regions(torch.ones(2, 2), torch.ones(2))
    other = ProposalDecoder(8, modes=6, regions=2)
    other.load_state_dict(decoder.state_dict())
    assert other.region_weights.tolist() == [1, 1]
