"""
Sync the schedules that code declares to rows.

A row follows the code as long as nobody changed it: when it differs from `declared`, what the code
said last, it is kept, and the difference is shown as drift. Whether it is enabled is looked at by
itself, so that switching a schedule off does not detach it from the code.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, transaction
from django.db.models import Q

from ...definitions import declared_schedules
from ...definitions.backends import database_backends
from ...definitions.declared_schedules import Collection, Declaration, differences, drift_of
from ...models.schedules import Owner, Schedule
from ..retrying import repeated
from . import edits

logger = logging.getLogger("django_tasks.schedules")

#: What no beat looks at.
_STOPPED: dict[str, Any] = {"next_run_at": None, "waiting_slot_at": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The names of the schedules that one sync touched, by what became of them."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    #: Somebody changed the row: it stays, and the admin shows the difference.
    kept: list[str] = field(default_factory=list)
    #: No longer declared.
    withdrawn: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.kept or self.withdrawn)

    def __str__(self) -> str:
        words = ("created", "updated", "kept", "withdrawn")
        counts = [(len(getattr(self, word)), word) for word in words]
        return ", ".join(f"{count} {word}" for count, word in counts if count) or "no change"


def sync(database: str, collection: Collection | None = None) -> Synced:
    """
    Bring the schedules of `database` in line with the code; any number of processes may.

    What is wrong in one declaration is logged, and its row left as it is.
    """
    found = declared_schedules.collect() if collection is None else collection
    for problem in found.problems:
        logger.log(
            logging.INFO if problem.is_expected else logging.ERROR,
            "Schedule %r of %s: %s", problem.name, problem.source.value, problem.message,
        )  # fmt: skip
    wanted = _of_database(database, found.declarations)
    rows = _rows(database, wanted)
    synced = Synced()
    for name, declaration in wanted.items():
        if not _is_in_line(rows.get(name), declaration):
            _sync_one(database, declaration, synced)
    named = wanted.keys() | {problem.name for problem in found.problems if problem.is_left_out}
    _withdraw(database, [row.pk for row in rows.values() if row.name not in named], named, synced)
    return synced


def reset_to_code(ids: Iterable[int], *, using: str) -> int:
    """
    Give schedules back the values that the code declares; return how many changed.

    Rows of the admin's own, and those that the code declares no more, stay. Raise ValidationError
    when the declared values are not right any more.
    """
    return sum(repeated(using, partial(_reset_one, pk, using)) for pk in sorted(ids))


def _reset_one(pk: int, using: str) -> bool:
    with transaction.atomic(using=using):
        row = locked(using).filter(pk=pk, owner=Owner.CODE, is_declared=True).first()
        drift = drift_of(row) if row is not None else {}
        if row is None or not drift:
            return False
        for name, (_, of_code) in drift.items():
            setattr(row, name, of_code)
        edits.save(row, using=using)
        return True


def _of_database(database: str, declarations: Mapping[str, Declaration]) -> dict[str, Declaration]:
    backends = database_backends()
    return {
        name: declaration
        for name, declaration in declarations.items()
        if declaration.backend in backends and backends[declaration.backend].database == database
    }


def _rows(database: str, wanted: Mapping[str, Declaration]) -> dict[str, Schedule]:
    rows = Schedule.objects.using(database)
    return {row.name: row for row in rows.filter(Q(owner=Owner.CODE) | Q(name__in=list(wanted)))}


def _is_in_line(row: Schedule | None, declaration: Declaration) -> bool:
    """Tell whether there is nothing to write, without a lock: each change is decided on again."""
    if row is None or row.owner != Owner.CODE or not row.is_declared:
        return False
    is_named = row.name == declaration.name  # MySQL finds Report for report
    return is_named and row.declared == declaration.as_json() and not _is_broken(row)


def _is_broken(row: Schedule) -> bool:
    """Tell whether a beat switched the row off, which the code that runs now may have repaired."""
    return bool(row.error) and not row.enabled


def _sync_one(database: str, declaration: Declaration, synced: Synced) -> None:
    try:
        outcome = repeated(database, partial(_create_or_update, database, declaration))
    except ValidationError as error:
        logger.error("Schedule %r is not synchronised: %s", declaration.name, text_of(error))
        return
    if outcome:
        getattr(synced, outcome).append(declaration.name)
        logger.info("Schedule %r, declared in code: %s.", declaration.name, outcome)


def _create_or_update(database: str, declaration: Declaration) -> str:
    outcome = _update(database, declaration)
    if outcome is None:
        outcome = _create(database, declaration)
    if outcome is None:  # another process created it at the same time
        outcome = _update(database, declaration)
    return outcome or ""


def _create(database: str, declaration: Declaration) -> str | None:
    """Return None when the row is there already."""
    row = Schedule(
        name=declaration.name,
        owner=Owner.CODE,
        declared=declaration.as_json(),
        **declaration.columns,
    )
    try:
        with transaction.atomic(using=database):
            edits.save(row, using=database)
    except IntegrityError:
        if not _exists(database, declaration.name):
            raise
        return None
    except ValidationError as error:
        if "name" in error.message_dict and _exists(database, declaration.name):
            return None
        raise
    return "created"


def _update(database: str, declaration: Declaration) -> str | None:
    """Return what became of the row; an empty text for nothing, None when there is no row."""
    with transaction.atomic(using=database):
        row = locked(database).filter(name=declaration.name).first()
        if row is None:
            return None
        if _is_in_line(row, declaration):
            return ""
        was_broken, is_untouched = _is_broken(row), _is_untouched(row, declaration)
        of_code = _new_values(row, declaration.columns)
        row.owner, row.is_declared, row.declared = Owner.CODE, True, declaration.as_json()
        row.name = declaration.name
        if is_untouched:
            for name, value in of_code.items():
                setattr(row, name, value)
        if was_broken:
            row.enabled = declaration.columns["enabled"]
        edits.save(row, using=database)
        return "updated" if is_untouched else "kept"


def _is_untouched(row: Schedule, declaration: Declaration) -> bool:
    """Tell whether the row is as the code said last; an admin's own, as the code says now."""
    if row.owner != Owner.CODE:
        row.declared = declaration.as_json()
    return not differences(row).keys() - {"enabled"}


