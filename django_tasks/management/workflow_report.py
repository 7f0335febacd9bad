"""What tasks_workflow says of workflows. Their values, metadata and arguments are not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ..models import WorkflowRecord
from ..monitoring.diagnosis import Reason
from ..monitoring.reading import database_now
from ..monitoring.workflows.graph import MOST_STEPS, Box, Graph, graph_of
from ..monitoring.workflows.reasons import reasons
from ..monitoring.workflows.summaries import MOST_OPEN, Summary, open_ids, summaries
from ..statuses import FINAL_STATUSES, Status
from ..store.workflows.handle import WorkflowResult
from .tasks_command import duration

LIST_HEADERS = ("workflow", "id", "status", "steps", "enqueued", "failed step")
HEADERS = ("step", "status", "after")
#: Levels by which a step is indented, at the most, and boxes before one that are named.
DEEPEST, NAMED = 12, 3


def newest(database: str, number: int, status: str | None) -> list[tuple[WorkflowRecord, Summary]]:
    """
    Return the newest workflows, in one status or any, and how they stand.

    Those in a final status in the order in which an index has them: the last to end first.
    """
    rows = WorkflowRecord.objects.using(database).defer("metadata", "value").order_by("-pk")
    if status == Status.RUNNING:
        rows = rows.filter(
            pk__in=open_ids(WorkflowRecord.objects.using(database).all())[:MOST_OPEN]
        )
    elif status is not None:
        rows = rows.filter(status=status).order_by("-finished_at")
    found = list(rows[:number])
    known = summaries(database, found)
    return [(row, known[row.pk]) for row in found]


def list_cells(row: WorkflowRecord, summary: Summary, now: datetime) -> list[str]:
    """Return the cells of one workflow in the table of all."""
    steps = str(row.size) if summary.done is None else f"{summary.done} of {row.size}"
    age = duration(max((now - row.enqueued_at).total_seconds(), 0.0))
    return [row.name, str(row.pk), row.status, steps, f"{age} ago", summary.failed or "-"]


def list_document(row: WorkflowRecord, summary: Summary) -> dict[str, Any]:
    """Return one workflow for JSON; `done` is null when its steps are too many to count."""
    return {
        **_head(row),
        "done": summary.done,
        "failed_step": summary.failed or None,
        "failed_task_id": str(summary.failed_id) if summary.failed_id else None,
    }


def _head(row: WorkflowRecord) -> dict[str, Any]:
    moments = {
        "enqueued_at": row.enqueued_at,
        "finished_at": row.finished_at,
        "cancelled_at": row.cancelled_at,
    }
    return {
        "id": str(row.pk),
        "name": row.name,
        "status": str(row.status),
        "steps": row.size,
        "backend": row.backend,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowReport:
    """One workflow, why it does not go on, and its graph; None of more than MOST_STEPS steps."""

    handle: WorkflowResult
    record: WorkflowRecord
    now: datetime
    reasons: Sequence[Reason]
    graph: Graph | None

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values, for people; what says nothing is left out."""
        record = self.record
        facts = [
            ("name", record.name),
            ("status", str(record.status)),
            ("steps", self._steps()),
            ("enqueued", self._moment(record.enqueued_at)),
            ("cancelled", self._moment(record.cancelled_at)),
            ("finished", self._moment(record.finished_at)),
        ]
        return [(name, value) for name, value in facts if value]

    def _steps(self) -> str:
        if self.graph is None:
            return str(self.record.size)
        done = sum(self.graph.statuses.get(status, 0) for status in FINAL_STATUSES)
        return f"{done} of {self.record.size} ended"

    def _moment(self, moment: datetime | None) -> str:
        if moment is None:
            return ""
        away = duration(max((self.now - moment).total_seconds(), 0.0))
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({away} ago)"

    def cells(self) -> list[list[str]]:
        """Return the rows of the tree: what is alike in one, indented by what is before it."""
        if self.graph is None:
            return []
        boxes = {box.first: box for box in self.graph.boxes}
        before: dict[int, list[int]] = {}
        for tie in self.graph.ties:
            for first in tie.after:
                before.setdefault(first, []).extend(tie.before)
        return [_cells(box, boxes, before.get(box.first, ())) for box in self.graph.boxes]

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON; moments are ISO 8601 in UTC."""
        steps = [
            {"name": step.name, "id": step.task_id, "task": step.task_path, "status": step.status}
            for step in self.handle.steps()
        ]
        return {
            "workflow": _head(self.record),
            "reasons": [asdict(reason) for reason in self.reasons],
            "steps": steps,
        }


def _cells(box: Box, boxes: Mapping[int, Box], before: Sequence[int]) -> list[str]:
    names = [_title(boxes[first]) for first in sorted(set(before))]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    statuses = [
        status.value if box.size == 1 else f"{box.statuses[status]} {status}"
        for status in Status
        if box.statuses.get(status)
    ]
    return [
        "  " * min(box.level, DEEPEST) + _title(box),
        ", ".join(statuses),
        ", ".join(names[:NAMED]) + more or "-",
    ]


def _title(box: Box) -> str:
    run = ", one after another" if box.length > 1 else ""
    return box.title if box.size == 1 else f"{box.title} × {box.size}{run}"


def report_of(handle: WorkflowResult) -> WorkflowReport:
    """Return what there is to say of a workflow."""
    database = handle.database
    record = WorkflowRecord.objects.using(database).get(pk=handle.id)
    now = database_now(database)
    graph = graph_of(database, record) if record.size <= MOST_STEPS else None
    found = reasons(database, record, graph, now)
    return WorkflowReport(handle=handle, record=record, now=now, reasons=found, graph=graph)
