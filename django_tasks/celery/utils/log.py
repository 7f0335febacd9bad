"""Loggers of tasks: Python's own, below "celery.task"."""

from __future__ import annotations

import logging

__all__ = ["get_logger", "get_task_logger", "task_logger", "worker_logger"]

base_logger = logging.getLogger("celery")
task_logger = logging.getLogger("celery.task")
worker_logger = logging.getLogger("celery.worker")


def get_logger(name: str) -> logging.Logger:
    """Return the logger `name`; "celery" is its parent, as it is in Celery."""
    return _below(base_logger, name)


def get_task_logger(name: str) -> logging.Logger:
    """
    Return the logger `name`, below "celery.task".

    Raise RuntimeError for the names of Celery's own loggers, as Celery does.
    """
    if name in ("celery", "celery.task"):
        raise RuntimeError(f"Logger name {name!r} is reserved!")
    return _below(task_logger, name)


def _below(parent: logging.Logger, name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    above: logging.Logger | None = logger
    while above is not None and above is not parent:
        above = above.parent
    if above is None and logger is not logging.getLogger():
        logger.parent = parent
    return logger
