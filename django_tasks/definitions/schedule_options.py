"""The options of a declared schedule: their rules, and the columns that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from django.utils.timezone import is_aware

from .. import serializers
from ..conf import app_settings, suggest
from ..exceptions import InvalidTask, InvalidTaskBackend
from . import options as task_options
from .protocols import AnyTask
from .signatures import checker_of

OVERLAPS = ("ALLOW", "SKIP", "QUEUE_ONE", "CANCEL_PREVIOUS")
CATCH_UPS = ("NONE", "LATEST", "ALL")


class ScheduleOptions(TypedDict, total=False):
    """What may be said of a schedule besides its name, its task and when it is due."""

    args: Sequence[Any] | None
    kwargs: Mapping[str, Any] | None
    description: str
    backend: str
    queue_name: str
    priority: int | None
    start_at: datetime | None
    end_at: datetime | None
    max_runs: int | None
    expires: float | timedelta | None
    jitter: float | timedelta
    overlap: Literal["allow", "skip", "queue_one", "cancel_previous"]
    catch_up: Literal["none", "latest", "all"]
    catch_up_limit: int | None
    catch_up_deadline: float | timedelta | None
    enabled: bool


#: The columns of a row that a declaration fills, with what they are when it does not say.
COLUMNS: dict[str, Any] = {
    "task_path": "",
    "args": "[]",
    "kwargs": "{}",
    "kind": "",
    "every": None,
    "anchor_at": None,
    "crontab": "",
    "day_match": "ANY",
    "solar_event": "",
    "latitude": None,
    "longitude": None,
    "clocked_at": None,
    "timezone": "",
    "description": "",
    "backend": "",
    "queue_name": "",
    "priority": None,
    "start_at": None,
    "end_at": None,
    "max_runs": None,
    "expires": None,
    "jitter": 0.0,
    "overlap": "ALLOW",
    "catch_up": "LATEST",
    "catch_up_limit": None,
    "catch_up_deadline": None,
    "enabled": True,
}

#: Names that another system uses for an option of ours.
_ELSEWHERE = {
    "cron": 'schedule, as in "schedule": crontab("0 7 * * *")',
    "options": "queue_name, priority and expires themselves",
    "queue": "queue_name",
    "one_off": "max_runs, as in max_runs: 1",
    "start_time": "start_at",
    "coalesce": "catch_up",
    "misfire_grace_time": "catch_up_deadline",
    "max_instances": "overlap",
}


class InvalidDeclaration(ValueError):
    """A declared schedule is wrong; the message says what. `option`: which one, if it is one."""

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.option = option


def columns_of(task: AnyTask, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for each of `COLUMNS`. Raise InvalidDeclaration for what is wrong."""
    columns = {**COLUMNS, "task_path": task.module_path, **given_columns(options)}
    if options.get("schedule") is None:
        raise InvalidDeclaration('it lacks "schedule", when it is due.', "schedule")
    _check_call(task, columns)
    _check_enqueueing(task, columns)
    return columns


