"""Signal changes through RabbitMQ: tasks for later were committed, or its messages may be lost."""

from __future__ import annotations

import os
from typing import cast
from uuid import uuid4

from ..base import BrokerAway, Pulse
from .amqp import AMQPConnection
from .transport import Transport


class ChangeSignals:
    """
    A connection that hears change signals, and whose end says that RabbitMQ may have restarted.

    Its queue ends with it, so what is published meanwhile is unknown: each new one counts as a
    signal. It does not cross a fork. Used by one thread at a time.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self._name = name
        self._connection: AMQPConnection | None = None
        self._pid = os.getpid()
        self._generation = b""
        self._later = 0

    def pulse(self) -> Pulse:
        """Return the number of the connection and that of the last signal. Raise BrokerAway."""
        if self._pid != os.getpid():
            self._pid, self._connection = os.getpid(), None
        if self._connection is not None:
            try:
                return self._listen(self._connection)
            except BrokerAway as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                # It was cut since the last time: RabbitMQ may be back already.
        return self._listen(self._new())

    def _new(self) -> AMQPConnection:
        self._connection = cast(AMQPConnection, self._transport.connect())
        self._generation = uuid4().bytes
        self._later += 1
        return self._connection

    def _listen(self, connection: AMQPConnection) -> Pulse:
        try:
            with self._transport.away():
                self._later += connection.has_change(self._name)
        except BaseException:
            self._connection = None
            connection.drop()
            raise
        return Pulse(self._generation, str(self._later).encode())
