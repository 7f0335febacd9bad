"""A worker in the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from ...notices import say_once

__all__ = ["start_worker"]


@contextmanager
def start_worker(
    app: Any,
    concurrency: int = 1,
    pool: str = "solo",
    loglevel: Any = None,
    logfile: Any = None,
    perform_ping_check: bool = True,
    shutdown_timeout: float = 10.0,
    **options: Any,
) -> Iterator[None]:
    """
    Run tasks in a thread while the block runs; for a TransactionTestCase, as it reads commits.

    `shutdown_timeout`: seconds that the last task has. Other options are ignored. Raise
    RuntimeError if it does not end in that time.
    """
    from ....testing import run_pending_tasks

    if concurrency != 1 or options:
        say_once("start_worker() runs one task at a time, and takes no options of workers.")
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(0.02):
                run_pending_tasks()
        except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name="start_worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(shutdown_timeout)
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise RuntimeError(f"The worker did not end within {shutdown_timeout:g} seconds.")
