"""Find out whether a signal has receivers: a TaskResult for nobody is dear for a short task."""

from __future__ import annotations

import logging

from django.dispatch import Signal

#: Django's own receivers write each transition to this logger.
_django_logger = logging.getLogger("django.tasks")


def has_listeners(signal: Signal, sender: type, level: int = logging.INFO) -> bool:
    """
    Tell whether sending `signal` would reach anybody.

    Django connects receivers that log; they count only where that log goes somewhere. `level`:
    what they would log at.
    """
    receivers = signal._live_receivers(sender)
    for group in receivers:
        for receiver in group:
            if not _only_logs(receiver):
                return True
    return bool(any(receivers)) and is_heard(_django_logger, level)


def _only_logs(receiver: object) -> bool:
    module: str = getattr(receiver, "__module__", "")
    return module in ("django.tasks.signals", "django_tasks.dep14._django52.signals")


def is_heard(logger: logging.Logger, level: int) -> bool:
    """Tell whether a record of `level` would reach a handler that was set up for this logger."""
    return bool(logger.handlers) and logger.isEnabledFor(level)
