from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from perception_nodes.forecasting.frames import TrackedFrame
from perception_nodes.ros.autoware import tracked_objects_of
from perception_nodes.ros.cdr import write_tracked_objects
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.detections import DETECTIONS
from perception_nodes.ros.messages import TRACKED_OBJECTS, header, make, serialize
from perception_nodes.ros.sensed_objects import READERS


def test_tracked_objects_are_a_frame_once_the_ego_is_known(make_frame: Callable[..., TrackedFrame]) -> None:
    frame = make_frame(3)
    sent = bytes(write_tracked_objects(tracked_objects_of(frame, np.zeros((len(frame), 2)), frame_id="odom")))
    sensed = READERS[TRACKED_OBJECTS](sent)
    assert (sensed.stamp_ns, sensed.frame_id, sensed.complaint) == (frame.stamp_ns, "odom", "")
    assert np.isnan(sensed.unposed.city_SE2_ego.x_m)
    posed = sensed.at(frame.city_SE2_ego)
    assert posed.city_SE2_ego == frame.city_SE2_ego
    np.testing.assert_array_equal(posed.position, frame.position)


def test_detections_bring_their_frame_and_their_complaint() -> None:
    place = {
        "position": make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=0.0),
        "orientation": make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    }
    size = make("geometry_msgs/msg/Vector3", x=4.0, y=2.0, z=1.5)
    box = make("vision_msgs/msg/BoundingBox3D", center=make("geometry_msgs/msg/Pose", **place), size=size)
    about = header(7, "map")
    both = [make("vision_msgs/msg/Detection3D", header=about, results=[], bbox=box, id=name) for name in ("a", "")]
    sensed = READERS[DETECTIONS](serialize(make(DETECTIONS, header=about, detections=both), DETECTIONS))
    assert (sensed.stamp_ns, sensed.frame_id, sensed.unposed.ids) == (7, "map", ("a",))
    assert sensed.complaint == (
        "1 of 2 detections have no id; send what a tracker gives; "
        "classes that are not known, of objects that are not forecast: ''"
    )


@pytest.mark.parametrize("kind", READERS)
def test_rubbish_is_malformed(kind: str) -> None:
    with pytest.raises(MalformedMessage):
        READERS[kind](b"\x00\x01\x00\x00rubbish")
