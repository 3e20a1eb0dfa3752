"""Rows of comparisons."""

from __future__ import annotations

import pytest

from perception_tools.report.comparison_rows import paired_rows, percent, system_rows


def test_a_pair_has_its_difference_counts_and_verdict() -> None:
    hits = {"difference": 0.25, "interval": [0.1, 0.4], "p_value": 0.0123, "told_apart": True}
    ((name, cells),) = paired_rows({"theirs": {"top1": hits | {"first_only": 5000, "second_only": 2}}})
    assert name == "theirs, top1"
    assert [(cell.text, cell.note) for cell in cells] == [
        ("+25.00", "+10.00 to +40.00"), ("5,000", ""), ("2", ""), ("0.012", ""), ("yes", "")
    ]  # fmt: skip


@pytest.mark.parametrize(("told_apart", "verdict"), [(True, "yes"), (False, "no")])
def test_systems_have_their_range_and_all_but_the_first_a_difference(told_apart: bool, verdict: str) -> None:
    against = {"m": {"difference": -0.5, "interval": [-0.6, -0.4], "told_apart": told_apart}}
    first, second = system_rows(
        [
            {"name": "ours", "mean": {"m": 0.25}, "values": {"m": [0.2, 0.3]}},
            {"name": "theirs", "mean": {"m": 0.75}, "values": {"m": [0.75]}, "first_against_this": against},
        ],
        "m",
    )
    assert [(cell.text, cell.note) for cell in first[1]] == [
        ("2", ""), ("25.00", "20.00 to 30.00"), ("–", ""), ("–", "")
    ]  # fmt: skip
    assert [(cell.text, cell.note) for cell in second[1]][2:] == [("-50.00", "-60.00 to -40.00"), (verdict, "")]
    assert percent(0.12345) == "12.35"
