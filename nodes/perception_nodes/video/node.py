"""The video node, without transport: pictures in, now and then the likeliest actions of the last seconds out.

A clip is shown to the model as offline: its pictures are made smaller and cut to the middle square one by one as they
come, by the code that does so with whole clips, so that answers are those of the model on the same pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from typing_extensions import override

from perception.clips.clip import Clip
from perception.clips.resizing import resized
from perception_nodes.operations.classifier_node import ClassifierNode
from perception_nodes.ros.classification import RankedClasses
from perception_nodes.video.rolling_clip import RollingClip

if TYPE_CHECKING:
    from perception.models.action_recognizer import ActionRecognizer


class VideoNode(ClassifierNode["ActionRecognizer"]):
    """Classifies the clip that ends with the newest picture.

    Args:
        top: Number of classes that are named.
        stride_s: Time between two pictures of a clip, seconds.
        max_gap_s: A longer gap between two pictures that come begins the clip anew.
        every: Number of pictures after which an answer is due.
        shorter_side: Shorter side in pixels to which pictures are made smaller first, as in the model's training; 0
            leaves them.

    Attributes:
        unanswered: Number of pictures since the last clip that was classified, or found too short.
    """

    def __init__(
        self, top: int = 5, *, stride_s: float = 0.25, max_gap_s: float = 1.0, every: int = 1, shorter_side: int = 0
    ) -> None:
        super().__init__(top)
        self.unanswered = 0
        self._stride_s, self._max_gap_s, self._every, self._side = stride_s, max_gap_s, every, shorter_side
        self._clip: RollingClip[torch.Tensor] | None = None

    def see(self, stamp_ns: int, pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
        """Takes the next picture into the clip; returns whether an answer is due.

        Raises:
            LifecycleError: The node is not active.
            InputError: The picture is too long and narrow, or came late; see `RollingClip.add`.
        """
        model = self._active_model("see")
        image = resized(np.require(pixels, requirements=["W"])[None], self._side)
        (square,) = model.input.middle(Clip("picture", image))
        self._clip_of(model).add(stamp_ns, square.contiguous())
        self.unanswered += 1
        return self.unanswered >= self._every

    def classify(self) -> RankedClasses:
        """Returns the likeliest classes of the clip.

        Raises:
            LifecycleError: The node is not active.
            MissingInput: The clip does not reach back far enough yet.
            ValueError: The model's probabilities are not finite.
            Exception: Whatever the model or its block's service raises.
        """
        model = self._active_model("classify")
        self.unanswered = 0
        squares = torch.stack(self._clip_of(model).pictures())
        (probabilities,) = model.classify_prepared([model.input.normalised(squares)])
        return self._ranked(probabilities)

    @override
    def _forget_model(self) -> None:
        super()._forget_model()
        self._clip = None  # which is as long as the model's

    def _clip_of(self, model: ActionRecognizer) -> RollingClip[torch.Tensor]:
        if self._clip is None:
            self._clip = RollingClip(model.input.images, self._stride_s, self._max_gap_s)
        return self._clip

    @override
    def _warm_up(self, model: ActionRecognizer) -> Float32[np.ndarray, " classes"]:
        shown = model.input
        (probabilities,) = model.classify(
            [Clip("warm-up", np.zeros((shown.images, shown.size, shown.size, 3), np.uint8))]
        )
        return probabilities
