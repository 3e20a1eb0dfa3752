"""mmTransformer's loss, compared with values computed by hand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from perception.heads.trajectory import TrajectoryModes
from perception.losses.trajectory_proposals import ProposalLoss, proposal_loss, true_ends

LABELLED = torch.ones(1, 2, dtype=torch.bool)


def four_modes() -> tuple[TrajectoryModes, torch.Tensor]:
    """One agent; in region 0 modes end 3 and 0.5 m from the truth, in region 1 both end in it."""
    truth = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]])
    first = [[[1.0, 0.0], [5.0, 0.0]], [[1.0, 2.0], [2.0, 0.5]]]
    return TrajectoryModes(torch.tensor([[*first, *truth.tolist(), *truth.tolist()]]), torch.zeros(1, 4)), truth


def loss_of(modes: TrajectoryModes, truth: torch.Tensor, region: int, **options) -> ProposalLoss:
    valid = options.pop("valid", LABELLED)
    return proposal_loss(modes, truth, valid, torch.ones(1), torch.tensor([region]), **options)


def test_the_best_proposal_of_the_region_that_holds_the_truth_is_regressed_and_no_other() -> None:
    modes, truth = four_modes()
    trajectories = modes.trajectories.clone().requires_grad_()
    loss = loss_of(TrajectoryModes(trajectories, modes.logits), truth, 0, regions=2)
    torch.testing.assert_close(loss.regression, torch.tensor((1.5 + 0.125) / 2))
    (gradient,) = torch.autograd.grad(loss.total(), trajectories)
    assert (gradient[:, [0, 2, 3]] == 0).all()
    assert (gradient[:, 1] != 0).any()


def test_proposals_of_other_regions_change_the_regions_score_alone() -> None:
    modes, truth = four_modes()
    logits = modes.logits.clone().requires_grad_()
    loss = loss_of(TrajectoryModes(modes.trajectories, logits), truth, 0, regions=2)
    (of_confidence,) = torch.autograd.grad(loss.confidence, logits, retain_graph=True)
    (of_region,) = torch.autograd.grad(loss.region, logits)
    assert (of_confidence[:, 2:] == 0).all()
    torch.testing.assert_close(loss.region, torch.tensor(math.log(2)))
    assert (of_region[:, 2:] > 0).all()


def test_confidences_learn_how_near_proposals_end() -> None:
    modes, truth = four_modes()
    wanted = torch.tensor([[-3.0, -0.5]]).softmax(-1)
    expected = F.kl_div(torch.zeros(1, 2).log_softmax(-1), wanted, reduction="sum")
    torch.testing.assert_close(loss_of(modes, truth, 0, regions=2).confidence, expected)
    learnt = TrajectoryModes(modes.trajectories, torch.tensor([[-3.0, -0.5, 0.0, 0.0]]))
    torch.testing.assert_close(loss_of(learnt, truth, 0, regions=2).confidence, torch.tensor(0.0))


def test_one_region_trains_all_proposals_and_has_no_score() -> None:
    modes, truth = four_modes()
    loss = loss_of(modes, truth, 0)
    assert loss.region == 0
    assert loss.regression == 0  # the third is the truth


def test_steps_without_a_label_have_no_weight_and_the_last_label_decides() -> None:
    modes, truth = four_modes()
    valid = torch.tensor([[True, False]])  # at step 0 mode 0 is exact
    assert loss_of(modes, truth, 0, regions=2, valid=valid).regression == 0
    torch.testing.assert_close(true_ends(truth, valid), torch.tensor([[1.0, 0.0]]))


def test_agents_without_weight_do_not_count() -> None:
    modes, truth = four_modes()
    both = TrajectoryModes(modes.trajectories.repeat(2, 1, 1, 1), modes.logits.repeat(2, 1))
    futures = torch.cat([truth, truth + 100])
    valid, region = LABELLED.repeat(2, 1), torch.tensor([0, 1])
    loss = proposal_loss(both, futures, valid, torch.tensor([1.0, 0.0]), region, regions=2)
    torch.testing.assert_close(loss.total(), loss_of(modes, truth, 0, regions=2).total())


def test_weights_are_shares_and_leading_axes_make_no_difference() -> None:
    torch.manual_seed(0)
    modes = TrajectoryModes(torch.randn(3, 2, 4, 5, 2), torch.randn(3, 2, 4))
    futures, weights = torch.randn(3, 2, 5, 2), torch.rand(3, 2)
    valid, region = torch.rand(3, 2, 5) < 0.7, torch.randint(2, (3, 2))
    valid[..., 0] = True
    flat = TrajectoryModes(modes.trajectories.flatten(0, 1), modes.logits.flatten(0, 1))
    one_by_one = [
        proposal_loss(
            TrajectoryModes(flat.trajectories[i : i + 1], flat.logits[i : i + 1]),
            futures.flatten(0, 1)[i : i + 1],
            valid.flatten(0, 1)[i : i + 1],
            torch.ones(1),
            region.flatten()[i : i + 1],
            regions=2,
        )
        for i in range(6)
    ]
    shares = weights.flatten() / weights.sum()
    loss = proposal_loss(modes, futures, valid, weights, region, regions=2)
    for part in ("regression", "confidence", "region"):
        expected = sum(share * getattr(one, part) for share, one in zip(shares, one_by_one, strict=True))
        torch.testing.assert_close(getattr(loss, part), expected)


def test_the_true_end_is_that_of_the_last_label_of_each_agent() -> None:
    futures = torch.arange(3 * 4 * 2.0).view(3, 4, 2)
    valid = torch.tensor([[True, True, True, False], [False, False, False, False], [True, False, False, True]])
    torch.testing.assert_close(true_ends(futures, valid), futures[torch.arange(3), torch.tensor([2, 0, 3])])
