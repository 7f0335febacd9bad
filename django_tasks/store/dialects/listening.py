"""Waiting for PostgreSQL's notifications."""

from __future__ import annotations

import copy
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

#: Where the names of queues with ready tasks are sent.
NOTIFY_CHANNEL = "django_tasks_ready"


class PostgreSQLListener:
    """
    A connection that LISTENs, of its own: no pool may share it.

    Works with psycopg 3 and psycopg2.
    """

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
            cursor.execute(f"LISTEN {NOTIFY_CHANNEL}")

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
