"""The video node's messages: pictures in, now and then `vision_msgs/Classification` out."""

from __future__ import annotations

from collections.abc import Callable

from perception_nodes.ros.classification import classification_of
from perception_nodes.ros.image import READERS
from perception_nodes.video.node import VideoNode


def answer_to(cdr: bytes, kind: str, node: VideoNode, wait: Callable[[], bool] = lambda: False) -> bytes | None:
    """Returns the CDR of the answer to a picture's message, with its header; None if none is due.

    Args:
        cdr: The message.
        kind: Its type, one of `READERS`.
        node: An active node.
        wait: Whether an answer that is due can wait for the next picture.

    Raises:
        MalformedMessage: The message cannot be used.
        Exception: See `VideoNode.see` and `VideoNode.classify`.
    """
    image = READERS[kind](cdr)
    if not node.see(image.header.stamp_ns, image.pixels) or wait():
        return None
    return classification_of(image.header, node.classify())
