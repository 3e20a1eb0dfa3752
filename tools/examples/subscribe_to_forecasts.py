"""Prints the forecasts of a running deployment, as any client of its topics gets them.

    python tools/examples/subscribe_to_forecasts.py --connect tcp/127.0.0.1:7447

A ROS 2 node subscribes to the topic as to any other. This client has no ROS and knows nothing of the node: it is a
plain zenoh session, which subscribes to the key that rmw_zenoh gives the topic, and reads messages by their .msg
definitions. Where the deployment has `security`, take `perception_nodes.ros.topics.open_secure_session` to open it.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import tyro
import zenoh

from perception_nodes.ros.messages import PREDICTED_OBJECTS, deserialize, topic_of
from perception_nodes.ros.wire import RmwZenoh


def main(
    connect: str = "tcp/127.0.0.1:7447",
    topic: str = "/perception/object_recognition/objects",
    domain: int = 0,
    count: int | None = None,
) -> None:
    """Prints every message's objects: where each will most probably be when its forecast ends.

    Args:
        connect: Where the deployment's router listens.
        topic: The node's `forecasts` in the deployment's file.
        domain: ROS_DOMAIN_ID.
        count: Stop after this many messages.
    """
    config = zenoh.Config()
    config.insert_json5("mode", '"client"')
    config.insert_json5("connect/endpoints", json.dumps([connect]))
    key = RmwZenoh(domain=domain).key(topic_of(topic, PREDICTED_OBJECTS))
    with zenoh.open(config) as session, session.declare_subscriber(key) as subscriber:
        print(f"waiting for {key}", flush=True)
        for sample in islice(subscriber, count):
            show(deserialize(sample.payload.to_bytes(), PREDICTED_OBJECTS))


def show(message: Any) -> None:
    """Prints an autoware_perception_msgs/PredictedObjects."""
    stamp = message.header.stamp
    print(f"{stamp.sec}.{stamp.nanosec:09d} {len(message.objects)} objects in {message.header.frame_id}")
    for tracked in message.objects:
        best = max(tracked.kinematics.predicted_paths, key=lambda path: path.confidence)
        end = best.path[-1].position
        seconds = (len(best.path) - 1) * (best.time_step.sec + best.time_step.nanosec / 1e9)
        identity = bytes(tracked.object_id.uuid).hex()[:8]
        print(f"  {identity} in {seconds:.1f} s at ({end.x:.1f}, {end.y:.1f}) m, confidence {best.confidence:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
