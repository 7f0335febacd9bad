"""What is wrong with TASKS where no backend can be made of it: to be told by a check."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from ..conf import suggest
from ..dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ..dep14.exceptions import InvalidTaskBackend
from ..dep14.handler import task_backends

PASTE = 'TASKS = {"default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"}}'
#: Backends that a misspelt path may mean.
BACKENDS = (
    "django_tasks.backends.database.DatabaseBackend",
    "django_tasks.backends.immediate.ImmediateBackend",
    "django_tasks.backends.dummy.DummyBackend",
)
#: What Django's handler raises for a mistake in TASKS.
BROKEN = (InvalidTaskBackend, KeyError, TypeError, AttributeError)


def backend_or_none(alias: str) -> Any:
    """
    Return the backend of `alias`; None if TASKS has a mistake there, which a check tells of.

    For decorators: what is wrong in the settings must not keep a project from being imported.
    Raise InvalidTaskBackend for an alias that TASKS does not have.
    """
    try:
        return task_backends[alias]
    except BROKEN:
        if mistake_in(alias) is None:
            raise
        return None


def explained(alias: str, error: Exception) -> Exception:
    """Return what to raise where a backend is used that could not be made because of `error`."""
    mistake = mistake_in(alias)
    return error if mistake is None else InvalidTaskBackend(mistake)


def configured() -> dict[str, dict[str, Any]]:
    """Return the parameters in TASKS by alias; those that are not even dicts are left out."""
    given: Any = task_backends.settings
    if not isinstance(given, dict):
        return {}
    return {alias: params for alias, params in given.items() if isinstance(params, dict)}


def mistakes() -> dict[str, str]:
    """Return what keeps backends from being made, by alias."""
    given: Any = task_backends.settings
    aliases = list(given) if isinstance(given, dict) else [DEFAULT_TASK_BACKEND_ALIAS]
    found = {alias: mistake_in(alias) for alias in aliases}
    return {alias: mistake for alias, mistake in found.items() if mistake is not None}


def mistake_in(alias: str) -> str | None:
    """Return a sentence that says why there is no backend of this alias, and the fix; or None."""
    given: Any = task_backends.settings
    if not isinstance(given, dict):
        return f"TASKS must be a dict of aliases and backends, not {given!r}. Set {PASTE}"
    where = f"TASKS[{alias!r}]"
    if alias not in given:
        if alias != DEFAULT_TASK_BACKEND_ALIAS:
            return None  # the code's mistake, or the caller's
        meant = suggest(alias, given) or "."
        return f"TASKS has no 'default', the backend of tasks that name none{meant}"
    params = given[alias]
    if not isinstance(params, dict):
        return f"{where} must be a dict with the key 'BACKEND', not {params!r}. Set {PASTE}"
    if "BACKEND" not in params:
        return f"{where} has no 'BACKEND'{suggest('BACKEND', params) or '.'} Set {PASTE}"
    path = params["BACKEND"]
    if not isinstance(path, str):
        return f"{where}['BACKEND'] must be the dotted path of a backend, not {path!r}."
    try:
        import_string(path)
    except ImportError as error:
        meant = suggest(path, BACKENDS)
        return f"{where}['BACKEND'] is {path!r}, which cannot be imported ({error}){meant or '.'}"
    return None
