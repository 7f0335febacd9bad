"""Import the periodic tasks of django-celery-beat as schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from ...conf import suggest
from ...definitions import registry
from ...definitions.declared_schedules import differences, from_json, to_json
from ...definitions.schedule_options import InvalidDeclaration, columns_of
from ...models.schedules import Owner, Schedule
from . import celery_tables, edits
from .sync import locked, text_of

#: Taken over once: afterwards somebody switches the one system off and the other on.
_ONCE = {"enabled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one periodic task. `outcome`: imported, updated, unchanged or skipped."""

    name: str
    task: str
    outcome: str
    #: Why it was skipped, or what is not as it was.
    notes: tuple[str, ...] = ()


class _Skipped(Exception):
    """The periodic task stays where it is; the message says why."""


def import_periodic_tasks(
    rows: Iterable[celery_tables.Row],
    *,
    using: str,
    renamed: Mapping[str, str] | None = None,
    is_dry_run: bool = False,
) -> list[Imported]:
    """
    Make a schedule of each row of django-celery-beat, or bring the one made before up to date.

    `renamed`: the path of a task by the name that Celery has for it. All in one transaction, which
    a dry run takes back.
    """
    with transaction.atomic(using=using):
        outcomes = [_import_one(row, using, renamed or {}) for row in rows]
        transaction.set_rollback(is_dry_run, using=using)
    return outcomes


def _import_one(row: celery_tables.Row, using: str, renamed: Mapping[str, str]) -> Imported:
    path = renamed.get(row["task"], row["task"])
    try:
        options, notes = celery_tables.translated(row)
        with transaction.atomic(using=using):
            outcome = _write(row["name"], _columns(path, options), using)
    except (_Skipped, InvalidDeclaration) as error:
        return Imported(name=row["name"], task=path, outcome="skipped", notes=(str(error),))
    except ValidationError as error:
        return Imported(name=row["name"], task=path, outcome="skipped", notes=(text_of(error),))
    return Imported(name=row["name"], task=path, outcome=outcome, notes=notes)


def _columns(path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if path == "celery.backend_cleanup":
        raise _Skipped("workers delete old results by themselves.")
    task = registry.find(path)
    if task is None:
        known = [each.module_path for each in registry.known_tasks()]
        raise _Skipped(f"no task is registered as {path!r}{suggest(path, known)}.")
    return columns_of(task, options)


def _write(name: str, columns: dict[str, Any], using: str) -> str:
    row = locked(using).filter(name=name).first()
    if row is None:
        row = Schedule(name=name, owner=Owner.ADMIN, declared=to_json(columns), **columns)
        edits.save(row, using=using)
        return "imported"
    _check_untouched(row)
    before = from_json(row.declared)
    after = columns | {column: before[column] for column in _ONCE}
    if (after["kind"], after["every"]) == (before["kind"], before["every"]):
        after["anchor_at"] = before["anchor_at"]  # it moved with each run; the slots did not
    if after == before:
        return "unchanged"
    for column in after.keys() - _ONCE:
        setattr(row, column, after[column])
    row.declared = to_json(after)
    edits.save(row, using=using)
    return "updated"


def _check_untouched(row: Schedule) -> None:
    if row.owner == Owner.CODE:
        raise _Skipped("a schedule of this name is declared in code.")
    if not row.declared:
        raise _Skipped("a schedule of this name was made here.")
    edited = sorted(differences(row).keys() - _ONCE)
    if edited:
        raise _Skipped(f"it was edited here since it was imported: {', '.join(edited)}.")
