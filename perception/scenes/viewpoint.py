"""Estimated viewpoints of askers in a scene, as tensors; `perception.scenes.scene.Viewpoint` is a true one."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ViewpointEstimate:
    """Estimated positions and orientations of the askers.

    Attributes:
        position: Scene frame, metres.
        quaternion: Regressed quaternion x, y, z, w, not normalised; see `rotation`.
    """

    position: Float[Tensor, "questions 3"]
    quaternion: Float[Tensor, "questions 4"]

    @property
    def rotation(self) -> Float[Tensor, "questions 4"]:
        """The unit quaternion, as in `perception.scenes.scene.Viewpoint.rotation`."""
        return F.normalize(self.quaternion, dim=-1)
