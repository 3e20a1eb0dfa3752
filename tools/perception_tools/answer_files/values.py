"""Values of a record: ranked answers, a whole number as id, and where the asker is believed to stand."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.scenes.scene import Viewpoint
from perception_tools.answer_files.content import brief

_WHOLE_NUMBER = re.compile(r"\s*(-?\d{1,18})(\.0*)?\s*")


def ranked_answers(where: str, name: str, value: Any) -> tuple[str, ...]:
    """Returns the answers in a field, the best first, without outer spaces; none for null.

    Numbers are written as in the answers of the data sets, without ".0". [["answer"]], as lmms-eval writes the
    responses to one request, is ["answer"].
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    ranked = value if isinstance(value, list) else [] if value is None else [value]
    texts = [_text(answer) for answer in ranked]
    if None in texts:
        raise InputError(f"{where}: expected an answer in words or a list of them in {name}, found {brief(value)}")
    return tuple(text for text in texts if text is not None)


def _text(answer: Any) -> str | None:
    if isinstance(answer, str):
        return answer.strip()
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
        return None
    return str(int(answer)) if answer == int(answer) else str(answer)


def whole_number(where: str, name: str, value: Any) -> int:
    """Returns an id; as text or with ".0", as tables of numbers with gaps are written, it is one too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    found = _WHOLE_NUMBER.fullmatch(str(value)) if isinstance(value, int | str) else None
    if found is None or isinstance(value, bool):
        raise InputError(f"{where}: expected a whole number as {name}, found {brief(value)}")
    return int(found[1])


def viewpoint(where: str, fields: Mapping[str, Any]) -> Viewpoint | None:
    """Returns the pose in `position` and `rotation`, scaled to a unit quaternion; None where one of them is missing.

    Both are lists, [x, y, z] and [x, y, z, w], or have keys as in SQA3D's annotations.
    """
    position, rotation = fields.get("position"), fields.get("rotation")
    if position is None or rotation is None:
        return None
    try:
        place = _numbers(position, ("x", "y", "z"))
        turn = _numbers(rotation, ("_x", "_y", "_z", "_w"))
    except (TypeError, ValueError, KeyError, OverflowError):
        place = turn = np.full(1, np.nan)
    length = float(np.linalg.norm(turn)) if turn.shape == (4,) else 0.0
    if place.shape != (3,) or not 0 < length < np.inf or not np.isfinite(place).all():
        raise InputError(
            f"{where}: expected position [x, y, z] and rotation [x, y, z, w] in numbers, found {brief(position)} and "
            f"{brief(rotation)}"
        )
    return Viewpoint(place, turn / length)


def _numbers(value: Any, keys: tuple[str, ...]) -> np.ndarray:
    return np.array([value[key] for key in keys] if isinstance(value, dict) else value, dtype=np.float64)
