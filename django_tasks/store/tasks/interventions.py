"""Act on stored tasks for people: requeue, run now, cancel, move, delete; and report it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import TaskRecord
from ...statuses import FINAL_STATUSES, PENDING_STATUSES, Status
from . import deletions, moves, transitions

#: Tasks per round: what is read and written at a time, however many are selected.
CHUNK = 1000

#: What can be run again as it is, and what can be cancelled.
REQUEUABLE = (Status.FAILED, Status.CANCELLED)
CANCELLABLE = (*PENDING_STATUSES, Status.RUNNING)


@dataclass(slots=True, kw_only=True)
class Report:
    """How many tasks an intervention changed, and how many it left alone, by their status."""

    done: int = 0
    #: Running tasks that were told to stop.
    told: int = 0
    #: New records, of tasks that had succeeded.
    copied: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    #: Tasks that changed between being looked at and being changed.
    overtaken: int = 0
    #: Whether time was up before all of them had been looked at.
    is_cut: bool = False

    @property
    def total(self) -> int:
        """How many were changed, or led to a new record."""
        return self.done + self.told + self.copied

    @property
    def skipped_text(self) -> str:
        """Name how many were left alone and why; empty when none were."""
        reasons = [
            _("%(count)d %(status)s") % {"count": count, "status": Status(status).label.lower()}
            for status, count in sorted(self.skipped.items())
        ]
        if self.overtaken:
            reasons.append(_("%d changed meanwhile") % self.overtaken)
        if not reasons:
            return ""
        total = self.skipped.total() + self.overtaken
        return ngettext(
            "%(total)d task was skipped: %(reasons)s.",
            "%(total)d tasks were skipped: %(reasons)s.",
            total,
        ) % {"total": total, "reasons": ", ".join(reasons)}


#: Called with each chunk of tasks that were changed.
Listener = Callable[[Sequence[TaskRecord]], object]


@dataclass(slots=True, kw_only=True)
class Intervention:
    """
    Some tasks, and the listener of those that change.

    `seconds`: begin no further chunk after so long (None: however long it takes); the report says
    when that left some out.
    """

    tasks: QuerySet[TaskRecord]
    listener: Listener = len
    seconds: float | None = None

    def requeue(self, *, copies: bool = False) -> Report:
        """Run failed and cancelled tasks again. `copies`: enqueue successful ones once more."""
        report = Report()
        database = self.tasks.db
        statuses = (*REQUEUABLE, Status.SUCCESSFUL) if copies else REQUEUABLE
        # Copies may match as well: the last of the tasks as they are now is the end.
        upto = self.tasks.order_by("-pk").values_list("pk", flat=True).first() if copies else None
        for chosen in self._chosen(statuses, report, upto):
            ended = [task for task in chosen if task.status in REQUEUABLE]
            succeeded = [task for task in chosen if task.status == Status.SUCCESSFUL]
            done = transitions.requeue(database, _ids(ended))
            copied = transitions.copy(database, _ids(succeeded))
            report.done += done
            report.copied += copied
            report.overtaken += len(chosen) - done - copied
        return report

    def cancel(self) -> Report:
        """Cancel those that have not finished; running ones are told to stop."""
        report = Report()
        for chosen in self._chosen(CANCELLABLE, report):
            done, told = transitions.cancel(self.tasks.db, _ids(chosen))
            report.done += done
            report.told += told
            report.overtaken += len(chosen) - done - told
        return report

    def run_now(self) -> Report:
        """Make scheduled tasks ready before their time."""
        report = Report()
        for chosen in self._chosen((Status.SCHEDULED,), report):
            done = transitions.run_now(self.tasks.db, _ids(chosen))
            report.done += done
            report.overtaken += len(chosen) - done
        return report

    def move(self, *, queue_name: str | None = None, priority: int | None = None) -> Report:
        """Give those that have not started another queue, priority or both; None: as it is."""
        report = Report()
        for chosen in self._chosen(PENDING_STATUSES, report):
            done = moves.move(self.tasks.db, _ids(chosen), queue_name=queue_name, priority=priority)
            report.done += done
            report.overtaken += len(chosen) - done
        return report

    def delete(self) -> Report:
        """Delete the finished ones with their attempts."""
        report = Report()
        for chosen in self._chosen(FINAL_STATUSES, report):
            # The status is asked for again: one may have been run again since it was looked at.
            done = deletions.delete_finished(self.tasks.db, _ids(chosen))
            report.done += done
            report.overtaken += len(chosen) - done
        return report

    def _chosen(
        self, statuses: Collection[Status], report: Report, upto: UUID | None = None
    ) -> Iterator[Sequence[TaskRecord]]:
        """Yield the tasks in one of `statuses`, a chunk at a time, and count the others."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        tasks = self.tasks if upto is None else self.tasks.filter(pk__lte=upto)
        for chunk in _chunks(tasks):
            if end is not None and time.monotonic() > end:
                report.is_cut = True
                return
            report.skipped.update(task.status for task in chunk if task.status not in statuses)
            if chosen := [task for task in chunk if task.status in statuses]:
                yield chosen
                self.listener(chosen)


def _chunks(tasks: QuerySet[TaskRecord]) -> Iterator[list[TaskRecord]]:
    """
    Yield `tasks` in the order of their ids, without loading their payload.

    Each chunk is asked for beyond the last one: tasks that leave the selection because they were
    changed do not move others out of sight, and millions are never in memory.
    """
    light = tasks.order_by("pk").only("pk", "task_path", "queue_name", "status")
    beyond: UUID | None = None
    while True:
        rest = light if beyond is None else light.filter(pk__gt=beyond)
        chunk = list(rest[:CHUNK])
        if chunk:
            yield chunk
        if len(chunk) < CHUNK:
            return
        beyond = chunk[-1].pk


def _ids(tasks: Sequence[TaskRecord]) -> list[UUID]:
    return [task.pk for task in tasks]
