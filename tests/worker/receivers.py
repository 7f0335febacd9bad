"""Receivers that write what signals told them to a ledger."""

import os
import sys

from django_tasks import signals
from tests.worker import ledger

_kept = []


def connect(path):
    """Connect a receiver to each signal."""
    for name in signals.__all__:
        receiver = _receiver(name, path)
        _kept.append(receiver)
        getattr(signals, name).connect(receiver)


def _receiver(name, path):
    def receive(sender, **kwargs):
        result = kwargs.get("task_result")
        words = [name, sender.__name__ if sender else "None"]
        if result is not None:
            words += [result.id, result.status.name, _exception_in_hand()]
        else:
            words += [kwargs["worker_id"], str(kwargs["process"]), str(os.getpid())]
        ledger.write(path, " ".join(words))

    return receive


def _exception_in_hand():
    kind = sys.exc_info()[0]
    return kind.__name__ if kind else "-"
