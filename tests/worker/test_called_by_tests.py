"""runworker called by the tests of a project, as by call_command()."""

import os
import signal
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from django_tasks import TaskResultStatus
from django_tasks.management.commands import runworker
from django_tasks.worker.execution.inheritance import HANDLED
from tests.worker import tasks

INSTEAD = "call django_tasks.testing.run_pending_tasks() instead"


def work(**options):
    call_command(runworker.Command(), burst=True, verbosity=0, concurrency=1, **options)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_open_transaction_is_refused(pool):
    """As in a TestCase: the worker would see nothing of it, and close its connection."""
    with transaction.atomic():
        with pytest.raises(CommandError, match="transaction that is open") as refusal:
            work(pool=pool)

        assert connection.is_usable()
    assert INSTEAD in str(refusal.value)


def test_other_thread_is_refused():
    """Signals arrive in the main thread only."""
    refusals = []

    def work_here():
        with pytest.raises(CommandError, match="main thread") as refusal:
            work()
        refusals.append(str(refusal.value))

    thread = threading.Thread(target=work_here)
    thread.start()
    thread.join()

    assert INSTEAD in refusals[0]


def test_database_in_memory_is_refused(monkeypatch):
    """SQLite's, which other processes cannot see, and other threads see as one of their own."""
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: True, raising=False)

    with pytest.raises(CommandError, match="this process' memory") as refusal:
        work()

    assert INSTEAD in str(refusal.value)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_it_works_twice_and_leaves_nothing_behind(pool):
    """Where committed rows are tested it may be called; who called goes on as before."""

    def handlers():
        wake_up = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wake_up)
        return wake_up, [signal.getsignal(number) for number in HANDLED]

    def possessions():
        connection.close()
        return {*os.listdir("/proc/self/fd")}, {*threading.enumerate()}

    handled, (files, threads) = handlers(), possessions()
    for number in range(2):
        result = tasks.add.enqueue(number, 1)
        work(pool=pool)
        result.refresh()
        assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, number + 1)

    assert handlers() == handled
    files_now, threads_now = possessions()
    # What earlier tests left may be gone by now.
    assert files_now <= files and threads_now <= threads
