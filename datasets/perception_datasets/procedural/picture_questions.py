"""Questions about drawn pictures in VQAv2's format, for demonstrations and tests where no data set is at hand.

A picture shows two to four coloured shapes in the cells of a grid of 2 × 2. Six questions are asked about it: two
counts, two attributes, a presence and a relation. The answers to counts and to questions with yes or no are drawn
first, and then pictures until one can give them; colours, shapes, left and right, up and down are treated alike. So a
question's text says nothing about its answer: each answer of its kind is equally likely, and who does not look is right
by chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter

from perception.files import whole_file
from perception_datasets.folders import check_split, mark_synthetic
from perception_datasets.image_text.vqa import VqaQuestion, picture_file, split_files, write_vqa
from perception_datasets.procedural.shapes import SHAPES

SIDE = 64
"""Height and width in pixels."""
GRID = 2
"""Cells in a row, and in a column."""
COLORS: Mapping[str, tuple[int, int, int]] = {
    "red": (210, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 220),
    "yellow": (230, 200, 40),
}
KINDS = ("circle", "square", "triangle")
COUNTS = (0, 1, 2)
"""Answers to "how many": each is the true one as often as the others."""
_NUMBER_OF_SHAPES = (2, 4)
"""Fewest and most shapes in a picture."""
_SCALE = 4
"""Pictures are drawn this much larger, then reduced, for smooth edges."""
_RADIUS = (0.26, 0.4)
"""Radius of the smallest and of the largest shape, of a cell's side; a shape stays in its cell."""
_QUALITY = 95
_ANNOTATORS = 10
_SUBSET = "drawn"
_IDS_PER_PICTURE = 10


class Shape(NamedTuple):
    """A shape in a picture.

    Attributes:
        color: One of `COLORS`.
        kind: One of `KINDS`.
        column: Cell from the left.
        row: Cell from the top.
    """

    color: str
    kind: str
    column: int
    row: int

    @property
    def name(self) -> str:
        """What it is called in a question."""
        return f"{self.color} {self.kind}"


@dataclass(frozen=True)
class Asked:
    """A question with its answer.

    Attributes:
        text: The question.
        answer: The only true answer.
        answer_type: `yes/no`, `number` or `other`.
        question_type: How it begins, by VQA's list.
    """

    text: str
    answer: str
    answer_type: str
    question_type: str


class _Relation(NamedTuple):
    words: str
    axis: str
    sign: int


_RELATIONS = (
    _Relation("to the left of", "column", -1),
    _Relation("to the right of", "column", 1),
    _Relation("above", "row", -1),
    _Relation("below", "row", 1),
)


@dataclass(frozen=True)
class _Answers:
    """What a picture must be able to answer.

    Attributes:
        of_a_color: How many shapes of some colour there are.
        of_a_kind: How many shapes of some kind there are.
        is_there: Whether a shape is there that is asked for.
        is_so: Whether two shapes lie as is asked.
    """

    of_a_color: int
    of_a_kind: int
    is_there: bool
    is_so: bool


_Item = TypeVar("_Item")


class _Subjects(NamedTuple):
    """What is asked about.

    Attributes:
        color: Whose shapes are counted.
        kind: What is counted.
        only_kind: The only shape of its kind, whose colour is asked.
        only_color: The only shape of its colour, whose kind is asked.
        name: Name of a shape that may be in the picture.
        pair: Two shapes and how the first may lie to the second.
    """

    color: str
    kind: str
    only_kind: Shape
    only_color: Shape
    name: str
    pair: tuple[Shape, _Relation, Shape]


def make_record(rng: np.random.Generator) -> tuple[UInt8[np.ndarray, "side side 3"], list[Asked]]:
    """Draws a picture and six questions about it."""
    of_a_color, of_a_kind = (int(count) for count in rng.choice(COUNTS, 2))
    is_there, is_so = (bool(answer) for answer in rng.integers(2, size=2))
    goal = _Answers(of_a_color, of_a_kind, is_there, is_so)
    while True:
        shapes = _place(rng)
        subjects = _find_subjects(shapes, goal, rng)
        if subjects is not None:
            return _draw(shapes, rng), _ask(subjects, goal)


