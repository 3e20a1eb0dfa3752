"""The newest scene, encoded once for all questions about it, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from perception.errors import InputError
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.scenes.scene import Scene
from perception_nodes.scene_qa.scene_map import SceneSnapshot


@dataclass(frozen=True)
class EncodedScene:
    """A scene, and what questions need of it."""

    snapshot: SceneSnapshot
    tokens: SceneTokens


class SceneEncoder:
    """Encodes snapshots one at a time; whoever asks for the same one meanwhile waits for the same result.

    Args:
        encode: Gives a snapshot's tokens.

    Attributes:
        newest: What was encoded last.
    """

    def __init__(self, encode: Callable[[SceneSnapshot], SceneTokens]) -> None:
        self.newest: EncodedScene | None = None
        self._encode = encode
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "scene-encoder")
        self._asked: tuple[SceneSnapshot, Future[EncodedScene]] | None = None

    def start(self, snapshot: SceneSnapshot) -> Future[EncodedScene]:
        """Begins to encode a snapshot, unless that is done or going on. What failed is tried again."""
        with self._lock:
            if self._asked is not None and self._asked[0] is snapshot:
                future = self._asked[1]
                if not future.done() or future.exception() is None:
                    return future
            future = self._thread.submit(self._run, snapshot)
            self._asked = snapshot, future
            return future

    def close(self) -> None:
        """Takes no more snapshots; what is being encoded ends in its thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, snapshot: SceneSnapshot) -> EncodedScene:
        self.newest = EncodedScene(snapshot, self._encode(snapshot))
        return self.newest


@torch.inference_mode()
def encode_snapshot(model: SceneAnswerer, snapshot: SceneSnapshot) -> SceneTokens:
    """A snapshot's tokens, as offline evaluation computes them for a scan of the same points.

    Raises:
        InputError: The model answers blindly.
    """
    count = len(snapshot.points)
    nobody, nothing = np.zeros(0, np.int64), np.zeros(count, np.int64)
    no_boxes = np.zeros((0, 6), np.float32)
    scene = Scene("stream", snapshot.points, snapshot.colors, nothing, nothing, no_boxes, nobody, nobody)
    tokens = model.encode([scene])
    if tokens is None:
        raise InputError("scene: expected a model that sees scenes, got a blind one; train one that does")
    return tokens
