"""The camera node's messages: pictures in, `vision_msgs/Classification` out."""

from __future__ import annotations

from perception_nodes.image.node import ImageNode
from perception_nodes.ros.classification import classification_of
from perception_nodes.ros.image import READERS


def answer_to(cdr: bytes, kind: str, node: ImageNode) -> bytes:
    """Returns the CDR of the answer to a picture's message; its header goes out as it came.

    Args:
        cdr: The message.
        kind: Its type, one of `READERS`.
        node: An active node.

    Raises:
        MalformedMessage: The message cannot be used.
        Exception: See `ImageNode.classify`.
    """
    image = READERS[kind](cdr)
    return classification_of(image.header, node.classify(image.pixels))
