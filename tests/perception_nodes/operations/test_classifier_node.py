from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import Float32

from perception.errors import InputError
from perception_nodes.operations.classifier_node import ClassifierNode
from perception_nodes.operations.lifecycle import LifecycleError, State
from perception_nodes.ros.classification import RankedClasses


class Dice(ClassifierNode[list]):
    """Says what its model, a list of probabilities, says."""

    def throw(self) -> RankedClasses:
        return self._ranked(np.array(self._active_model("throw"), np.float32))

    def _warm_up(self, model: list) -> Float32[np.ndarray, " classes"]:
        return np.array(model, np.float32)


def test_it_answers_with_the_likeliest_classes_while_it_is_active() -> None:
    node = Dice(top=2)
    with pytest.raises(LifecycleError, match="throw: expected an active node, it is unconfigured"):
        node.throw()
    node.configure([0.25, 0.25, 0.5], ("one", "two", "three"), model_id="dice@1")
    with pytest.raises(LifecycleError, match="it is inactive"):
        node.throw()
    node.activate()
    assert node.throw() == RankedClasses(("three", "one"), (0.5, 0.25))
    node.deactivate()
    node.cleanup()
    assert node._model is None
    node.configure([1.0], ("one",), model_id="dice@2")
    assert node.model_id == "dice@2"
    node.shutdown()
    assert node.lifecycle.state is State.FINALISED


def test_a_model_is_taken_once_and_every_class_has_a_name() -> None:
    node = Dice()
    with pytest.raises(InputError, match="expected a name for each of the model's 2 classes, got 1"):
        node.configure([0.5, 0.5], ("one",), model_id="dice")
    node.configure([1.0], ("one",), model_id="dice")
    with pytest.raises(LifecycleError, match="configure: expected a node that is unconfigured, it is inactive"):
        node.configure([1.0], ("one",), model_id="dice")


def test_probabilities_that_are_not_finite_are_no_answer() -> None:
    node = Dice()
    node.configure([np.nan], ("one",), model_id="dice")
    node.activate()
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        node.throw()
