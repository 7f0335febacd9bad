"""Template tags that place the <task-progress> element and load its script and styles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django
from django import template
from django.template import Context
from django.utils.translation import gettext as _

from ..definitions.progress_tokens import MAX_AGE, Allows
from ..definitions.results import TaskResult
from ..dep14.base import TaskResult as AnyTaskResult
from ..progress import reports
from ..statuses import Status

register = template.Library()


@register.inclusion_tag("django_tasks/task_progress.html")
def task_progress(
    result: Any,
    *,
    label: str = "",
    allows: Allows = "progress",
    max_age: float | timedelta | None = MAX_AGE,
) -> dict[str, Any]:
    """
    Show how far a task is, and keep it up to date where scripts run.

    `label`: what is worked on, for people. `allows` and `max_age`: see
    `TaskResult.progress_token`. The result of another backend than this package's is shown as it
    is. Raise TypeError for what is no result.
    """
    report = _report(result)
    is_asked = isinstance(result, TaskResult) and not report.is_finished
    return {
        "report": report,
        "label": label,
        "name": label or _("Progress"),
        "status": report.status.lower(),
        "value": _value(report),
        "url": result.progress_url(max_age=max_age, allows=allows) if is_asked else "",
    }


def _report(result: Any) -> reports.Report:
    if not isinstance(result, AnyTaskResult):
        raise TypeError(f"task_progress takes a TaskResult, not {result!r}.")
    return reports.of_result(result)


def _value(report: reports.Report) -> str | None:
    """Return the bar's value as HTML has it, None for a bar that only says "at work"."""
    if report.percent is None and report.status == Status.RUNNING:
        return None
    return f"{report.percent or 0:g}"


@register.inclusion_tag("django_tasks/task_progress_assets.html", takes_context=True)
def task_progress_assets(context: Context) -> dict[str, Any]:
    """Load the script and the styles of <task-progress>, with the CSP nonce if there is one."""
    return {"nonce": _nonce(context.get("request"))}


def _nonce(request: Any) -> Any:
    if django.VERSION < (6, 0) or request is None:
        return None
    from django.middleware.csp import get_nonce

    return get_nonce(request)
