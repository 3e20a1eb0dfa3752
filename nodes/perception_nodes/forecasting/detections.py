"""Reads `vision_msgs/Detection3DArray` for the forecasting node, from trackers that do not use Autoware's messages.

What the sender must provide:

* `id`: the track's id, the same in every message of the track. A detection without an id belongs to no track: it is
  extrapolated and never given to the model; behind a plain detector, run a tracker. Forecasts name an object by a UUID:
  the id itself if it is one, otherwise a UUID made from it, the same every time; without an id, one of its own in every
  message (`perception_nodes.forecasting.ids`).
* `bbox`: in the frame of the message's header; headers of single detections are not read.
* `class_id`: one of the words in `LABEL_OF_CLASS` (`perception_nodes.forecasting.labels`).

They become tracked objects, so that a forecast has all that the sender said: box, height, full orientation, every
hypothesis in its order with its score as probability, and the pose's covariance, which is that of the best hypothesis.
The probability of existence is 1: the message has none, and the score of a class is not it. A truck that may be a bus
is there, and a planner that ignores improbable objects must not ignore it.

The message has no velocity and needs none. As for Autoware's objects, the node computes it from the last steps of its
own 10 Hz history; an object that is seen for the first time has velocity 0. Forecasts have the node's velocities.

`rosbags` reads a message of 100 detections in 2.5 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Any

import numpy as np
from jaxtyping import Int

from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.ids import passing_id, uuids_of
from perception_nodes.forecasting.labels import KIND_OF_CLASS, LABEL_OF_CLASS, class_word
from perception_nodes.ros.messages import stamp_ns_of
from perception_nodes.ros.objects import Label, TrackedObjects


@dataclass(frozen=True)
class Detections:
    """A message as tracked objects, and what of it could not be used.

    Attributes:
        objects: All detections, without velocities.
        ids: Track ids as sent; empty where there is none.
        kinds: `AgentKind` of each best class.
        unknown_classes: Best class ids that are not in `LABEL_OF_CLASS`, sorted; a detection without any counts as "".
    """

    objects: TrackedObjects
    ids: tuple[str, ...]
    kinds: Int[np.ndarray, " objects"]
    unknown_classes: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """What could not be used, in words; empty if all could."""
        parts = []
        if without_id := self.ids.count(""):
            parts.append(f"{without_id} of {len(self.ids)} detections have no id; send what a tracker gives")
        if self.unknown_classes:
            words = ", ".join(repr(name[:40]) for name in self.unknown_classes[:8])
            parts.append(f"classes that are not known, of objects that the model does not forecast: {words}")
        return "; ".join(parts)


def detections_of(message: Any) -> Detections:
    """Returns the content of a Detection3DArray, from `deserialize` or from rclpy."""
    found, stamp_ns = message.detections, stamp_ns_of(message.header)
    ids = tuple(detection.id for detection in found)
    boxes = [detection.bbox for detection in found]
    best = [_best(detection) for detection in found]
    classes = ["" if one is None else class_word(one.hypothesis.class_id) for one in best]
    hypotheses = [result.hypothesis for detection in found for result in detection.results]
    words = [class_word(one.class_id) for one in hypotheses]
    with np.errstate(over="ignore"):  # a score beyond float32 is no probability anyway
        scores = np.array([one.score for one in hypotheses], np.float64).astype(np.float32)
    blank = TrackedObjects.planar(
        stamp_ns=stamp_ns,
        frame_id=message.header.frame_id,
        ids=uuids_of(name or passing_id(stamp_ns, row) for row, name in enumerate(ids)),
        positions=np.zeros((len(found), 2)),
        headings=np.zeros(len(found)),
        velocities=np.zeros((len(found), 2)),
        labels=np.zeros(len(found), np.uint8),
        dimensions=np.array([(box.size.x, box.size.y, box.size.z) for box in boxes], np.float64).reshape(-1, 3),
    )
    objects = replace(
        blank,
        class_counts=np.array([len(detection.results) for detection in found], np.int64),
        class_labels=np.array([LABEL_OF_CLASS.get(word, Label.UNKNOWN) for word in words], np.uint8),
        class_probabilities=scores,
        poses=np.array([_pose(box.center) for box in boxes], np.float64).reshape(-1, 7),
        pose_covariances=np.array([_covariance(one) for one in best], np.float64).reshape(-1, 36),
    )
    kinds = np.array([KIND_OF_CLASS.get(name, AgentKind.UNKNOWN) for name in classes], np.int64)
    return Detections(objects, ids, kinds, tuple(sorted({*classes} - LABEL_OF_CLASS.keys())))


def _best(detection: Any) -> Any | None:
    """Returns the result of the highest score, the first of equals; None if there is none. NaN is the lowest."""
    return max(detection.results, key=_score, default=None)


def _score(result: Any) -> float:
    score = result.hypothesis.score
    return -inf if isnan(score) else score


def _pose(pose: Any) -> tuple[float, ...]:
    at, q = pose.position, pose.orientation
    return (at.x, at.y, at.z, q.x, q.y, q.z, q.w)


def _covariance(result: Any | None) -> Any:
    """Returns the 36 numbers; 0, which means unknown, without a result."""
    return np.zeros(36) if result is None else result.pose.covariance
