"""What a classifier says, ranked, and as `vision_msgs/Classification`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from perception_nodes.ros.message_header import MessageHeader
from perception_nodes.ros.messages import CLASSIFICATION, header, make, serialize


@dataclass(frozen=True)
class RankedClasses:
    """The likeliest classes, the likeliest first.

    Attributes:
        names: Names of the classes.
        scores: Their probabilities.
    """

    names: tuple[str, ...]
    scores: tuple[float, ...]


def ranked(probabilities: Float[np.ndarray, " classes"], names: Sequence[str], count: int) -> RankedClasses:
    """Returns the likeliest classes; of equally likely ones the first by label.

    Raises:
        ValueError: The probabilities are not finite.
    """
    if not np.isfinite(probabilities).all():
        raise ValueError("the probabilities are not finite")
    best: list[int] = np.argsort(-probabilities, kind="stable")[:count].tolist()
    return RankedClasses(tuple(names[i] for i in best), tuple(float(probabilities[i]) for i in best))


def classification_of(sensed: MessageHeader, classes: RankedClasses) -> bytes:
    """Returns the CDR of a `vision_msgs/Classification`, whose `class_id` is the name of the class.

    Args:
        sensed: Header of what was classified, which goes out as it came.
        classes: The classes.
    """
    results = [
        make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score)
        for name, score in zip(classes.names, classes.scores, strict=True)
    ]
    message = make(CLASSIFICATION, header=header(sensed.stamp_ns, sensed.frame_id), results=results)
    return serialize(message, CLASSIFICATION)
