"""The aliases in TASKS, and which of them store their tasks as rows."""

from __future__ import annotations

from typing import Any, TypeGuard

from django.utils.module_loading import import_string

from ..dep14.handler import task_backends
from . import tasks_setting
from .protocols import StoringBackend


def backend_classes() -> dict[str, type[Any]]:
    """Return the backend class of each alias; one that cannot be imported is left out."""
    classes = {}
    for alias, params in tasks_setting.configured().items():
        try:
            classes[alias] = import_string(params["BACKEND"])
        except (ImportError, KeyError, AttributeError):
            continue  # `tasks_setting.mistakes` tells of it.
    return classes


def is_storing(backend: Any) -> TypeGuard[StoringBackend]:
    """Tell whether this backend, or class of backends, stores its tasks as rows."""
    return bool(getattr(backend, "stores_rows", False))


def database_aliases() -> list[str]:
    """Return the aliases whose tasks are rows; "default" first if it is one."""
    aliases = [alias for alias, backend in backend_classes().items() if is_storing(backend)]
    return sorted(aliases, key=lambda alias: alias != "default")


def database_backends() -> dict[str, StoringBackend]:
    """Return the backends that store rows by alias, "default" first if it is one."""
    return {
        alias: backend
        for alias in database_aliases()
        if is_storing(backend := task_backends[alias])
    }
