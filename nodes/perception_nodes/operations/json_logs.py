"""Logs as one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LONGEST = 10_000
"""Maximum length of a message, and of a traceback, whose end counts: errors may quote what was sent."""
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record's time, level, logger, message, traceback, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns one line of JSON."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)[-LONGEST:]
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return json.dumps(fields, default=str)


def log_as_json(level: int = logging.INFO) -> None:
    """Sends all of this process's logs to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
