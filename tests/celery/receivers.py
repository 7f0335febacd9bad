"""Receivers in a worker: they write what they hear in the file that BOOK names."""

import logging
import os
from pathlib import Path

from django_tasks.celery import current_task, signals


def note(line):
    if book := os.environ.get("BOOK"):
        with Path(book).open("a") as file:
            file.write(f"{line}\n")


@signals.worker_process_init.connect
def on_init(**kwargs):
    note("worker_process_init")


@signals.worker_ready.connect
def on_ready(sender, **kwargs):
    note(f"worker_ready {sender}")


@signals.worker_process_shutdown.connect
def on_shutdown(**kwargs):
    note("worker_process_shutdown")


@signals.after_setup_logger.connect
def on_logger(logger, **kwargs):
    note(f"after_setup_logger {logger is logging.getLogger()}")


@signals.task_postrun.connect
def on_end(task_id, task, state, **kwargs):
    note(f"task_postrun {task.name} {task_id} {state} {current_task.request.id == task_id}")
