"""The bodies that a pool is given to run. Those that wait do so until a file is there."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextvars import ContextVar
from pathlib import Path

#: Seconds between two looks for a gate.
LOOK = 0.005

_left_behind: ContextVar[int | None] = ContextVar("left_behind", default=None)


def returned(value: int) -> int:
    """Return what it is given."""
    return value


async def returned_async(value: int) -> int:
    """Return what it is given, after a turn of the loop."""
    await asyncio.sleep(0)
    return value


def failing(text: str) -> None:
    """Raise."""
    raise ValueError(text)


async def failing_async(text: str) -> None:
    """Raise."""
    raise ValueError(text)


def exiting() -> None:
    """Do what ends a program."""
    sys.exit(3)


def leaking(value: int) -> int | None:
    """Return what a body before left in a ContextVar, and leave something there."""
    found = _left_behind.get()
    _left_behind.set(value)
    return found


async def leaking_async(value: int) -> int | None:
    """Return what a body before left in a ContextVar, and leave something there."""
    return leaking(value)


def waiting(book: str, gate: str) -> None:
    """Write that it begins, wait for the gate, write that it ends."""
    note(book, "+")
    while not Path(gate).exists():
        time.sleep(LOOK)
    note(book, "-")


async def waiting_async(book: str, gate: str) -> None:
    """Write that it begins, wait for the gate, write that it ends."""
    note(book, "+")
    while not Path(gate).exists():
        await asyncio.sleep(LOOK)
    note(book, "-")


def note(book: str, sign: str) -> None:
    """Append a sign of one byte to a file that threads and processes share."""
    descriptor = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, sign.encode())
    finally:
        os.close(descriptor)
