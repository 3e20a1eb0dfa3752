"""Tracks as integers that compress well, and back without the loss of a bit.

Numbers with few decimals, such as millimetres, are counted in those units where dividing again gives exactly the same
numbers; all others are taken as the integers that their bits are. Of each track only the difference from one
observed step to the next is kept. Headings and velocities that follow from positions, as a reader estimates them where
its files state none (Argoverse 1), are not kept: they are estimated again, by the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from perception.traffic.motion import causal_heading, causal_velocity

Numbers = Float64[np.ndarray, "agents steps *axes"]
Integers = Int64[np.ndarray, "agents steps *axes"]
Form = Literal["estimated", "bits"] | int
"""How an array became integers: where it is no estimate by its bits, by its bits, or as multiples of 10^-form."""

_DECIMALS = (1, 2, 3, 4, 5, 6, 7)
_LARGEST = 1e9
"""Larger numbers, which no record has, are not looked at for decimals: their multiples would be inexact."""


def to_integers(
    position: Float64[np.ndarray, "agents steps 2"],
    heading: Float64[np.ndarray, "agents steps"],
    velocity: Float64[np.ndarray, "agents steps 2"],
    valid: Bool[np.ndarray, "agents steps"],
    present: int,
) -> tuple[dict[str, Int64[np.ndarray, "*_"]], dict[str, Any]]:
    """Returns arrays of the same shapes by name, and what `from_integers` has to know beside them.

    Args:
        position: Metres.
        heading: Radians.
        velocity: m/s.
        valid: Where the tracks were observed.
        present: Last observed step, from which headings and velocities were estimated if they were.
    """
    arrays = {"position": position, "heading": heading, "velocity": velocity}
    # Unobserved steps hold 0. Where a record says something of them, all of its steps are kept.
    seen = np.ones_like(valid) if any(_bits(values)[~valid].any() for values in arrays.values()) else valid
    forms: dict[str, Form] = {}
    integers = {}
    for name, values in arrays.items():
        forms[name], whole = _counted(name, values, position, valid, present, seen)
        integers[name] = _differences(whole, seen)
    return integers, {"forms": forms, "all": seen is not valid}


def from_integers(
    integers: Mapping[str, Int64[np.ndarray, "*_"]],
    valid: Bool[np.ndarray, "agents steps"],
    present: int,
    known: Mapping[str, Any],
) -> dict[str, Float64[np.ndarray, "*_"]]:
    """Returns position, heading and velocity; the inverse of `to_integers`."""
    seen = np.ones_like(valid) if known["all"] else valid
    arrays: dict[str, np.ndarray] = {}
    for name in ("position", "heading", "velocity"):  # the others may be estimated from the first
        form, whole = known["forms"][name], _summed(integers[name], seen)
        arrays[name] = whole / 10.0**form if isinstance(form, int) else whole.view(np.float64)
        if form == "estimated":
            estimate, where = _estimate(name, arrays["position"], valid, present)
            arrays[name][where] = estimate[where]
    return arrays


def _counted(
    name: str,
    values: Numbers,
    position: Float64[np.ndarray, "agents steps 2"],
    valid: Bool[np.ndarray, "agents steps"],
    present: int,
    seen: Bool[np.ndarray, "agents steps"],
) -> tuple[Form, Integers]:
    """Returns how an array becomes integers, and these; 0 at steps that are not to be kept."""
    whole = np.zeros(values.shape, np.int64)
    if name != "position":
        estimate, where = _estimate(name, position, valid, present)
        if where.any() and (_bits(values)[where] == _bits(estimate)[where]).all():
            whole[seen & ~where] = _bits(values)[seen & ~where]
            return "estimated", whole
    form, whole[seen] = _multiples(values[seen])
    return form, whole


def _multiples(values: Float64[np.ndarray, "*_"]) -> tuple[Form, Int64[np.ndarray, "*_"]]:
    """Returns the number of decimals of a unit and the values as its multiples; their bits if that is not exact."""
    if values.size and np.abs(values).max() < _LARGEST:
        some = values.ravel()[:8]
        for decimals in _DECIMALS:
            unit = 10.0**decimals
            if (np.rint(some * unit) / unit == some).all():
                counts = np.rint(values * unit).astype(np.int64)
                if (_bits(counts / unit) == _bits(values)).all():  # not so for -0.0, whose sign no integer has
                    return decimals, counts
    return "bits", _bits(values)


def _estimate(
    name: str, position: Float64[np.ndarray, "agents steps 2"], valid: Bool[np.ndarray, "agents steps"], present: int
) -> tuple[Numbers, Bool[np.ndarray, "agents steps"]]:
    """Returns the headings or velocities that follow from positions, and where they do."""
    if name == "velocity":
        return causal_velocity(position, valid, present), valid
    return causal_heading(position, valid, present)


def _differences(whole: Integers, seen: Bool[np.ndarray, "agents steps"]) -> Integers:
    """Returns the change from each observed step to the next, small ones as small positive numbers, then zeros."""
    values = whole[seen].reshape(int(seen.sum()), _width(whole)).T
    steps = np.diff(values, axis=1, prepend=0)
    packed = np.zeros(whole.size, np.int64)
    packed[: steps.size] = ((steps << 1) ^ (steps >> 63)).ravel()
    return packed.reshape(whole.shape)


def _summed(packed: Integers, seen: Bool[np.ndarray, "agents steps"]) -> Integers:
    """Returns what `_differences` was given, with zeros at the other steps."""
    count, width = int(seen.sum()), _width(packed)
    folded = packed.ravel()[: count * width].reshape(width, count)
    steps = (folded.view(np.uint64) >> np.uint64(1)).view(np.int64) ^ -(folded & 1)
    whole = np.zeros(packed.shape, np.int64)
    whole[seen] = np.cumsum(steps, axis=1).T.reshape(count, *packed.shape[2:])
    return whole


def _width(values: Integers) -> int:
    """Returns how many numbers a step of a track has."""
    return math.prod(values.shape[2:])


def _bits(values: Float64[np.ndarray, "*_"]) -> Int64[np.ndarray, "*_"]:
    return np.ascontiguousarray(values).view(np.int64)
