"""A classifier in a runtime, which a stand-in computes here with the model itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.images.image import Picture
from perception.models.image_classifier import ImageClassifier
from perception_nodes.exported.model_file import ExportedFile
from perception_nodes.image.exported_classifier import ExportedClassifier
from perception_nodes.image.node import ImageNode

CLASSES = ["cat", "dog", "owl"]


class StandIn:
    """A runtime that asks the model."""

    backend, inputs, plans_by_size = "stand-in", ("images",), False

    def __init__(self, model: ImageClassifier, **changes: object) -> None:
        self.model = model
        metadata = {"picture": asdict(model.input), "classes": CLASSES, **changes}
        self.file = ExportedFile(Path("model.onnx"), metadata, ())

    def run(self, arrays):
        with torch.inference_mode():
            return {"logits": self.model(torch.from_numpy(arrays["images"])).numpy()}


def pictures(count: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture(str(n), rng.integers(0, 256, (40 + 9 * n, 50, 3), dtype=np.uint8)) for n in range(count)]


def test_probabilities_are_the_models(image_classifier: ImageClassifier) -> None:
    found = ExportedClassifier(StandIn(image_classifier)).classify(pictures(3))
    np.testing.assert_allclose(found, image_classifier.classify(pictures(3)), atol=1e-6)


def test_a_node_takes_it_in_place_of_the_model(image_classifier: ImageClassifier) -> None:
    served, (picture,) = ExportedClassifier(StandIn(image_classifier)), pictures(1)
    node = ImageNode(top=3)
    node.configure(served, served.classes, model_id="exported")  # pyright: ignore[reportArgumentType]
    node.activate()
    assert set(node.classify(picture.pixels).names) == set(CLASSES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture": None}, "how pictures are shown, found None; export again"),
        ({"picture": {"height": 32, "width": 32}}, "how pictures are shown, found"),
        ({"picture": {"mean": 3, "std": [1, 1, 1]}}, "how pictures are shown, found"),
        ({"classes": "cat"}, "the names of its classes"),
        ({"classes": ["cat", 3]}, "the names of its classes"),
    ],
)
def test_a_file_that_does_not_say_enough_is_refused(
    changes: dict, message: str, image_classifier: ImageClassifier
) -> None:
    with pytest.raises(InputError, match=message):
        ExportedClassifier(StandIn(image_classifier, **changes))
