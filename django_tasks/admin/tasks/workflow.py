"""What a task's page tells of the workflow that it is a step of."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from ...models import TaskRecord
from ...monitoring.workflows.neighbours import NAMED, Neighbour, place_of
from .. import formats
from ..base import BaseAdmin


def workflow_facts(
    screen: BaseAdmin, request: HttpRequest, record: TaskRecord
) -> list[tuple[str, str]]:
    """Return titles and values: the workflow, and the steps beside this one. None for others."""
    place = place_of(record)
    if place is None:
        return []
    workflow = place.step.workflow
    name = workflow.name or str(workflow.pk)
    may_look = any(
        request.user.has_perm(f"django_tasks.{verb}_workflowrecord") for verb in ("view", "change")
    )
    number = _("step %(number)s of %(size)s, “%(name)s”") % {
        "number": formats.count(place.step.position + 1),
        "size": formats.count(workflow.size),
        "name": place.step.name,
    }
    shown = screen.link(workflow, name) if may_look else name
    return [
        (_("workflow"), format_html('{} <span class="quiet">{}</span>', shown, number)),
        (_("after steps"), _linked(screen, place.before)),
        (_("before steps"), _linked(screen, place.after)),
    ]


def _linked(screen: BaseAdmin, steps: Sequence[Neighbour]) -> str:
    """Return the steps by name, with their statuses."""
    shown = format_html_join(
        "",
        '<span class="task-neighbour">{} {}</span>',
        (
            (screen.link(TaskRecord(pk=step.task_id), step.name), formats.status_badge(step.status))
            for step in steps[:NAMED]
        ),
    )
    return format_html("{}…", shown) if len(steps) > NAMED else shown
