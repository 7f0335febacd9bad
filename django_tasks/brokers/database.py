"""The default broker: the table itself, with LISTEN/NOTIFY to wake workers on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from django.core.checks import CheckMessage

from ..conf import app_settings
from ..routing import QueueSelection
from ..runtime.outages import Outage
from .base import Listener, Ready

#: Wake-ups per queue and window that one process sends. A worker that was woken looks again after
#: the window, so that a task whose wake-up was left out waits for that long at most.
WINDOW = 0.05
WAKES_PER_WINDOW = 5


class DatabaseBroker:
    """
    Lets workers find ready tasks in the table.

    With NOTIFY on, an insert sends one. It takes a lock on commit that all notifying transactions
    of the server share, so a process under load sends only a few per WINDOW.
    """

    publishes = False

    def __init__(self, alias: str) -> None:
        self.outage = Outage("the database")  # which is told of by those who use it
        self.notify = app_settings.NOTIFY
        self._window_ends = 0.0
        #: Wake-ups of this window. Not of all time: projects may name queues as they like.
        self._sent: dict[str, int] = {}

    def wakes(self, queue_name: str) -> bool:
        """Tell whether this insert should carry a wake-up for the queue."""
        if not self.notify:
            return False
        now = time.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._sent = now + WINDOW, {}
        sent = self._sent.get(queue_name, 0)
        self._sent[queue_name] = sent + 1
        return sent < WAKES_PER_WINDOW

    def publish(self, ready: Sequence[Ready]) -> bool:
        """Do nothing: the rows are the queue."""
        return True

    def expect(self) -> None:
        """Do nothing: keepers look for themselves."""

    def pulse(self) -> None:
        """Return None: it has nothing to lose."""

    def missing(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """Return none: the rows are all there is."""
        return ()

    def source(self, queues: QueueSelection) -> NoReturn:
        """Raise: workers claim from the table."""
        raise NotImplementedError("The database broker hands out no ids.")

    def check(self) -> Iterable[CheckMessage]:
        """Return nothing: it has no settings."""
        return ()

    def listen(self, to_database: Callable[[], Listener | None]) -> Listener | None:
        """Listen to the database's notifications, unless they are off."""
        return to_database() if self.notify else None
