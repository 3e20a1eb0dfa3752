from __future__ import annotations

import torch

from perception.losses.masked_pixels import EPS, masked_pixel_loss, pixel_targets


def test_each_colour_of_a_tubelet_is_normalised_by_itself_and_laid_out_by_pixels() -> None:
    torch.manual_seed(0)
    tubelets = torch.rand(2, 5, 3 * 8)
    targets = pixel_targets(tubelets).view(2, 5, 8, 3)
    torch.testing.assert_close(targets.mean(2), torch.zeros(2, 5, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(targets.var(2), torch.ones(2, 5, 3), rtol=0, atol=1e-3)
    colours = tubelets.view(2, 5, 3, 8)
    first = (colours[0, 0, 1] - colours[0, 0, 1].mean()) / colours[0, 0, 1].std()
    torch.testing.assert_close(targets[0, 0, :, 1], first, rtol=1e-4, atol=1e-4)


def test_only_hidden_tubelets_count_and_a_flat_one_is_no_special_case() -> None:
    tubelets = torch.rand(1, 3, 24)
    tubelets[0, 1] = 0.5
    masked = torch.tensor([[False, True, True]])
    targets = pixel_targets(tubelets)
    assert masked_pixel_loss(targets[:, 1:], tubelets, masked) == 0
    torch.testing.assert_close(masked_pixel_loss(targets[:, 1:] + 2, tubelets, masked), torch.tensor(4.0))
    assert targets[0, 1].abs().max() == 0


def test_a_tubelet_of_hardly_any_contrast_is_damped() -> None:
    pixels = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(4) * EPS
    targets = pixel_targets(pixels.repeat(3).view(1, 1, 24)).view(8, 3)
    deviation = (8 / 7) ** 0.5 * EPS
    torch.testing.assert_close(targets[:, 0], pixels / (deviation + EPS))
