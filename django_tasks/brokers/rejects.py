"""Log what a broker holds that is no task id, without filling the log."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("django_tasks.broker")

#: Seconds between two lines of one process.
INTERVAL = 60.0
#: Characters shown of what was found.
SHOWN = 60


class Rejects:
    """Logs the first of many rejects; the next line says how many were left out."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._silent_until = float("-inf")
        self._left_out = 0

    def log(self, queue_name: str, found: object) -> None:
        """Log that what was found in a queue is dropped."""
        now = time.monotonic()
        if now < self._silent_until:
            self._left_out += 1
            return
        logger.warning(
            "%s held what is no task id in queue %.100r: %s; it was dropped (%d more before).",
            self._where, queue_name, _shown(found), self._left_out,
        )  # fmt: skip
        self._silent_until = now + INTERVAL
        self._left_out = 0


def _shown(found: object) -> str:
    if isinstance(found, (bytes, str)):
        found = found[:SHOWN]
    return repr(found)[: 2 * SHOWN]
