"""The aliases in TASKS, and which of them this package's database backend serves."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from ..backends.database import DatabaseBackend
from ..dep14.handler import task_backends


def backend_classes() -> dict[str, type[Any]]:
    """Return the backend class of each alias; one that cannot be imported is left out."""
    classes = {}
    for alias, params in task_backends.settings.items():
        try:
            classes[alias] = import_string(params["BACKEND"])
        except (ImportError, KeyError, TypeError):
            continue  # Django's own check of TASKS tells of it.
    return classes


def database_aliases() -> list[str]:
    """Return the aliases whose tasks are rows; "default" first if it is one."""
    aliases = [
        alias
        for alias, backend in backend_classes().items()
        if isinstance(backend, type) and issubclass(backend, DatabaseBackend)
    ]
    return sorted(aliases, key=lambda alias: alias != "default")


def database_backends() -> dict[str, DatabaseBackend]:
    """Return the database backends by alias, "default" first if it is one."""
    return {alias: _backend(alias) for alias in database_aliases()}


def _backend(alias: str) -> DatabaseBackend:
    backend = task_backends[alias]
    assert isinstance(backend, DatabaseBackend)
    return backend


def task_database() -> str:
    """Return the database that the admin shows: the default backend's, else the first one's."""
    for backend in database_backends().values():
        return backend.database
    from django.db import router

    from ..models import TaskRecord

    return router.db_for_read(TaskRecord)
