"""Questions in their scenes as one HTML file: points to turn, what the answer attended to, where the asker stands.

It asks nothing of the network and needs no graphics card, so it can be attached to a report or opened over a remote
desktop. Points are drawn by a depth buffer of our own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from markupsafe import Markup
from scipy.spatial import KDTree

from perception.errors import InputError
from perception.metrics.question_answering import question_type
from perception.scenes.classes import NYU40
from perception.scenes.sample import FLOOR_PERCENT
from perception.scenes.scene import Scene, SceneQuestion, Viewpoint
from perception_tools.report.page import write_page

POINTS_PER_SCENE = 32_000
"""Ten bytes a point, 13.3 in base64: twenty scenes are below 9 MB."""
RADIUS_UNIT_M = 0.002
"""Points are drawn as wide as the surface around them is sparse, in a byte."""
NEIGHBOURS = 6
SHOWN_PROPOSALS = 15
LEAST_SHARE = 0.002
"""Proposals with less attention than this are not written, nor more of them than that."""
SHOWN_ANSWERS = 5
WALL_M = 0.5
"""Wall points this near to a side of the scan belong to it, and are left out when one looks in from there."""


@dataclass(frozen=True)
class Attention:
    """What a system's answer attended to.

    Attributes:
        boxes: Boxes of all proposals: centre, then full size along the axes; scene frame, metres.
        labels: What each is believed to be.
        shares: Shares of the attention; they sum to 1.
    """

    boxes: Float32[np.ndarray, "proposals 6"]
    labels: Sequence[str]
    shares: Float[np.ndarray, " proposals"]


@dataclass(frozen=True)
class ViewedQuestion:
    """A question in its scene, and what a system made of it.

    Attributes:
        question: With its viewpoint in the scene frame.
        scene: The same object for all questions of a scene, which is then written once.
        answers: The system's, the best first.
        probabilities: Probability of each answer by itself; None where the system does not say.
        attention: None where the system does not say.
        guess: Where the system believes the asker to stand; None where it does not say.
    """

    question: SceneQuestion
    scene: Scene
    answers: Sequence[str]
    probabilities: Sequence[float] | None = None
    attention: Attention | None = None
    guess: Viewpoint | None = None

    @property
    def is_right(self) -> bool:
        """By EM@1."""
        return bool(self.answers) and self.answers[0] in self.question.answers


def write_scene_viewer(path: Path, viewed: Sequence[ViewedQuestion], *, title: str, facts: dict[str, str]) -> None:
    """Writes the viewer.

    Args:
        path: Path of the HTML file.
        viewed: In the order of the list; the first is shown first.
        title: Title of the page.
        facts: Shown below it, by name.

    Raises:
        InputError: There is nothing to look at.
    """
    if not viewed:
        raise InputError(f"{path}: expected questions to look at, got none; choose a split or a system with some")
    scenes = {item.scene.id: item.scene for item in viewed}
    number = {name: index for index, name in enumerate(scenes)}
    content = {
        "scenes": [_scene_json(scene) for scene in scenes.values()],
        "questions": [_question_json(item, number[item.scene.id]) for item in viewed],
    }
    packed = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    write_page(
        path, "perception_tools.scene_qa.report:scene_viewer.html", title=title, facts=facts, content=Markup(packed)
    )


def _scene_json(scene: Scene) -> dict:
    """Points of the groups one after the other, as fractions of the bounding box in 16 bits, and what to know of it."""
    points, groups = scene.points, _groups(scene)
    chosen = thin(points, POINTS_PER_SCENE)
    chosen = chosen[np.argsort(groups[chosen], kind="stable")]
    low, high = points.min(axis=0), points.max(axis=0)
    step = np.maximum(high - low, 1e-6) / 65535
    return {
        "id": scene.id,
        "low": low.tolist(),
        "step": step.tolist(),
        "floor": float(np.percentile(points[:, 2], FLOOR_PERCENT)),
        "radius_unit": RADIUS_UNIT_M,
        "groups": np.bincount(groups[chosen], minlength=6).tolist(),
        "points": _base64(np.rint((points[chosen] - low) / step).astype("<u2")),
        "colors": _base64(scene.colors[chosen]),
        "radii": _base64(_radii(points[chosen])),
        "boxes": scene.boxes.round(3).tolist(),
        "labels": [NYU40[kind] for kind in scene.box_classes.tolist()],
    }


def _groups(scene: Scene) -> Int64[np.ndarray, " points"]:
    """0 for what is always shown, 1 to 4 for walls at the low x, high x, low y and high y side, 5 for the ceiling."""
    points = scene.points
    low, high = points.min(axis=0), points.max(axis=0)
    to_side = np.stack([points[:, 0] - low[0], high[0] - points[:, 0], points[:, 1] - low[1], high[1] - points[:, 1]])
    outside = np.isin(scene.semantic, [NYU40.index(name) for name in ("wall", "window", "door", "curtain")])
    groups = np.where(outside & (to_side.min(axis=0) < WALL_M), 1 + to_side.argmin(axis=0), 0)
    return np.where(scene.semantic == NYU40.index("ceiling"), 5, groups)


def thin(points: Float32[np.ndarray, "points 3"], most: int) -> Int64[np.ndarray, " chosen"]:
    """Indices of evenly spread points, at most so many: the first one of each voxel."""
    voxel_m = 0.01
    while True:
        x, y, z = np.floor((points - points.min(axis=0)) / voxel_m).astype(np.int64).T
        _, first = np.unique((x << 42) | (y << 21) | z, return_index=True)
        if len(first) <= most:
            return first
        voxel_m *= max(1.03, (len(first) / most) ** (1 / 3))


def _radii(points: Float32[np.ndarray, "points 3"]) -> UInt8[np.ndarray, " points"]:
    """How wide to draw each point so that a surface has no holes, in units of `RADIUS_UNIT_M`."""
    distance, _ = KDTree(points).query(points, k=NEIGHBOURS)
    return np.clip(np.nan_to_num(0.7 * distance[:, -1], posinf=0.0) / RADIUS_UNIT_M, 1, 255).astype(np.uint8)


def _question_json(item: ViewedQuestion, scene: int) -> dict:
    question, shown = item.question, item.answers[:SHOWN_ANSWERS]
    shares = None if item.probabilities is None else [round(float(p), 4) for p in item.probabilities[:SHOWN_ANSWERS]]
    return {
        "id": str(question.id),  # SQA3D's are too large for JavaScript's numbers
        "scene": scene,
        "type": question_type(question.question, "first_token"),
        "situation": question.situation,
        "question": question.question,
        "true": list(question.answers),
        "right": item.is_right,
        "answers": list(shown),
        "probabilities": shares,
        "asker": _viewpoint_json(question.viewpoint),
        "guess": _viewpoint_json(item.guess),
        "attention": _attention_json(item.attention),
    }


def _viewpoint_json(viewpoint: Viewpoint | None) -> list[float] | None:
    """Position in the floor plane, and the gaze's direction in it."""
    if viewpoint is None:
        return None
    return [round(float(v), 3) for v in (*viewpoint.position[:2], *viewpoint.forward[:2])]


def _attention_json(attention: Attention | None) -> list[list] | None:
    """Box, label and share of each proposal that is written, the most attended first."""
    if attention is None:
        return None
    order = np.argsort(-attention.shares, kind="stable")
    order = order[attention.shares[order] >= LEAST_SHARE][:SHOWN_PROPOSALS]
    boxes = attention.boxes.astype(float).round(3).tolist()
    return [[boxes[i], attention.labels[i], round(float(attention.shares[i]), 4)] for i in order.tolist()]


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode()
