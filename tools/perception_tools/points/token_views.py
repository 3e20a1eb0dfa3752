"""Groups of points as tokens, for whoever looks at what the block makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from perception.clouds.cloud import Cloud
from perception.errors import InputError
from perception.frozen.stages import block_attention, block_stages, expect_adapter, noted_inputs
from perception.models.point_classifier import PointClassifier
from perception.tokens import Readout
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.clouds.records import Clouds
from perception_datasets.errors import Failures, RecordError
from perception_tools.analysis.filtering.pictures import heat_colours
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.points.model import TrainedClassifier
from perception_tools.report.theme import colour

INCHES = (2.0, 1.0)
VIEWPOINTS = ((35.0, 25.0), (125.0, 25.0))
"""Azimuth about the upward axis and elevation, degrees: two views from above, a quarter turn apart."""
DARK_GROUND = "#2a2440"
"""Under the colours of activations, of which the least are black."""
RULE = (
    "A token is a group of neighbouring points around a centre; the class token is left out. A point is drawn in the "
    "colour of the group whose centre is nearest to it, from two sides, with the third axis up. Clouds have no "
    "targets, so nothing says whether what stands out is what matters. “Where it looks” is where the class token looks."
)


def cloud_views(models: Sequence[TrainedClassifier], asked: Asked) -> TokenViews:
    """Clouds of a split.

    Raises:
        InputError: The clouds cannot be opened.
    """
    if asked.masks is not None:
        raise InputError(f"--masks {asked.masks}: clouds have no targets; leave it out")
    first, failures = models[0], Failures()
    clouds = open_clouds(
        asked.data, asked.split, classes=first.classes, variant=first.recipe.variant, limit=asked.limit
    )
    return TokenViews("clouds", _records(models, clouds, asked, failures), failures=failures, rules=(RULE,))


def _records(
    models: Sequence[TrainedClassifier], clouds: Clouds, asked: Asked, failures: Failures
) -> Iterator[tuple[TokenView, ...]]:
    for record in clouds:
        try:
            cloud = clouds.decode(record)
            yield tuple(_view(one.model, cloud, asked) for one in models)
        except InputError as error:
            failures.add(record.id, RecordError(str(error)))


@torch.no_grad()
def _view(model: PointClassifier, cloud: Cloud, asked: Asked) -> TokenView:
    adapter = expect_adapter(model.block)
    points = model.collate([model.prepare(cloud)]).to(next(model.parameters()).device)
    with noted_inputs(adapter) as given:
        model(points)
    (tokens,) = given
    stages = block_stages(adapter, tokens, asked.inside).named()
    looks = block_attention(adapter, tokens, Readout.first(tokens))
    centres = model.encoder.group(points).centres[0]
    nearest = torch.cdist(points[0], centres).argmin(1).cpu().numpy()
    return TokenView(
        id=cloud.id,
        stages={name: value[0, 1:].double().cpu().numpy() for name, value in stages.items()},
        attention=None if looks is None else looks[0, :, 0, 1:].sum(0).double().cpu().numpy(),
        attention_stage="attention",
        target=None,
        counted=np.ones(len(centres), bool),
        priors={},
        draw=partial(_draw, points[0].double().cpu().numpy(), nearest),
        inches=INCHES,
    )


def projected(points: Float[np.ndarray, "points 3"], azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Returns right, up and toward the viewer for each point, seen in parallel from a direction."""
    turn, lift = np.radians([azimuth_deg, elevation_deg])
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    toward = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    return points @ np.column_stack([right, np.cross(toward, right), toward])


def _draw(
    points: Float[np.ndarray, "points 3"],
    group_of: Int[np.ndarray, " points"],
    axes: Axes,
    values: Float[np.ndarray, " groups"] | None,
) -> None:
    """The cloud from two sides, its points in the colours of their groups' activations."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = max(float(np.linalg.norm(points - centre, axis=1).max()), 1e-9)
    axes.set_rasterization_zorder(100)
    axes.set_facecolor(colour("ground") if values is None else DARK_GROUND)
    for side, viewpoint in enumerate(VIEWPOINTS):
        seen = projected((points - centre) / radius, *viewpoint)
        far_first = np.argsort(seen[:, 2], kind="stable")
        shades = colour("ink") if values is None else heat_colours(values)[group_of][far_first]
        axes.scatter(seen[far_first, 0] + 2.1 * side, seen[far_first, 1], s=4, c=shades, linewidths=0, zorder=0)
    axes.set(xlim=(-1.05, 3.15), ylim=(-1.05, 1.05))
    axes.set_aspect("equal", adjustable="box")
