"""The Task class that Celery has for Django: every task has its methods."""

from __future__ import annotations

from ...app.task import Task as DjangoTask

__all__ = ["DjangoTask"]
