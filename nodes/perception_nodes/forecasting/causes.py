"""Why a tick has no answer of the model, as one of few words: for metrics, which must be bounded, and for the log."""

from __future__ import annotations

from enum import StrEnum

from perception_nodes.forecasting.history import Arrival
from perception_nodes.forecasting.node import NO_MODEL
from perception_nodes.operations.account import MODEL, NONE, AccountWords
from perception_nodes.operations.reasons import BLOCK, CONTENT, FAILED, NO_CLOCK, STAMP, word_of


class Cause(StrEnum):
    """Labels of `perception_ticks_without_model_total`."""

    NONE = ""
    LOADING = "model_loading"
    LATE = "model_late"
    FAILED = "model_failed"
    BLOCK = "block_service"
    NO_MAP = "no_map"
    NO_POSE = "no_ego_pose"
    FRAME = "frame"
    STAMP = "stamp"
    ORDER = "order"
    CONTENT = "content"
    SILENT = "other_node_silent"
    NO_OBJECTS = "no_objects"
    OTHER = "other"


NO_MAP = "no map yet"
LATE = "the model took longer than"
NOT_FINITE = "the model's futures are not finite"
NO_POSE = "no pose of"
NO_TRANSFORM = "no transform"
SILENT = "the other node has not answered"
NO_OBJECTS = "no objects"
CANNOT_LOAD = "the model cannot be loaded"

_BY_BEGINNING: dict[str, Cause] = {
    NO_MODEL: Cause.LOADING,
    CANNOT_LOAD: Cause.FAILED,
    LATE: Cause.LATE,
    BLOCK: Cause.BLOCK,
    FAILED: Cause.FAILED,
    NOT_FINITE: Cause.FAILED,
    NO_MAP: Cause.NO_MAP,
    NO_POSE: Cause.NO_POSE,
    NO_TRANSFORM: Cause.FRAME,
    STAMP: Cause.STAMP,
    NO_CLOCK: Cause.STAMP,
    "tick: expected a positive stamp": Cause.STAMP,
    "tick at": Cause.NO_POSE,
    SILENT: Cause.SILENT,
    NO_OBJECTS: Cause.NO_OBJECTS,
    CONTENT: Cause.CONTENT,
    **{arrival.value: Cause.ORDER for arrival in Arrival if not arrival.is_present},
}


def cause_of(reason: str) -> Cause:
    """Returns the word for a reason; NONE for none."""
    return Cause(word_of(reason, _BY_BEGINNING))


def has_no_model(reason: str) -> bool:
    """Whether a reason says that a node has no model, so that another one may answer better."""
    return NO_MODEL in reason or CANNOT_LOAD in reason


WORDS = AccountWords(
    name="forecast",
    causes=tuple(cause for cause in Cause if cause not in (Cause.NONE, Cause.NO_OBJECTS)),  # without objects no tick
    cause_of=cause_of,
    waiting="no objects yet",
    sources=(MODEL, "fallback", NONE),
)
