"""Numbers as metrics.json has them."""

from __future__ import annotations

from typing import Any

import pytest


def _plain(top1: float) -> dict[str, Any]:
    return {
        "pictures": 12,
        "unread": 0,
        "left_out": 0,
        "choices": 3,
        "top1": top1,
        "top5": 0.9,
        "interval": {"top1": [top1 - 0.1, top1 + 0.1], "top5": [0.8, 1.0]},
        "calibration_error": 0.05,
    }


@pytest.fixture
def plain() -> dict[str, Any]:
    """Two classifiers on a split."""
    hits = {"difference": 0.25, "interval": [0.1, 0.4], "p_value": 0.012, "told_apart": True}
    hits |= {"first_only": 5, "second_only": 2, "both": 4, "neither": 1}
    against = {"top1": {"difference": 0.25, "interval": [-0.1, 0.4], "told_apart": False}}
    return _plain(0.75) | {
        "name": "ours <1>",
        "others": {"theirs": _plain(0.5)},
        "paired": {"theirs": {"top1": hits}},
        "failures": {"bad": "bad.png: it is <broken>"},
        "systems": [
            {"name": "ours <1>", "seeds": [0, 1], "mean": {"top1": 0.75}, "values": {"top1": [0.7, 0.8]}},
            {
                "name": "theirs",
                "seeds": [0, 1],
                "mean": {"top1": 0.5},
                "values": {"top1": [0.5, 0.5]},
                "first_against_this": against,
            },
        ],
    }


@pytest.fixture
def corrupted() -> dict[str, Any]:
    """Two classifiers on two corruptions."""

    def numbers(by_corruption: dict[str, list[float]]) -> dict[str, Any]:
        mean = sum(map(sum, by_corruption.values())) / 10
        return {
            "pictures": 12,
            "unread": 0,
            "top1": mean,
            "top5": 0.9,
            "mean_top1": mean,
            "interval": {"mean_top1": [0.2, 0.6], "top5": [0.8, 1.0]},
            "corruptions": by_corruption,
        }

    first = numbers({"fog": [0.9, 0.8, 0.7, 0.6, 0.5], "motion_blur": [0.5, 0.4, 0.3, 0.2, 0.1]})
    second = numbers({"fog": [0.8] * 5, "motion_blur": [0.2] * 5})
    system = {"name": "ours <1>", "seeds": [0], "mean": {"mean_top1": 0.5}, "values": {"mean_top1": [0.5]}}
    return first | {"name": "ours <1>", "others": {"theirs": second | {"mce": 71.25}}, "systems": [system]}
