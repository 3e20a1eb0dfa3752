"""Small pictures of drawn shapes, for demonstrations and tests where no data set is at hand.

Each picture shows one shape of any colour, a little moved, turned and scaled, before an uneven background and behind
thin lines. Its class is the shape, so that neither colours nor single pixels give it away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter

from perception_datasets.folders import check_split

SIDE = 32
"""Height and width in pixels."""
_SCALE = 4
"""Pictures are drawn this much larger, then reduced, for smooth edges."""
_CONTRAST = 90
"""Least distance between the colours of a shape and of the middle of its background, of 255 · √3."""

_RADIUS = (0.38, 0.46)
"""Radius of the smallest and of the largest shape, of the side."""
_TURN_RAD = 0.25
"""Shapes are turned by at most this much: a small transformer needs far more pictures to learn a turn of any size."""

Corners = list[tuple[float, float]]


def _polygon(corners: int, *, inner: float = 1.0, phase: float = 0.0) -> Corners:
    """Corners on a circle of radius 1; with `inner`, every second one is nearer to the middle."""
    count = corners if inner == 1 else 2 * corners
    radii = [1.0 if i % 2 == 0 else inner for i in range(count)]
    angles = [phase + 2 * math.pi * i / count for i in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _cross(width: float) -> Corners:
    w, one = width, 1.0
    quarter = [(-w, -one), (w, -one), (w, -w)]
    return [_quarter_turns(x, y, turns) for turns in range(4) for x, y in quarter]


def _quarter_turns(x: float, y: float, count: int) -> tuple[float, float]:
    for _ in range(count):
        x, y = -y, x
    return x, y


SHAPES: Mapping[str, Callable[[], Corners]] = {
    "bar": lambda: [(-1.0, -0.3), (1.0, -0.3), (1.0, 0.3), (-1.0, 0.3)],
    "circle": lambda: _polygon(48),
    "cross": lambda: _cross(0.33),
    "half-disc": lambda: [(x, y) for x, y in _polygon(48) if y >= -1e-9],
    "hexagon": lambda: _polygon(6),
    "square": lambda: _polygon(4),
    "star": lambda: _polygon(5, inner=0.42),
    "triangle": lambda: _polygon(3),
}
"""Class → corners, within a circle of radius 1."""


def draw_shape(name: str, rng: np.random.Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Draws a picture of a shape."""
    side = SIDE * _SCALE
    corners = rng.uniform(40, 215, (2, 2, 3))
    background = Image.fromarray(corners.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    colour = rng.uniform(0, 255, 3)
    while np.linalg.norm(colour - corners.mean((0, 1))) < _CONTRAST:
        colour = rng.uniform(0, 255, 3)
    radius, turn = side * rng.uniform(*_RADIUS), rng.uniform(-_TURN_RAD, _TURN_RAD)
    x, y = rng.uniform(radius, side - radius, 2)
    pen = ImageDraw.Draw(background)
    turned = np.array(SHAPES[name]()) @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    pen.polygon([(x + radius * px, y + radius * py) for px, py in turned.tolist()], fill=_rgb(colour))
    for _ in range(int(rng.integers(0, 3))):
        ends = [(float(px), float(py)) for px, py in rng.uniform(0, side, (2, 2))]
        pen.line(ends, fill=_rgb(rng.uniform(0, 255, 3)), width=_SCALE)
    small = background.filter(ImageFilter.GaussianBlur(_SCALE / 4)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.clip(np.array(small) + rng.normal(0, 5, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def write_shapes(out: Path, split: str, *, count: int, seed: int) -> Generator[Path, None, None]:
    """Writes the pictures of a split as an ImageFolder, OUT/SPLIT/CLASS/NUMBER.png; those that are there are kept.

    Args:
        out: Folder of the data set.
        split: Name of the split; splits differ in their pictures.
        count: Number of pictures, shared out evenly among the classes.
        seed: The same seed gives the same pictures.

    Yields:
        Path of each picture.
    """
    check_split(split)
    names = list(SHAPES)
    for number in range(count):
        name = names[number % len(names)]
        path = out / split / name / f"{number:06d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng((seed, *split.encode(), number))
            temporary = path.with_suffix(".part")
            Image.fromarray(draw_shape(name, rng)).save(temporary, "PNG")
            temporary.replace(path)
        yield path
