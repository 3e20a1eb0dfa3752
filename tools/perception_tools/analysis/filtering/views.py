"""What a task tells of its records, so that one tool can look at all tasks: tokens with features, places and a target.

A task takes part by one function, named in its record as `token_views`. The function opens the data and gives a
`TokenViews`; all that is measured and drawn follows from that. Pictures (a grid of patches), forecasts (agents and
lanes), scenes (proposals), clouds (groups of points) and clips (cubes) do so. A view runs the model under
`noted_inputs(model.block)`, calls `block_stages` and `block_attention` of `perception.frozen.stages`, takes the rows
that have a place (not a class token), and says how to draw them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes

from perception.frozen.stages import Inside
from perception_datasets.errors import Failures

Draw = Callable[[Axes, Float[np.ndarray, " tokens"] | None], None]
"""Draws a record into empty axes: each token in the colour of its activation (0 to 1), or, without activations, the
record itself with its target."""


@dataclass(frozen=True)
class Asked:
    """What is looked at.

    Attributes:
        data: Folder or archive of the records.
        masks: Where the targets are; None where there are none, or the records hold them.
        split: Split of the data.
        limit: Look at this many records only.
        inside: What stands for a part of the block.
    """

    data: Path
    masks: Path | None = None
    split: str = "val"
    limit: int | None = None
    inside: Inside = "sum"


@dataclass(frozen=True)
class TokenView:
    """A record as one model sees it; only tokens that have a place.

    Attributes:
        id: Name of the record.
        stages: Stage → features of each token; names and order are those of `BlockStages.named`.
        attention: Where the rows that the head reads look, summed over heads: of the last language block, or of the
            encoder's last layer; None where neither is known.
        attention_stage: Stage that this attention belongs to.
        target: Which tokens are of the target; None where it is not known.
        counted: Which tokens count in the measure.
        priors: Name → activations that know nothing of the record, to be compared with.
        draw: Draws the record.
        sorts: A number for each token where tokens are of several sorts, such as agents and lanes: what tells one sort
            from another would drown what tells tokens of one sort apart, so each sort is compared with its own mean.
        inches: Width and height of a drawing.
    """

    id: str
    stages: Mapping[str, Float[np.ndarray, "tokens _"]]
    attention: Float[np.ndarray, " tokens"] | None
    attention_stage: str
    target: Bool[np.ndarray, " tokens"] | None
    counted: Bool[np.ndarray, " tokens"]
    priors: Mapping[str, Float[np.ndarray, " tokens"]]
    draw: Draw
    sorts: Int[np.ndarray, " tokens"] | None = None
    inches: tuple[float, float] = (1.25, 1.25)


@dataclass(frozen=True)
class TokenViews:
    """The records of a split, as each of several models sees them.

    Attributes:
        noun: What the records are, in the plural.
        records: For each record, a view for each model. Its iteration fills `left_out` and `failures`.
        left_out: Why records are not looked at → how many.
        failures: Records that could not be read.
        rules: What a reader must know of tokens and targets.
    """

    noun: str
    records: Iterable[tuple[TokenView, ...]]
    left_out: Counter[str] = field(default_factory=Counter)
    failures: Failures = field(default_factory=Failures)
    rules: tuple[str, ...] = ()
