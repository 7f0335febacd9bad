"""The keys of TASKS[alias] and its OPTIONS that the database backend takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..brokers import configured as known_brokers
from ..conf import setting_like, suggest
from ..definitions.options import backoff_error
from ..definitions.protocols import Backoff
from ..definitions.retries import DEFAULT_BACKOFF

#: Keys of TASKS[alias], of whichever backend.
KEYS = ("BACKEND", "QUEUES", "OPTIONS")

#: OPTIONS and what they mean.
OPTIONS = {
    "database": "alias of the database with the tables; default: the router's choice",
    "max_attempts": "attempts of a task that does not say; default 1",
    "backoff": "backoff (or its dotted path) of a task that does not say; default exponential",
    "broker": 'who hands out ready ids: "database" (default), "redis", "kombu", the dotted path of'
    ' a class, or a dict with one of them as "name"',
    "serializer": "dotted path of a class that encodes what JSON does not have; default: none",
}


def without_mistakes(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Django's base class can read; `errors` tells of the rest."""
    good = dict(params)
    if not _are_names(good.get("QUEUES", [])):
        good["QUEUES"] = []
    if not isinstance(good.get("OPTIONS", {}), dict):
        good["OPTIONS"] = {}
    return good


def errors(alias: str, params: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is wrong with TASKS[alias]: the setting, the value, what is meant."""
    where = f"TASKS[{alias!r}]"
    for name in params:
        if name not in KEYS:
            yield (
                f"{where} has an unknown key {name!r}{suggest(name, KEYS) or '.'} It takes"
                f" {_listed(KEYS)}."
            )
    queues = params.get("QUEUES", [])
    if not _are_names(queues):
        meant = f' Set "QUEUES": ["{queues}"].' if isinstance(queues, str) else ""
        yield f"{where}['QUEUES'] must be a list of names, not {queues!r}.{meant}"
    given = params.get("OPTIONS", {})
    if isinstance(given, dict):
        yield from _option_errors(f"{where}['OPTIONS']", given)
    else:
        yield f"{where}['OPTIONS'] must be a dict, not {type(given).__name__}."


def _option_errors(where: str, given: dict[str, Any]) -> Iterable[str]:
    for name in given:
        if name not in OPTIONS:
            meant = suggest(name, OPTIONS) or setting_like(name) or "."
            yield f"{where} has an unknown option {name!r}{meant} It takes {_listed(OPTIONS)}."
    attempts = given.get("max_attempts", 1)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        yield f"{where}['max_attempts'] must be a whole number from 1 on, not {attempts!r}."
    yield from known_brokers.option_errors(f"{where}['broker']", given.get("broker", "database"))
    database = given.get("database")
    if database is not None and not isinstance(database, str):
        yield f"{where}['database'] must be an alias in DATABASES, not {database!r}."
    serializer = given.get("serializer")
    if serializer is not None and not isinstance(serializer, str):
        yield f"{where}['serializer'] must be the dotted path of a class, not {serializer!r}."
    backoff = given.get("backoff")
    # What a path leads to is looked at when it is imported: its module may import models.
    if not isinstance(backoff, str) and (error := backoff_error(backoff)):
        yield f"{where}['backoff']: {error}"


def imported_backoff(alias: str, path: str) -> Backoff:
    """Return the backoff at a dotted path. Raise ImproperlyConfigured if there is none."""
    where = f"TASKS[{alias!r}]['OPTIONS']['backoff']"
    try:
        backoff: Any = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"{where} is {path!r}, which cannot be imported: {error}"
        ) from error
    if wrong := backoff_error(backoff):
        raise ImproperlyConfigured(f"{where} is {path!r}: {wrong}")
    return DEFAULT_BACKOFF if backoff is None else backoff


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _listed(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} and {last}"
