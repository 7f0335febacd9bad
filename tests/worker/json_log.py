"""A formatter that shows what a log record carries."""

import json
import logging

KEYS = ("task_id", "path", "attempt", "worker")


class JsonFormatter(logging.Formatter):
    def format(self, record):
        own = {key: getattr(record, key) for key in KEYS if hasattr(record, key)}
        return json.dumps({"level": record.levelname, "message": record.getMessage(), **own})
