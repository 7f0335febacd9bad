"""Decide when a process polls the table for tasks, and sleep until then."""

from __future__ import annotations

import select
import time
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from ...runtime.wakeups import WakeUp
from ...store import dialects
from .batch_size import PollPace

#: Seconds between two checks for changes, where the database can tell of them for next to
#: nothing: while there was work lately, and after LIVELY seconds without any.
CHECK_INTERVAL, QUIET_CHECK_INTERVAL, LIVELY = 0.02, 0.05, 5.0
#: Seconds for which a look that may wait joins the next write of outcomes.
JOIN_WITHIN = 0.005


class Polling:
    """Knows the time of the next poll, takes wake-ups, and checks for changes in between."""

    def __init__(self, connection: BaseDatabaseWrapper, wake_up: WakeUp) -> None:
        self.connection = connection
        self.dialect = dialects.dialect_for(connection)
        self.wake_up = wake_up
        #: When to look at the latest, by the monotonic clock.
        self.poll_at = 0.0
        self._pace = PollPace()
        self._is_woken = False
        self._joins_next_write = False
        #: What the database's mark of changes was before the last look; None: it has none.
        self._marker: int | None = None
        self._has_changed = False
        self._check_at = 0.0
        self._found_at = float("-inf")

    def is_time(self, now: float, *, is_writing: bool) -> bool:
        """Tell whether to look now; `is_writing`: outcomes are about to be written."""
        is_due = now >= self.poll_at or (self._joins_next_write and is_writing)
        # Also when the time has come anyway: a wake-up that is left over costs a claim later.
        if self.wake_up.take():
            if not is_due:
                self._pace.found()
                self._is_woken = True
            return True
        return is_due or self._saw_change(now)

    def begin(self, *, uses_broker: bool) -> None:
        """
        Note how things are before a look: a commit after this is seen at the next check.

        `uses_broker`: a broker hands out what there is, so that there is nothing to check.
        """
        self._marker = None if uses_broker else self.dialect.change_marker(self.connection)
        self._has_changed = False

    def take_woken(self) -> bool:
        """Return whether it was a wake-up that asked for this look, and forget it."""
        is_woken, self._is_woken = self._is_woken, False
        return is_woken

    def found(self) -> None:
        """Look sooner for a while: there was work."""
        self._pace.found()
        self._found_at = time.monotonic()

    def look_at_once(self) -> None:
        """Plan a look without delay."""
        self.poll_at = 0.0
        self._joins_next_write = False

    def look_with_next_write(self) -> None:
        """Plan a look that rather joins a write than disturb the body that is about to start."""
        self.poll_at = time.monotonic() + JOIN_WITHIN
        self._joins_next_write = True

    def look_later(self, *, is_listening: bool) -> None:
        """Plan the look after one that took all that was there."""
        now = time.monotonic()
        delay = self._pace.next_delay(is_listening=is_listening)
        self.poll_at = now + (delay if self._marker is None else self._pace.longest)
        self._joins_next_write = False
        self._check_at = now + self._check_interval(now)

    def wait(self, waits: list[Any], timeout: float) -> list[Any]:
        """
        Sleep until some of `waits` are readable, for `timeout` seconds at most; return those.

        While it waits for wake-ups, too, it also ends when a check shows that others committed.
        """
        until = time.monotonic() + timeout
        checks = self._marker is not None and self.wake_up in waits
        while (left := until - (now := time.monotonic())) > 0:
            pause = min(left, max(0.0, self._check_at - now)) if checks else left
            if readable := select.select(waits, [], [], pause)[0]:
                return readable
            if checks and self._saw_change(time.monotonic()):
                break
        return []

    def _saw_change(self, now: float) -> bool:
        """Ask, where that is nearly free, whether anybody committed since the last look."""
        if self._marker is not None and now >= self._check_at and not self._has_changed:
            self._check_at = now + self._check_interval(now)
            self._has_changed = self.dialect.change_marker(self.connection) != self._marker
        return self._has_changed

    def _check_interval(self, now: float) -> float:
        return CHECK_INTERVAL if now < self._found_at + LIVELY else QUIET_CHECK_INTERVAL
