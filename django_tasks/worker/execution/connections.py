"""The Django connections of a process' threads, between bodies and around receivers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ...dep14.private import forget_transaction
from ...store import dialects

logger = logging.getLogger("django_tasks.worker")


def tidy_connections() -> None:
    """
    Leave no transaction, lock or broken connection of a body to the next one.

    Like Django after a request: connections that are past CONN_MAX_AGE or unusable are closed,
    and queries that were remembered are forgotten.
    """
    for connection in connections.all(initialized_only=True):
        if connection.queries_logged:  # while DEBUG is true, or because a body asked for it
            connection.force_debug_cursor = False
            connection.queries_log.clear()
        if connection.connection is None:
            continue
        try:
            if dialects.is_idle(connection):
                connection.close_if_unusable_or_obsolete()
                continue
            logger.warning(
                "A transaction was left open on %r; it is rolled back.", connection.alias
            )
        except Exception as error:  # noqa: BLE001 - whatever a driver says of a broken connection
            logger.warning("The connection to %r was left broken: %s", connection.alias, error)
        _forget(connection)


class ReceiverConnections:
    """
    Connections for the receivers of signals in a thread that talks to the task database itself.

    Its own connection is set up for the worker's statements, and is in the middle of its work.
    Receivers get an ordinary one instead, looked after as after a request, as are those to other
    databases.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self._theirs: BaseDatabaseWrapper | None = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let `connections` be those of receivers within."""
        own = connections[self.database]
        if self._theirs is None:
            self._theirs = connections.create_connection(self.database)
        connections[self.database] = self._theirs
        try:
            tidy_connections()
            yield
        finally:
            tidy_connections()
            connections[self.database] = own


class OwnConnections:
    """Receivers share the thread's connections: those of a test, and of its transaction."""

    def lent(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


def _forget(connection: Any) -> None:
    """Close a connection in the middle of whatever it is in."""
    raw = forget_transaction(connection)
    try:
        raw.close()
        if (pool := getattr(raw, "_pool", None)) is not None:
            pool.putconn(raw)  # a closed one: the pool makes another in its place
    except Exception as error:  # noqa: BLE001 - it is thrown away; the server rolls back
        logger.debug("Closing a connection failed: %s", error)
