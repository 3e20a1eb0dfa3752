"""The process around a classifier, by the camera's; what it answers is tested with each kind."""

from __future__ import annotations

from pathlib import Path

import zenoh

from perception_nodes.image.node import ImageNode
from perception_nodes.image.plan import ImagePlan
from perception_nodes.image.process import ImageProcess
from perception_nodes.operations.lifecycle import State
from perception_nodes.ros.topics import RosNode
from perception_nodes.ros.wire import RmwZenoh


class _Ready(ImageNode):
    """A node that needs no model."""

    def _warm_up(self, model):  # noqa: ARG002
        import numpy as np

        return np.ones(1, np.float32)


def test_its_node_is_active_from_start_to_end(sessions: tuple[zenoh.Session, zenoh.Session]) -> None:
    node = _Ready()
    node.configure(None, ("one",), model_id="tiny")  # pyright: ignore[reportArgumentType]
    with RosNode(sessions[0], RmwZenoh(node="image")) as ros:
        process = ImageProcess(node, ros, ImagePlan(Path("unused")))
        assert node.lifecycle.state is State.ACTIVE
        assert process.live() == ""
        process.close()
        assert node.lifecycle.state is State.FINALISED
        process.close()
        assert process.live() == "the thread of ImageProcess has ended"
