"""Names of the kombu broker's queues, and the format of the messages in them."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from typing import Any
from uuid import UUID

from ...dep14.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY
from ..base import Ready

#: What SQS allows in the name of a queue; other transports allow more.
LONGEST_NAME, LONGEST_PREFIX = 80, 30
PREFIX = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_PREFIX}}}")

#: The lowest task priorities of the levels 1 to 9; below is level 0. RabbitMQ keeps a queue of its
#: own per level, so there are few. 0 is level 4, and all above 4 is what its quorum queues favour.
LEVELS = (-50, -9, -4, 0, 1, 5, 10, 50, 100)

#: Kinds of queues that RabbitMQ has, and the arguments that make one.
KINDS: dict[str, dict[str, Any]] = {
    "classic": {"x-queue-type": "classic", "x-max-priority": len(LEVELS)},
    "quorum": {"x-queue-type": "quorum"},
}

_MESSAGE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (-?[0-9]{1,3})")
LONGEST_MESSAGE = 41


class QueueNames:
    """The names of one backend's queues: up to 80 of ``A-Za-z0-9_-``, another for each queue."""

    def __init__(self, prefix: str, alias: str) -> None:
        self._start = f"{prefix}__{_escaped(alias)}__"

    def of(self, queue_name: str) -> str:
        """Return the name of a queue's messages. One that is too long ends in a digest."""
        name = self._start + _escaped(queue_name)
        if len(name) <= LONGEST_NAME:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        return f"{name[: LONGEST_NAME - 26]}_h{digest}"  # no escape begins with "_h"

    @property
    def later(self) -> str:
        """Return the name of the signal that tasks for later, or requests, were committed."""
        return f"{self._start}_later"  # nor with "_l"


def _escaped(text: str) -> str:
    """Write what is no letter, digit or hyphen as ``_`` and two hexadecimal digits per byte."""
    return re.sub(
        r"[^A-Za-z0-9-]", lambda found: "".join(f"_{b:02x}" for b in found[0].encode()), text
    )


def level(priority: int) -> int:
    """Return the priority of a task's message, 0 to 9."""
    return bisect_right(LEVELS, priority)


def written(ready: Ready) -> str:
    """Return the message that hands out a task: its id and its priority."""
    return f"{ready.id} {ready.priority}"


def read(body: Any, queue_name: str) -> Ready | None:
    """Return what a message points to, None if it is none of ours."""
    if isinstance(body, (bytes, memoryview)):
        body = bytes(body[: LONGEST_MESSAGE + 1]).decode("ascii", errors="replace")
    if not isinstance(body, str) or len(body) > LONGEST_MESSAGE:
        return None
    match = _MESSAGE.fullmatch(body)
    if match is None or not TASK_MIN_PRIORITY <= int(match[2]) <= TASK_MAX_PRIORITY:
        return None
    return Ready(UUID(match[1]), queue_name, int(match[2]))
