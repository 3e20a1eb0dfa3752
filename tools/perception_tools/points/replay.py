"""`perception replay LOG --checkpoint RUN`: the clouds of a recording, and perhaps boxes, through the LiDAR node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tyro.conf import Positional

from perception.clouds.cloud import Cloud
from perception_tools.classification.replay import (
    active,
    check_places,
    find_topic,
    largest_difference,
    play,
    print_summary,
    recording,
)
from perception_tools.extras import require

if TYPE_CHECKING:
    from perception_nodes.points.node import PointsNode
    from perception_nodes.points.plan import PointsPlan
    from perception_nodes.recordings.mcap_file import Recorded
    from perception_tools.points.model import TrainedClassifier


def replay(
    log: Positional[Path],
    checkpoint: Path,
    node: Literal["points"] = "points",
    topic: str | None = None,
    boxes: str | None = None,
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32",
    lockstep: bool = False,
    out: Path | None = None,
    top: int = 3,
    min_points: int = 20,
    max_objects: int = 64,
    distance_m: float = 0.5,
    max_size_m: float = 15.0,
    low_m: float = -np.inf,
    high_m: float = np.inf,
    max_range_m: float = 100.0,
    max_apart_s: float = 0.05,
    threads: int = 1,
) -> dict:
    """Plays the clouds of a recording through a LiDAR node and prints one line of JSON.

    The line holds messages, answers, reasons of refusals, the SHA-256 of the answers (the same in every run), the
    largest difference of a probability to what the trained model says of the points in the same boxes offline, and the
    latency in ms. `perception mcap play` plays a recording to a node that runs, at its pace.

    Args:
        log: MCAP file, rosbag2 folder or database with sensor_msgs/PointCloud2.
        checkpoint: A run's folder, or its model.safetensors.
        node: Kind of the node to play it through.
        topic: Topic of the clouds, where the recording has several.
        boxes: Topic of boxes (vision_msgs/Detection3DArray) whose contents are classified; otherwise clouds are taken
            apart.
        precision: Precision of the block's weights, in its deployment form; offline it stays as it was trained.
        lockstep: Every message as soon as the one before is answered. It is always so.
        out: MCAP file to record the answers to, beside the clouds and boxes.
        top: Number of classes that are named for each object.
        min_points: Minimum number of points of an object.
        max_objects: Maximum number of objects.
        distance_m: Without boxes: points up to this distance apart belong together.
        max_size_m: Without boxes: what is longer, wider or higher is no object.
        low_m: Without boxes: lower points are left out.
        high_m: Without boxes: higher points are left out.
        max_range_m: Without boxes: points further from the origin along an axis are left out.
        max_apart_s: Boxes belong to the cloud of the nearest stamp, if it is not further apart, seconds.
        threads: Number of threads that torch computes with.
    """
    from perception_nodes.operations.computing import compute_with
    from perception_nodes.points.node import PointsNode
    from perception_nodes.points.plan import OBJECTS, PointsPlan
    from perception_nodes.ros.messages import DETECTIONS, POINT_CLOUD, topic_of
    from perception_tools.points.model import load_classifier

    del lockstep
    check_places(log, checkpoint, out, {"threads": threads})
    if boxes is None:
        require("scipy", "lidar")
    plan = PointsPlan(  # checks the numbers
        checkpoint,
        boxes=boxes,
        top=top,
        min_points=min_points,
        max_objects=max_objects,
        distance_m=distance_m,
        max_size_m=max_size_m,
        low_m=low_m,
        high_m=high_m,
        max_range_m=max_range_m,
        max_apart_s=max_apart_s,
    )
    sources = [find_topic(log, [POINT_CLOUD], "clouds", topic)]
    if boxes is not None:
        sources.append(find_topic(log, [DETECTIONS], "boxes", boxes, "boxes"))
    compute_with(threads)
    trained = load_classifier(checkpoint)
    classifier = PointsNode(top, plan.clustering)
    beside = _Beside(classifier, trained, plan)
    noun, (*clouds, answered) = "clouds" if boxes is None else "boxes", [source.name for source in sources]
    with (
        active(classifier, trained, checkpoint, precision) as name,
        recording(out, sources, topic_of(OBJECTS, DETECTIONS)) as record,
    ):
        played = play(log, answered, noun, beside.answer, beside.difference, record, clouds)
    return print_summary(node, log, answered, name, precision, played)


class _Beside:
    """A node, and the trained model beside it, which is asked about the same points, one object at a time."""

    def __init__(self, node: PointsNode, trained: TrainedClassifier, plan: PointsPlan) -> None:
        from perception_nodes.points.recent_clouds import RecentClouds

        self._node, self._trained, self._plan = node, trained, plan
        self._recent, self._cloud = RecentClouds(), b""

    def answer(self, message: Recorded) -> bytes | None:
        """Returns the answer to a cloud, or to boxes where they are given."""
        from perception_nodes.operations.reasons import MissingInput
        from perception_nodes.points.messages import answer_to_boxes, answer_to_cloud
        from perception_nodes.ros.message_header import read_header
        from perception_nodes.ros.messages import DETECTIONS

        if self._plan.boxes is None:
            self._cloud = message.cdr
            return answer_to_cloud(message.cdr, self._node)
        stamp_ns = read_header(message.cdr).stamp_ns
        if message.type != DETECTIONS:
            self._recent.put(stamp_ns, message.cdr)
            return None
        found = self._recent.nearest(stamp_ns, round(self._plan.max_apart_s * 1e9))
        if found is None:
            raise MissingInput(f"no cloud within {self._plan.max_apart_s:g} s of the boxes")
        self._cloud = found
        return answer_to_boxes(message.cdr, found, self._node)

    def difference(self, message: Recorded, answer: bytes) -> float:
        """Returns the largest difference of a probability."""
        from perception_nodes.points.messages import box_of
        from perception_nodes.ros.messages import DETECTIONS, deserialize
        from perception_nodes.ros.point_cloud import read_point_cloud

        points, answered = read_point_cloud(self._cloud).points, deserialize(answer, DETECTIONS).detections
        crops, given = [], [0] * len(answered)
        if self._plan.boxes is None:
            for rows in self._plan.clustering.find(points):
                own = points[rows].astype(np.float64)
                crops.append(own - (own.min(axis=0) + own.max(axis=0)) / 2)
        else:
            given = [len(one.results) for one in deserialize(message.cdr, DETECTIONS).detections]
            crops = [box_of(one.bbox).points_of(points) for one in answered]
        apart = 0.0
        for detection, crop, before in zip(answered, crops, given, strict=True):
            if hypotheses := [one.hypothesis for one in detection.results[before:]]:
                (expected,) = self._trained.model.classify([Cloud("offline", crop.astype(np.float32))])
                apart = max(apart, largest_difference(hypotheses, expected, self._trained.classes))
        return apart
