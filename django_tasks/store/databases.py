"""Which database a project's tasks are in when nobody says."""

from __future__ import annotations

from django.db import router

from ..definitions.backends import database_backends
from ..models import TaskRecord


def task_database() -> str:
    """Return the database that the admin shows: the default backend's, else the first one's."""
    for backend in database_backends().values():
        return backend.database
    return router.db_for_read(TaskRecord)
