"""Wait out an outage: pauses that grow, and one log line per change."""

from __future__ import annotations

import logging
import random
import threading
import time
from datetime import UTC, datetime, timedelta

from ..redaction.exceptions import summary

logger = logging.getLogger("django_tasks.worker")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


class Outage:
    """
    Whether something is away, since when, and when to try it again.

    `meanwhile`: what happens until it is back, for the log. Threads may share it.
    """

    def __init__(self, what: str, meanwhile: str = "", logger: logging.Logger = logger) -> None:
        self.what = what
        self.since: float | None = None
        self._logger = logger
        self._meanwhile = meanwhile
        self._pause = FIRST_PAUSE
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def began(self, error: BaseException) -> None:
        """Note a failure; log the first one only."""
        now = time.monotonic()
        with self._lock:
            is_first, self.since = self.since is None, self.since or now
            # Spread, so that a fleet does not come back in one moment.
            self._retry_at = now + self._pause * random.uniform(0.5, 1.0)  # noqa: S311
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if is_first:
            first_line = (summary(error).splitlines() or [""])[0]
            self._logger.warning(
                "Lost %s (%s: %s); %strying again.",
                self.what, type(error).__name__, first_line, self._meanwhile,
            )  # fmt: skip

    def over(self) -> float | None:
        """Note a success; return for how many seconds it was away, None if it was not."""
        if self.since is None:  # without the lock: it is asked all the time
            return None
        since = self._end()
        if since is None:  # another thread was first
            return None
        away = time.monotonic() - since
        what = self.what[:1].upper() + self.what[1:]
        self._logger.info("%s is back after %.1f s.", what, away)
        return away

    def describe(self) -> str:
        """Return a line that says since when it is away, empty if it is not."""
        since = self.since
        if since is None:
            return ""
        away = time.monotonic() - since
        began = datetime.now(UTC) - timedelta(seconds=away)
        return f"{self.what} is away since {began:%Y-%m-%dT%H:%M:%SZ} ({away:.0f} s)"

    def _end(self) -> float | None:
        with self._lock:
            since, self.since = self.since, None
            self._pause = FIRST_PAUSE
            self._retry_at = 0.0
        return since

    def allows(self, now: float) -> bool:
        """Tell whether it may be tried at this moment."""
        return now >= self._retry_at

    def grants_try(self) -> bool:
        """
        Tell whether the caller may try it, and keep other threads from trying meanwhile.

        While it is away, one caller per pause pays for finding out.
        """
        if self.since is None:
            return True
        now = time.monotonic()
        with self._lock:
            if now < self._retry_at:
                return False
            self._retry_at = now + self._pause
            return True

    def retry_now(self) -> None:
        """Let it be tried at once: it has answered."""
        self._retry_at = 0.0

    def seconds_left(self, now: float) -> float:
        """Return the seconds until it may be tried."""
        return max(0.0, self._retry_at - now)
