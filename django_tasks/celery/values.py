"""
Values that JSON does not have, in the form that kombu gives them.

``{"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}``. Beside kombu's types: timedelta,
set and frozenset. Tuples become lists, as in Celery.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

_PLAIN = (str, int, float, bool, type(None))
_KEYS = {"__type__", "__value__"}

#: In this order: a datetime is a date, too.
_encoders: dict[type, tuple[str | None, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", lambda value: {"hex": value.hex, "version": value.version}),
    set: ("set", list),
    frozenset: ("frozenset", list),
}
_decoders: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": lambda parts: UUID(hex=parts["hex"]),
    "set": set,
    "frozenset": frozenset,
    "bytes": str.encode,
    "base64": base64.b64decode,
}


def register_type(
    kind: type,
    marker: str | None,
    encoder: Callable[[Any], Any],
    decoder: Callable[[Any], Any] = lambda value: value,
) -> None:
    """Let values of `kind` be arguments and results, as kombu's function of this name does."""
    _encoders[kind] = (marker, encoder)
    if marker is not None:
        _decoders[marker] = decoder


def encode(value: Any) -> Any:
    """Return `value` as what JSON has; a value that has no such form is left as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {key: encode(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(inner) for inner in value]
    if (reducer := getattr(type(value), "__json__", None)) is not None:
        return encode(reducer(value))
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, bytes):
        return _encode_bytes(value)
    for kind, (marker, encoder) in _encoders.items():
        if isinstance(value, kind):
            inner = encode(encoder(value))
            return inner if marker is None else {"__type__": marker, "__value__": inner}
    return value


def decode(value: Any) -> Any:
    """
    Return the value that encode() was given.

    Raise ValueError for a type that this process does not know.
    """
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != _KEYS:
        return {key: decode(inner) for key, inner in value.items()}
    decoder = _decoders.get(value["__type__"])
    if decoder is None:
        raise ValueError(
            f"A value is of the type {value['__type__']!r}, which is not registered here: call"
            " register_type() where the task's module is imported."
        )
    return decoder(decode(value["__value__"]))


def _encode_bytes(value: bytes) -> dict[str, str]:
    try:
        return {"__type__": "bytes", "__value__": value.decode()}
    except UnicodeDecodeError:
        return {"__type__": "base64", "__value__": base64.b64encode(value).decode()}
