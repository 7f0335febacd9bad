"""Judge whether all is well, in one word, and say what to do when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..routing import QueueSelection
from .queues import Queue, QueueFigures
from .reading import served_queues
from .workers import WorkerFigures


class State(StrEnum):
    """What tasks do now."""

    #: Some run, or wait for a worker that is there.
    WORKING = "working"
    #: None runs, and none waits but in paused queues.
    IDLE = "idle"
    #: Some wait, and no worker serves their queue.
    UNSERVED = "unserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state, and what stands in the way."""

    state: State
    #: Queues with tasks that nobody will run as things are.
    unserved: Sequence[Queue] = ()
    #: Queues with tasks that somebody paused.
    paused: Sequence[Queue] = ()
    #: A schedule is due, and no beat runs.
    is_overdue: bool = False
    #: A schedule will be due, and no beat runs.
    lacks_beat: bool = False


def judge(
    queues: Sequence[QueueFigures],
    workers: Sequence[WorkerFigures],
    *,
    has_beat: bool,
    next_run_at: datetime | None,
    now: datetime,
) -> Verdict:
    """
    Say how things stand.

    `next_run_at`: when the next schedule is due; None when none ever is.
    """
    waiting = [queue for queue in queues if queue.waiting]
    served = _served(workers)
    unserved = [
        queue
        for queue in waiting
        if not queue.is_paused
        and not any(b == queue.backend and choice.matches(queue.name) for b, choice in served)
    ]
    is_busy = any(
        queue.running > queue.orphaned or (queue.waiting and not queue.is_paused)
        for queue in queues
    )
    lacks_beat = next_run_at is not None and not has_beat
    return Verdict(
        state=State.UNSERVED if unserved else State.WORKING if is_busy else State.IDLE,
        unserved=[(queue.backend, queue.name) for queue in unserved],
        paused=[(queue.backend, queue.name) for queue in waiting if queue.is_paused],
        is_overdue=lacks_beat and next_run_at is not None and next_run_at <= now,
        lacks_beat=lacks_beat,
    )


def _served(workers: Sequence[WorkerFigures]) -> list[tuple[str, QueueSelection]]:
    """Return what workers take, by backend: one that is late, or stops, takes nothing."""
    alive = (worker.row for worker in workers if worker.state == "alive")
    return [(row.backend, served_queues(row)) for row in alive]
