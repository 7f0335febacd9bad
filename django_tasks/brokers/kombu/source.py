"""Get ids for one process from a kombu broker: many at a time, or waiting for the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from ...definitions import registry
from ...definitions.backends import database_backends
from ...routing import QueueSelection
from ..base import Readable, Ready
from ..rejects import Rejects
from . import messages
from .connections import BrokerConnection, Delivery
from .messages import QueueNames
from .transport import Transport

T = TypeVar("T")

#: Seconds after which a process that serves a pattern asks the table which queues there are, and
#: for which it looks into a queue that had a ready task.
NAMES_INTERVAL, REMEMBER_FOR = 5.0, 300.0


class KombuSource:
    """
    Takes messages for one process, and acknowledges them when their tasks are claimed.

    Those of a process that dies meanwhile come back to others, and claim nothing.
    """

    def __init__(
        self,
        transport: Transport,
        names: QueueNames,
        alias: str,
        queues: QueueSelection,
        publish: Callable[[Sequence[Ready]], object],
    ) -> None:
        self._transport = transport
        self._queue_names = names
        self._alias = alias
        self._queues = queues
        self._publish = publish
        self._connection: BrokerConnection | None = None
        #: What is not acknowledged yet. A task may have several messages.
        self._taken: dict[UUID, list[Any]] = {}
        self._seen_at: dict[str, float] = {}
        self._read_names_at = float("-inf")
        self._turn = 0
        self._rejects = Rejects("The kombu broker")

    def take(self, limit: int, without: Collection[str]) -> list[Ready]:
        """Return up to `limit` ids: those that arrived, and what else is there."""
        names = self._names(without)  # asks the database, whose errors are not the broker's
        return self._use(lambda connection: self._take(connection, limit, names))

    def settle(self) -> None:
        """Acknowledge what was taken."""
        if self._taken:
            self._use(lambda connection: self._acknowledge())

    def give_back(self, ready: Sequence[Ready]) -> None:
        """Put messages back; publish what has none any more."""
        if self._taken:
            ready = self._use(lambda connection: [t for t in ready if not self._requeue(t)])
        if ready:
            self._publish(ready)

    def watch(self, without: Collection[str]) -> Sequence[Readable]:
        """Wait for the next message."""
        names = [*self._named(without)]
        return [self._use(lambda connection: connection.watch(names))] if names else ()

    def unwatch(self) -> None:
        """Wait no more."""
        if self._connection is not None:
            self._use(lambda connection: connection.unwatch())

    def close(self) -> None:
        """Close the connection; what is not acknowledged goes back."""
        self._taken.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._transport.away():
                connection.close()

    def _use(self, action: Callable[[BrokerConnection], T]) -> T:
        """Use a connection; drop it when something went wrong on it."""
        try:
            if self._connection is None:
                self._connection = self._transport.connect()
            with self._transport.away():
                return action(self._connection)
        except BaseException:
            self._taken.clear()
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.drop()
            raise

    # --- taking -------------------------------------------------------------------------------

    def _take(self, connection: BrokerConnection, limit: int, names: dict[str, str]) -> list[Ready]:
        arrived = connection.arrived()
        if any(queue not in names for queue, _ in arrived):
            connection.unwatch()  # else the message of a paused queue comes back at once
        found = self._read(arrived, names)
        if len(found) < limit:
            found += self._read(connection.fetch(list(names), limit - len(found)), names)
        place = {queue_name: place for place, queue_name in enumerate(names.values())}
        found.sort(key=lambda task: (place[task.queue_name], -task.priority, task.id))
        for task in found[limit:]:
            self._requeue(task)
        return found[:limit]

    def _read(self, deliveries: Iterable[Delivery], names: dict[str, str]) -> list[Ready]:
        """Return what points to tasks, each once; log what does not."""
        found = []
        for queue, message in deliveries:
            if queue not in names:
                message.requeue()
                continue
            task = messages.read(message.body, names[queue])
            if task is None:
                message.ack()
                self._rejects.log(names[queue], message.body)
            elif task.id in self._taken:
                self._taken[task.id].append(message)
            else:
                self._taken[task.id] = [message]
                found.append(task)
        return found

    def _acknowledge(self) -> None:
        for taken in self._taken.values():
            for message in taken:
                message.ack()
        self._taken.clear()

    def _requeue(self, task: Ready) -> bool:
        taken = self._taken.pop(task.id, [])
        for message in taken:
            message.requeue()
        return bool(taken)

    # --- queues -------------------------------------------------------------------------------

    def _names(self, without: Collection[str]) -> dict[str, str]:
        self._look_for_queues()
        self._turn += 1
        return self._named(without)

    def _named(self, without: Collection[str]) -> dict[str, str]:
        """Return the queues to look into, in order, by the names that their messages' have."""
        names = {p for p in self._queues.patterns if not p.endswith("*")} | self._seen_at.keys()
        served = self._queues.ordered(list(names.difference(without)), self._turn)
        return {self._queue_names.of(name): name for name in served}

    def _look_for_queues(self) -> None:
        """
        Note the queues of this project's tasks, and those with ready tasks that no code names.

        A broker cannot be asked what queues it has. Raise DatabaseError.
        """
        now = time.monotonic()
        is_pattern = any(pattern.endswith("*") for pattern in self._queues.patterns)
        if not is_pattern or now < self._read_names_at + NAMES_INTERVAL:
            return
        ready = database_backends()[self._alias].ready_queues()
        declared = [t.queue_name for t in registry.known_tasks() if t.backend == self._alias]
        self._seen_at |= dict.fromkeys([*ready, *declared], now)
        self._seen_at = {n: at for n, at in self._seen_at.items() if now < at + REMEMBER_FOR}
        self._read_names_at = now
