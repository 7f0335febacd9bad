"""Ids of task records: UUID version 7 (RFC 9562), made by whoever enqueues."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
#: From 8 digits on: fewer may be a name, such as "add" or "face".
_PREFIX = re.compile(r"[0-9a-fA-F]{8,32}")
_lock = threading.Lock()
_last = 0


def uuid7(at: datetime | None = None) -> UUID:
    """
    Return a new id that sorts after the ones made before it in this process.

    48 bits of Unix milliseconds, 12 bits of the fraction (RFC 9562 method 3), 62 random bits.
    `at`: the moment to take instead of this machine's time.
    """
    global _last
    with _lock:
        nanoseconds = time.time_ns() if at is None else (at - _EPOCH) // _MICROSECOND * 1000
        milliseconds, rest = divmod(nanoseconds, 1_000_000)
        stamp = (milliseconds << 12) | (rest * 4096 // 1_000_000)
        stamp = _last = stamp if stamp > _last else _last + 1
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=(stamp >> 12) << 80 | (stamp & 0xFFF) << 64 | random | _VERSION_AND_VARIANT)


def first_at(moment: datetime) -> UUID:
    """Return the least id that could have been made at `moment`, to a millisecond."""
    milliseconds = max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
    return UUID(int=milliseconds << 80)


def made_at(task_id: UUID) -> datetime:
    """Return when an id was made. Raise OverflowError for one that tells no time."""
    return _EPOCH + timedelta(milliseconds=task_id.int >> 80)


def with_prefix(text: str) -> tuple[UUID, UUID] | None:
    """Return the least and the greatest id that begins with `text`, or None for what is no id."""
    digits = text.replace("-", "")
    if not _PREFIX.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def parse(text: str) -> UUID | None:
    """Return the id written as `text`, or None for anything that is no id."""
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
