"""
Values that JSON does not have, by the serializer that a backend's OPTIONS name.

Each argument, each keyword argument and the return value are encoded by themselves, so that names
of arguments stay in sight of masks and of the admin. Without a serializer nothing is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .. import serializers
from ..dep14.handler import task_backends


class Serializer(Protocol):
    """
    Turns values into plain JSON and back. Made without arguments, once per thread.

    What is plain JSON already must come through both unchanged: schedules, and tasks that were
    enqueued before, have nothing else.
    """

    def encode(self, value: Any) -> Any:
        """Return `value` as text, numbers, booleans, None, lists and dicts with keys of text."""

    def decode(self, plain: Any) -> Any:
        """Return the value that was encoded. It may be read by another release."""


def serializer_of(alias: str) -> Serializer | None:
    """Return the serializer of a backend; None: plain JSON, or the backend is not in TASKS."""
    if alias not in task_backends.settings:
        return None
    return getattr(task_backends[alias], "serializer", None)


def encoded(
    serializer: Serializer, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as plain JSON."""
    encode = serializer.encode
    return [encode(value) for value in args], {name: encode(v) for name, v in kwargs.items()}


def decoded(
    serializer: Serializer, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return what `encoded` was given."""
    decode = serializer.decode
    return [decode(value) for value in args], {name: decode(v) for name, v in kwargs.items()}


def encoded_value(serializer: Serializer, value: Any) -> Any:
    """Return a return value as plain JSON. Raise TypeError or ValueError when it cannot be."""
    try:
        return serializer.encode(value)
    except (TypeError, ValueError):
        raise
    except Exception as error:
        raise TypeError(f"The serializer cannot encode it: {type(error).__name__}") from error


def read_arguments(alias: str, args: str, kwargs: str) -> tuple[Any, Any]:
    """Return the arguments of a row of this backend."""
    read = serializers.loads(args), serializers.loads(kwargs)
    serializer = serializer_of(alias)
    return read if serializer is None else decoded(serializer, *read)


def read_value(alias: str, text: str) -> Any:
    """Return the return value in a row of this backend."""
    read = serializers.loads(text)
    serializer = serializer_of(alias)
    return read if serializer is None else serializer.decode(read)
