"""Run the periodic duties of keepers and beats."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, InterfaceError, connections

from ..redaction.exceptions import loggable_fault
from .faults import CONNECTION_ERRORS, is_lock_timeout, is_outage
from .outages import Outage
from .time_share import pause_after

#: Seconds that a round's sleep takes at most, so that whoever sleeps shows signs of life.
LONGEST_SLEEP = 1.0
#: Seconds after which a duty is tried again that met a lock of somebody else.
LOCK_PAUSE = 0.5


class Duty:
    """
    Something to do every `interval` seconds, in bits that are short beside a lease.

    The action returns True when there is more to do: it is due again at once, after other duties
    that are due. `keeps_to_share`: it is a look that may get dearer than its interval allows, as a
    held snapshot makes it walk over all that was there since. After a round that leaves nothing to
    do it then rests in proportion to what the round took, whoever makes it due.
    """

    def __init__(
        self,
        action: Callable[[], bool | None],
        interval: float,
        *,
        first_in: float = 0.0,
        keeps_to_share: bool = False,
    ) -> None:
        self.action = action
        self.interval = interval
        self._keeps_to_share = keeps_to_share
        self._rests_until = -math.inf
        self._pause = interval
        self._due_at = time.monotonic() + first_in

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be done now."""
        return now >= self._due_at

    def do(self, now: float) -> None:
        """Do it, and plan the next time. Not planned when it raises: it stays due."""
        self._pause = self.interval
        if self.action():
            return
        if self._due_at <= now:
            self._due_at = now + self.interval
        if self._keeps_to_share:
            ended = time.monotonic()
            self._rests_until = ended + pause_after(ended - now)
            self._due_at = max(self._due_at, self._rests_until)

    def next_in(self, seconds: float) -> None:
        """Plan the next time."""
        self._pause = min(seconds, self.interval)
        self.put_off()

    def put_off(self) -> None:
        """Plan the next time as if it had just been done."""
        self._due_at = time.monotonic() + self._pause

    def make_due(self) -> None:
        """Do it at the next chance."""
        self._due_at = min(self._due_at, max(time.monotonic(), self._rests_until))

    def seconds_left(self, now: float) -> float:
        """Return the seconds until it is due."""
        return self._due_at - now


class Duties:
    """
    What a keeper or a beat (`owner`) does in rounds, on its thread's connection to `database`.

    The first duty is the one that must not be late, a lease: whether it is due is asked before
    each other one. While the database is away all duties wait; when it is back, all are due.
    """

    def __init__(self, owner: str, duties: Sequence[Duty], database: str, outage: Outage) -> None:
        self._owner = owner
        self._duties = duties
        self._database = database
        self._outage = outage
        self._logger = logging.getLogger(f"django_tasks.{owner}")

    def do_due(self) -> bool:
        """Do what is due; return False if the database is away."""
        if not self._outage.allows(time.monotonic()):
            return False
        first, *others = self._duties
        try:
            self._do_if_due(first)
            for duty in others:
                if self._do_if_due(duty):
                    self._do_if_due(first)
        except CONNECTION_ERRORS as error:
            self.cut_off(error)
            return False
        return True

    def _do_if_due(self, duty: Duty) -> bool:
        """Do a duty if it is due; one that fails for its own reasons does not stop the others."""
        now = time.monotonic()
        if not duty.is_due(now):
            return False
        try:
            duty.do(now)
        except Exception as error:
            if is_lock_timeout(error):
                self._logger.info(
                    "The %s's duty %s met somebody else's lock.", self._owner, duty.action.__name__
                )
                duty.next_in(LOCK_PAUSE)
                return True
            if is_outage(error):
                raise
            self._logger.error(
                "The %s's duty %s failed.",
                self._owner, duty.action.__name__, exc_info=loggable_fault(error),
            )  # fmt: skip
            duty.next_in(duty.interval)
        return True

    def cut_off(self, error: Exception) -> None:
        """Note that the database is away, and drop the connection."""
        self._outage.began(error)
        for duty in self._duties:
            duty.make_due()
        try:
            connections[self._database].close()
        except (DatabaseError, InterfaceError) as closing:
            self._logger.debug("Closing the connection failed: %s", closing)

    def of(self, action: Callable[[], bool | None]) -> Duty:
        """Return the duty that is this action."""
        return next(duty for duty in self._duties if duty.action == action)

    def pause(self, *, without: Callable[[], bool | None] | None = None) -> float:
        """Return for how many seconds to sleep; the duty `without` has nothing to do."""
        now = time.monotonic()
        if not self._outage.allows(now):
            timeout = self._outage.seconds_left(now)
        else:
            timeout = min(d.seconds_left(now) for d in self._duties if d.action != without)
        return min(max(timeout, 0.0), LONGEST_SLEEP)
