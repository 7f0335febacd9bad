"""Show schedules, and run, pause and switch them."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.dateparse import parse_datetime
from django.utils.timezone import get_current_timezone, is_naive, localtime

from ...backends.database import DatabaseBackend
from ...conf import suggest
from ...models import Schedule
from ...monitoring.reading import database_now
from ...monitoring.schedule_list import ScheduleSummary, summaries, upcoming
from ...runtime.printing import printable
from ...store.schedules import edits
from ...store.schedules.sync import text_of
from ..tasks_command import TasksCommand, age, counted, duration

FEW_SLOTS = 10
MOST_SLOTS = 1000


class Command(TasksCommand):
    help = (
        "Show schedules, and run, pause, enable and disable them. Arguments are not shown. Exit"
        " code 1 when a schedule is unknown: then nothing is changed."
    )
    examples = """\
  manage.py tasks_schedules list
  manage.py tasks_schedules next 20
  manage.py tasks_schedules next 5 shop.tasks.send_report --json
  manage.py tasks_schedules run-now shop.tasks.send_report
  manage.py tasks_schedules pause shop.tasks.send_report --until 2h
  manage.py tasks_schedules pause shop.tasks.send_report --until "2026-12-24 18:00"
  manage.py tasks_schedules resume shop.tasks.send_report
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, (help_text, _) in ACTIONS.items():
            action = actions.add_parser(name, help=help_text, description=help_text)
            if name == "next":
                action.add_argument(
                    "names",
                    nargs="*",
                    metavar="[N] NAME",
                    help="how many (default: 10), and of what",
                )
            elif name != "list":
                action.add_argument("names", nargs="+", metavar="NAME", help="of a schedule")
            if name == "pause":
                action.add_argument(
                    "--until",
                    type=_until,
                    metavar="TIME",
                    help="2h, 3d … from now, or a date and time (default: until it is resumed,"
                    " which is the same as disable)",
                )
            action.add_argument(
                "--json", action="store_true", dest="as_json", help="print one JSON document"
            )

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        _, do = ACTIONS[options["action"]]
        do(self, backend.database, options)

    def answer(self, options: dict[str, Any], document: Any, text: str) -> None:
        """Print the result in one form or the other."""
        as_json = options["as_json"]
        self.say(json.dumps(document, indent=2, cls=DjangoJSONEncoder) if as_json else text)


def _list(command: Command, database: str, options: dict[str, Any]) -> None:
    found = summaries(database)
    if options["as_json"]:
        command.answer(options, {"schedules": [asdict(each) for each in found]}, "")
        return
    now = database_now(database)
    command.show_table("Schedules", _HEADERS, [_cells(each, now) for each in found])
    for each in found:
        if each.error:
            command.say(printable(f"{each.name}: {each.error}"), command.style.WARNING)


def _next(command: Command, database: str, options: dict[str, Any]) -> None:
    count, names = _count_and_names(options["names"])
    _ids(database, names)
    found = upcoming(database, count, names)
    document = [{"at": slot, "name": row.name, "task": row.task_path} for slot, row in found]
    if options["as_json"]:
        command.answer(options, {"slots": document}, "")
        return
    now = database_now(database)
    rows = [[_datetime(slot), _in(slot, now), row.name, row.task_path] for slot, row in found]
    command.show_table("Next", ("at", "in", "schedule", "task"), rows)


