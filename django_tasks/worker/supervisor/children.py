"""The processes of a worker as their parent sees them: signal, kill."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

from ..board import Board


@dataclass(slots=True)
class Child:
    """A process that runs tasks."""

    pid: int
    number: int
    lane: int
    started_at: float
    is_retiring: bool = False
    #: Whether it runs what others offer, and counts for nothing else.
    is_quarantine: bool = False
    #: Why it is about to die by our hand, for what it had running.
    verdict: str = "lost"


def send_signal(child: Child, number: int) -> None:
    """Send a signal."""
    try:
        os.kill(child.pid, number)
    except ProcessLookupError:
        return  # it died by itself; the next round reaps it


def retire(child: Child, board: Board) -> None:
    """Tell a process to stop gently; on the board, too, as a body may swallow the signal."""
    child.is_retiring = True
    board.retiring[child.lane] = 1
    send_signal(child, signal.SIGTERM)


def kill(child: Child, verdict: str) -> None:
    """Kill a process and what it started: it leads a process group of its own."""
    child.verdict = verdict
    for send, target in ((os.killpg, child.pid), (os.kill, child.pid)):
        try:
            send(target, signal.SIGKILL)
        except ProcessLookupError:
            continue  # no such group: it died, or was forked this very moment


def how_it_died(status: int) -> str:
    """Describe a status of waitpid()."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    number: Any = -code
    name = signal.Signals(number).name if number in list(signal.Signals) else ""
    return f"signal {number} {name}".strip()
