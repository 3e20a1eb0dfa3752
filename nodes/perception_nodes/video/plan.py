"""What a deployment's file says of a node that recognises actions in what a camera sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from perception_nodes.operations.camera_plan import CameraPlan
from perception_nodes.operations.node_plan import expect_positive

ACTIONS = "/perception/camera/actions"
STATUS = "/perception/camera/actions/status"


@dataclass(frozen=True)
class VideoPlan(CameraPlan):
    """A node that recognises actions in the last seconds of what a camera sees.

    Attributes:
        classes: Topic of the likeliest actions.
        every: Number of pictures for each answer.
        stride_s: Time between two pictures of a clip, seconds; with 16 pictures, clips of 3.75 s unless told.
        max_gap_s: After a longer gap between two pictures, or stamps that go back by more, the clip begins anew.
    """

    kind: ClassVar[str] = "video"

    classes: str = ACTIONS
    status: str = STATUS
    every: int = 8
    stride_s: float = 0.25
    max_gap_s: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive("node", every=self.every, stride_s=self.stride_s, max_gap_s=self.max_gap_s)

    @property
    @override
    def messages_per_answer(self) -> int:
        """Number of pictures of which one is answered."""
        return self.every
