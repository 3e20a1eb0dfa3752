from __future__ import annotations

import pytest

from perception.metrics.answer_matching import RULES
from perception_tools.scene_qa.published import LLAMA, PUBLISHED, TEST_COUNTS

COUNTS = {"first_token": tuple(TEST_COUNTS.values()), "mcan": (1147, 652, 465, 338, 351, 566)}


def is_whole_count(percent: float, questions: int) -> bool:
    """Whether some number of right answers gives this percentage, rounded as printed."""
    near = int(percent * questions / 100)
    return any(round(100 * right / questions, 2) == percent for right in range(near - 1, near + 3))


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.types], ids=lambda row: row.method)
def test_the_columns_of_a_row_are_whole_counts_under_the_rule_that_it_states_and_no_other(row) -> None:
    for rule, counts in COUNTS.items():
        whole = all(is_whole_count(share, count) for share, count in zip(row.by_type, counts, strict=True))
        assert whole == (rule == row.types)
    assert sum(s * n for s, n in zip(row.by_type, COUNTS[row.types], strict=True)) / 3519 == pytest.approx(
        row.em1, abs=0.02
    )


def test_the_llama_row_is_not_made_of_whole_counts_as_its_note_warns() -> None:
    weighted = sum(s * n for s, n in zip(LLAMA.by_type, TEST_COUNTS.values(), strict=True)) / 3519
    assert weighted == pytest.approx(48.25, abs=0.01)
    assert not is_whole_count(LLAMA.em1, 3519)
    assert "48.25" in LLAMA.note


def test_every_row_has_a_source_a_rule_and_plausible_numbers_and_comes_once() -> None:
    assert len({row.method for row in PUBLISHED}) == len(PUBLISHED)
    for row in PUBLISHED:
        assert row.source
        assert row.rule
        assert row.scores
        assert row.scores.keys() <= RULES.keys()
        assert len(row.by_type) in (0, len(TEST_COUNTS))
        assert all(0 < share < 100 for share in (*row.scores.values(), *row.by_type))
        assert row.scores.get("em1", 0) < row.scores.get("em10", 100)


def test_one_checkpoint_is_told_under_three_rules() -> None:
    (cdviews,) = (row for row in PUBLISHED if row.method == "cdViews")
    assert cdviews.scores == {"em1_cleaned": 48.59, "refined": 51.38, "lenient": 56.8}
    assert all("lenient" in row.scores for row in PUBLISHED if "language models" in row.rule)
