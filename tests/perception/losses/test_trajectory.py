"""The forecasting loss, compared with values computed by hand."""

import math

import torch

from perception.heads.trajectory import TrajectoryModes
from perception.losses.trajectory import END_WEIGHT, trajectory_loss


def two_modes() -> tuple[TrajectoryModes, torch.Tensor]:
    """One agent; mode 0 ends 3 m from the truth, mode 1 ends 0.5 m from it."""
    truth = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]])
    trajectories = torch.tensor([[[[1.0, 0.0], [5.0, 0.0]], [[1.0, 2.0], [2.0, 0.5]]]])
    return TrajectoryModes(trajectories, torch.zeros(1, 2)), truth


def evenly(agents: int) -> torch.Tensor:
    return torch.ones(agents)


def test_only_the_mode_that_ends_nearest_is_regressed() -> None:
    modes, truth = two_modes()
    trajectories = modes.trajectories.clone().requires_grad_()
    loss = trajectory_loss(
        TrajectoryModes(trajectories, modes.logits), truth, torch.ones(1, 2, dtype=torch.bool), evenly(1)
    )
    mean, end = (1.5 + 0.125) / 2, 0.125
    torch.testing.assert_close(loss.regression, torch.tensor((mean + END_WEIGHT * end) / (1 + END_WEIGHT)))
    torch.testing.assert_close(loss.classification, torch.tensor(math.log(2)))
    (gradient,) = torch.autograd.grad(loss.total(1.0), trajectories)
    assert (gradient[:, 0] == 0).all()
    assert (gradient[:, 1] != 0).any()


def test_of_more_winners_the_nearest_are_regressed_alike_and_the_nearest_alone_is_classified() -> None:
    torch.manual_seed(0)
    truth, valid = torch.randn(5, 8, 2), torch.rand(5, 8) > 0.2
    valid[:, 0] = True
    modes = TrajectoryModes(torch.randn(5, 4, 8, 2, requires_grad=True), torch.randn(5, 4))
    one, two, all_ = (trajectory_loss(modes, truth, valid, evenly(5), winners) for winners in (1, 2, 4))
    alone = [
        trajectory_loss(TrajectoryModes(modes.trajectories[:, [k]], modes.logits[:, [k]]), truth, valid, evenly(5))
        for k in range(4)
    ]
    torch.testing.assert_close(all_.regression, torch.stack([part.regression for part in alone]).mean())
    assert one.classification == two.classification == all_.classification
    assert one.expected_end_error == all_.expected_end_error
    (gradient,) = torch.autograd.grad(two.regression, modes.trajectories)
    last = torch.where(valid, torch.arange(8), 0).amax(-1)
    ends = (modes.trajectories.detach() - truth.unsqueeze(1))[torch.arange(5), :, last].norm(dim=-1)
    nearest = torch.zeros(5, 4, dtype=torch.bool).scatter(1, ends.argsort(1)[:, :2], True)
    assert torch.equal(gradient.flatten(2).any(-1), nearest)


def test_steps_without_a_label_have_no_weight_and_the_last_label_decides() -> None:
    modes, truth = two_modes()
    valid = torch.tensor([[True, False]])  # at step 0 mode 0 is exact
    loss = trajectory_loss(modes, truth, valid, evenly(1))
    assert loss.regression == 0


def test_agents_count_by_their_weights_and_padding_does_not() -> None:
    modes, truth = two_modes()
    three = TrajectoryModes(modes.trajectories.repeat(3, 1, 1, 1), modes.logits.repeat(3, 1))
    truths = torch.cat([truth, truth + 1, truth + 100])
    valid = torch.tensor([[True, True], [True, True], [False, False]])
    first, second = (trajectory_loss(modes, truths[[i]], valid[[i]], evenly(1)).total(1.0) for i in (0, 1))
    together = trajectory_loss(three, truths, valid, torch.tensor([3.0, 1.0, 0.0])).total(1.0)
    torch.testing.assert_close(together, (3 * first + second) / 4)
    assert trajectory_loss(three, truths, valid, torch.zeros(3)).total(1.0) == 0


def test_the_expected_end_error_trains_probabilities_but_not_trajectories() -> None:
    modes, truth = two_modes()
    trajectories = modes.trajectories.clone().requires_grad_()
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = trajectory_loss(TrajectoryModes(trajectories, logits), truth, torch.ones(1, 2, dtype=torch.bool), evenly(1))
    torch.testing.assert_close(loss.expected_end_error, torch.tensor((3.0 + 0.5) / 2))
    torch.testing.assert_close(loss.total(0.2), loss.regression + loss.classification + 0.2 * 1.75)
    (gradient,) = torch.autograd.grad(loss.expected_end_error, logits, retain_graph=True)
    assert gradient[0, 0] > 0 > gradient[0, 1]  # away from the mode that is 3 m off
    assert torch.autograd.grad(loss.expected_end_error, trajectories, allow_unused=True) == (None,)


def test_agents_may_have_any_number_of_leading_axes() -> None:
    """Scenarios of a batch, say: the loss is that of the same agents in a row."""
    torch.manual_seed(0)
    modes = TrajectoryModes(torch.randn(2, 3, 4, 5, 2), torch.randn(2, 3, 4))
    futures, valid = torch.randn(2, 3, 5, 2), torch.rand(2, 3, 5) > 0.3
    weights = torch.rand(2, 3) * valid.any(-1)
    flat = TrajectoryModes(modes.trajectories.flatten(0, 1), modes.logits.flatten(0, 1))
    nested = trajectory_loss(modes, futures, valid, weights)
    expected = trajectory_loss(flat, futures.flatten(0, 1), valid.flatten(0, 1), weights.flatten())
    for name in ("regression", "classification", "expected_end_error"):
        torch.testing.assert_close(getattr(nested, name), getattr(expected, name))
