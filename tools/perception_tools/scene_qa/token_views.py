"""Proposals of a scene as tokens, seen from above, for whoever looks at what the block makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from perception.errors import InputError
from perception.frozen.stages import block_stages, expect_adapter, noted_inputs
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.scenes.classes import NYU40
from perception.scenes.scene import Scene, SceneQuestion
from perception_datasets.errors import Failures, RecordError
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.analysis.filtering.pictures import heat_colours
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.report.theme import colour
from perception_tools.scene_qa.data import by_scene, first_scenes
from perception_tools.scene_qa.model import TrainedAnswerer

DRAWN_POINTS = 6_000
INCHES = (1.9, 1.9)
RULE = (
    "A token is a proposal of the detector that is an object; a record is the first question about a scene that names "
    "an object. Of the target are the proposals whose centre lies in the box of an annotated object whose class the "
    "situation or the question names. “Where it looks” is how the answer weighs the objects behind the block, of which "
    "it reads all."
)


def scene_views(models: Sequence[TrainedAnswerer], asked: Asked) -> TokenViews:
    """A question about each scene of a split, the first that names an object; `limit` counts scenes.

    Raises:
        InputError: The store cannot be used, or a model sees no scene.
    """
    if asked.masks is not None:
        raise InputError(f"--masks {asked.masks}: a question's target is what it names; leave it out")
    for one in models:
        if one.model.scene is None:
            raise InputError(f"{one.name}: expected a model that sees scenes, got one that answers blindly")
    failures = Failures()
    return TokenViews("questions", _records(models, asked, failures), failures=failures, rules=(RULE,))


def _records(models: Sequence[TrainedAnswerer], asked: Asked, failures: Failures) -> Iterator[tuple[TokenView, ...]]:
    scans = open_scene_store(asked.data)
    questions = first_scenes(read_questions(asked.data, asked.split), asked.limit, asked.split)
    for scene_id, about in by_scene(questions).items():
        try:
            scene = scans.read(scene_id).scene
            question = next((one for one in about if _named_boxes(scene, one)), about[0])
            yield tuple(_view(one.model, scene, question, asked) for one in models)
        except InputError as error:
            failures.add(scene_id, RecordError(str(error)))


@torch.no_grad()
def _view(model: SceneAnswerer, scene: Scene, question: SceneQuestion, asked: Asked) -> TokenView:
    adapter, tokens = expect_adapter(model.block), model.encode([scene])
    assert tokens is not None
    with noted_inputs(adapter) as given:
        answers = model.ask(tokens, [question.situation], [question.question])
    (objects,) = given
    stages = block_stages(adapter, objects, asked.inside).named()
    valid, boxes = objects.valid[0].cpu().numpy(), _boxes(tokens)
    looks = None if answers.evidence is None else answers.evidence[0, tokens.proposals[0]].double().cpu().numpy()[valid]
    boxes = boxes[valid]
    target = _named(scene, question, boxes)
    return TokenView(
        id=f"{question.id}: {question.question}",
        stages={name: value[0].double().cpu().numpy()[valid] for name, value in stages.items()},
        attention=looks,
        attention_stage=list(stages)[-1],
        target=target,
        counted=np.ones(len(boxes), bool),
        priors=_priors(scene, question, boxes),
        draw=partial(_draw, scene, question, boxes, target),
        inches=INCHES,
    )


def _boxes(tokens: SceneTokens) -> Float[np.ndarray, "proposals 6"]:
    return tokens.detections.boxes[0, tokens.proposals[0]].double().cpu().numpy()


def _named(
    scene: Scene, question: SceneQuestion, boxes: Float[np.ndarray, "proposals 6"]
) -> Bool[np.ndarray, " proposals"]:
    """Proposals whose centre is in the box of an object whose class the texts name, in the singular or the plural."""
    named = _named_boxes(scene, question)
    inside = [(np.abs(boxes[:, :3] - box[:3]) <= box[3:] / 2).all(axis=1) for box in named]
    return np.any(inside, axis=0) if inside else np.zeros(len(boxes), bool)


def _named_boxes(scene: Scene, question: SceneQuestion) -> list[Float[np.ndarray, " 6"]]:
    words = f"{question.situation} {question.question}".lower()
    numbers = scene.box_classes.tolist()
    return [box for box, number in zip(scene.boxes, numbers, strict=True) if _mentions(words, number)]


def _mentions(words: str, number: int) -> bool:
    name = NYU40[number] if 0 < number < len(NYU40) else ""
    return bool(name) and re.search(rf"\b{re.escape(name)}(s|es)?\b", words) is not None


def _priors(
    scene: Scene, question: SceneQuestion, boxes: Float[np.ndarray, "proposals 6"]
) -> dict[str, Float[np.ndarray, " proposals"]]:
    """Nearness to the middle of the room, and to the asker where that place is known."""
    centre = (scene.points.min(axis=0) + scene.points.max(axis=0)) / 2
    places = {"near the middle": centre}
    if question.viewpoint is not None:
        places["near the asker"] = question.viewpoint.position
    found = {}
    for name, place in places.items():
        distance = np.linalg.norm(boxes[:, :2] - place[:2], axis=1)
        found[name] = 1 - distance / max(float(distance.max(initial=0.0)), 1e-9)
    return found


def _draw(
    scene: Scene,
    question: SceneQuestion,
    boxes: Float[np.ndarray, "proposals 6"],
    target: Bool[np.ndarray, " proposals"],
    axes: Axes,
    values: Float[np.ndarray, " proposals"] | None,
) -> None:
    """The room from above: its points, the proposals in the colours of their activation, the asker as an arrow."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(scene.points), min(DRAWN_POINTS, len(scene.points)), replace=False)
    points, colours = scene.points[chosen], scene.colors[chosen] / 255
    low_first = np.argsort(points[:, 2], kind="stable")
    axes.set_rasterization_zorder(100)
    shades = colours if values is None else np.repeat(0.35 + 0.4 * colours.mean(axis=1, keepdims=True), 3, axis=1)
    axes.scatter(*points[low_first, :2].T, s=1.2, c=shades[low_first], linewidths=0, zorder=0)
    axes.set_facecolor("#14171b")
    edges = np.tile([1.0, 1.0, 1.0], (len(boxes), 1)) if values is None else heat_colours(values)
    order = np.argsort(target if values is None else values, kind="stable")
    for box, edge, is_target in zip(boxes[order], edges[order], target[order], strict=True):
        shade = colour("truth") if values is None and is_target else edge
        corner, size = box[:2] - box[3:5] / 2, box[3:5]
        face = (*edge, 0.45) if values is not None else "none"
        axes.add_patch(Rectangle(tuple(corner), *size, facecolor=face, edgecolor=shade, linewidth=1.0, zorder=2))
    if question.viewpoint is not None:
        x, y, _ = question.viewpoint.position
        dx, dy, _ = 0.7 * question.viewpoint.forward
        axes.annotate(
            "", (x + dx, y + dy), (x, y), arrowprops={"arrowstyle": "->", "color": "#4cc9a4", "lw": 1.4}, zorder=5
        )
    axes.set_aspect("equal", adjustable="datalim")