def _new_values(row: Schedule, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values to set: not what an interval is counted from, if the code does not say."""
    left = set()
    if columns["anchor_at"] is None and row.kind == columns["kind"]:
        left.add("anchor_at")
    if "enabled" in differences(row):
        left.add("enabled")
    return {name: value for name, value in columns.items() if name not in left}


def _withdraw(database: str, ids: list[int], named: Container[str], synced: Synced) -> None:
    """Stop the schedules that the code no longer declares. They come back as they were."""
    if not ids:
        return
    declared_rows = Schedule.objects.using(database).filter(owner=Owner.CODE, is_declared=True)
    for row in declared_rows.filter(pk__in=ids).order_by("name"):
        if row.name in named:
            continue  # it was given another spelling of its name just now
        found = declared_rows.filter(pk=row.pk, declared=row.declared)
        if repeated(database, partial(found.update, is_declared=False, **_STOPPED)):
            synced.withdrawn.append(row.name)
            logger.info("Schedule %r is declared in code no more: it stops.", row.name)


def _exists(database: str, name: str) -> bool:
    return Schedule.objects.using(database).filter(name=name).exists()


def locked(database: str) -> Any:
    rows = Schedule.objects.using(database)
    can_lock = connections[database].features.has_select_for_update
    return rows.select_for_update() if can_lock else rows


def text_of(error: ValidationError) -> str:
    return "; ".join(
        f"{name}: {' '.join(map(str, texts))}" for name, texts in error.message_dict.items()
    )
