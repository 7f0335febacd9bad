"""atomic=True, when the transaction does not end as the body does."""

import importlib.util
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from django_tasks import TaskFailed
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.store.tasks import transitions
from tests.worker import atomic_tasks as tasks
from tests.worker.ledger import PATIENCE, lines

POOLS = ("prefork", "threads", "asyncio", "gevent", "solo")
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="no server that cuts connections"
)


@pytest.fixture(scope="module", params=POOLS)
def worker(request, shared_worker):
    """A worker that gives a task back twice for what the database did."""
    if request.param == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    worker = shared_worker(
        "--pool", request.param,
        settings={"DJANGO_TASKS": {"TASK_MODULES": ["tests.worker.atomic_tasks"]}},
        patches={"django_tasks.worker.execution.atomic.PAUSES": [0, 0]},
    )  # fmt: skip
    yield worker
    assert worker.stop() == 0


def outcomes():
    return list(TaskAttempt.objects.order_by("id").values_list("outcome", flat=True))


@needs_server
@pytest.mark.parametrize("is_caught", [False, True], ids=["raised", "caught"])
def test_lost_transaction_is_free(worker, book, is_caught):
    """Nothing of the body took effect, so it runs again, and that costs no attempt."""
    result = tasks.lose_transaction.enqueue(book, 2, is_caught=is_caught)

    result.wait(PATIENCE)

    assert outcomes() == ["INTERRUPTED", "INTERRUPTED"]
    paths = TaskAttempt.objects.values_list("exception_path", flat=True)
    assert set(paths) == {"django_tasks.exceptions.TransactionLost"}
    assert result.attempts == 1
    assert lines(book) == ["ran"] * 3
    assert Group.objects.count() == 1


@needs_server
def test_body_that_always_loses_its_transaction_fails(worker, book):
    """Not for ever: it may be what ends the connection."""
    result = tasks.lose_transaction.enqueue(book, 100)

    with pytest.raises(TaskFailed, match="OperationalError"):
        result.wait(PATIENCE)

    assert outcomes() == ["INTERRUPTED", "INTERRUPTED", "ERROR"]
    assert not Group.objects.exists()


def test_body_that_closes_its_connection_fails(worker, book):
    """That is no outage."""
    result = tasks.close_own_connection.enqueue(book)

    with pytest.raises(TaskFailed):
        result.wait(PATIENCE)

    assert outcomes() == ["ERROR"]
    assert not Group.objects.exists()


def test_callback_that_fails_after_the_commit_changes_nothing(worker, book):
    """The task has succeeded by then; the log tells of the callback."""
    result = tasks.fail_after_commit.enqueue(book)

    result.wait(PATIENCE)
    worker.await_output(f"transaction.on_commit() of task {result.id} failed")

    assert outcomes() == []
    assert lines(book) == ["called back"]
    assert Group.objects.count() == 1


@needs_server
def test_success_that_may_be_on_its_way_is_unknown():
    """While somebody holds the row, nobody waits for it, and nobody guesses."""
    result = tasks.close_own_connection.using(run_after=timedelta(days=1)).enqueue("-")
    [row] = TaskRecord.objects.filter(pk=result.id)
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("UPDATE django_tasks_taskrecord SET priority = 1")

        assert transitions.has_succeeded("default", row.pk, 0) is None

    other.rollback()
    other.close()
    assert transitions.has_succeeded("default", row.pk, 0) is False
    TaskRecord.objects.update(status="SUCCESSFUL", finished_at=timezone.now(), claims=2)
    assert transitions.has_succeeded("default", row.pk, 1) is False
    assert transitions.has_succeeded("default", row.pk, 2) is True
    TaskRecord.objects.all().delete()
    assert transitions.has_succeeded("default", row.pk, 2) is False
