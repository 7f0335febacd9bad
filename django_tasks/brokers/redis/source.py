"""Get ids for one process from Redis: many at a time, or waiting for the next one."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar
from uuid import UUID

from redis.exceptions import ResponseError

from ...definitions import registry
from ...routing import QueueSelection
from ..base import BrokerAway, Ready
from ..rejects import Rejects
from .connections import BrokerConnection, ConnectionPool, away
from .keys import Keys

T = TypeVar("T")

#: Seconds for which Redis is asked to wait for an id. At the end the queues are asked for anew.
WAIT = 1
#: Seconds after which a connection that should have said something is dead.
TOO_LONG = 3.0
#: Seconds of waiting after which an id that arrives is likely to be alone: it is not kept waiting
#: for the answer to whether there are more.
ALONE = 0.02
#: Bytes of an id.
ID_LENGTH = 36

#: Takes up to ARGV[1] ids from the queues' KEYS, in order. What is no sorted set is not ours: it
#: is deleted, as it would stop the queue; the table knows what is ready.
_POP = """
local found, left = {}, tonumber(ARGV[1])
for index, key in ipairs(KEYS) do
  if left <= 0 then break end
  local popped = redis.pcall('ZPOPMIN', key, left)
  if popped.err then
    redis.call('DEL', key)
  else
    for i = 1, #popped, 2 do
      found[#found + 1] = {index, popped[i], popped[i + 1]}
      left = left - 1
    end
  end
end
return found"""


class RedisSource:
    """
    Pops ids for one process.

    Idle, it leaves a blocking pop with Redis, whose answer ends the process' select(): an id that
    is published arrives at exactly one waiting process, without anybody asking.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        keys: Keys,
        alias: str,
        queues: QueueSelection,
        publish: Callable[[Sequence[Ready]], object],
    ) -> None:
        self._lines = pool
        self._keys = keys
        self._alias = alias
        self._queues = queues
        self._publish = publish
        self._connection: BrokerConnection | None = None
        self._waits_since: float | None = None
        self._others: set[str] = set()
        self._read_others_at = float("-inf")
        self._turn = 0
        self._rejects = Rejects("Redis")

    def take(self, limit: int, without: Collection[str]) -> list[Ready]:
        """Return up to `limit` ids: the one that arrived, or when busy all that are there."""
        return self._use(lambda: self._take(limit, without))

    def settle(self) -> None:
        """Do nothing: what was taken is not in Redis any more."""

    def give_back(self, ready: Sequence[Ready]) -> None:
        """Put ids back."""
        self._publish(ready)

    def watch(self, without: Collection[str]) -> Sequence[BrokerConnection]:
        """Let Redis send the next id."""
        return self._use(lambda: self._watch(without))

    def unwatch(self) -> None:
        """Take the blocking pop back. An id that arrives in this moment is published again."""
        if self._waits_since is not None:
            arrived = self._use(self._receive) if self._is_answered() else []
            self.close()
            self.give_back(arrived)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._waits_since = self._connection, None, None
        if connection is not None:
            connection.close()

    def _use(self, action: Callable[[], T]) -> T:
        """Use the connection; drop it when something went wrong on it."""
        try:
            with away():
                return action()
        except BaseException:
            self.close()
            raise

    def _take(self, limit: int, without: Collection[str]) -> list[Ready]:
        found: list[Ready] = []
        if self._waits_since is not None:
            if not self._is_answered():
                return []
            has_waited = time.monotonic() - self._waits_since > ALONE
            found = self._receive()
            if paused := [task for task in found if task.queue_name in without]:
                self.give_back(paused)
                found = []
            if found and has_waited:
                return found
        if limit > len(found):
            found += self._pop(limit - len(found), without)
        return found

    def _is_answered(self) -> bool:
        assert self._connection is not None and self._waits_since is not None
        if select.select([self._connection], [], [], 0)[0]:
            return True
        if time.monotonic() > self._waits_since + TOO_LONG:
            raise BrokerAway("it has not answered a blocking pop")
        return False

    def _receive(self) -> list[Ready]:
        """Read the answer to the blocking pop; one that ended without an id is as good."""
        assert self._connection is not None
        self._waits_since = None
        try:
            answer = self._connection.receive()
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return []  # the next pop deletes it
        if answer is None:
            return []
        key, member, score = answer
        return self._read([(self._keys.queue_of(key), member, score)])

    def _pop(self, limit: int, without: Collection[str]) -> list[Ready]:
        names = self._queue_names(without)
        keys = [self._keys.ready(name) for name in names]
        [popped] = self._connected().ask(["EVAL", _POP, len(keys), *keys, limit])
        return self._read([(names[index - 1], member, score) for index, member, score in popped])

    def _watch(self, without: Collection[str]) -> Sequence[BrokerConnection]:
        connection = self._connected()
        if self._waits_since is None:
            keys = [self._keys.ready(name) for name in self._queue_names(without)]
            connection.send("BZPOPMIN", *keys, WAIT)
            self._waits_since = time.monotonic()
        else:
            self._is_answered()
        return [connection]

    def _connected(self) -> BrokerConnection:
        if self._connection is None:
            self._connection = self._lines.new()
        return self._connection

    def _queue_names(self, without: Collection[str]) -> list[str]:
        """Return the queues to look into, in order; a name at least, as commands need a key."""
        named = {p for p in self._queues.patterns if not p.endswith("*")}
        if len(named) < len(self._queues.patterns):
            if time.monotonic() >= self._read_others_at + WAIT:
                self._others = self._known_queues()
                self._read_others_at = time.monotonic()
            self._turn += 1
            named |= self._others
        return self._queues.ordered(list(named.difference(without)), self._turn) or [""]

    def _known_queues(self) -> set[str]:
        """Return the queues of this project's tasks, and those that were published to."""
        [members] = self._connected().ask(["SMEMBERS", self._keys.names])
        declared = {t.queue_name for t in registry.known_tasks() if t.backend == self._alias}
        return declared | {member.decode(errors="replace") for member in members}

    def _read(self, popped: Sequence[tuple[str, bytes, Any]]) -> list[Ready]:
        """Return what are ids; log what is none."""
        found = []
        for queue_name, member, score in popped:
            task_id = _id_of(member)
            if task_id is None:
                self._rejects.log(queue_name, member)
            else:
                found.append(Ready(task_id, queue_name, _priority_of(score)))
        return found


def _id_of(member: bytes) -> UUID | None:
    if len(member) != ID_LENGTH:
        return None
    try:
        return UUID(member.decode("ascii"))
    except ValueError:
        return None


def _priority_of(score: bytes) -> int:
    number = float(score)
    return -round(number) if math.isfinite(number) else 0
