"""SQA3D's questions joined to the scans that they are asked in: places become viewpoints in the scene frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from perception.geometry import SE3, rotation_matrix, unit_quaternion
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.sqa3d.questions import Pose, Sqa3dQuestion
from perception_datasets.stores.scenes import StoredScans

_SHOWN = 10


@dataclass
class JoinedQuestions:
    """Questions in scenes, and what could not be joined.

    Attributes:
        questions: In the order of the files.
        without_scene: How many questions were left out, by the scene that is not there.
        without_viewpoint: How many questions have no viewpoint, by the scene that does not say how it was turned.
    """

    questions: list[SceneQuestion] = field(default_factory=list)
    without_scene: Counter[str] = field(default_factory=Counter)
    without_viewpoint: Counter[str] = field(default_factory=Counter)

    def report(self) -> str:
        """What to print at the end; empty where all was joined."""
        parts = (
            (self.without_scene, "questions left out, their scenes are not in the store"),
            (self.without_viewpoint, "questions without a viewpoint, put <scene>.txt (axisAlignment) beside the scans"),
        )
        return "\n".join(f"{counter.total()} {what}: {_list(counter)}" for counter, what in parts if counter)


def join_questions(asked: Iterable[Sqa3dQuestion], scans: StoredScans) -> JoinedQuestions:
    """The questions whose scenes are there, asked from viewpoints of the scene frame."""
    joined, there = JoinedQuestions(), set(scans.names())
    frames: dict[str, SE3 | None] = {}
    for question in asked:
        scene_id = question.scene_id
        if scene_id not in there:
            joined.without_scene[scene_id] += 1
            continue
        if scene_id not in frames:
            frames[scene_id] = scans.read(scene_id).scene_SE3_centred
        frame, viewpoint = frames[scene_id], None
        if frame is None:
            joined.without_viewpoint[scene_id] += 1
        elif question.pose is not None:
            viewpoint = to_viewpoint(question.pose, frame)
        joined.questions.append(
            SceneQuestion(question.id, scene_id, question.situation, question.question, question.answers, viewpoint)
        )
    return joined


def to_viewpoint(pose: Pose, scene_SE3_centred: SE3) -> Viewpoint:
    """A place of SQA3D's files in the scene frame."""
    rotation = scene_SE3_centred.rotation @ rotation_matrix(pose.rotation)
    return Viewpoint(scene_SE3_centred.apply(pose.position), unit_quaternion(rotation))


def to_pose(viewpoint: Viewpoint, scene_SE3_centred: SE3) -> Pose:
    """A viewpoint as SQA3D's files state it; they know no height, which is 0."""
    centred_SE3_scene = scene_SE3_centred.inverse()
    position = centred_SE3_scene.apply(viewpoint.position)
    position[2] = 0.0
    return Pose(position, unit_quaternion(centred_SE3_scene.rotation @ rotation_matrix(viewpoint.rotation)))


def _list(questions_of: Counter[str]) -> str:
    """Scenes with how many questions each has; only the first ones of many."""
    shown = [f"{scene} ({count})" for scene, count in sorted(questions_of.items())[:_SHOWN]]
    more = len(questions_of) - len(shown)
    return ", ".join(shown) + (f" and {more} more scenes" if more else "")
