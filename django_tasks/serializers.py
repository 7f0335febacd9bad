"""
JSON of arguments, results and metadata: ASCII text that reads the same on every database.

What is accepted comes back equal; what could not come back equal, or not at all, is refused with
the path of the value (``args[0].when``). Storing text, not the databases' own JSON types, keeps
big integers, key order and escapes as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections import UserString
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

#: Levels of lists and dicts. MySQL and MariaDB refuse deeper documents than 100 and 32 in their
#: own JSON functions, and json.loads recurses.
MAX_DEPTH = 64

#: Sequences that would come back as lists of numbers or characters.
_NO_LISTS = (bytearray, memoryview, UserString)
#: A key as json writes those that are no text: numbers, true, false and null.
_key_of_another_type = re.compile(r'[{,]"(?:-?[0-9][^"]*|true|false|null)":').search
_encode_text = json.encoder.encode_basestring_ascii
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
loads = json.loads


def dumps(value: Any, where: str, max_bytes: int) -> str:
    """
    Return `value` as JSON.

    `where` names the value in errors, as "args". Raise TypeError for a type that JSON does not
    have, ValueError for NaN, infinity, NUL, lone surrogates, keys that become the same, more than
    MAX_DEPTH levels or more than `max_bytes`.
    """
    if (
        type(value) is str
        and value.isascii()
        and value.isprintable()
        and len(value) * 2 < max_bytes
    ):
        return _encode_text(value)  # the most common of values, at a third of the price
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError):
        text = _encode(normalized(value, where))
    else:
        if _needs_a_look(text):
            text = _encode(normalized(value, where))
    if len(text) > max_bytes:
        raise ValueError(
            f"{where} is {len(text):,} bytes of JSON, more than the {max_bytes:,} allowed. Store"
            " the data elsewhere (a model, a file) and pass its id, or raise the limit in"
            " DJANGO_TASKS."
        )
    return text


def _needs_a_look(text: str) -> bool:
    dicts = text.count("{")
    return (
        "\\u0000" in text
        or "\\ud" in text
        or text.count("[") + dicts > MAX_DEPTH
        or (dicts > 0 and _key_of_another_type(text) is not None)
    )


def normalized(value: Any, where: str, depth: int = 0) -> Any:
    """Return `value` with JSON's own types only, or raise as `dumps` says."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _checked_text(value, where)
    if isinstance(value, int):
        return _checked_int(value, where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(
                f"{where} is {value!r}, which JSON does not have. Pass None or a string."
            )
        return value
    if isinstance(value, Mapping):
        return _normalized_dict(value, where, depth)
    if isinstance(value, bytes):
        return _checked_text(_decoded(value, where), where)
    if isinstance(value, Sequence) and not isinstance(value, _NO_LISTS):
        return [normalized(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise TypeError(_unsupported(value, where))


def _normalized_dict(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for key, inner in value.items():
        name = _checked_key(key, where)
        if name in normal:
            raise ValueError(
                f"{where} has two keys that JSON writes as the same text, of which one would be"
                " lost. Make all keys text."
            )
        normal[name] = normalized(inner, f"{where}.{name}", depth + 1)
    return normal


def _checked_text(value: str, where: str) -> str:
    if "\0" in value:
        raise ValueError(f"{where} has a NUL character, which databases cannot store. Remove it.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} has a lone surrogate ({value[error.start]!r}), which is no valid text."
            " Decode the bytes it came from with errors='replace'."
        ) from None
    return value


def _checked_int(value: int, where: str) -> int:
    try:
        str(int(value))
    except ValueError:
        raise ValueError(
            f"{where} is an integer of too many digits. Pass it as hex text."
        ) from None
    return value


def _checked_key(key: Any, where: str) -> str:
    """Return a key as the text that json would write."""
    if isinstance(key, str):
        return _checked_text(key, f"a key of {where}")
    if isinstance(key, float) and not math.isfinite(key):
        raise ValueError(f"A key of {where} is {key!r}, which JSON does not have.")
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__repr__(_checked_int(key, f"a key of {where}"))
    if isinstance(key, float):
        return float.__repr__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    raise TypeError(
        f"Unsupported type: a key of {where} is of type {type(key).__qualname__}; keys must be"
        " text."
    )


def _decoded(value: bytes, where: str) -> str:
    """Return bytes that are UTF-8 as text: django.tasks has that rule."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise TypeError(_unsupported(value, where)) from None


def _unsupported(value: Any, where: str) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    cure = _cure(value)
    return f"Unsupported type: {where} is of type {kind}, which JSON does not have. {cure}"


def _cure(value: Any) -> str:
    """Return what to pass instead of a value that JSON does not have."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "Pass base64 text, or store the data elsewhere and pass its id."
    if isinstance(value, (date, time)):
        return "Pass its isoformat(), and read that in the task with fromisoformat()."
    if isinstance(value, timedelta):
        return "Pass its total_seconds()."
    if isinstance(value, (UUID, Decimal)):
        kind = type(value).__name__
        return f"Pass str() of it, and make a {kind} of that in the task."
    if isinstance(value, (set, frozenset)):
        return "Pass a list, as of sorted()."
    if isinstance(value, Enum):
        return "Pass its value."
    if hasattr(value, "_meta") and hasattr(value, "pk"):  # a model's: without importing models
        name = type(value).__name__
        return f"Pass its pk, and get it in the task with {name}.objects.get(pk=...)."
    return (
        "Pass an id or plain values (text, numbers, lists, dicts) and build the object in the task."
    )
