"""The trajectory decoder."""

import torch

from perception.heads.trajectory import TrajectoryDecoder
from perception.scenario import STEP_S


def test_without_deviation_every_mode_goes_on_at_constant_velocity() -> None:
    decoder = TrajectoryDecoder(8, modes=3, steps=4)
    for parameter in ("regress.1.weight", "regress.1.bias"):
        torch.nn.init.zeros_(decoder.get_parameter(parameter))
    modes = decoder(torch.randn(2, 5, 8), torch.tensor([3.0, -1.0]).expand(2, 5, 2))
    assert modes.trajectories.shape == (2, 5, 3, 4, 2)
    torch.testing.assert_close(modes.trajectories[1, 2, 0, -1], torch.tensor([12.0, -4.0]) * STEP_S)


def test_probabilities_sum_to_one_and_their_gradient_stays_out_of_the_trajectories() -> None:
    decoder = TrajectoryDecoder(8, modes=3, steps=4)
    modes = decoder(torch.randn(5, 8), torch.zeros(5, 2))
    torch.testing.assert_close(modes.probabilities.sum(-1), torch.ones(5))
    modes.logits.square().sum().backward()
    assert decoder.regress[1].weight.grad is None
