"""Render the parts of the overview: each a template, on the page and when it is renewed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from ...models import Schedule
from ...monitoring.history import Period
from ...monitoring.overview import OverviewData
from ...monitoring.queues import AGED, Queue, QueueFigures
from ...monitoring.reading import CappedCount
from ...monitoring.workers import WorkerFigures
from ...statuses import Status
from .. import formats
from ..workers.screen import KINDS, STATES
from . import charts

TEMPLATES = "admin/django_tasks/overview"
#: Rows of queues and of workers that the page shows.
SHOWN = 100
#: Queues that the banner names.
QUEUES_NAMED = 10
#: Kinds of tasks that a worker's row names.
TASKS_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who looks: what they may see, and where links of their site lead."""

    may_see_workers: bool
    may_see_schedules: bool
    #: Return the address of a list, or of a row's page; "" where their site has none.
    address: Callable[..., str]


def render(data: OverviewData, period: Period, reader: Reader) -> dict[str, str]:
    """Return the markup of each section by its name."""
    contexts: dict[str, dict[str, Any]] = {
        "state": _state(data, reader),
        "summary": _summary(data, reader),
        "queues": _queues(data, reader),
        "charts": {"charts": charts.draw(period, data.history)},
    }
    if reader.may_see_workers:
        contexts["workers"] = _workers(data, reader)
    if reader.may_see_schedules:
        contexts["schedules"] = _schedules(data, reader)
    return {
        name: render_to_string(f"{TEMPLATES}/{name}.html", context)
        for name, context in contexts.items()
    }


def _state(data: OverviewData, reader: Reader) -> dict[str, Any]:
    verdict = data.verdict
    return {
        "verdict": verdict,
        "unserved": _names(verdict.unserved, data),
        "paused": _names(verdict.paused, data),
        "commands": worker_commands(verdict.unserved),
        "has_worker": any(worker.state != "late" for worker in data.workers),
        "tells_of_beat": reader.may_see_schedules,
        "unknown": sum(data.unknown.values()),
        "unknown_paths": _listed(sorted(data.unknown)),
    }


def worker_commands(queues: Sequence[Queue]) -> list[str]:
    """Return the command that serves `queues`, one per backend."""
    by_backend: dict[str, list[str]] = {}
    for backend, name in queues:
        by_backend.setdefault(backend, []).append(name)
    return [_worker_command(backend, names) for backend, names in by_backend.items()]


def _worker_command(backend: str, names: Sequence[str]) -> str:
    arguments = [] if backend == "default" else ["--backend", backend]
    return shlex.join(["python", "manage.py", "runworker", *arguments, "--queues", ",".join(names)])


def _names(queues: Sequence[Queue], data: OverviewData) -> str:
    is_one_backend = len({queue.backend for queue in data.queues}) == 1
    names = [name if is_one_backend else f"{name} ({backend})" for backend, name in queues]
    return _listed(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:QUEUES_NAMED], *(["…"] if len(names) > QUEUES_NAMED else [])])


def _summary(data: OverviewData, reader: Reader) -> dict[str, Any]:
    alive = [worker for worker in data.workers if worker.state == "alive"]
    return {
        "running": _total(queue.running for queue in data.queues),
        "ready": _total(queue.ready for queue in data.queues),
        "workers": len(alive),
        "slots": formats.count(sum(worker.row.concurrency for worker in alive)),
        "tells_of_workers": reader.may_see_workers,
        "now": formats.timestamp(data.now),
    }


def _total(counts: Any) -> str:
    """Return the sum; with a plus when one of its parts stopped counting."""
    parts = list(counts)
    is_capped = any(isinstance(count, CappedCount) for count in parts)
    total = sum(map(int, parts))
    return formats.count(CappedCount(total) if is_capped else total)


def _queues(data: OverviewData, reader: Reader) -> dict[str, Any]:
    unserved = set(data.verdict.unserved)
    is_cut = len(data.queues) > SHOWN
    shown = sorted(data.queues, key=_is_quiet)[:SHOWN] if is_cut else data.queues
    return {
        "lines": [
            _queue_line(queue, (queue.backend, queue.name) in unserved, reader) for queue in shown
        ],
        "more": formats.count(len(data.queues) - len(shown)),
        "is_cut": is_cut,
        "has_backends": len({queue.backend for queue in data.queues}) > 1,
        "counted_until": formats.timestamp(data.counted_until) if data.counted_until else "",
    }


def _is_quiet(queue: QueueFigures) -> bool:
    return not (queue.waiting or queue.running)


def _queue_line(queue: QueueFigures, is_unserved: bool, reader: Reader) -> dict[str, Any]:
    def linked(count: int, status: Status) -> tuple[str, str]:
        query = urlencode({"queue_name": queue.name, "status": status.value})
        address = reader.address("taskrecord") if count else ""
        return formats.count(count), f"{address}?{query}" if address else ""

    oldest = formats.duration(queue.oldest)
    return {
        "queue": queue,
        "is_unserved": is_unserved,
        "ready": linked(queue.ready, Status.READY),
        # One that was not looked at may have waited longer.
        "oldest": f"≥ {oldest}" if queue.ready > AGED and queue.oldest is not None else oldest,
        "running": linked(queue.running, Status.RUNNING),
        "scheduled": linked(queue.scheduled, Status.SCHEDULED),
        "failed": linked(queue.failed, Status.FAILED),
        "throughput": formats.rate(queue.throughput),
    }


def _workers(data: OverviewData, reader: Reader) -> dict[str, Any]:
    return {
        "lines": [_worker_line(worker, data, reader) for worker in data.workers[:SHOWN]],
        "is_cut": len(data.workers) > SHOWN,
        "more": formats.count(max(0, len(data.workers) - SHOWN)),
        "beats": [_worker_line(beat, data, reader) for beat in data.beats[:SHOWN]],
    }


def _worker_line(worker: WorkerFigures, data: OverviewData, reader: Reader) -> dict[str, Any]:
    row = worker.row
    named = worker.tasks.most_common(TASKS_NAMED)
    tasks = [
        path.rpartition(".")[2] + (f"\u00a0×\u00a0{formats.count(count)}" if count > 1 else "")
        for path, count in named
    ]
    return {
        "worker": row,
        "address": reader.address("workerrecord", row.pk),
        "state": formats.badge(str(STATES[worker.state]), KINDS[worker.state]),
        "heartbeat": _heartbeat(row.heartbeat_at, data.now),
        "used": formats.count(worker.used),
        "slots": formats.count(row.concurrency),
        "tasks": ", ".join(tasks),
        "has_more": len(worker.tasks) > len(named),
    }


def _heartbeat(moment: datetime, now: datetime) -> str:
    """Return how long ago it was, in whole seconds: parts of one say nothing here."""
    seconds = round((now - moment).total_seconds())
    text = _("%(s)d s") % {"s": seconds} if seconds < 60 else formats.duration(seconds)
    return formats.timestamp(moment, _("%(duration)s ago") % {"duration": text})


def _schedules(data: OverviewData, reader: Reader) -> dict[str, Any]:
    return {
        "lines": [_schedule_line(row, data, reader) for row in data.schedules],
        "all": reader.address("schedule"),
    }


def _schedule_line(row: Schedule, data: OverviewData, reader: Reader) -> dict[str, Any]:
    return {
        "name": row.name,
        "task": row.task_path,
        "address": reader.address("schedule", row.pk),
        "at": formats.timestamp(row.next_run_at),
        "in": formats.ago(row.next_run_at, data.now),
        "is_late": row.next_run_at is not None and row.next_run_at <= data.now,
    }
