"""How long finished tasks, and the runs of schedules, are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from . import registry
from .conf import app_settings
from .statuses import FINAL_STATUSES, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """
    Which finished tasks go after `age` seconds.

    `task_path`: those of one task; None: all but those of `except_paths`.
    """

    statuses: Sequence[Status]
    age: float
    task_path: str | None = None
    except_paths: Sequence[str] = ()


def retention_rules() -> list[RetentionRule]:
    """Return the rules of the settings, and of the tasks that have a result_ttl of their own."""
    own = {
        task.module_path: _seconds(task.result_ttl)
        for task in registry.known_tasks()
        if task.result_ttl is not None
    }
    settings = (
        ([Status.SUCCESSFUL], app_settings.RETENTION_SUCCESSFUL),
        ([Status.FAILED, Status.CANCELLED], app_settings.RETENTION_FAILED),
    )
    general = [
        RetentionRule(statuses=statuses, age=_seconds(age), except_paths=tuple(own))
        for statuses, age in settings
        if age is not None
    ]
    return general + [
        RetentionRule(statuses=FINAL_STATUSES, age=age, task_path=path) for path, age in own.items()
    ]


def runs_age() -> float | None:
    """Return the age at which runs of schedules go, in seconds: that of successful tasks."""
    age = app_settings.RETENTION_SUCCESSFUL
    return None if age is None else _seconds(age)


def _seconds(age: float | timedelta) -> float:
    return age.total_seconds() if isinstance(age, timedelta) else float(age)
