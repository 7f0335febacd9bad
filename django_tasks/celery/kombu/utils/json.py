"""JSON with the types that arguments and results may have."""

from __future__ import annotations

import json
from typing import Any

from ...values import decode, encode, register_type

__all__ = ["dumps", "loads", "register_type"]


def dumps(value: Any, **options: Any) -> str:
    """Return `value` as JSON."""
    return json.dumps(encode(value), **options)


def loads(text: str | bytes, **options: Any) -> Any:
    """Return what dumps() was given."""
    return decode(json.loads(text, **options))
