from __future__ import annotations

import torch

from perception.scenes.viewpoint import ViewpointEstimate


def test_the_rotation_is_the_unit_quaternion_in_the_direction_of_the_regressed_one() -> None:
    estimate = ViewpointEstimate(torch.randn(5, 3), torch.randn(5, 4))
    torch.testing.assert_close(estimate.rotation.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(estimate.rotation * estimate.quaternion.norm(dim=-1, keepdim=True), estimate.quaternion)
