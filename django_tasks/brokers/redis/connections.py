"""Connections to Redis with timeouts that a request can bear, set up as the project's cache is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django_redis import get_redis_connection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

from ..base import BrokerAway

#: Seconds for a connection to be made, and for a command to be answered.
TIMEOUT = 0.5
#: Connections that a process keeps open while nobody uses them.
SPARE = 8


class BrokerConnection:
    """One connection."""

    def __init__(self, pool: Any) -> None:
        options = {
            **pool.connection_kwargs,
            "decode_responses": False,
            "socket_connect_timeout": TIMEOUT,
            "socket_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
        }
        self._connection = pool.connection_class(**options)
        self._is_connected = False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return int(self._connection._sock.fileno())

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands in one go; return the answers. Raise the first that is an error."""
        self._connect()
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        answers = [self._answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    def _connect(self) -> None:
        """Connect at the first use. A command would do it without asking the sentinels where."""
        if not self._is_connected:
            self._connection.connect()
            self._is_connected = True

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

    def send(self, *command: Any) -> None:
        """Send a command whose answer is read later, by `receive`."""
        self._connect()
        self._connection.send_command(*command)

    def receive(self) -> Any:
        """Return the answer to what was sent."""
        return self._connection.read_response()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


class ConnectionPool:
    """
    The connections of a process, made when they are needed.

    None crosses a fork: a child starts without any.
    """

    def __init__(self, cache: str) -> None:
        self._cache = cache
        self._spare: deque[BrokerConnection] = deque(maxlen=SPARE)
        self._pid = os.getpid()

    def new(self) -> BrokerConnection:
        """Return a new connection. Raise BrokerAway if the cache's settings are of no use."""
        try:
            return BrokerConnection(get_redis_connection(self._cache).connection_pool)
        except Exception as error:  # noqa: BLE001
            # Whatever it says may quote the URL with the password.
            raise BrokerAway(
                f"CACHES[{self._cache!r}] cannot be used ({type(error).__name__})"
            ) from None

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands in one go and return the answers. Raise BrokerAway."""
        with away():
            while (connection := self._take()) is not None:
                try:
                    return self._ask(connection, commands)
                except (RedisConnectionError, ReadOnlyError):
                    continue  # since it was used last: a restart, a failover, or idle for too long
            return self._ask(self.new(), commands)

    def _take(self) -> BrokerConnection | None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._spare = deque(maxlen=SPARE)
        try:
            return self._spare.pop()
        except IndexError:
            return None

    def _ask(self, connection: BrokerConnection, commands: Sequence[Sequence[Any]]) -> list[Any]:
        try:
            answers = connection.ask(*commands)
        except BaseException as error:
            if isinstance(error, ResponseError) and not isinstance(error, ReadOnlyError):
                self._spare.append(connection)
            else:
                connection.close()
            raise
        self._spare.append(connection)
        return answers


@contextmanager
def away() -> Iterator[None]:
    """Turn what the client raises into BrokerAway."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise BrokerAway(f"{type(error).__name__}: {error}") from error
