"""The few names of kombu that projects declare with. There are no messages."""

from __future__ import annotations

from typing import Any

from ..notices import say_once
from .utils.uuid import uuid

__all__ = ["Exchange", "Queue", "binding", "uuid"]


class Exchange:
    """A name that queues are declared with; it has no effect."""

    def __init__(self, name: str = "", type: str = "direct", **options: Any) -> None:
        self.name = name
        self.type = type
        self.options = options

    def __repr__(self) -> str:
        return f"<Exchange {self.name!r} ({self.type})>"


class Queue:
    """A queue's name. What else it is declared with has no effect."""

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | None = None,
        routing_key: str = "",
        **options: Any,
    ) -> None:
        self.name = name
        self.exchange = Exchange(exchange) if isinstance(exchange, str) else exchange
        self.routing_key = routing_key
        self.options = options
        if options.get("queue_arguments"):
            say_once("queue_arguments of kombu.Queue have no effect: a queue is a name here.")

    def __eq__(self, other: object) -> bool:
        return getattr(other, "name", other) == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"


def binding(*args: Any, **kwargs: Any) -> None:
    """Accept what binds a queue to several exchanges; it has no effect."""
