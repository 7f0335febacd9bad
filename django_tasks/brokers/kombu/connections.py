"""A connection to whatever kombu speaks to, with timeouts that a request can bear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kombu import Connection

from ..base import Readable

#: Seconds for a connection to be made, and for a request to be answered.
TIMEOUT = 2.0
#: Queues that a connection knows to be there; then it asks anew.
MOST_DECLARED = 1000
#: Seconds for which ids are fetched, or published, one by one where that is how it goes.
FETCH_FOR, PUBLISH_FOR = 0.2, 2.0


class Message(NamedTuple):
    """A message to be sent: the id of a task."""

    queue: str
    body: str
    level: int


#: A message that arrived: the name of its queue, and kombu's Message.
Delivery = tuple[str, Any]


class BrokerConnection:
    """
    One connection, with kombu's means alone: one round trip per id. Used by one thread at a time.

    Each method raises whatever the transport raises; the pool and sources make it BrokerAway.
    """

    def __init__(self, connection: Connection, arguments: dict[str, Any]) -> None:
        self._connection = connection
        self._arguments = arguments
        self._channel = connection.channel()
        self._declared: set[str] = set()

    def publish(self, messages: Sequence[Message]) -> None:
        """Send messages for a while; the keeper publishes again what is left."""
        until = time.monotonic() + PUBLISH_FOR
        for message in messages:
            if message.queue not in self._declared:
                self.count(message.queue)
            self._channel.basic_publish(self._written(message), "", message.queue)
            if time.monotonic() > until:
                break

    def _written(self, task: Message) -> Any:
        # Not durable: what RabbitMQ forgets when it restarts is published again, and what it
        # writes to a disk costs each enqueue. It expires for the case that nobody consumes.
        properties = {"delivery_mode": 1, "expiration": "86400000"}
        message = self._channel.prepare_message(
            task.body,
            priority=task.level,
            content_type="text/plain",
            content_encoding="utf-8",
            properties=properties,
        )
        return message

    def signal_change(self, exchange: str) -> None:
        """Send a change signal to all who listen by this name."""
        raise NotImplementedError

    def prove(self) -> None:
        """Prove that messages are taken in."""
        raise NotImplementedError

    def count(self, queue: str) -> int:
        """Return how many messages wait in a queue, which is made if need be."""
        declared = self._channel.queue_declare(queue=queue, **self._declaration)
        if len(self._declared) >= MOST_DECLARED:
            self._declared.clear()
        self._declared.add(queue)
        return int(declared.message_count)

    @property
    def _declaration(self) -> dict[str, Any]:
        return {"durable": True, "auto_delete": False, "arguments": self._arguments}

    def fetch(self, queues: Sequence[str], limit: int) -> list[Delivery]:
        """Return up to `limit` messages, of the first queues first, without waiting for any."""
        found: list[Delivery] = []
        until = time.monotonic() + FETCH_FOR
        for queue in queues:
            while len(found) < limit and time.monotonic() < until:
                message = self._channel.basic_get(queue)
                if message is None:
                    break
                found.append((queue, self._channel.message_to_python(message)))
        return found

    def watch(self, queues: Sequence[str]) -> Readable:
        """Wait for messages; return what becomes readable when one has arrived."""
        raise NotImplementedError

    def arrived(self) -> list[Delivery]:
        """Return the messages that were waited for."""
        return []

    def unwatch(self) -> None:
        """Wait no more, and give back what has arrived."""

    def close(self) -> None:
        """Close the connection in order."""
        self._connection.release()

    def drop(self) -> None:
        """Close a connection that something went wrong on, without a word to the other end."""
        self._connection.collect()
