"""Cases of the fast sampling; the tests of `grouping` compare it with the definition."""

from __future__ import annotations

import pytest
import torch

from perception.clouds import farthest
from perception.clouds.farthest import farthest_among
from perception.clouds.grouping import farthest_points, farthest_points_step_by_step


@pytest.mark.parametrize("candidates", [1, 2, 17, 5000])
def test_the_number_of_candidates_changes_nothing(candidates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = torch.cat([torch.randn(1, 900, 3), torch.randint(0, 5, (1, 900, 3)).float()])
    everything = torch.ones(2, 900, dtype=torch.bool)
    expected = farthest_points_step_by_step(clouds, 300, everything, torch.tensor([0, 0]))
    monkeypatch.setattr(farthest, "CANDIDATES", candidates)
    assert torch.equal(farthest_points(clouds, 300), expected)


def test_a_start_that_is_not_eligible_is_kept() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [5, 0, 0]])
    eligible = torch.tensor([False, True, True])
    assert farthest_among(points, eligible, torch.tensor(0), 4).tolist() == [0, 2, 1, 1]


def test_a_single_point_may_be_sampled() -> None:
    assert farthest_among(torch.zeros(3, 3), torch.ones(3, dtype=torch.bool), torch.tensor(0), 1).tolist() == [0]
