from __future__ import annotations

from typing import Any

import pytest

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import TF, header, make, serialize
from perception_nodes.ros.tf import take_transforms
from perception_nodes.ros.transforms import TransformBuffer

STAMP = 10**18


def stamped(parent: str, child: str, x: float, stamp_ns: int = STAMP) -> Any:
    return make(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp_ns, parent),
        child_frame_id=child,
        transform=make(
            "geometry_msgs/msg/Transform",
            translation=make("geometry_msgs/msg/Vector3", x=x, y=0.0, z=0.0),
            rotation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        ),
    )


def message(*transforms: Any) -> bytes:
    return serialize(make(TF, transforms=list(transforms)), TF)


def test_moving_and_fixed_frames_are_taken() -> None:
    buffer = TransformBuffer()
    take_transforms(
        message(stamped("map", "/base_link", 1.0), stamped("map", "base_link", 2.0, STAMP + 10**8)),
        buffer,
        static=False,
    )
    take_transforms(message(stamped("base_link", "lidar", 0.5)), buffer, static=True)
    assert buffer.lookup("map", "lidar", STAMP + 5 * 10**7).translation_m[0] == 2.0


def test_a_broken_transform_spoils_no_other() -> None:
    buffer = TransformBuffer()
    broken = stamped("map", "odom", float("nan"))
    with pytest.raises(MalformedMessage, match="expected a finite position"):
        take_transforms(message(stamped("map", "a", 1.0), broken, stamped("map", "b", 2.0)), buffer, static=True)
    assert buffer.lookup("a", "b", STAMP).translation_m[0] == 1.0
    with pytest.raises(MalformedMessage):
        take_transforms(b"rubbish", buffer, static=True)
