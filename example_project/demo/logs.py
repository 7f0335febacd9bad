"""Keep lines that say nothing new out of the demo's terminal."""

import logging


class HidePolls(logging.Filter):
    """Drop the lines of successful polls and of static files."""

    def filter(self, record: logging.LogRecord) -> bool:
        quiet = ("GET /state/", "GET /static/", "GET /media/")
        succeeded = getattr(record, "status_code", 500) < 400
        return not (succeeded and any(part in record.getMessage() for part in quiet))


class HideBatch(logging.Filter):
    """Drop the 300 lines that say that a number of the batch was factorised."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_batch = getattr(record, "path", "").endswith(".factorise")
        return not (is_batch and record.levelno <= logging.INFO)
