"""A part of the training pictures, kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_datasets.images.records import FilePlaces, PackedTexts, Pictures
from perception_tools.image.held_out import hold_out


def make_pictures(labels: list[int]) -> Pictures:
    names = PackedTexts(f"{number}.png" for number in range(len(labels)))
    classes = tuple(f"class{label}" for label in range(max(labels) + 1))
    places = FilePlaces(Path("folder"), names)
    return Pictures(Path("folder"), "train", "made", classes, names, np.array(labels, np.int64), places)


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_parts_are_disjoint_complete_even_and_a_function_of_the_seed(
    labels: list[int], share: float, seed: int
) -> None:
    pictures = make_pictures(labels)
    counts = np.bincount(labels, minlength=6)
    expected = np.minimum(np.floor(share * counts + 0.5), np.maximum(counts - 1, 0)).astype(int)
    if not expected.any():
        with pytest.raises(InputError, match="expected a picture or more of a class"):
            hold_out(pictures, share, seed)
        return
    train, held = hold_out(pictures, share, seed)
    assert np.bincount(held.labels, minlength=6).tolist() == expected.tolist()
    numbers = [[int(name.removesuffix(".png")) for name in ids(part)] for part in (train, held)]
    assert sorted(numbers[0] + numbers[1]) == list(range(len(labels)))
    for part, rows in zip((train, held), numbers, strict=True):
        assert rows == sorted(rows)
        assert part.labels.tolist() == [labels[row] for row in rows]
        assert part.classes == pictures.classes
        assert all(part[i].place.name == Path("folder") / part.ids[i] for i in range(len(part)))
    again = hold_out(pictures, share, seed)[1]
    assert ids(again) == ids(held)


def ids(pictures: Pictures) -> tuple[str, ...]:
    return tuple(record.id for record in pictures)


def test_another_seed_holds_out_others() -> None:
    pictures = make_pictures([0, 1] * 50)
    drawn = {ids(hold_out(pictures, 0.2, seed)[1]) for seed in range(5)}
    assert len(drawn) == 5


def test_the_draw_of_a_class_does_not_depend_on_the_others() -> None:
    few, many = make_pictures([0] * 20), make_pictures([0] * 20 + [1] * 7)
    held = {*ids(hold_out(few, 0.3, 1)[1])}
    assert held == {name for name in ids(hold_out(many, 0.3, 1)[1]) if int(name.removesuffix(".png")) < 20}
