"""Show queues, workers and running tasks; or one task, and why it does not run."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...definitions.progress import Progress
from ...monitoring.diagnosis import Reason
from ...monitoring.reading import CappedCount
from ...monitoring.snapshot import (
    BeatSummary,
    Pause,
    QueueSummary,
    RunningTask,
    Snapshot,
    WorkerSummary,
    look,
)
from ...runtime.printing import printable
from ...statuses import PENDING_STATUSES
from ..task_report import HEADERS, report_of
from ..tasks_command import TasksCommand, duration, task_id


class Command(TasksCommand):
    help = (
        "Show queues, workers, beats and running tasks; with an ID, one task and why it does not"
        " run. Arguments and results are not shown."
    )
    examples = """\
  manage.py tasks_inspect
  manage.py tasks_inspect 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11
  manage.py tasks_inspect --json | jq '.queues[] | select(.oldest > 60)'
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", nargs="?", type=task_id, metavar="ID", help="id of one task")
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="print one JSON document; durations are seconds, what was counted or listed up to"
            ' a cap is named in the list "capped" beside it',
        )

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        if options["id"] is not None:
            self._show_task(backend, options["id"], as_json=options["as_json"])
            return
        snapshot = look(backend.database)
        if options["as_json"]:
            self.say(json.dumps(_document(backend, snapshot), indent=2))
            return
        queues = [_queue_cells(queue, backend.alias) for queue in snapshot.queues]
        self.show_table("Queues", _QUEUE_HEADERS, queues)
        self.show_table("Workers", _WORKER_HEADERS, [_worker_cells(w) for w in snapshot.workers])
        if not any(worker.state == "alive" for worker in snapshot.workers):
            self.say("No worker is alive. Start one: manage.py runworker", self.style.WARNING)
        self._show_beats(snapshot)
        self.show_table(
            "Running", _RUNNING_HEADERS, [_running_cells(task) for task in snapshot.running]
        )
        if "running" in _capped(snapshot):
            self.say(f"(the {len(snapshot.running)} that have run longest)")

    def _show_task(self, backend: DatabaseBackend, task_id: UUID, *, as_json: bool) -> None:
        report = report_of(backend.database, task_id)
        if report is None:
            raise CommandError(f"No task has the id {task_id}.")
        if as_json:
            self.say(json.dumps(report.document(), indent=2))
            return
        self.say(f"Task {task_id}", self.style.MIGRATE_HEADING)
        for name, value in report.facts():
            self.say(f"  {name:9} {printable(value)}")
        self.say("")
        is_pending = report.record.status in PENDING_STATUSES
        title = "Why it is not running" if is_pending else "Now"
        self.say(title, self.style.MIGRATE_HEADING)
        for reason in report.reasons:
            self._show_reason(reason)
        self.say("")
        if report.attempts:
            self.show_table("Attempts that did not succeed", HEADERS, report.cells())

    def _show_reason(self, reason: Reason) -> None:
        text = printable(f"  {reason.sentence} {reason.remedy}".rstrip())
        self.say(text, self.style.WARNING if reason.is_problem else None)
        if reason.command:
            self.say(f"    {printable(reason.command)}")

    def _show_beats(self, snapshot: Snapshot) -> None:
        if not (snapshot.beats or snapshot.schedules):
            return
        self.show_table("Beats", _BEAT_HEADERS, [_beat_cells(beat) for beat in snapshot.beats])
        if not any(beat.state == "alive" for beat in snapshot.beats):
            waiting = f"No beat is alive, and schedules wait: {snapshot.schedules}."
            self.say(f"{waiting} Start one: manage.py runbeat", self.style.WARNING)


_QUEUE_HEADERS = ("queue", "ready", "oldest", "running", "scheduled", "failed in 24 h", "paused")
_WORKER_HEADERS = (
    "worker", "state", "heartbeat", "pool", "slots", "running", "queues", "versions"
)  # fmt: skip
_BEAT_HEADERS = ("beat", "state", "heartbeat", "versions")
_RUNNING_HEADERS = ("task", "id", "queue", "worker", "for", "attempt", "progress")


def _queue_cells(queue: QueueSummary, backend: str) -> list[str]:
    counts = (queue.running, queue.scheduled, queue.failed)
    paused = ", ".join(_pause_text(pause, backend) for pause in queue.paused) or "-"
    return [queue.name, str(queue.ready), duration(queue.oldest), *map(str, counts), paused]


def _pause_text(pause: Pause, backend: str) -> str:
    where = "" if pause.backend == backend else f" (backend {pause.backend})"
    return f"{duration(pause.seconds)}{f' by {pause.by}' if pause.by else ''}{where}"


def _worker_cells(worker: WorkerSummary) -> list[str]:
    return [
        f"{worker.host}:{worker.pid}",
        worker.state,
        f"{duration(worker.heartbeat)} ago",
        worker.pool,
        _slots_text(worker),
        str(worker.running),
        worker.queues,
        worker.versions or "-",
    ]


def _slots_text(worker: WorkerSummary) -> str:
    wanted = "" if worker.wanted is None else f", {worker.wanted} wanted"
    return f"{worker.concurrency}{wanted}"


def _beat_cells(beat: BeatSummary) -> list[str]:
    age = f"{duration(beat.heartbeat)} ago"
    return [f"{beat.host}:{beat.pid}", beat.state, age, beat.versions or "-"]


def _running_cells(task: RunningTask) -> list[str]:
    return [
        task.task,
        task.id,
        task.queue,
        task.worker,
        duration(task.seconds),
        str(task.attempt),
        _progress_text(task.progress),
    ]


def _progress_text(progress: Progress | None) -> str:
    if progress is None:
        return "-"
    percent = progress.percent
    return f"{progress.done:g}" if percent is None else f"{percent:g} %"


def _document(backend: DatabaseBackend, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "backend": backend.alias,
        "database": backend.database,
        "queues": [_queue_document(queue) for queue in snapshot.queues],
        "workers": [asdict(worker) for worker in snapshot.workers],
        "beats": [asdict(beat) for beat in snapshot.beats],
        "schedules": int(snapshot.schedules),
        "running": [_running_document(task) for task in snapshot.running],
        "capped": _capped(snapshot),
    }


def _capped(snapshot: Snapshot) -> list[str]:
    """Return what there is more of than the snapshot has."""
    running = sum(queue.running for queue in snapshot.queues)
    is_capped = {
        "schedules": isinstance(snapshot.schedules, CappedCount),
        "running": running > len(snapshot.running),
    }
    return [name for name, more in is_capped.items() if more]


def _queue_document(queue: QueueSummary) -> dict[str, Any]:
    values = asdict(queue)
    capped = [name for name, value in values.items() if isinstance(value, CappedCount)]
    return {name: int(v) if name in capped else v for name, v in values.items()} | {
        "capped": capped
    }


def _running_document(task: RunningTask) -> dict[str, Any]:
    """Leave out the message of the progress: it is the task's own text, like its arguments."""
    progress = task.progress
    return asdict(task) | {
        "progress": progress
        and {"done": progress.done, "total": progress.total, "percent": progress.percent}
    }
