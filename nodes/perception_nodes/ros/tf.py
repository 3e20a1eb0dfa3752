"""Reads `tf2_msgs/TFMessage` into a buffer of transforms."""

from __future__ import annotations

import numpy as np

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import TF, deserialize, stamp_ns_of
from perception_nodes.ros.transforms import Transform, TransformBuffer
from perception_nodes.ros.wire import Qos

TF_TOPIC, TF_STATIC_TOPIC = "/tf", "/tf_static"
"""ROS's own topics."""
TF_QOS = Qos(depth=100)
TF_STATIC_QOS = Qos(latched=True, depth=100)
"""Those of tf2's listeners (ros2/geometry2, tf2_ros/qos.hpp)."""


def take_transforms(cdr: bytes, buffer: TransformBuffer, *, static: bool) -> None:
    """Adds the transforms of a message to a buffer, those before and after a broken one too.

    Raises:
        MalformedMessage: The message, or one of its transforms, cannot be used.
    """
    broken: MalformedMessage | None = None
    for stamped in deserialize(cdr, TF).transforms:
        at, q = stamped.transform.translation, stamped.transform.rotation
        parent, child = (name.removeprefix("/") for name in (stamped.header.frame_id, stamped.child_frame_id))
        try:
            transform = Transform.of(np.array([at.x, at.y, at.z]), np.array([q.x, q.y, q.z, q.w]))
            if static:
                buffer.put_static(parent, child, transform)
            else:
                buffer.put(parent, child, stamp_ns_of(stamped.header), transform)
        except MalformedMessage as error:
            broken = error
    if broken is not None:
        raise broken
