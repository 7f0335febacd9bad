"""The default broker: the table itself, with LISTEN/NOTIFY to wake workers on PostgreSQL."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from ..conf import app_settings
from ..routing import QueueSelection
from ..runtime.outages import Outage
from ..store import dialects
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

    def listen(self, connection: BaseDatabaseWrapper) -> Listener | None:
        """Listen on a connection of its own, which no pool may share."""
        if not (self.notify and dialects.dialect_for(connection).has_notify):
            return None
        return PostgreSQLListener(connection)


class PostgreSQLListener:
    """A connection that LISTENs. Works with psycopg 3 and psycopg2."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        own = connection.copy()
        own.settings_dict = copy.deepcopy(own.settings_dict)
        own.settings_dict["OPTIONS"].pop("pool", None)
        own.inc_thread_sharing()
        self._connection = own
        self._heard: set[str] = set()
        with own.cursor() as cursor:
            if hasattr(own.connection, "add_notify_handler"):
                # For those that come while a ping waits for its answer.
                own.connection.add_notify_handler(lambda notify: self._heard.add(notify.payload))
            cursor.execute(f"LISTEN {dialects.NOTIFY_CHANNEL}")

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return int(self._connection.connection.fileno())

    def read(self) -> set[str]:
        """Return the queues that were named. Raise a database error when the server is gone."""
        with self._connection.wrap_database_errors:
            raw = self._connection.connection
            if hasattr(raw, "pgconn"):
                self._read_from(raw.pgconn)
            else:
                raw.poll()
                self._heard |= {n.payload for n in raw.notifies}
                raw.notifies.clear()
        heard, self._heard = self._heard, set()
        return heard

    def _read_from(self, pgconn: Any) -> None:
        """Ask libpq itself: psycopg 3's notifies() takes a fifth of a millisecond to begin."""
        pgconn.consume_input()
        while (notify := pgconn.notifies()) is not None:
            self._heard.add(notify.extra.decode())

    def ping(self) -> None:
        """Find out whether the connection still works: a silent one may be cut off."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
