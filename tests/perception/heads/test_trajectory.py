"""The trajectory decoder."""

import pytest
import torch

from perception.encoders.vectornet.vectorize import POSITION_SCALE
from perception.heads.trajectory import CONTROL_POINTS, ResidualMLP, TrajectoryDecoder, bernstein
from perception.traffic.scenario import STEP_S


def test_without_deviation_every_mode_goes_on_at_constant_velocity() -> None:
    decoder = TrajectoryDecoder(8, modes=3, steps=4)
    for parameter in ("regress.1.weight", "regress.1.bias"):
        torch.nn.init.zeros_(decoder.get_parameter(parameter))
    modes = decoder(torch.randn(2, 5, 8), torch.tensor([3.0, -1.0]).expand(2, 5, 2))
    assert modes.trajectories.shape == (2, 5, 3, 4, 2)
    torch.testing.assert_close(modes.trajectories[1, 2, 0, -1], torch.tensor([12.0, -4.0]) * STEP_S)


def test_a_residual_block_adds_before_it_normalises() -> None:
    block, x = ResidualMLP(8), torch.randn(5, 8)
    torch.testing.assert_close(block(x), torch.relu(block.norm(x + block.mlp(x))))


def test_a_mode_is_scored_by_where_it_ends_in_the_scale_of_all_positions() -> None:
    decoder, agents = TrajectoryDecoder(8, modes=3, steps=4), torch.randn(5, 8)
    modes = decoder(agents, 10 * torch.randn(5, 2))
    ends = POSITION_SCALE * modes.trajectories[:, :, -1]
    expected = decoder.score(agents[:, None] + decoder.mode + decoder.endpoint(ends))
    torch.testing.assert_close(modes.logits, expected[..., 0])


def test_what_a_future_has_seen_by_itself_is_added_to_its_agent() -> None:
    decoder, agents, seen = TrajectoryDecoder(8, modes=3, steps=4), torch.randn(2, 5, 8), torch.randn(2, 5, 3, 8)
    velocities = torch.randn(2, 5, 2)
    modes, without = decoder(agents, velocities, seen), decoder(agents, velocities)
    (alike,) = decoder(agents[:1] + seen[:1, :, 1], velocities[:1]).trajectories
    torch.testing.assert_close(modes.trajectories[0, :, 1], alike[:, 1])
    assert not torch.allclose(modes.trajectories, without.trajectories)
    torch.testing.assert_close(decoder(agents, velocities, torch.zeros_like(seen)).logits, without.logits)


def test_modes_begin_half_as_far_apart_as_normalised_tokens() -> None:
    torch.manual_seed(0)
    assert TrajectoryDecoder(8, modes=1000).mode.std().item() == pytest.approx(0.5, rel=0.05)


def test_what_follows_from_the_number_of_steps_is_not_stored_with_the_weights() -> None:
    assert TrajectoryDecoder(8, steps=30).state_dict().keys() == dict(TrajectoryDecoder(8).named_parameters()).keys()


def test_probabilities_sum_to_one_and_their_gradient_stays_out_of_the_trajectories() -> None:
    decoder = TrajectoryDecoder(8, modes=3, steps=4)
    modes = decoder(torch.randn(5, 8), torch.zeros(5, 2))
    torch.testing.assert_close(modes.probabilities.sum(-1), torch.ones(5))
    modes.logits.square().sum().backward()
    assert decoder.regress[1].weight.grad is None


@pytest.mark.parametrize("steps", [30, 60])
def test_a_deviation_is_the_bezier_curve_of_its_control_points_and_ends_in_the_last(steps: int) -> None:
    """By de Casteljau's construction, which repeats linear interpolation."""
    control_points = torch.randn(CONTROL_POINTS, 2, dtype=torch.float64)
    curve = bernstein(CONTROL_POINTS, steps).double() @ control_points
    torch.testing.assert_close(curve[-1], control_points[-1], atol=1e-6, rtol=0)
    for step in (0, steps // 3, steps - 2):
        points, s = torch.cat([torch.zeros(1, 2, dtype=torch.float64), control_points]), (step + 1) / steps
        while len(points) > 1:
            points = (1 - s) * points[:-1] + s * points[1:]
        torch.testing.assert_close(curve[step], points[0], atol=1e-5, rtol=0)


def test_futures_of_a_fresh_decoder_are_smooth() -> None:
    """A third difference of independent numbers is larger than the numbers; of a curve it all but vanishes."""
    torch.manual_seed(0)
    trajectories = TrajectoryDecoder(8, steps=30)(torch.randn(50, 8), torch.zeros(50, 2)).trajectories.detach()
    assert trajectories.diff(n=3, dim=-2).abs().max() < 0.05 * trajectories.abs().max()


def test_half_precision_does_not_coarsen_the_curve() -> None:
    decoder = TrajectoryDecoder(8, steps=30)
    torch.nn.init.zeros_(decoder.get_parameter("regress.1.weight"))
    torch.nn.init.constant_(decoder.get_parameter("regress.1.bias"), 5.0)  # all control points at 50 m, 50 m
    with torch.autocast("cpu", torch.bfloat16):
        trajectories = decoder(torch.randn(1, 8), torch.zeros(1, 2)).trajectories
    expected = 50 * bernstein(CONTROL_POINTS, 30).sum(-1)
    torch.testing.assert_close(trajectories[0, 0, :, 0], expected, atol=1e-3, rtol=0)
