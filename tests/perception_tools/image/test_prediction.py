"""Probabilities of a set of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.images.picture_input import PictureInput
from perception_datasets.images.open_pictures import open_pictures
from perception_tools.image.model import load_classifier
from perception_tools.image.prediction import PreparedPictures, predict


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_they_are_the_models_own_whatever_the_batch(batch: int, trained_classifier: Path, pictures: Path) -> None:
    model, val = load_classifier(trained_classifier).model, open_pictures(pictures, "val")
    found = predict(model, val, batch=batch)
    assert found.ids == tuple(record.id for record in val)
    assert found.labels.tolist() == val.labels.tolist()
    np.testing.assert_allclose(found.probabilities, model.classify([val.decode(r) for r in val]), atol=1e-6)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)
    assert len(found.failures) == 0


def test_a_picture_is_prepared_as_in_service(trained_classifier: Path, pictures: Path) -> None:
    model, val = load_classifier(trained_classifier).model, open_pictures(pictures, "val")
    prepared = PreparedPictures(val, model.input)[5]
    assert (prepared.id, prepared.label) == (val[5].id, val[5].label)
    assert torch.equal(prepared.value, model.prepare(val.decode(val[5])))


def test_pictures_are_shown_as_told(trained_classifier: Path, pictures: Path) -> None:
    model, val = load_classifier(trained_classifier).model, open_pictures(pictures, "val")
    shown = PictureInput(32, 32, 0.5)
    found = predict(model, val, shown=shown).probabilities
    model.input = shown
    np.testing.assert_allclose(found, model.classify([val.decode(record) for record in val]), atol=1e-6)
    assert not np.allclose(found, predict(model, val, shown=replace(shown, crop_pct=1.0)).probabilities, atol=1e-6)


def test_broken_pictures_are_left_out_and_named(
    trained_classifier: Path, write_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    model, val = load_classifier(trained_classifier).model, open_pictures(write_pictures(tmp_path / "data"), "val")
    for number in (0, 7):
        val[number].place.name.write_bytes(b"no picture")
    found = predict(model, val, batch=4)
    assert len(found) == 10
    assert [*found.failures.reasons] == [val[0].id, val[7].id]
    assert {val[0].id, val[7].id} & {*found.ids} == set()
    for record in val:
        record.place.name.write_bytes(b"")
    with pytest.raises(InputError, match="expected pictures to classify, got none"):
        predict(model, val)
