"""What all nodes around a classifier share, without transport: states, the model with its classes, ranked answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float32
from typing_extensions import override

from perception.errors import InputError
from perception_nodes.operations.lifecycle import LifecycleNode
from perception_nodes.ros.classification import RankedClasses, ranked

M = TypeVar("M")


class ClassifierNode(LifecycleNode, ABC, Generic[M]):
    """Classifies what one sensor sees.

    Args:
        top: Number of classes that are named.

    Attributes:
        model_id: Name of the model.
    """

    def __init__(self, top: int = 5) -> None:
        super().__init__()
        self.model_id = ""
        self._top = top
        self._model: M | None = None
        self._classes: tuple[str, ...] = ()

    def configure(self, model: M, classes: Sequence[str], *, model_id: str) -> None:
        """Takes a model in evaluation mode, and runs it once, since its first run takes longer.

        Args:
            model: The model.
            classes: Names of its classes, by label.
            model_id: Name of the model.
        """
        self.lifecycle.check("configure")
        probabilities = self._warm_up(model)
        if len(probabilities) != len(classes):
            raise InputError(
                f"configure: expected a name for each of the model's {len(probabilities)} classes, got {len(classes)}; "
                "take the names of its file"
            )
        self._model, self._classes, self.model_id = model, tuple(classes), model_id
        self.lifecycle.change("configure")

    @abstractmethod
    def _warm_up(self, model: M) -> Float32[np.ndarray, " classes"]:
        """Returns the probabilities of something blank."""

    @override
    def _forget_model(self) -> None:
        self._model = None

    def _active_model(self, call: str) -> M:
        """Returns the model; raises LifecycleError unless the node is active."""
        self.lifecycle.require_active(call)
        assert self._model is not None, "an active node has a model"
        return self._model

    def _ranked(self, probabilities: Float32[np.ndarray, " classes"]) -> RankedClasses:
        """Returns the likeliest classes; raises ValueError if the probabilities are not finite."""
        return ranked(probabilities, self._classes, self._top)
