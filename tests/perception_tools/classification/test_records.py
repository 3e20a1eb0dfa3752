"""Records with labels in batches: those that cannot be read are named, and never counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception.errors import InputError
from perception_tools.classification.predictions import Prepared
from perception_tools.classification.records import (
    ShownRecord,
    collate_training,
    collate_validation,
    labelled,
    show_readable,
)


@dataclass(frozen=True)
class Numbers:
    labels: np.ndarray
    path: Path = Path("numbers")
    ids: tuple[str, ...] = ("a", "b", "c")


NUMBERS = Numbers(np.array([4, 5, 6]))


def show(index: int) -> list[Tensor]:
    if index == 2:
        raise InputError("c: broken")
    return [torch.full((2,), float(index)), torch.zeros(2)]


def test_a_record_is_shown_with_all_its_copies() -> None:
    shown = show_readable(NUMBERS, 1, show, "numbers")
    assert [value.tolist() for value in shown.values] == [[1, 1], [0, 0]]
    assert (shown.label, shown.unread) == (5, ())


def test_another_record_comes_with_its_own_label_and_the_name_of_the_broken_one() -> None:
    shown = show_readable(NUMBERS, 2, show, "numbers")
    assert (shown.label, shown.unread) == (4, (("c", "c: broken"),))


def test_a_batch_of_training_holds_every_copy_and_names_what_could_not_be_read() -> None:
    copies = (torch.zeros(4, 3), torch.ones(4, 3))
    batch = collate_training([ShownRecord(copies, 1, (("a", "why"),)), ShownRecord((torch.ones(4, 3),), 0)])
    assert batch.values.shape == (3, 4, 3)
    assert (batch.labels.tolist(), batch.unread) == ([1, 1, 0], (("a", "why"),))


def test_a_batch_of_validation_leaves_out_what_could_not_be_read() -> None:
    broken = Prepared("b", 0, None, "why")
    batch = collate_validation([broken, Prepared("c", 2, torch.ones(4, 3))])
    assert batch.values.shape == (1, 4, 3)
    assert (batch.labels.tolist(), batch.unread) == ([2], (("b", "why"),))
    assert len(collate_validation([broken]).labels) == 0


def test_a_split_without_labels_is_refused() -> None:
    assert labelled(NUMBERS, "train", "number") is NUMBERS
    with pytest.raises(
        InputError, match="numbers: expected labels for all numbers of split 'train', found 2 without one"
    ):
        labelled(Numbers(np.array([-1, 3, -1])), "train", "number")
