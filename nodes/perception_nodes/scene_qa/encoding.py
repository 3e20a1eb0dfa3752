"""Encodes the newest scene once for all questions about it, in a thread of its own."""

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
    """A scene and its tokens."""

    snapshot: SceneSnapshot
    tokens: SceneTokens


class SceneEncoder:
    """Encodes snapshots one at a time; requests for the same snapshot share one result.

    Args:
        encode: Returns a snapshot's tokens.

    Attributes:
        newest: The scene that was encoded last.
    """

    def __init__(self, encode: Callable[[SceneSnapshot], SceneTokens]) -> None:
        self.newest: EncodedScene | None = None
        self._encode = encode
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "scene-encoder")
        self._last: tuple[SceneSnapshot, Future[EncodedScene]] | None = None

    def start(self, snapshot: SceneSnapshot) -> Future[EncodedScene]:
        """Starts to encode a snapshot, unless it is the last one and has not failed."""
        with self._lock:
            if self._last is not None and self._last[0] is snapshot:
                future = self._last[1]
                if not future.done() or future.exception() is None:
                    return future
            future = self._thread.submit(self._run, snapshot)
            self._last = snapshot, future
            return future

    def close(self) -> None:
        """Refuses further snapshots; the present one is finished in its thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, snapshot: SceneSnapshot) -> EncodedScene:
        self.newest = EncodedScene(snapshot, self._encode(snapshot))
        return self.newest


@torch.inference_mode()
def encode_snapshot(model: SceneAnswerer, snapshot: SceneSnapshot) -> SceneTokens:
    """Returns a snapshot's tokens, as offline evaluation computes them for a scan of the same points.

    Raises:
        InputError: The model answers without seeing scenes.
    """
    unlabelled, no_objects = np.zeros(len(snapshot.points), np.int64), np.zeros(0, np.int64)
    no_boxes = np.zeros((0, 6), np.float32)
    scene = Scene("stream", snapshot.points, snapshot.colors, unlabelled, unlabelled, no_boxes, no_objects, no_objects)
    tokens = model.encode([scene])
    if tokens is None:
        raise InputError("scene: expected a model that sees scenes, got a blind one; train one that does")
    return tokens
