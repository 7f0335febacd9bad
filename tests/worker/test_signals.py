"""Signals of workers, and Django's own log of tasks."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks import TaskFailed
from django_tasks.signals import task_finished, task_retried
from django_tasks.testing import run_pending_tasks
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, lines, until

DJANGO_LOG = {
    "LOGGING": {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "DJANGO %(levelname)s %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {"django.tasks": {"handlers": ["console"], "level": "DEBUG"}},
    }
}


def told(book, name):
    """Return what receivers of one signal wrote, without its name."""
    return [line.split()[1:] for line in lines(book) if line.split()[0] == name]


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_signals_of_a_success(start, book, pool):
    """task_started and task_finished: sender is the backend's class, once each, in order."""
    start("--pool", pool, "-c", 1, env={"WORKER_SIGNALS": book})

    result = tasks.add_async.enqueue(1, 2)
    result.wait(PATIENCE)

    until(lambda: told(book, "task_finished"), "task_finished")
    assert told(book, "task_started") == [["DatabaseBackend", result.id, "RUNNING", "-"]]
    assert told(book, "task_finished") == [["DatabaseBackend", result.id, "SUCCESSFUL", "-"]]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_signals_of_a_failure(start, book, tmp_path, pool):
    """task_retried per retry, task_finished in an except block, where receivers find the error."""
    start("--pool", pool, "-c", 1, env={"WORKER_SIGNALS": book})

    result = tasks.flaky.enqueue(str(tmp_path / "runs"), 9)
    with pytest.raises(TaskFailed):
        result.wait(PATIENCE)

    until(lambda: told(book, "task_finished"), "task_finished")
    assert len(told(book, "task_started")) == 4
    assert len(told(book, "task_retried")) == 3
    assert {line[1] for line in told(book, "task_retried")} == {result.id}
    finished = ["DatabaseBackend", result.id, "FAILED", "ConnectionError"]
    assert told(book, "task_finished") == [finished]


def test_cancelled_task_is_not_said_to_be_retried():
    """A task that was cancelled while it ran ends when it fails, and its attempts say why."""
    heard = []

    def hear(signal, task_result, **kwargs):
        heard.append((signal, task_result.record_status))

    for signal in (task_retried, task_finished):
        signal.connect(hear)
    try:
        tasks.fail_after_being_cancelled.enqueue()
        [result] = run_pending_tasks()
    finally:
        for signal in (task_retried, task_finished):
            signal.disconnect(hear)

    assert heard == [(task_finished, "CANCELLED")]
    assert [error.outcome for error in result.errors] == ["ERROR", "CANCELLED"]
    with pytest.raises(TaskFailed, match="cancelled while it ran"):
        result.wait(0)


def test_signal_of_a_lost_task(start, book, tmp_path):
    """A task that fails because its process died is told of, too."""
    start("-c", 1, env={"WORKER_SIGNALS": book})

    result = tasks.die.enqueue(str(tmp_path / "runs"))
    with pytest.raises(TaskFailed):
        result.wait(PATIENCE)

    until(lambda: told(book, "task_finished"), "task_finished")
    assert told(book, "task_finished")[0][:3] == ["DatabaseBackend", result.id, "FAILED"]


def test_task_enqueued_in_a_body(start, book, tmp_path):
    """task_enqueued is sent where the task is enqueued: here, in the worker."""
    start("-c", 1, env={"WORKER_SIGNALS": book})

    tasks.enqueue_more.enqueue(str(tmp_path / "runs"), 1)

    until(lambda: len(told(book, "task_finished")) == 2, "both tasks")
    [enqueued] = told(book, "task_enqueued")
    assert enqueued[2] == "READY"


def test_signals_of_processes(start, book):
    """worker_started and worker_stopped in each process, with the worker's id and its number."""
    worker = start("-c", 2, env={"WORKER_SIGNALS": book})
    await_lines(book, 2)
    worker.stop()

    started, stopped = told(book, "worker_started"), told(book, "worker_stopped")
    assert sorted(line[2] for line in started) == ["1", "2"]
    assert sorted(started) == sorted(stopped)
    assert len({line[1] for line in started}) == 1
    assert started[0][1] in worker.output


def test_logger_of_django_is_served(start, book):
    """With the logger django.tasks configured, Django's own records of tasks are written."""
    worker = start("-c", 1, settings=DJANGO_LOG)

    result = tasks.add.enqueue(1, 2)
    result.wait(PATIENCE)
    failed = tasks.fail.enqueue("on purpose")
    with pytest.raises(TaskFailed):
        failed.wait(PATIENCE)

    worker.await_output(
        f"DJANGO INFO Task id={result.id} path=tests.worker.tasks.add state=RUNNING"
    )
    worker.await_output(
        f"DJANGO INFO Task id={result.id} path=tests.worker.tasks.add state=SUCCESSFUL"
    )
    worker.await_output(f"Task id={failed.id} path=tests.worker.tasks.fail state=FAILED")


def test_nobody_listens_costs_no_query():
    """Enqueueing is one INSERT when no receiver wants to know; the worker is asked in bulk."""
    tasks.add.enqueue(1, 1)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        tasks.add.enqueue(1, 2)

    statements = [q["sql"] for q in queries if not q["sql"].startswith(("BEGIN", "COMMIT"))]
    assert len(statements) == 1
    assert "INSERT INTO" in statements[0]
