"""Find the broker of a backend, by its ``TASKS[alias]["OPTIONS"]["broker"]``; one per process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ..conf import suggest
from ..dep14.handler import task_backends
from ..runtime.extensions import is_dotted_path, load_class
from .base import Broker

DATABASE = "database"
#: Brokers, where their class is, and the settings that they take.
BROKERS: dict[str, tuple[str, dict[str, type]]] = {
    DATABASE: ("django_tasks.brokers.database.DatabaseBroker", {}),
    "redis": ("django_tasks.brokers.redis.broker.RedisBroker", {"cache": str, "prefix": str}),
    "kombu": (
        "django_tasks.brokers.kombu.broker.KombuBroker",
        {"url": str, "prefix": str, "queue_type": str, "transport_options": dict},
    ),
}
#: Settings that may hold passwords: no message quotes their values.
SECRET = ("url", "transport_options")

_brokers: dict[str, Broker] = {}
_lock = threading.Lock()


def broker_for(alias: str) -> Broker:
    """
    Return the broker of a backend, the same for all threads of this process.

    Raise ImproperlyConfigured if its extra is not installed or its settings are wrong, and
    WrongExtension, which is one, if a dotted path leads to no broker.
    """
    broker = _brokers.get(alias)
    if broker is None:
        with _lock:
            broker = _brokers.get(alias) or _make(alias)
            _brokers[alias] = broker
    return broker


def _make(alias: str) -> Broker:
    where = f"TASKS[{alias!r}]['OPTIONS']['broker']"
    given = _given(alias)
    for error in option_errors(where, given):
        raise ImproperlyConfigured(error)
    name, settings = named(given)
    if name not in BROKERS:
        return cast(Broker, load_class(where, name, Broker, ["alias"], settings)(alias, **settings))
    path, _ = BROKERS[name]
    try:
        broker_class = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"TASKS[{alias!r}]['OPTIONS']['broker'] is {name!r}, whose package is not installed"
            f" ({error}). Run `pip install django-tasks-engine[{name}]`."
        ) from error
    return cast(Broker, broker_class(alias, **settings))


def publishing_aliases() -> list[str]:
    """Return the backends of this project that have a broker beside the database."""
    return [alias for alias in task_backends.settings if named(_given(alias))[0] != DATABASE]


def _given(alias: str) -> Any:
    options = task_backends.settings[alias].get("OPTIONS")
    return options.get("broker", DATABASE) if isinstance(options, dict) else DATABASE


def named(given: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of a broker that is given as a name or as a dict."""
    if isinstance(given, dict):
        return str(given.get("name")), {k: v for k, v in given.items() if k != "name"}
    return str(given), {}


def option_errors(where: str, given: Any) -> Iterator[str]:
    """Yield what is wrong with the option; no broker's module is imported for it."""
    if not isinstance(given, (str, dict)) or (isinstance(given, dict) and "name" not in given):
        what = f"a dict of {', '.join(map(repr, given))}" if isinstance(given, dict) else given
        yield f"{where} must be a broker's name or a dict with its 'name', not {what}."
        return
    name, settings = named(given)
    if "://" in name:
        yield f"{where} is a URL. Write it as {{'name': 'kombu', 'url': ...}}."
        return
    if name not in BROKERS:
        if not is_dotted_path(name):  # what a path leads to is looked at when it is needed
            yield (
                f"{where} must be one of {', '.join(map(repr, BROKERS))} or the dotted path of a"
                f" class, not {name!r}{suggest(name, BROKERS)}"
            )
        return
    _, options = BROKERS[name]
    for option, value in settings.items():
        if option not in options:
            yield f"{where} has an unknown setting {option!r}{suggest(option, options)}"
        elif not isinstance(value, options[option]):
            kind = "a dict" if options[option] is dict else "a string"
            found = type(value).__name__ if option in SECRET else repr(value)
            yield f"{where}[{option!r}] must be {kind}, not {found}."


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("TASKS", "CACHES", "DJANGO_TASKS"):
        _brokers.clear()


setting_changed.connect(_forget)
