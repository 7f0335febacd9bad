"""The bodies of the measured tasks: the same for every system."""

from __future__ import annotations

import asyncio
import os
import time


def noop(number: int) -> int:
    return number


def stamp(path: str, number: int) -> None:
    """Tell the one who waits when this began: one write to a named pipe."""
    now = time.time()
    pipe = os.open(path, os.O_WRONLY)
    os.write(pipe, f"{number} {now:.6f}\n".encode())
    os.close(pipe)


def nap(seconds: float) -> None:
    time.sleep(seconds)


async def anap(seconds: float) -> None:
    await asyncio.sleep(seconds)
