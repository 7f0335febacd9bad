"""A secret in arguments, exceptions, metadata or results is in no log and no list of processes."""

import importlib.util
from pathlib import Path

import pytest
from django.db import connection

from django_tasks.models import TaskRecord
from tests.worker import leaky
from tests.worker.ledger import PATIENCE, until
from tests.worker.processes import session_members

CANARY = "canary-7731"
#: Everything that this process could log goes to one place, with Django's own records of tasks.
ALL_LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.tasks": {"handlers": ["console"], "level": "DEBUG", "propagate": False}},
    "root": {"handlers": ["console"], "level": "DEBUG"},
}
FAILING = [
    leaky.fail_plainly,
    leaky.fail_in_coroutine,
    leaky.fail_in_a_chain,
    leaky.fail_in_a_group,
    leaky.fail_strangely,
    leaky.fail_mutely,
    leaky.fail_to_compile,
    leaky.fail_in_the_database,
    leaky.fail_twice,
    leaky.fail_to_back_off,
    leaky.overrun,
    leaky.return_what_is_refused,
    leaky.fail_and_log_what_is_refused,
]
SUCCEEDING = [
    leaky.say_and_return,
    leaky.log_what_is_refused,
    leaky.leave_a_thread,
    leaky.leave_an_object,
    leaky.leave_a_coroutine,
]
#: Those whose stored traceback has no secret, on one of the databases or on all.
SILENT = ("fail_mutely", "fail_in_the_database", "return_what_is_refused")
#: The types of what is raised in bodies, in their threads and beside their coroutines.
TYPES = [
    "ValueError", "KeyError", "LookupError", "RuntimeError", "ExceptionGroup", "OSError",
    "tests.worker.leaky.Strange", "tests.worker.leaky.Mute", "SyntaxError", "Retry",
    "ArithmeticError", "BufferError", "EOFError", "FloatingPointError", "ConnectionError",
]  # fmt: skip


@pytest.fixture
def refusing(clean):
    """A database that refuses some values; PostgreSQL quotes the row when it does."""
    table = TaskRecord._meta.db_table
    bad = " OR ".join(
        f"COALESCE({{}}{name}, '') LIKE '%{leaky.REFUSED}%'" for name in ("return_value", "log")
    )
    if connection.vendor == "sqlite":
        make = (
            f"CREATE TRIGGER picky BEFORE UPDATE ON {table} WHEN {bad.replace('{}', 'NEW.')}"
            " BEGIN SELECT RAISE(ABORT, 'too picky'); END"
        )
        drop = "DROP TRIGGER picky"
    else:
        make = f"ALTER TABLE {table} ADD CONSTRAINT picky CHECK (NOT ({bad.replace('{}', '')}))"
        drop = f"ALTER TABLE {table} DROP CONSTRAINT picky"
    with connection.cursor() as cursor:
        cursor.execute(make)
    yield
    with connection.cursor() as cursor:
        cursor.execute(drop)


def started(start, pool, **settings):
    options = {"TASK_MODULES": ["tests.worker.leaky"], "POLL_INTERVAL": 0.3} | settings
    logs = {"LOGGING": ALL_LOGS} if pool == "asyncio" else {}
    return start("--pool", pool, "-c", 1, "-v", 2, settings={"DJANGO_TASKS": options} | logs)


def enqueue_all(tasks):
    return [
        task.using(metadata={"note": CANARY}).enqueue(secret=f"{CANARY} of {task.name}")
        for task in tasks
    ]


def finished(results):
    """Wait until all have ended; return them as they are stored."""

    def are_all():
        for result in results:
            result.refresh()
        return all(result.is_finished for result in results)

    until(are_all, "the end of all tasks")
    return results


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_no_secret_is_logged(start, refusing, tmp_path, pool):
    """Ids, types and places are; what exceptions say is kept with the task."""
    worker = started(start, pool)
    failed = enqueue_all(FAILING)
    done = enqueue_all(SUCCEEDING)
    finished(failed + done)
    if pool == "asyncio":
        finished(enqueue_all([leaky.exit_in_a_coroutine]))  # which ends its process
        worker.await_output("The pool of process")
    held = leaky.hold.enqueue(CANARY, str(tmp_path / "gate"))
    until(lambda: held.refresh() or held.status.name == "RUNNING", "the held task")
    shown = [
        Path(f"/proc/{pid}/{name}").read_text()
        for pid in session_members(worker.pid)
        for name in ("cmdline", "comm")
    ]
    (tmp_path / "gate").touch()
    assert CANARY not in "".join([*shown, *held.wait(PATIENCE)])
    worker.stop()

    assert CANARY not in worker.output
    for result in failed:
        assert result.id in worker.output
        assert result.status.name == "FAILED"
        assert CANARY in result.errors[-1].traceback or result.task.name in SILENT
    for name in TYPES:
        assert name in worker.output
    assert 'worker/leaky.py", line' in worker.output
    assert ", in fail_in_a_chain" in worker.output
    assert "(text not logged: see the task in the admin)" in worker.output
    assert "was refused (IntegrityError" in worker.output
    assert "What task" in worker.output


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_no_secret_of_greenlets_is_logged(start):
    """gevent prints what a greenlet was called with when it fails."""
    worker = started(start, "gevent")
    finished(enqueue_all([leaky.leave_a_greenlet, leaky.fail_plainly, leaky.leave_a_coroutine]))
    worker.stop()

    assert CANARY not in worker.output
    for name in ("AssertionError", "ValueError", "EOFError", ", in fail_as"):
        assert name in worker.output


def test_secrets_are_logged_where_that_is_asked_for(start, refusing):
    """Otherwise their absence would prove nothing."""
    worker = started(start, "prefork", LOG_EXCEPTION_TEXT=True)
    finished(enqueue_all([*FAILING, *SUCCEEDING]))
    worker.stop()

    for task in (leaky.fail_plainly, leaky.fail_in_a_group, leaky.leave_a_thread):
        assert f"{CANARY} of {task.name}" in worker.output
    assert "text not logged" not in worker.output
