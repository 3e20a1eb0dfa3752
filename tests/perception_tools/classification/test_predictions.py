"""Predictions of prepared records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from perception.errors import InputError
from perception_tools.classification.predictions import Predictions, Prepared, predict_prepared, prepare


class Numbers(Dataset[Prepared]):
    """Vectors, of which some cannot be read."""

    def __init__(self, broken: Sequence[int] = ()) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Prepared:
        return prepare(f"r{index}", None if index == 4 else index, lambda: self._read(index))

    def _read(self, index: int) -> Tensor:
        if index in self.broken:
            raise InputError(f"r{index}: broken")
        return torch.full((3,), float(index))


def predict(broken: Sequence[int] = (), batch: int = 2) -> Predictions:
    return predict_prepared(Numbers(broken), lambda read: torch.stack([*read]), batch=batch, workers=0, title="numbers", noun="number")


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_records_come_in_order_with_the_softmax_of_their_logits(batch: int) -> None:
    found = predict(batch=batch)
    assert found.ids == ("r0", "r1", "r2", "r3", "r4")
    assert found.labels.tolist() == [0, 1, 2, 3, -1]
    np.testing.assert_allclose(found.probabilities, np.full((5, 3), 1 / 3), rtol=1e-6)


def test_records_that_cannot_be_read_are_left_out_and_named() -> None:
    found = predict(broken=(0, 1, 3))
    assert found.ids == ("r2", "r4")
    assert found.failures.reasons == {"r0": "r0: broken", "r1": "r1: broken", "r3": "r3: broken"}
    with pytest.raises(InputError, match="numbers: expected numbers to classify, got none"):
        predict(broken=range(5))
