"""Plan schedules that `manage.py loaddata` stores: it passes their save() by."""

from __future__ import annotations

from typing import Any

from ...models import Schedule
from . import edits


def plan_loaded_schedule(*, instance: Schedule, raw: bool, using: str, **kwargs: Any) -> None:
    """Plan the next run of a schedule of a fixture, whose own plan is of when it was made."""
    if raw:
        edits.plan_loaded(instance, using=using)
