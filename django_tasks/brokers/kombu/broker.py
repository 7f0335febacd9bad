"""RabbitMQ, SQS or whatever else kombu speaks to hands out the ids of ready tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage, Error

from ...conf import suggest
from ...dep14.base import DEFAULT_TASK_QUEUE_NAME
from ...routing import QueueSelection
from ...runtime.outages import Outage
from ..base import BrokerAway, Listener, Pulse, Ready, Source
from . import messages
from .change_signals import ChangeSignals
from .connections import BrokerConnection, Message
from .messages import QueueNames
from .source import KombuSource
from .transport import ConnectionPool, Transport

logger = logging.getLogger("django_tasks.broker")

#: Seconds for which a task must have been missing, where messages are counted roughly. SQS says
#: that its counts are right a minute after the last message.
MISSING_FOR = 60.0
#: Tasks that may be missing at a time, in memory.
MOST_TRACKED = 100_000


class KombuBroker:
    """
    Keeps a message for each ready task: its id and its priority, in one queue per task queue.

    Messages are acknowledged after the claim, and none of them is needed: the row decides.
    """

    publishes = True

    def __init__(
        self,
        alias: str,
        *,
        url: str = "",
        prefix: str = "django-tasks",
        queue_type: str = "classic",
        transport_options: dict[str, Any] | None = None,
    ) -> None:
        self.alias = alias
        self.prefix = prefix
        self.queue_type = queue_type
        self.queues = QueueNames(prefix, alias)
        kind = messages.KINDS.get(queue_type, {})
        self.transport = Transport(url, kind, transport_options or {})
        self.pool = ConnectionPool(self.transport)
        self.outage = Outage(
            f"the kombu broker of TASKS[{alias!r}]",
            "tasks are stored all the same, and workers look for them in the database; ",
            logger,
        )
        self._missing_tracker = MissingTracker()
        self._change_signals = ChangeSignals(self.transport, self.queues.later)

    def wakes(self, queue_name: str) -> bool:
        """Leave waking to the broker."""
        return False

    def publish(self, ready: Sequence[Ready]) -> bool:
        """Send a message for each; one that is sent twice claims nothing the second time."""
        if not self.outage.grants_try():
            return False
        self._missing_tracker.forget(ready)
        outgoing = [
            Message(self.queues.of(task.queue_name), messages.written(task), level)
            for task in ready
            for level in [messages.level(task.priority)]
        ]
        return self._try(lambda connection: connection.publish(outgoing))

    def _try(self, action: Callable[[BrokerConnection], None]) -> bool:
        try:
            self.pool.use(action)
        except BrokerAway as error:
            self.outage.began(error)
            return False
        self.outage.over()
        return True

    def expect(self) -> None:
        """Send a change signal where keepers listen; elsewhere they look for themselves."""
        if self.transport.is_amqp and self.outage.grants_try():
            self._try(lambda connection: connection.signal_change(self.queues.later))

    def pulse(self) -> Pulse | None:
        """Return what is heard; None where queues only tell their lengths. Raise BrokerAway."""
        if self.transport.is_amqp:
            pulse = self._change_signals.pulse()
            self.pool.use(lambda connection: connection.prove())
            return pulse
        if self.outage.since is not None:
            # Nobody needs to know, but without ready tasks nothing else is asked.
            self.pool.use(
                lambda connection: connection.count(self.queues.of(DEFAULT_TASK_QUEUE_NAME))
            )
        return None

    def missing(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """
        Return all of them if there are fewer messages than tasks: nobody can tell which.

        Once they are published there are enough, so that it is not done again and again.
        """
        if not ready:
            return ()
        queue = self.queues.of(ready[0].queue_name)
        if self.pool.use(lambda connection: connection.count(queue)) >= len(ready):
            self._missing_tracker.forget(ready)
            return ()
        return ready if self.transport.counts_exactly else self._missing_tracker.confirmed(ready)

    def listen(self, to_database: Callable[[], Listener | None]) -> None:
        """Return None: processes wait for the broker themselves."""

    def source(self, queues: QueueSelection) -> Source:
        """Return what hands ids of these queues to one process."""
        return KombuSource(self.transport, self.queues, self.alias, queues, self.publish)

    def check(self) -> Iterable[CheckMessage]:
        """Return what is wrong with its settings."""
        where = f"TASKS[{self.alias!r}]['OPTIONS']['broker']"
        if problem := self.transport.problem():
            yield Error(
                f"{where} {problem}.",
                hint='{"name": "kombu", "url": "amqp://user:password@host:5672/vhost"}',
                id="django_tasks.E012",
            )
        if not messages.PREFIX.fullmatch(self.prefix):
            yield Error(
                f"{where}['prefix'] must be up to {messages.LONGEST_PREFIX} letters, digits,"
                f" hyphens and underscores, not {self.prefix!r}.",
                id="django_tasks.E012",
            )
        if self.queue_type not in messages.KINDS:
            yield Error(
                f"{where}['queue_type'] must be one of"
                f" {', '.join(map(repr, messages.KINDS))}, not {self.queue_type!r}"
                f"{suggest(self.queue_type, messages.KINDS)}",
                id="django_tasks.E012",
            )


class MissingTracker:
    """Remembers since when tasks seem to be missing from a broker that counts roughly."""

    def __init__(self) -> None:
        self._since: dict[UUID, float] = {}

    def confirmed(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """Return those that have been missing for long, until they are published again."""
        now = time.monotonic()
        if len(self._since) > MOST_TRACKED:
            self._since.clear()
        return [t for t in ready if now - self._since.setdefault(t.id, now) >= MISSING_FOR]

    def forget(self, ready: Iterable[Ready]) -> None:
        """Forget that tasks seemed to be missing."""
        if self._since:
            for task in ready:
                self._since.pop(task.id, None)
