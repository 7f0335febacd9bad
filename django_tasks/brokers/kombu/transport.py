"""What a URL leads to, and the connections to it that a process keeps."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

from kombu import Connection

from ..base import BrokerAway
from .amqp import AMQPConnection
from .connections import TIMEOUT, BrokerConnection
from .polling import PollingConnection

T = TypeVar("T")

#: Connections that a process keeps open while nobody uses them.
SPARE = 4
#: Transports that know at each moment how many messages a queue has.
COUNT_EXACTLY = ("amqp", "memory", "redis")


class Transport:
    """What a URL leads to."""

    def __init__(self, url: str, arguments: dict[str, Any], options: dict[str, Any]) -> None:
        self._url = url
        self._arguments = arguments
        self._options = options
        self.counts_exactly = False

    @cached_property
    def is_amqp(self) -> bool:
        """Tell whether it leads to RabbitMQ, or another AMQP 0.9.1 server."""
        if self.problem() is not None:
            return False
        return bool(self._unconnected({}).transport.driver_name == "py-amqp")

    def connect(self) -> BrokerConnection:
        """Return a new connection, made for short answers. Raise BrokerAway."""
        connection = self._connection(wait=0)
        with self.away():
            self.counts_exactly = connection.transport.driver_type in COUNT_EXACTLY
            if self.is_amqp:
                return AMQPConnection(connection, self._arguments)
            return PollingConnection(connection, self._arguments, self.connect_waiting, self.away)

    def connect_waiting(self, wait: int) -> BrokerConnection:
        """Return a new connection, on which SQS takes `wait` seconds to say that it has nothing."""
        connection = self._connection(wait=self._options.get("wait_time_seconds", wait))
        with self.away():
            return BrokerConnection(connection, self._arguments)

    def problem(self) -> str | None:
        """Return why no connection can be made, without trying. It does not quote the URL."""
        if "://" not in self._url:
            return "needs a 'url' such as 'amqp://user:password@host:5672/vhost'"
        scheme = self._url.partition("://")[0]
        try:
            self._unconnected({}).transport  # noqa: B018 - its module is imported here
        except KeyError:
            return f"has a 'url' of which kombu knows no transport: {scheme!r}"
        except ImportError as error:
            return f"needs a package for {scheme}:// that is not installed ({error})"
        except Exception as error:  # noqa: BLE001
            # Whatever it says may quote the URL with the password.
            return f"has a 'url' that cannot be read ({type(error).__name__})"
        return None

    def _connection(self, wait: int) -> Connection:
        if problem := self.problem():
            raise BrokerAway(f"it {problem}")
        options = dict(self._options)
        if self._url.startswith("sqs:"):
            # Boto's own timeouts are a minute each, with several attempts.
            client = {
                "connect_timeout": TIMEOUT,
                "read_timeout": TIMEOUT + wait,
                "retries": {"total_max_attempts": 1},
            }
            options |= {"wait_time_seconds": wait}
            options["client-config"] = client | options.get("client-config", {})
        connection = self._unconnected(options)
        # One attempt for each of the hosts that the URL names.
        hosts = max(1, len(connection.alt))
        with self.away():
            connection.ensure_connection(max_retries=hosts - 1, interval_start=0, interval_step=0)
        return connection

    def _unconnected(self, options: dict[str, Any]) -> Connection:
        return Connection(self._url, connect_timeout=TIMEOUT, transport_options=options)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Turn what a transport raises into BrokerAway."""
        try:
            yield
        except BrokerAway:
            raise
        except Exception as error:
            # Each of kombu's transports has errors of its own, and none of them stops a worker.
            text = self._without_secrets(f"{type(error).__name__}: {error}")
            raise BrokerAway(text) from error

    def _without_secrets(self, text: str) -> str:
        for secret in _secrets(self._url, self._options):
            text = text.replace(secret, "***")
        return text


class ConnectionPool:
    """
    The connections of a process to publish and to count by, made when they are needed.

    None crosses a fork: a child starts without any.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._spare: list[BrokerConnection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def use(self, action: Callable[[BrokerConnection], T]) -> T:
        """Do something on a connection. Raise BrokerAway."""
        connection = self._take()
        if connection is not None:
            try:
                return self._use(connection, action)
            except BrokerAway as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                # It was cut since it was used last: by a restart, or for being idle.
                self._drop(self._take_all())
        return self._use(self._transport.connect(), action)

    def _use(self, connection: BrokerConnection, action: Callable[[BrokerConnection], T]) -> T:
        try:
            with self._transport.away():
                result = action(connection)
        except BaseException:
            connection.drop()
            raise
        self._keep(connection)
        return result

    def _take(self) -> BrokerConnection | None:
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._spare = []
            return self._spare.pop() if self._spare else None

    def _take_all(self) -> list[BrokerConnection]:
        with self._lock:
            spare, self._spare = self._spare, []
        return spare

    def _keep(self, connection: BrokerConnection) -> None:
        with self._lock:
            if len(self._spare) < SPARE:
                self._spare.append(connection)
                return
        with self._transport.away():
            connection.close()

    @staticmethod
    def _drop(connections: Iterable[BrokerConnection]) -> None:
        for connection in connections:
            connection.drop()


def _secrets(url: str, options: dict[str, Any]) -> Iterator[str]:
    """Yield the passwords of all hosts of a URL, as they are written and as they are meant."""
    for host in url.split(";"):
        address = host.partition("://")[2].partition("/")[0]
        password = address.rpartition("@")[0].partition(":")[2]
        yield from filter(None, (password, unquote(password)))
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _secrets("", value)
        elif isinstance(value, str) and re.search("secret|password|token", name):
            yield value
