"""What a deployment's file says of a node that classifies a camera's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perception_nodes.operations.camera_plan import CameraPlan

CLASSES = "/perception/camera/classes"
STATUS = "/perception/camera/classes/status"


@dataclass(frozen=True)
class ImagePlan(CameraPlan):
    """A node that classifies a camera's pictures.

    Attributes:
        classes: Topic of the likeliest classes of each picture.
    """

    kind: ClassVar[str] = "image"

    classes: str = CLASSES
    status: str = STATUS
