from __future__ import annotations

import math
from typing import Any

import pytest

from perception.errors import InputError
from perception_nodes.scene_qa.settings import DEFAULTS, SceneQaSettings


def test_by_default_a_scene_may_be_of_any_age() -> None:
    assert DEFAULTS == SceneQaSettings(max_age_s=math.inf)


@pytest.mark.parametrize(
    ("name", "value"), [("max_age_s", -1.0), ("max_lag_s", math.nan), ("max_waiting", 0), ("max_characters", 0)]
)
def test_settings_that_make_no_sense_are_refused(name: str, value: float) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name}: expected at least [01], got {value}"):
        SceneQaSettings(**wrong)
