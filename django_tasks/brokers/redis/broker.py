"""Redis (or Valkey) hands out the ids of ready tasks, by the connection of a Django cache."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ...conf import suggest
from ...routing import QueueSelection
from ...runtime.outages import Outage
from ..base import BrokerAway, Listener, Pulse, Ready, Source
from .connections import ConnectionPool
from .keys import Keys
from .source import RedisSource

logger = logging.getLogger("django_tasks.broker")

#: Ids in one command.
CHUNK = 1000
#: Seconds after which a process names a queue again to workers of several queues.
NAME_INTERVAL = 10.0


class RedisBroker:
    """
    Keeps the ids of ready tasks in one sorted set per queue: by priority, then by age.

    Ids of one priority sort by their text, which begins with the time they were made at. All keys
    of a backend share a hash tag, so that a cluster keeps them in one place.
    """

    publishes = True

    def __init__(self, alias: str, *, cache: str = "default", prefix: str | None = None) -> None:
        self.alias = alias
        self.cache = cache
        self.pool = ConnectionPool(cache)
        self.keys = Keys(alias, key_prefix(cache) if prefix is None else prefix)
        self.outage = Outage(
            f"the redis broker of TASKS[{alias!r}]",
            "tasks are stored all the same, and workers look for them in the database; ",
            logger,
        )
        self._named_until = 0.0
        #: Queues named in this interval.
        self._named: set[str] = set()

    def wakes(self, queue_name: str) -> bool:
        """Leave waking to Redis."""
        return False

    def publish(self, ready: Sequence[Ready]) -> bool:
        """Add ids, which is the same once or twice; a worker that waits gets one at once."""
        return self._send(
            self._additions(ready[start : start + CHUNK]) for start in range(0, len(ready), CHUNK)
        )

    def _send(self, batches: Iterable[Iterable[Sequence[Any]]]) -> bool:
        """Send commands, each batch in one go, unless Redis is known to be away."""
        if not self.outage.grants_try():
            return False
        try:
            for commands in batches:
                self.pool.ask(*commands)
        except BrokerAway as error:
            self.outage.began(error)
            return False
        self.outage.over()
        return True

    def _additions(self, ready: Sequence[Ready]) -> Iterator[Sequence[Any]]:
        members: dict[str, list[Any]] = defaultdict(list)
        for task_id, queue_name, priority in ready:
            members[queue_name] += (-priority, str(task_id))
        now = time.monotonic()
        if now >= self._named_until:
            self._named_until, self._named = now + NAME_INTERVAL, set()
        for queue_name, scored in members.items():
            if queue_name not in self._named:
                self._named.add(queue_name)
                yield "SADD", self.keys.names, queue_name
            yield "ZADD", self.keys.ready(queue_name), *scored

    def expect(self) -> None:
        """Leave a new value, whatever is there: nothing that is in its place can refuse it."""
        self._send([[("SET", self.keys.later, str(uuid4()))]])

    def pulse(self) -> Pulse:
        """
        Return the value of `expect`, and one that is there for as long as nothing is lost.

        A Redis that is full hands out as before, and refuses the SET.
        """
        commands = (
            ("SET", self.keys.generation, str(uuid4()), "NX"),
            ("MGET", self.keys.generation, self.keys.later),
        )
        return Pulse(*self.pool.ask(*commands)[-1])

    def missing(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """Return those whose id is not there."""
        if not ready:
            return ()
        key = self.keys.ready(ready[0].queue_name)
        [scores] = self.pool.ask(["ZMSCORE", key, *(str(task.id) for task in ready)])
        return [task for task, score in zip(ready, scores, strict=True) if score is None]

    def listen(self, to_database: Callable[[], Listener | None]) -> None:
        """Return None: processes wait for Redis themselves."""

    def source(self, queues: QueueSelection) -> Source:
        """Return what hands ids of these queues to one process."""
        return RedisSource(self.pool, self.keys, self.alias, queues, self.publish)

    def check(self) -> Iterable[CheckMessage]:
        """Return what is wrong with the cache it uses."""
        where = f"TASKS[{self.alias!r}]['OPTIONS']['broker']"
        if self.cache not in settings.CACHES:
            yield Error(
                f"{where} uses the cache {self.cache!r}, which is not in"
                f" CACHES{suggest(self.cache, settings.CACHES)}",
                hint='Name a django-redis cache: {"name": "redis", "cache": alias}.',
                id="django_tasks.E010",
            )
        elif not is_django_redis(self.cache):
            backend = settings.CACHES[self.cache].get("BACKEND")
            yield Error(
                f"{where} uses CACHES[{self.cache!r}], whose BACKEND is {backend!r}.",
                hint="It must be django-redis: django_redis.cache.RedisCache.",
                id="django_tasks.E010",
            )


def key_prefix(cache: str) -> str:
    """Return what all keys of a cache begin with."""
    return str(settings.CACHES.get(cache, {}).get("KEY_PREFIX", ""))


def is_django_redis(cache: str) -> bool:
    """Tell whether a cache gives us its Redis client."""
    from django.core.cache import InvalidCacheBackendError, caches
    from django_redis.cache import RedisCache

    try:
        return isinstance(caches[cache], RedisCache)
    except (InvalidCacheBackendError, ImproperlyConfigured):
        return False