def given_columns(options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the columns that `options` speak of.

    Raise InvalidDeclaration for an unknown option or a value that its column cannot have; whether
    a task goes with them is not looked at.
    """
    for name in options:
        if name not in _NAMES:
            hint = f"; use {_ELSEWHERE[name]}" if name in _ELSEWHERE else suggest(name, _NAMES)
            raise InvalidDeclaration(f"a schedule has no option {name!r}{hint}", name)
    columns = {name: _policy(name, options[name]) for name in options if name in _POLICIES}
    if options.get("schedule") is not None:
        columns |= _timing(options["schedule"])
    if "args" in options:
        columns["args"] = _args(options["args"])
    if "kwargs" in options:
        columns["kwargs"] = _kwargs(options["kwargs"])
    return columns


def _timing(spec: Any) -> dict[str, Any]:
    from ..schedules import Spec

    if not isinstance(spec, Spec):
        raise InvalidDeclaration(
            "schedule must be crontab(…), every(…), solar(…) or clocked(…) from"
            f" django_tasks.schedules, not {spec!r}.",
            "schedule",
        )
    return {"kind": spec.kind, **spec.columns()}


def _args(args: Any) -> str:
    args = () if args is None else args
    if not isinstance(args, (list, tuple)):
        raise InvalidDeclaration(f"args must be a list or tuple, not {args!r}.", "args")
    return _dumped("args", list(args))


def _kwargs(kwargs: Any) -> str:
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise InvalidDeclaration(
            f"kwargs must be a dict with text as keys, not {kwargs!r}.", "kwargs"
        )
    return _dumped("kwargs", dict(kwargs))


def _dumped(name: str, value: Any) -> str:
    try:
        return serializers.dumps(value, name, app_settings.MAX_ARGS_BYTES)
    except (TypeError, ValueError) as error:
        raise InvalidDeclaration(str(error), name) from None


def _check_call(task: AnyTask, columns: Mapping[str, Any]) -> None:
    args, kwargs = (serializers.loads(columns[name]) for name in ("args", "kwargs"))
    try:
        checker_of(task.func, task.takes_context).check(args, kwargs)
    except TypeError as error:
        raise InvalidDeclaration(str(error)) from None


def _policy(name: str, value: Any) -> Any:
    if value is None:
        return COLUMNS[name]
    wanted, read = _POLICIES[name]
    try:
        return read(value)
    except (TypeError, ValueError):
        raise InvalidDeclaration(f"{name} must be {wanted}, not {value!r}.", name) from None


def _check_enqueueing(task: AnyTask, columns: Mapping[str, Any]) -> None:
    """Ask the rules for tasks whether this one may be enqueued there and so."""
    names = ("backend", "queue_name", "priority")
    given = {name: columns[name] for name in names if columns[name] not in ("", None)}
    copy = task.restored(**given)
    try:
        task_options.check_values(copy)
        copy.get_backend().validate_task(copy)
    except (InvalidTask, InvalidTaskBackend) as error:
        raise InvalidDeclaration(str(error)) from None


# --- one reader per kind of value: it returns the column's value or raises ValueError ------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if not 0 < _whole(value) < 2**31:
        raise ValueError
    return int(value)


def _seconds(value: Any) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError
    if not 0 <= seconds <= task_options.LONGEST:
        raise ValueError
    return float(seconds)


def _more_seconds(value: Any) -> float:
    seconds = _seconds(value)
    if not seconds:
        raise ValueError
    return seconds


def _aware_datetime(value: Any) -> datetime:
    if not isinstance(value, datetime) or not is_aware(value):
        raise TypeError
    return value


def _one_of(*words: str) -> tuple[str, Callable[[Any], str]]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value.upper() not in words:
            raise ValueError
        return str(value.upper())

    return "one of " + ", ".join(repr(word.lower()) for word in words), read


_COUNT = ("a whole number from 1 on", _count)
_SECONDS = ("a number of seconds or a timedelta from 0 on", _seconds)
_MORE_SECONDS = ("a number of seconds or a timedelta above 0", _more_seconds)
_DATETIME = ("an aware datetime", _aware_datetime)

#: By option, and column: what it must be, and its reader.
_POLICIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "description": ("text", _text),
    "backend": ("an alias in TASKS", _text),
    "queue_name": ("the name of a queue", _text),
    "priority": ("a whole number", _whole),
    "start_at": _DATETIME,
    "end_at": _DATETIME,
    "max_runs": _COUNT,
    "expires": _MORE_SECONDS,
    "jitter": _SECONDS,
    "overlap": _one_of(*OVERLAPS),
    "catch_up": _one_of(*CATCH_UPS),
    "catch_up_limit": _COUNT,
    "catch_up_deadline": _MORE_SECONDS,
    "enabled": ("True or False", _truth),
}
_NAMES = {"schedule", "args", "kwargs", *_POLICIES}
