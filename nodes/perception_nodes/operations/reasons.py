"""How reasons begin for which a node does not answer by its model, whatever kind it is of.

What follows may quote the message. For metrics, which must be bounded, the beginning becomes one word.
"""

from __future__ import annotations

from collections.abc import Mapping

from perception.errors import InputError

BLOCK = "block service"
FAILED = "the model failed"
CONTENT = "message"
STAMP = "the stamp is"
NO_CLOCK = "no time on"
MISSING = "missing"
OTHER = "other"

WORD_BY_BEGINNING: Mapping[str, str] = {
    BLOCK: "block_service",
    FAILED: "model_failed",
    CONTENT: "content",
    STAMP: "stamp",
    NO_CLOCK: "stamp",
    MISSING: "missing_input",
}
"""Beginning of a reason → its word."""
_LONGEST = 300


class MissingInput(InputError):
    """What else an answer needs is not there, such as earlier pictures or a cloud. No fault of the message."""


def word_of(reason: str, words: Mapping[str, str] = WORD_BY_BEGINNING) -> str:
    """Returns the word for a reason; empty for none."""
    if not reason:
        return ""
    return next((word for beginning, word in words.items() if reason.startswith(beginning)), OTHER)


def reason_of(error: BaseException) -> str:
    """Returns why a model has no answer: its block's service, or itself."""
    of_service = type(error).__module__.startswith("perception_nodes.block")
    return f"{BLOCK if of_service else FAILED}: {named(error)}"


def reason_of_message(error: BaseException) -> str:
    """Returns why a message has no answer: what it contains, what else it needs, or the model."""
    if isinstance(error, MissingInput):
        return f"{MISSING}: {' '.join(str(error).split())[:_LONGEST]}"
    if isinstance(error, InputError) and not type(error).__module__.startswith("perception_nodes.block"):
        return f"{CONTENT}: {named(error)}"
    return reason_of(error)


def named(error: BaseException) -> str:
    """Returns the kind of an error and what it says, on one line."""
    words = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
