"""A connection to RabbitMQ, or another AMQP 0.9.1 server, that does many things per round trip."""

from __future__ import annotations

import select
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from amqp import spec
from kombu import Connection

from ...runtime.wakeups import WakeUp
from ..base import BrokerAway, Readable
from .connections import TIMEOUT, BrokerConnection, Delivery, Message

#: Messages that are sent before the server has confirmed any.
UNCONFIRMED = 1000


class AMQPConnection(BrokerConnection):
    """
    Fetches by a batch of basic.get, waits by basic.consume, and publishes with confirms.

    There are no heartbeats: nobody would send them while a task's body runs. A request that is
    not answered within TIMEOUT is what tells that the other end is gone.
    """

    def __init__(self, connection: Connection, arguments: dict[str, Any]) -> None:
        self._amqp = connection.connection
        self._amqp.sock.settimeout(TIMEOUT)
        super().__init__(connection, arguments)
        self._is_blocked = False
        self._amqp.on_blocked = self._block
        self._sent = 0
        self._unconfirmed: set[int] = set()
        self._is_refused = False
        #: The queue of this connection that change signals arrive in.
        self._changes: str | None = None
        #: Where messages arrive that are waited for, and from which queues.
        self._waiting: Any = None
        self._watched: list[str] = []
        self._arrived: list[Delivery] = []
        self._bell: WakeUp | None = None

    # --- publishing ---------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message]) -> None:
        """Send messages and wait until the server has confirmed them."""
        for start in range(0, len(messages), UNCONFIRMED):
            self._send(messages[start : start + UNCONFIRMED])
            self._await_confirms()

    def _send(self, messages: Sequence[Message]) -> None:
        # Each time: a queue that is not there would swallow its messages without a word.
        for queue in {message.queue for message in messages}:
            self._channel.queue_declare(queue, nowait=True, **self._declaration)
        for message in messages:
            self._post(self._written(message), "", message.queue)

    def _post(self, message: Any, exchange: str, queue: str) -> None:
        if not self._sent:
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._confirm)
            self._channel.events["basic_nack"].add(self._refuse)
        self._sent += 1
        self._unconfirmed.add(self._sent)
        self._channel.basic_publish(message, exchange, queue)

    def _await_confirms(self) -> None:
        while self._unconfirmed and not self._is_blocked:
            self._amqp.drain_events()
        if self._is_blocked:
            # It may have taken the first message, and reads nothing more from this connection.
            raise BrokerAway("it blocks who publishes: it is short of memory or disk")
        if self._is_refused:
            raise BrokerAway("it has refused messages")

    def _block(self, reason: str) -> None:
        self._is_blocked = True

    def _confirm(self, tag: int, is_multiple: bool) -> None:
        if is_multiple:
            self._unconfirmed = {sent for sent in self._unconfirmed if sent > tag}
        else:
            self._unconfirmed.discard(tag)

    def _refuse(self, tag: int, is_multiple: bool) -> None:
        self._is_refused = True
        self._confirm(tag, is_multiple)

    # --- change signals -------------------------------------------------------------------------

    def signal_change(self, exchange: str) -> None:
        """Send a change signal to all who listen by this name."""
        self._declare_exchange(exchange)
        self._post(self._channel.prepare_message("", content_encoding="utf-8"), exchange, "")
        self._await_confirms()

    def prove(self) -> None:
        """Have the server confirm a message to no queue: a full one hands out as before."""
        nothing = self._channel.prepare_message("", content_encoding="utf-8")
        self._post(nothing, "", f"django-tasks-nowhere-{uuid4().hex}")
        self._await_confirms()

    def has_change(self, exchange: str) -> bool:
        """Tell whether there was a signal since the last call. The first call begins to listen."""
        self._declare_exchange(exchange)
        if self._changes is None:
            self._changes = f"{exchange}-{uuid4().hex}"
            arguments = {"x-queue-type": "classic", "x-max-length": 1}
            self._channel.queue_declare(self._changes, exclusive=True, arguments=arguments)
        # Each time: an exchange that was deleted and made again has forgotten who listens.
        self._channel.queue_bind(self._changes, exchange, nowait=True)
        return self._channel.basic_get(self._changes, no_ack=True) is not None

    def _declare_exchange(self, exchange: str) -> None:
        self._channel.exchange_declare(
            exchange, "fanout", durable=True, auto_delete=False, nowait=True
        )

    # --- fetching -----------------------------------------------------------------------------

    def fetch(self, queues: Sequence[str], limit: int) -> list[Delivery]:
        """Ask for the lengths of all queues in one round trip, for messages in another."""
        wanted: list[str] = []
        for queue, count in zip(queues, self._counts(queues), strict=True):
            wanted += [queue] * min(count, limit - len(wanted))
        for queue in wanted:
            self._channel.send_method(spec.Basic.Get, "Bsb", (0, queue, False))
        answers = [self._answer_to_get() for _ in wanted]
        return [(q, message) for q, message in zip(wanted, answers, strict=True) if message]

    def _counts(self, queues: Sequence[str]) -> list[int]:
        durable, auto_delete = self._declaration["durable"], self._declaration["auto_delete"]
        for queue in queues:
            flags = (False, durable, False, auto_delete, False)
            self._channel.send_method(
                spec.Queue.Declare, "BsbbbbbF", (0, queue, *flags, self._arguments)
            )
        declared = [self._channel.wait(spec.Queue.DeclareOk, returns_tuple=True) for _ in queues]
        return [count for _, count, _ in declared]

    def _answer_to_get(self) -> Any:
        answer = self._channel.wait([spec.Basic.GetOk, spec.Basic.GetEmpty], returns_tuple=True)
        if len(answer) < 2:
            return None  # others were faster
        tag, *_, raw = answer
        raw.channel = self._channel
        raw.delivery_info = {"delivery_tag": tag}
        return self._channel.message_to_python(raw)

    # --- waiting ------------------------------------------------------------------------------

    def watch(self, queues: Sequence[str]) -> Readable:
        """Let the server send the next message of each queue."""
        if self._watched != list(queues):
            self.unwatch()
            self._consume(queues)
        self._receive()
        if not self._arrived:
            return self._amqp.sock  # type: ignore[no-any-return]
        if self._bell is None:  # what has been read already does not make the socket readable
            self._bell = WakeUp()
            self._bell.send()
        return self._bell

    def _consume(self, queues: Sequence[str]) -> None:
        if self._waiting is None:
            self._waiting = self._amqp.channel()
            self._waiting.basic_qos(0, 1, False)
        for queue in queues:
            self._waiting.queue_declare(queue, nowait=True, **self._declaration)
            arrive = partial(self._arrive, queue)
            self._waiting.basic_consume(queue, consumer_tag=queue, nowait=True, callback=arrive)
        self._watched = list(queues)

    def _arrive(self, queue: str, raw: Any) -> None:
        self._arrived.append((queue, self._waiting.message_to_python(raw)))

    def _receive(self) -> None:
        """Read what is there."""
        sock = self._amqp.sock
        while getattr(sock, "pending", int)() or select.select([sock], [], [], 0)[0]:
            self._amqp.drain_events()
            sock = self._amqp.sock

    def arrived(self) -> list[Delivery]:
        """Return the messages that were sent, and acknowledge none: the server holds the next."""
        if self._watched:
            self._receive()
        arrived, self._arrived = self._arrived, []
        return arrived

    def unwatch(self) -> None:
        """Cancel, wait until that is done, and give back what came before."""
        if not self._watched:
            return
        watched, self._watched = self._watched, []
        for queue in watched:
            self._waiting.send_method(spec.Basic.Cancel, "sb", (queue, False))
        for _ in watched:
            self._waiting.wait(spec.Basic.CancelOk)
        arrived, self._arrived = self._arrived, []
        for _, message in arrived:
            message.requeue()

    def close(self) -> None:
        """Close the connection in order."""
        self._close_bell()
        super().close()

    def drop(self) -> None:
        """Close the connection at once."""
        self._close_bell()
        super().drop()

    def _close_bell(self) -> None:
        if self._bell is not None:
            self._bell.close()
            self._bell = None
