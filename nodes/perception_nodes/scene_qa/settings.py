"""Bounds of the scene question node."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perception.errors import InputError


@dataclass(frozen=True)
class SceneQaSettings:
    """Bounds of a node.

    Attributes:
        max_age_s: Questions about an older scene, in seconds, are refused; infinite for a loaded scan.
        max_lag_s: A question is answered from the scene that is encoded if the newest one is at most this many seconds
            newer; otherwise it waits for the newest. Encoding takes a second, in which a map may change ten times.
        min_confidence: Answers of a lower confidence are not given.
        max_waiting: Maximum number of questions in work or waiting; further ones are refused.
        max_characters: Maximum length of a text; longer ones are refused. The first 100 words are read, as offline.
        alternatives: Maximum number of other answers that are named.
        evidence: Maximum number of boxes that are named.
        language: Language of the model; questions in another are not answered.
    """

    max_age_s: float = math.inf
    max_lag_s: float = 2.0
    min_confidence: float = 0.0
    max_waiting: int = 8
    max_characters: int = 1000
    alternatives: int = 9
    evidence: int = 8
    language: str = "en"

    def __post_init__(self) -> None:
        for name, least in {"max_age_s": 0, "max_lag_s": 0, "max_waiting": 1, "max_characters": 1}.items():
            if not getattr(self, name) >= least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}; give a larger number")


DEFAULTS = SceneQaSettings()
