"""The graph and the list of steps on a workflow's page, and what of them an address chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.utils.html import format_html

from ...models import WorkflowRecord
from ...monitoring.workflows.graph import Box, Graph
from ...monitoring.workflows.steps import StepRow, steps_of
from ...statuses import Status
from .. import formats
from .drawing import ORDER, draw

#: Steps that the page lists.
SHOWN = 50

#: From the id of a task to the address of its page; None: the reader may see no tasks.
TaskUrl = Callable[[Any], str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the address of the page chooses; None and empty: nothing."""

    #: The first level of the graph that is shown.
    level: int | None = None
    #: The box whose steps are listed, and their status.
    box: int | None = None
    status: str = ""
    #: The place of the first step that is listed.
    start: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Chosen:
        """Read it. What makes no sense chooses nothing."""
        status = query.get("status", "")
        return cls(
            level=_number(query.get("level")),
            box=_number(query.get("box")),
            status=status if status in Status.values else "",
            start=_number(query.get("start")),
        )

    def query(self, **changes: Any) -> str:
        """Return the query of an address that chooses the same but for `changes`."""
        values = asdict(replace(self, **changes))
        return "?" + urlencode({k: v for k, v in values.items() if v not in ("", None)})


def _number(text: str | None) -> int | None:
    """Read a place in a workflow; they are 32 bits wide in every database."""
    is_one = text is not None and text.isascii() and text.isdecimal() and len(text) < 10
    return int(text) if is_one and text else None


def graph_section(graph: Graph, chosen: Chosen, task_url: TaskUrl) -> dict[str, Any]:
    """Return what the template shows of the graph, and where its parts lead."""

    def url_of(box: Box) -> str:
        if box.task_id is not None:
            return task_url(box.task_id) if task_url else ""
        return f"{chosen.query(box=box.first, status='', start=None)}#workflow-steps"

    is_cut = graph.hidden > 0
    return {
        "drawing": draw(graph, url_of),
        "is_cut": is_cut,
        "start": graph.start + 1,
        "end": graph.end,
        "depth": graph.depth,
        "hidden": formats.count(graph.hidden),
        "earlier_url": chosen.query(level=max(0, graph.start - 10)) if graph.start else "",
        "later_url": chosen.query(level=graph.end) if graph.end < graph.depth else "",
    }


def steps_section(
    database: str,
    record: WorkflowRecord,
    graph: Graph | None,
    chosen: Chosen,
    task_url: TaskUrl,
) -> dict[str, Any]:
    """Return what the template shows of the steps that are chosen."""
    boxes = {box.first: box for box in graph.boxes} if graph else {}
    box = boxes.get(-1 if chosen.box is None else chosen.box)
    start = chosen.start or 0
    rows = steps_of(database, record, start=start, number=SHOWN + 1, status=chosen.status, box=box)
    next_url = chosen.query(start=rows[SHOWN].position) if len(rows) > SHOWN else ""
    return {
        "rows": [_row(row, task_url) for row in rows[:SHOWN]],
        "filters": _filters(box.statuses if box else graph.statuses, chosen) if graph else [],
        "box": f"{box.title} × {formats.count(box.size)}" if box else "",
        "all_url": f"{chosen.query(box=None, status='', start=None)}#workflow-steps",
        "first_url": f"{chosen.query(start=None)}#workflow-steps" if start else "",
        "next_url": f"{next_url}#workflow-steps" if next_url else "",
    }


def _filters(statuses: Mapping[str, int], chosen: Chosen) -> list[dict[str, Any]]:
    """Return the statuses that there are, with their counts, as links; all of them first."""
    total = sum(statuses.values())
    found = [("", total), *((str(s), statuses[s]) for s in ORDER if statuses.get(s))]
    return [
        {
            "label": str(Status(status).label) if status else "",
            "count": formats.count(count),
            "url": f"{chosen.query(status=status, start=None)}#workflow-steps",
            "is_chosen": status == chosen.status,
        }
        for status, count in found
    ]


def _row(row: StepRow, task_url: TaskUrl) -> dict[str, Any]:
    url = task_url(row.task_id) if task_url else ""
    return {
        "number": formats.count(row.position + 1),
        "name": format_html('<a href="{}">{}</a>', url, row.name) if url else row.name,
        "path": row.task_path,
        "state": formats.status_badge(row.status),
        "took": formats.duration(row.run_time),
        "finished": formats.timestamp(row.finished_at),
    }
