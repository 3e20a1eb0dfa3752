from __future__ import annotations

import torch

from perception.clouds.grouping import farthest_points
from perception.encoders.point_bert import PointBert, PointBertSize
from perception.encoders.vit import VitSize
from perception_tools.points.bench.naive import NaivePointBert, sample

SIZE = PointBertSize(VitSize(24, 2, 3), 16)


def test_the_usual_way_gives_the_same_tokens() -> None:
    torch.manual_seed(0)
    ours, usual = PointBert(SIZE, 8, 8).double(), NaivePointBert(SIZE, 8, 8).double()
    usual.load_state_dict(ours.state_dict())
    points = torch.randn(3, 60, 3, dtype=torch.float64)
    torch.testing.assert_close(usual(points).values, ours(points).values, rtol=0, atol=1e-10)
    torch.testing.assert_close(usual.eval()(points).values, ours.eval()(points).values, rtol=0, atol=1e-10)


def test_the_usual_loop_chooses_the_same_points() -> None:
    points = torch.randn(2, 700, 3, dtype=torch.float64)
    assert torch.equal(sample(points, 50), farthest_points(points, 50))
