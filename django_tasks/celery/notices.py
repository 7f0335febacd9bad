"""Saying once that something of Celery's has no effect here."""

from __future__ import annotations

import logging

logger = logging.getLogger("django_tasks.celery")

_said: set[str] = set()


def say_once(message: str) -> None:
    """Log a warning, the first time in this process that it is given."""
    if message not in _said:
        _said.add(message)
        logger.warning(message)
