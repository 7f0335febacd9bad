"""A connection to what cannot wake a process: SQS, and kombu's other transports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from kombu import Connection

from ...runtime.wakeups import WakeUp
from ..base import BrokerAway, Readable
from .connections import BrokerConnection, Delivery

#: Makes a connection on which SQS takes so many seconds to say that it has nothing.
Connect: TypeAlias = Callable[[int], BrokerConnection]
#: Turns what a transport raises into BrokerAway.
Away: TypeAlias = Callable[[], AbstractContextManager[None]]

#: Seconds between two looks into the queues, where the transport itself does not wait.
PAUSE = 0.25
#: Seconds for which SQS is asked to wait, with one queue and with several, which take turns.
LONG_WAIT, SHORT_WAIT = 10, 1


class PollingConnection(BrokerConnection):
    """Waits in a thread, on a connection of its own."""

    def __init__(
        self, connection: Connection, arguments: dict[str, Any], connect: Connect, away: Away
    ) -> None:
        super().__init__(connection, arguments)
        self._connect = connect
        self._away = away
        self._waiter: Waiter | None = None

    def watch(self, queues: Sequence[str]) -> Readable:
        """Let the thread wait for the next message of any of the queues."""
        if self._waiter is None:
            self._waiter = Waiter(self._connect, self._away)
        self._waiter.start(queues)
        return self._waiter.bell

    def arrived(self) -> list[Delivery]:
        """Return the message that was waited for."""
        return self._waiter.take() if self._waiter is not None else []

    def unwatch(self) -> None:
        """Let the thread end, and give back what it may still get."""
        if self._waiter is not None:
            self._waiter.unwatch()

    def close(self) -> None:
        """Close the connection in order."""
        self._end_waiter()
        super().close()

    def drop(self) -> None:
        """Close the connection at once."""
        self._end_waiter()
        super().drop()

    def _end_waiter(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.close()


class Waiter:
    """
    A thread that waits for one message at a time.

    While it runs, its connection is its own; the message that it found is settled by who took it,
    as it does not run any more then.
    """

    def __init__(self, connect: Connect, away: Away) -> None:
        self.bell = WakeUp()
        self._connect = connect
        self._away = away
        self._changed = threading.Condition()
        self._queues: list[str] = []
        self._is_running = False
        self._is_closed = False
        self._found: Delivery | None = None
        self._error: BrokerAway | None = None
        self._connection: BrokerConnection | None = None

    def start(self, queues: Sequence[str]) -> None:
        """Wait for a message of these queues, unless one was found."""
        with self._changed:
            self._queues = list(queues)
            if self._is_running or self._found is not None or self._error is not None:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="django_tasks broker", daemon=True).start()

    def take(self) -> list[Delivery]:
        """Return what was found. Raise BrokerAway if the thread has met an outage."""
        with self._changed:
            self.bell.take()
            error, self._error = self._error, None
            found, self._found = self._found, None
        if error is not None:
            raise error
        return [] if found is None else [found]

    def unwatch(self) -> None:
        """Wait no more. A request that is under way takes its time."""
        with self._changed:
            self._queues = []
            self._changed.notify()
        for _, message in self.take():
            message.requeue()

    def close(self) -> None:
        """Let the thread end, and its connection with it."""
        with self._changed:
            self._is_closed = True
            self._queues = []
            self._changed.notify()
            if not self._is_running:
                self._end()

    def _run(self) -> None:
        try:
            with self._away():
                while queues := self._wanted():
                    if self._connection is None:
                        wait = LONG_WAIT if len(queues) == 1 else SHORT_WAIT
                        self._connection = self._connect(wait)
                    self._look(self._connection, queues)
        except BrokerAway as error:
            with self._changed:
                self._error = error
                self._is_running = False
                self.bell.send()
                if self._is_closed:
                    self._end()

    def _look(self, connection: BrokerConnection, queues: Sequence[str]) -> None:
        """Look into one queue after the other: the wait for the first must not be all."""
        for queue in queues:
            if found := connection.fetch([queue], 1):
                self._hand_over(*found)
                break

    def _wanted(self) -> list[str]:
        """Return the queues to look into, after a pause; none to end."""
        with self._changed:
            if self._queues and self._found is None and self._connection is not None:
                self._changed.wait(PAUSE)
            queues = self._queues if self._found is None else []
            if not queues:
                self._is_running = False
                if self._is_closed:
                    self._end()
            return queues

    def _hand_over(self, found: Delivery) -> None:
        queue, message = found
        with self._changed:
            if queue in self._queues:
                self._found = found
                self.bell.send()
                return
        message.requeue()

    def _end(self) -> None:
        self.bell.close()
        if self._connection is not None:
            self._connection.drop()
