"""
The contract of a broker.

A broker points workers to ready tasks. It may forget, repeat, delay or make ids up: the row
decides. What it forgets, the keeper publishes again; what it repeats or makes up claims nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from django.core.checks import CheckMessage

from ..routing import QueueSelection
from ..runtime.outages import Outage


class Ready(NamedTuple):
    """A committed task that is READY; or, from a broker, that is said to be."""

    id: UUID
    queue_name: str
    priority: int


class BrokerAway(Exception):
    """The broker does not answer. The text has no password in it."""


class Listener(Protocol):
    """Waits for the database to say that queues have ready tasks."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when something arrived."""

    def read(self) -> set[str]:
        """Return the queues named since the last call. Raise DatabaseError when cut off."""

    def ping(self) -> None:
        """Prove that it still works: a cut connection is silent. Raise DatabaseError if not."""

    def close(self) -> None:
        """Stop listening."""


class Readable(Protocol):
    """What select() can wait for."""

    def fileno(self) -> int:
        """Return a descriptor."""


class Source(Protocol):
    """
    Hands out ids to one process. Made after the fork, used by one thread.

    Each method raises BrokerAway when the broker does not answer; the process then claims from
    the table, and calls `take` again after a pause.
    """

    def take(self, limit: int, without: Collection[str]) -> list[Ready]:
        """
        Return up to `limit` tasks, those to run first first, without waiting for any.

        `without`: queues that are paused.
        """

    def settle(self) -> None:
        """Forget the tasks taken so far: the claim of them is committed (acknowledge them)."""

    def give_back(self, ready: Sequence[Ready]) -> None:
        """Hand tasks, which were taken and not claimed, to other processes."""

    def watch(self, without: Collection[str]) -> Sequence[Readable]:
        """Return what becomes readable when `take` is worth a call; called before each sleep."""

    def unwatch(self) -> None:
        """Hold nothing back from other processes: this one has no room for a while."""

    def close(self) -> None:
        """Close the connection."""


class Pulse(NamedTuple):
    """How a broker is. Only whether a part is another one than before says something."""

    #: Another one when it has lost what it held.
    generation: bytes | None
    #: Another one when tasks were enqueued, or put off, for later.
    later: bytes | None


class Broker(Protocol):
    """Hands out the ids of one backend's ready tasks. Threads of a process share it."""

    #: Whether `publish` does anything. If not, workers claim from the table only.
    publishes: bool
    #: Whether it is away, shared by all who talk to it in this process: one log line per outage.
    outage: Outage

    def wakes(self, queue_name: str) -> bool:
        """Tell whether this insert should carry a wake-up for the queue by the database."""

    def publish(self, ready: Sequence[Ready]) -> bool:
        """
        Hand out committed ready tasks, and wake workers for them; return whether it took them.

        Never raise because the broker is away, nor wait long for it: note it in `outage`.
        """

    def expect(self) -> None:
        """
        Have keepers look into the table soon: tasks for later, or requests, were committed.

        Never raise because the broker is away.
        """

    def pulse(self) -> Pulse | None:
        """
        Return how it is. Raise BrokerAway, also if it answers and takes nothing in.

        None: it cannot tell, so that keepers have to look into the table for it.
        """

    def missing(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """
        Return those that the broker may have lost, to be published again.

        `ready`: the tasks of one queue that are next in turn. Raise BrokerAway.
        """

    def listen(self, to_database: Callable[[], Listener | None]) -> Listener | None:
        """
        Start listening for ready tasks, or return None where there is nothing to hear.

        `to_database` listens to the database's own notifications; it returns None without any.
        """

    def source(self, queues: QueueSelection) -> Source:
        """Return what hands ids of these queues to one process."""

    def check(self) -> Iterable[CheckMessage]:
        """Return what is wrong with its settings, without talking to a server."""
