from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.rooms.balance import KEEP, balance

QUESTIONS = st.lists(st.tuples(st.sampled_from("QRS"), st.sampled_from("abc"), st.integers(0, 10**6)), max_size=80)


@given(QUESTIONS)
@settings(max_examples=40, deadline=None)
def test_no_answer_of_a_group_is_more_frequent_than_the_second(questions: list[tuple[str, str, int]]) -> None:
    kept = balance(questions, lambda q: q[1], [lambda q: q[0]], np.random.default_rng(0))
    assert [q for q in questions if any(q is k for k in kept)] == kept
    for text in "QRS":
        before = Counter(q[1] for q in questions if q[0] == text).most_common()
        after = Counter(q[1] for q in kept if q[0] == text)
        second = before[1][1] if len(before) > 1 else 0
        for answer, count in before:
            assert after[answer] == min(count, max(second, KEEP))


def test_groups_of_every_key_are_balanced() -> None:
    rng = np.random.default_rng(0)
    questions = [(q, s, "yes" if rng.random() < 0.7 else "no") for q in range(20) for s in range(3) for _ in range(9)]
    kept = balance(questions, lambda q: q[2], [lambda q: q[0], lambda q: q[1]], rng)
    for side in range(3):
        counts = Counter(q[2] for q in kept if q[1] == side)
        assert abs(counts["yes"] - counts["no"]) <= 0.15 * counts.total()
