"""Joins SQA3D's questions to their scans: poses become viewpoints in the scene frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from perception.geometry import SE3, rotation_matrix, unit_quaternion
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.sqa3d.questions import Pose, Sqa3dQuestion
from perception_datasets.stores.scenes import StoredScans

MARGIN_M = 2.0
"""How far outside the bounding box of its scan an asker may stand, seen from above: in a doorway, for example."""
_SHOWN = 10


@dataclass
class JoinedQuestions:
    """Questions joined to scenes, and counts of what could not be joined.

    Attributes:
        questions: Joined questions, in the order of the files.
        without_scene: Number of questions left out because their scene is missing, by scene.
        without_viewpoint: Number of questions without a viewpoint because the scene's alignment is unknown, by scene.
        outside: Number of questions without a viewpoint because the stated one is far outside the scan, by scene.
    """

    questions: list[SceneQuestion] = field(default_factory=list)
    without_scene: Counter[str] = field(default_factory=Counter)
    without_viewpoint: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)

    def report(self) -> str:
        """Returns a summary to print; empty if everything was joined."""
        parts = (
            (self.without_scene, "questions left out, because their scenes are not in the store"),
            (
                self.without_viewpoint,
                "questions without a viewpoint; put <scene>.txt (with its axisAlignment) beside the scans",
            ),
            (
                self.outside,
                f"questions without a viewpoint, because theirs is more than {MARGIN_M:g} m outside the scan; compare "
                "the poses with the scan and its alignment",
            ),
        )
        return "\n".join(f"{counter.total()} {what}: {_list(counter)}" for counter, what in parts if counter)


def join_questions(questions: Iterable[Sqa3dQuestion], scans: StoredScans) -> JoinedQuestions:
    """Joins questions to the scans of a store; their poses become viewpoints in the scene frame."""
    joined, known = JoinedQuestions(), set(scans.names())
    frames: dict[str, tuple[SE3 | None, Float32[np.ndarray, "2 2"]]] = {}
    for question in questions:
        scene_id = question.scene_id
        if scene_id not in known:
            joined.without_scene[scene_id] += 1
            continue
        if scene_id not in frames:
            scan = scans.read(scene_id)
            plan = scan.scene.points[:, :2]
            frames[scene_id] = scan.scene_SE3_centred, np.stack([plan.min(axis=0), plan.max(axis=0)])
        (frame, corners), viewpoint = frames[scene_id], None
        if frame is None:
            joined.without_viewpoint[scene_id] += 1
        elif question.pose is not None:
            viewpoint = to_viewpoint(question.pose, frame)
            place = viewpoint.position[:2]
            if (place < corners[0] - MARGIN_M).any() or (place > corners[1] + MARGIN_M).any():
                joined.outside[scene_id] += 1
                viewpoint = None
        joined.questions.append(
            SceneQuestion(question.id, scene_id, question.situation, question.question, question.answers, viewpoint)
        )
    return joined


def to_viewpoint(pose: Pose, scene_SE3_centred: SE3) -> Viewpoint:
    """Converts a pose of SQA3D's files to a viewpoint in the scene frame."""
    rotation = scene_SE3_centred.rotation @ rotation_matrix(pose.rotation)
    return Viewpoint(scene_SE3_centred.apply(pose.position), unit_quaternion(rotation))


def to_pose(viewpoint: Viewpoint, scene_SE3_centred: SE3) -> Pose:
    """Converts a viewpoint to a pose of SQA3D's files, whose height is always 0."""
    centred_SE3_scene = scene_SE3_centred.inverse()
    position = centred_SE3_scene.apply(viewpoint.position)
    position[2] = 0.0
    return Pose(position, unit_quaternion(centred_SE3_scene.rotation @ rotation_matrix(viewpoint.rotation)))


def _list(questions_of: Counter[str]) -> str:
    """Lists scenes with their numbers of questions; only the first `_SHOWN`."""
    shown = [f"{scene} ({count})" for scene, count in sorted(questions_of.items())[:_SHOWN]]
    more = len(questions_of) - len(shown)
    return ", ".join(shown) + (f" and {more} more scenes" if more else "")
