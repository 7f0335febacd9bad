"""
Hiding secrets in what people read: the admin, logs and commands.

A value is hidden when its argument's name or its key, at any depth, is one of the task's
`sensitive` names or looks like a secret to Django's own exception reports (``API``, ``TOKEN``,
``KEY``, ``PASS`` …: `hidden_settings` of the DEFAULT_EXCEPTION_REPORTER_FILTER).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .. import serializers
from ..definitions.protocols import AnyTask

MASK = "********"
UNREADABLE = "(unreadable: not valid JSON)"
#: Levels of lists and dicts that are looked at; enqueueing allows fewer.
MAX_DEPTH = 100
TOO_DEEP = "(nested too deep to show)"


class MaskedCall(NamedTuple):
    """The arguments of a task, fit to be read: `args` a list, `kwargs` a dict, or UNREADABLE."""

    args: Any
    kwargs: Any


def mask(args: str, kwargs: str, task: AnyTask | None) -> MaskedCall:
    """
    Read the JSON of a task's arguments and hide what is secret.

    Without a `task` (its code is not known here) nobody can say what is secret: every value is
    hidden. Text that is no JSON becomes UNREADABLE; nothing is raised.
    """
    return MaskedCall(_positional(_read(args), task), _named(_read(kwargs), task))


def mask_value(text: str | None, task: AnyTask | None) -> Any:
    """
    Read the JSON of a return value or metadata and hide what lies under a secret's key.

    Without a `task` all of it is hidden, as its arguments are: they may be among it.
    """
    if text is None:
        return None
    value = _read(text)
    if task is None:
        return UNREADABLE if value == UNREADABLE else MASK
    return _Masker(task).value(value)


def mask_results(value: Any, tasks: Iterable[AnyTask | None]) -> Any:
    """
    Hide in what several tasks returned what lies under a secret's key of any of them.

    If one of them is None, all of it is hidden.
    """
    known = list(tasks)
    if None in known:
        return MASK
    masker = _Masker(None)
    masker.sensitive = frozenset().union(*(_Masker(task).sensitive for task in known))
    return masker.value(value)


def _read(text: str) -> Any:
    try:
        return serializers.loads(text)
    except (ValueError, TypeError, RecursionError):
        return UNREADABLE


def _positional(values: Any, task: AnyTask | None) -> Any:
    if not isinstance(values, list):
        return UNREADABLE
    if task is None:
        return [MASK for _ in values]
    masker = _Masker(task)
    return [masker.named(name, v) for name, v in zip(_parameter_names(task), values, strict=False)]


def _named(values: Any, task: AnyTask | None) -> Any:
    if not isinstance(values, dict):
        return UNREADABLE
    if task is None:
        return dict.fromkeys(values, MASK)
    masker = _Masker(task)
    return {name: masker.named(name, value) for name, value in values.items()}


def _parameter_names(task: AnyTask) -> Iterator[str]:
    """Yield the names that the positional arguments have, without end."""
    last = ""
    parameters = list(inspect.signature(task.func).parameters.values())
    for parameter in parameters[1:] if task.takes_context else parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            last = parameter.name
            break
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            yield parameter.name
    while True:
        yield last


class _Masker:
    """Knows what is secret in the values of one task."""

    def __init__(self, task: AnyTask | None) -> None:
        self.sensitive = frozenset(getattr(task, "sensitive", ()) or ())
        self.pattern = _hidden_pattern()

    def named(self, name: str, value: Any, depth: int = 0) -> Any:
        """Return `value`, masked as a whole or in its parts."""
        if name in self.sensitive or self.pattern.search(name):
            return MASK
        return self.value(value, depth)

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return `value` with its secret parts masked."""
        if not isinstance(value, (dict, list)):
            return value
        if depth >= MAX_DEPTH:
            return TOO_DEEP
        if isinstance(value, dict):
            return {key: self.named(key, item, depth + 1) for key, item in value.items()}
        return [self.value(item, depth + 1) for item in value]


def _hidden_pattern() -> re.Pattern[str]:
    # Imported when needed: it pulls in templates and URLs, which a worker can do without.
    from django.views.debug import (
        SafeExceptionReporterFilter,
        get_default_exception_reporter_filter,
    )

    own = getattr(get_default_exception_reporter_filter(), "hidden_settings", None)
    pattern: re.Pattern[str] = own or SafeExceptionReporterFilter.hidden_settings
    return pattern
