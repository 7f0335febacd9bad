"""Log lines as JSON, for what collects logs: one object per record."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from .logs import traceback_of

#: What records about tasks and schedules may carry, see docs/reference/logging.md.
KEYS = (
    *("task_id", "path", "queue", "attempt", "outcome", "duration", "worker"),
    *("schedule", "slot"),
)


class JsonFormatter(logging.Formatter):
    """
    Writes a record as a JSON object on one line, in ASCII.

    `time` (ISO 8601, in UTC), `level`, `logger` and `message` are always there; what is known of
    KEYS, and `exception`, the traceback, where there is one. Takes no arguments.
    """

    def __init__(self) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key in KEYS:
            value = getattr(record, key, None)
            if value is not None:
                line[key] = value
        if record.exc_info:
            line["exception"] = traceback_of(record.exc_info)
        return json.dumps(line, default=str)


class JsonHandler(logging.StreamHandler[TextIO]):
    """The handler of runworker's and runbeat's own output with --log-format json."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonFormatter())
