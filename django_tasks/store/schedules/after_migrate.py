"""Sync the schedules of the code to rows after `manage.py migrate`."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from django.apps import apps as current_apps
from django.db import router

from ...definitions.backends import database_backends
from ...models import Schedule
from . import sync


def sync_schedules(
    *,
    using: str,
    verbosity: int = 1,
    apps: Any = current_apps,
    stdout: TextIO | None = None,
    **kwargs: Any,
) -> None:
    """Synchronise the schedules of `using`, if it has tasks and the tables are up to date."""
    if using not in {backend.database for backend in database_backends().values()}:
        return
    if not router.allow_migrate_model(using, Schedule) or not _has_all_columns(apps):
        return
    synced = sync.sync(using)
    if synced and verbosity:
        (stdout or sys.stdout).write(f"  Schedules declared in code: {synced}\n")


def _has_all_columns(apps: Any) -> bool:
    """Tell whether migrations went as far as this code: `migrate django_tasks zero` does not."""
    try:
        migrated = apps.get_model("django_tasks", "Schedule")
    except LookupError:
        return False
    return {field.column for field in migrated._meta.local_concrete_fields} >= {
        field.column for field in Schedule._meta.local_concrete_fields
    }
