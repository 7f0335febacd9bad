"""Tokens: signed text that lets whoever has it ask about one task, for a time."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from django.core import signing

#: What a token lets its holder see: how far the task is, or what became of it too.
Allows = Literal["progress", "result"]

#: Seconds for which a token is good unless told otherwise: a day.
MAX_AGE = 86400.0

_SIGNER = "django_tasks.progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says: which task of which backend, and what may be seen of it."""

    task_id: UUID
    backend: str
    allows: Allows


def issue(
    task_id: str, backend: str, *, max_age: float | timedelta | None, allows: str, now: float
) -> str:
    """
    Return a token for the URL of one task's progress.

    `max_age`: seconds or a timedelta from `now` (a timestamp) on; None: it never expires. Raise
    ValueError for another value of `allows`, or a `max_age` that is not above 0.
    """
    if allows not in get_args(Allows):
        raise ValueError(f"allows must be 'progress' or 'result', not {allows!r}.")
    expires = None if max_age is None else math.ceil(now + _seconds(max_age))
    content = [UUID(task_id).hex, backend, allows, expires]
    return signing.Signer(salt=_SIGNER).sign_object(content)


def read(text: str, *, now: float) -> Token:
    """
    Return what a token says.

    Raise BadSignature for what this project did not sign, or signed with another shape, as an older
    release may have; SignatureExpired (a BadSignature) for a token that was good once.
    """
    try:
        content: Any = signing.Signer(salt=_SIGNER).unsign_object(text)
        token, expires = _read(content)
    except (ValueError, TypeError, OverflowError, RecursionError, zlib.error):
        raise signing.BadSignature("It was signed, but says something else.") from None
    if expires <= now:
        raise signing.SignatureExpired(f"The token expired {now - expires:.0f} seconds ago.")
    return token


def _read(content: Any) -> tuple[Token, float]:
    """Return a token and when it expires. Raise ValueError or TypeError for another shape."""
    task_id, backend, allows, expires = content
    if not isinstance(task_id, str) or not isinstance(backend, str):
        raise TypeError("The id and the backend must be text.")
    if allows not in get_args(Allows):
        raise ValueError(f"{allows!r} is nothing that a token allows.")
    moment = math.inf if expires is None else float(expires)
    if math.isnan(moment):
        raise ValueError("It expires at no moment.")
    return Token(task_id=UUID(task_id), backend=backend, allows=allows), moment


def _seconds(max_age: float | timedelta) -> float:
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if isinstance(seconds, bool) or not 0 < seconds < math.inf:
        raise ValueError(f"max_age must be a number of seconds above 0, or None, not {max_age!r}.")
    return seconds