def _run_now(command: Command, database: str, options: dict[str, Any]) -> None:
    ids = _ids(database, options["names"])
    rows = Schedule.objects.using(database)
    for name, pk in ids.items():  # all of them, so that none is enqueued when one cannot be
        with _naming(name):
            edits.check_call(rows.get(pk=pk), using=database)
    made: list[dict[str, Any]] = []
    try:
        for name, pk in ids.items():
            with _naming(name):
                result = edits.run_now(pk, using=database)
            made.append({"name": name, "task_id": result.id})
    finally:
        lines = [f"Enqueued {each['name']} as {each['task_id']}." for each in made]
        if made:
            command.answer(options, {"enqueued": made}, "\n".join(lines))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Have what is wrong with a schedule begin with its name."""
    try:
        yield
    except ValidationError as error:
        raise CommandError(f"{name}: {text_of(error)}") from error
    except Schedule.DoesNotExist as error:
        raise CommandError(f"{name}: it was deleted meanwhile.") from error


def _pause(command: Command, database: str, options: dict[str, Any]) -> None:
    until = options["until"]
    if until is None:
        _disable(command, database, options)
        return
    until = database_now(database) + until if isinstance(until, timedelta) else until
    ids = _ids(database, options["names"])
    try:
        changed = edits.pause(ids.values(), until, using=database)
    except ValidationError as error:
        raise CommandError(f"{_datetime(until)}: {' '.join(error.messages)}") from error
    text = f"Paused {counted(changed, 'schedule')} until {_datetime(until)}."
    command.answer(options, {"changed": changed, "paused_until": until}, text)


def _resume(command: Command, database: str, options: dict[str, Any]) -> None:
    ids = _ids(database, options["names"])
    paused = edits.pause(ids.values(), None, using=database)
    disabled = edits.set_enabled(ids.values(), True, using=database)
    _check_enabled(database, ids)
    text = f"Ended {counted(paused, 'pause')}, enabled {counted(disabled, 'schedule')}."
    command.answer(options, {"resumed": paused, "enabled": disabled}, text)


def _enable(command: Command, database: str, options: dict[str, Any]) -> None:
    ids = _ids(database, options["names"])
    changed = edits.set_enabled(ids.values(), True, using=database)
    _check_enabled(database, ids)
    command.answer(options, {"changed": changed}, f"Enabled {counted(changed, 'schedule')}.")


def _disable(command: Command, database: str, options: dict[str, Any]) -> None:
    ids = _ids(database, options["names"])
    changed = edits.set_enabled(ids.values(), False, using=database)
    command.answer(options, {"changed": changed}, f"Disabled {counted(changed, 'schedule')}.")


_Action: TypeAlias = Callable[[Command, str, dict[str, Any]], None]

#: By name: what it does, and the function.
ACTIONS: dict[str, tuple[str, _Action]] = {
    "list": ("Show all schedules.", _list),
    "next": ("Show the next N slots, of all schedules or of those named.", _next),
    "run-now": ("Enqueue the task of a schedule now, whether or not it is enabled.", _run_now),
    "pause": ("Let no slots be enqueued until a time.", _pause),
    "resume": ("End a pause, and enable.", _resume),
    "enable": ("Enable schedules; no slot of the past is enqueued.", _enable),
    "disable": ("Disable schedules.", _disable),
}


def _ids(database: str, names: Sequence[str]) -> dict[str, int]:
    """Return the ids of schedules by name. Raise CommandError for an unknown one."""
    rows = Schedule.objects.using(database)
    found = dict(rows.filter(name__in=names).values_list("name", "pk"))
    for name in names:
        if name not in found:
            hint = suggest(name, rows.values_list("name", flat=True))
            raise CommandError(f"No schedule is called {name!r}{hint}")
    return {name: found[name] for name in names}


def _check_enabled(database: str, ids: Mapping[str, int]) -> None:
    """Raise CommandError for schedules that cannot be enabled as they are."""
    rows = Schedule.objects.using(database).filter(pk__in=ids.values(), enabled=False)
    if broken := list(rows):
        raise CommandError(" ".join(f"{row.name} stays disabled: {row.error}" for row in broken))


_HEADERS = ("schedule", "when", "state", "next", "last", "status", "runs", "owner")


def _cells(each: ScheduleSummary, now: datetime) -> list[str]:
    last = each.last_run_at
    return [
        each.name,
        each.when + (f" ({each.timezone})" if each.timezone else ""),
        f"paused until {_datetime(each.paused_until)}" if each.state == "paused" else each.state,
        _in(each.next_run_at, now),
        f"{duration((now - last).total_seconds())} ago" if last else "-",
        each.last_status or "-",
        str(each.runs),
        each.owner.lower() + (", changed" if each.drift else ""),
    ]


def _in(moment: datetime | None, now: datetime) -> str:
    return "-" if moment is None else f"in {duration(max((moment - now).total_seconds(), 0.0))}"


def _datetime(moment: datetime | None) -> str:
    return "-" if moment is None else f"{localtime(moment):%Y-%m-%d %H:%M:%S %Z}"


def _count_and_names(words: list[str]) -> tuple[int, list[str]]:
    if not words or not words[0].isdecimal():
        return FEW_SLOTS, words
    if not 1 <= int(words[0]) <= MOST_SLOTS:
        raise CommandError(f"Ask for 1 to {MOST_SLOTS} slots, not {words[0]}.", returncode=2)
    return int(words[0]), words[1:]


def _until(text: str) -> datetime | timedelta:
    """Read "2h", or a date and time, which is in the current zone unless it names one."""
    try:
        moment = parse_datetime(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}.") from None
    if moment is None:
        return timedelta(seconds=age(text))
    if is_naive(moment):
        moment = moment.replace(tzinfo=get_current_timezone())
    return moment.astimezone(UTC)
