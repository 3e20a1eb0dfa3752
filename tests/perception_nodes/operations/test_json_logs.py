from __future__ import annotations

import json
import logging

from perception_nodes.operations.json_logs import LONGEST, JsonFormatter


def test_a_record_is_one_line_with_what_was_given_beside_it() -> None:
    record = logging.makeLogRecord(
        {
            "name": "perception_nodes.x",
            "levelname": "WARNING",
            "msg": "late\nby %d ms",
            "args": (7,),
            "topic": "/objects",
        }
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "warning",
        "logger": "perception_nodes.x",
        "message": "late\nby 7 ms",
        "topic": "/objects",
    }


def test_no_line_is_longer_than_a_person_reads() -> None:
    try:
        raise ValueError("y" * 10**6)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(logging.makeLogRecord({"msg": "x" * 10**6, "exc_info": info}))
    assert len(line) < 3 * LONGEST


def test_a_traceback_goes_along_and_what_is_not_json_is_written_out() -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": info, "thing": {1, 2}})
    fields = json.loads(JsonFormatter().format(record))
    assert "ZeroDivisionError: why" in fields["traceback"]
    assert fields["thing"] == "{1, 2}"