def _place(rng: np.random.Generator) -> list[Shape]:
    low, high = _NUMBER_OF_SHAPES
    cells = rng.choice(GRID**2, rng.integers(low, high + 1), replace=False)
    colors, kinds = list(COLORS), KINDS
    return [
        Shape(colors[rng.integers(len(colors))], kinds[rng.integers(len(kinds))], cell % GRID, cell // GRID)
        for cell in cells.tolist()
    ]


def _find_subjects(shapes: Sequence[Shape], goal: _Answers, rng: np.random.Generator) -> _Subjects | None:
    """What to ask about so that the answers are true; None where these shapes have nothing of that kind."""
    colors, kinds, names = (Counter(getattr(s, name) for s in shapes) for name in ("color", "kind", "name"))
    every = [f"{color} {kind}" for color, kind in product(COLORS, KINDS)]
    unique = [shape for shape in shapes if names[shape.name] == 1]
    by_color = [color for color in COLORS if colors[color] == goal.of_a_color]
    by_kind = [kind for kind in KINDS if kinds[kind] == goal.of_a_kind]
    only_kind = [shape for shape in shapes if kinds[shape.kind] == 1]
    only_color = [shape for shape in shapes if colors[shape.color] == 1]
    named = [name for name in every if (names[name] > 0) == goal.is_there]
    pairs = [
        (one, relation, other)
        for one, other in permutations(unique, 2)
        for relation in _RELATIONS
        if _lies(one, relation, other) is goal.is_so
    ]
    if not (by_color and by_kind and only_kind and only_color and named and pairs):
        return None

    def choose(options: Sequence[_Item]) -> _Item:
        return options[int(rng.integers(len(options)))]

    return _Subjects(
        choose(by_color), choose(by_kind), choose(only_kind), choose(only_color), choose(named), choose(pairs)
    )


def _ask(of: _Subjects, goal: _Answers) -> list[Asked]:
    one, relation, other = of.pair
    asked = (
        (f"how many {of.color} shapes are there?", str(goal.of_a_color), "number", "how many"),
        (f"how many {of.kind}s are there?", str(goal.of_a_kind), "number", "how many"),
        (f"what color is the {of.only_kind.kind}?", of.only_kind.color, "other", "what color is the"),
        (f"which shape is {of.only_color.color}?", of.only_color.kind, "other", "which"),
        (f"is there a {of.name}?", _yes(goal.is_there), "yes/no", "is there a"),
        (f"is the {one.name} {relation.words} the {other.name}?", _yes(goal.is_so), "yes/no", "is the"),
    )
    return [Asked(*words) for words in asked]


def _lies(one: Shape, relation: _Relation, other: Shape) -> bool | None:
    """Whether one shape lies so; None where they are level, which is not asked."""
    distance = relation.sign * (getattr(one, relation.axis) - getattr(other, relation.axis))
    return distance > 0 if distance else None


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _draw(shapes: Sequence[Shape], rng: np.random.Generator) -> UInt8[np.ndarray, "side side 3"]:
    """The shapes, each of its own size and shade, before an uneven grey."""
    side = SIDE * _SCALE
    greys = rng.uniform(90, 150, (2, 2)).astype(np.uint8)
    page = Image.fromarray(greys).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    pen, cell = ImageDraw.Draw(page), side / GRID
    for shape in shapes:
        radius = cell * rng.uniform(*_RADIUS)
        x, y = rng.uniform(radius, cell - radius, 2) + cell * np.array([shape.column, shape.row])
        turn = _UPRIGHT_RAD[shape.kind] + rng.uniform(-0.1, 0.1)
        cos, sin = math.cos(turn), math.sin(turn)
        corners = [
            (float(x + radius * (px * cos - py * sin)), float(y + radius * (px * sin + py * cos)))
            for px, py in SHAPES[shape.kind]()
        ]
        red, green, blue = (int(value) for value in np.array(COLORS[shape.color]) + rng.integers(-20, 21, 3))
        pen.polygon(corners, fill=(red, green, blue))
    return np.array(page.filter(ImageFilter.GaussianBlur(_SCALE / 4)).resize((SIDE, SIDE), Image.Resampling.BOX))


_UPRIGHT_RAD: Mapping[str, float] = {"circle": 0.0, "square": math.pi / 4, "triangle": -math.pi / 2}


def write_picture_questions(out: Path, split: str, *, count: int, seed: int) -> Generator[Path, None, None]:
    """Writes pictures of a split, OUT/SPLIT/COCO_drawn-SPLIT_NUMBER.jpg, then its questions and annotations.

    Pictures that are there are kept.

    Args:
        out: Folder of the data set.
        split: Name of the split; splits differ in their pictures.
        count: Number of pictures.
        seed: The same seed gives the same pictures and questions.

    Yields:
        Path of each picture.
    """
    check_split(split)
    mark_synthetic(out, out / split, {"made_by": "perception sample picture-questions", "seed": seed})
    subset, records = f"{_SUBSET}-{split}", []
    for number in range(count):
        pixels, asked = make_record(np.random.default_rng((seed, *split.encode(), number)))
        name = picture_file(number, subset)
        path = out / split / name
        if not path.exists():
            with whole_file(path) as temporary:
                Image.fromarray(pixels).save(temporary, "JPEG", quality=_QUALITY)
        records += [
            VqaQuestion(
                id=_IDS_PER_PICTURE * number + i,
                image_id=number,
                image_file=name,
                question=of.text,
                answers=(of.answer,) * _ANNOTATORS,
                frequent_answer=of.answer,
                answer_type=of.answer_type,
                question_type=of.question_type,
            )
            for i, of in enumerate(asked)
        ]
        yield path
    write_vqa(*split_files(out, split), records, data_type=_SUBSET, data_subtype=subset)
