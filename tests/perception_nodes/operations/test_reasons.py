from __future__ import annotations

import pytest

from perception.errors import InputError
from perception_nodes.block.request import BlockFailed, MalformedRequest, NoWorker
from perception_nodes.operations.reasons import MissingInput, named, reason_of, reason_of_message, word_of
from perception_nodes.ros.cdr_payload import MalformedMessage


@pytest.mark.parametrize(
    ("error", "reason", "word"),
    [
        (NoWorker("pipeline a"), "block service: NoWorker: pipeline a", "block_service"),
        (BlockFailed("no"), "block service: BlockFailed: no", "block_service"),
        (MalformedRequest("too large"), "block service: MalformedRequest: too large", "block_service"),
        (MalformedMessage("no rows"), "message: MalformedMessage: no rows", "content"),
        (InputError("too long"), "message: InputError: too long", "content"),
        (ValueError("not finite"), "the model failed: ValueError: not finite", "model_failed"),
        (MemoryError(), "the model failed: MemoryError", "model_failed"),
    ],
)
def test_an_error_is_of_the_message_the_model_or_its_service(error: Exception, reason: str, word: str) -> None:
    assert reason_of_message(error) == reason
    assert word_of(reason) == word
    if word != "content":
        assert reason_of(error) == reason


def test_what_else_is_missing_is_no_fault_of_the_message() -> None:
    reason = reason_of_message(MissingInput("the clip has 1 s\nof its 2 s"))
    assert reason == "missing: the clip has 1 s of its 2 s"
    assert word_of(reason) == "missing_input"


def test_other_reasons_have_words_too() -> None:
    assert word_of("") == ""
    assert word_of("the stamp is 3 s old, …") == word_of("no time on /clock yet, …") == "stamp"
    assert word_of("what nobody thought of") == "other"
    assert word_of("late, by 3 ms", {"late": "late"}) == "late"


def test_what_an_error_says_is_one_line_and_short() -> None:
    assert named(ValueError("one\n  two")) == "ValueError: one two"
    assert len(named(ValueError("x" * 10_000))) < 350
