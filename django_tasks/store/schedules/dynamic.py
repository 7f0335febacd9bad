"""Create and change schedules from a project's own code, while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from ...conf import suggest
from ...definitions.backends import database_backends
from ...definitions.declared_schedules import is_same
from ...definitions.schedule_options import COLUMNS, InvalidDeclaration, given_columns
from ...definitions.task import Task
from ...models.schedules import Owner, Schedule
from ...schedules import Spec
from ..retrying import repeated
from . import edits
from .sync import locked


def schedule(name: str, task: Task[..., Any], when: Spec, options: Mapping[str, Any]) -> Schedule:
    """Do what `Schedule.objects.schedule()` says."""
    given = _columns({**options, "schedule": when})
    columns = {**COLUMNS, "task_path": task.module_path, **given}
    using = _database_of(columns["backend"] or task.backend)
    # Whoever switched it off meant it.
    wanted = {c: value for c, value in columns.items() if c != "enabled" or "enabled" in given}
    new = Schedule(name=name, **columns)
    return repeated(using, partial(_change_or_create, using, new, wanted))


def edit(
    row: Schedule,
    options: Mapping[str, Any],
    *,
    task: Task[..., Any] | None,
    name: str | None,
    using: str,
) -> None:
    """Do what `Schedule.edit()` says."""
    columns = _columns(options)
    if task is not None:
        columns["task_path"] = task.module_path
    if name is not None:
        columns["name"] = name
    for column, value in columns.items():
        setattr(row, column, value)
    edits.save(row, using=using, only=columns)


def enable(row: Schedule, *, using: str) -> None:
    """Enable one schedule. Raise ValidationError with the reason if it cannot be."""
    edits.set_enabled([row.pk], True, using=using)
    row.refresh_from_db(using=using)
    if not row.enabled:
        raise ValidationError(row.error)


def _columns(options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return given_columns(options)
    except InvalidDeclaration as error:
        raise ValidationError({error.option or NON_FIELD_ERRORS: str(error)}) from None


def _database_of(alias: str) -> str:
    backends = database_backends()
    if alias not in backends:
        text = _("No backend that stores its tasks is called %(alias)r") % {"alias": alias}
        raise ValidationError({"backend": text + (suggest(alias, backends) or ".")})
    return backends[alias].database


def _change_or_create(using: str, new: Schedule, wanted: Mapping[str, Any]) -> Schedule:
    row = _change(using, new.name, wanted)
    if row is not None:
        return row
    try:
        with transaction.atomic(using=using):
            edits.save(new, using=using, is_new=True)
    except (IntegrityError, ValidationError):
        row = _change(using, new.name, wanted)  # if another process made it at the same time
        if row is None:
            raise
        return row
    return new


def _change(using: str, name: str, wanted: Mapping[str, Any]) -> Schedule | None:
    """Give the row of this name these values; return it, or None when there is none."""
    with transaction.atomic(using=using):
        row: Schedule | None = locked(using).filter(name=name).first()
        if row is None:
            return None
        if row.owner == Owner.CODE and row.is_declared:
            text = _("A schedule of this name is declared in code. Its edit() can change it.")
            raise ValidationError({"name": text})
        changes = {
            column: value
            for column, value in wanted.items()
            if not is_same(column, getattr(row, column), value)
        }
        if row.owner == Owner.CODE:  # the code declares it no more
            changes |= {"owner": Owner.ADMIN, "is_declared": True, "declared": ""}
        if "kind" in changes:
            changes["anchor_at"] = wanted["anchor_at"]
        for column, value in changes.items():
            setattr(row, column, value)
        if changes:
            edits.save(row, using=using)
        return row
