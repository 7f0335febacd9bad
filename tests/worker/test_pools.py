"""What every pool does with a task, seen from the process that enqueued it."""

import importlib.util
import os

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connection

from django_tasks import TaskFailed, TaskResultStatus
from django_tasks.models import TaskAttempt, TaskRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, lines, until
from tests.worker.processes import WorkerProcess

SLOTS = 3
OPTIONS = {
    "prefork": ("--concurrency", SLOTS),
    "threads": ("--concurrency", SLOTS),
    "asyncio": ("--concurrency", SLOTS),
    "gevent": ("--concurrency", SLOTS),
    "solo": (),
}


def pools(*names):
    """Run a test of this module on these pools only."""
    return pytest.mark.parametrize("worker", names, indirect=True)


@pytest.fixture(scope="module", params=OPTIONS)
def worker(request, tables):
    """One worker per pool serves all tests that use it."""
    if request.param == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    with WorkerProcess(
        "--pool", request.param, *OPTIONS[request.param], "--grace", 1,
        settings={"DJANGO_TASKS": {"MAX_RESULT_BYTES": 100_000}},
    ) as process:  # fmt: skip
        process.pool = request.param
        yield process
        assert process.popen.poll() is None, f"the worker has died:\n{process.output}"
        process.stop()


def finish(result, timeout=PATIENCE):
    """Wait for the end of a task, whatever it is, and return its result."""
    try:
        result.wait(timeout)
    except TaskFailed:
        pass
    return result


def test_plain_and_coroutine_functions_return_values(worker):
    """Both kinds of functions run in every pool, and their values come back."""
    plain, coroutine = tasks.add.enqueue(2, 3), tasks.add_async.enqueue(4, b=5)

    assert (plain.wait(PATIENCE), coroutine.wait(PATIENCE)) == (5, 9)
    assert plain.status == TaskResultStatus.SUCCESSFUL
    assert plain.attempts == 1
    assert len(plain.worker_ids) == 1
    assert plain.enqueued_at <= plain.started_at <= plain.finished_at


def test_result_can_be_awaited(worker):
    """An asynchronous caller waits without blocking its loop."""
    result = tasks.add.enqueue(1, 1)

    assert async_to_sync(result.await_)(PATIENCE) == 2


@pools("prefork", "threads", "asyncio", "gevent")
def test_plain_functions_run_at_the_same_time(worker, tmp_path):
    """As many plain bodies run at once as there are slots: they meet."""
    results = tasks.meet.enqueue_many([(str(tmp_path), SLOTS)] * SLOTS)

    assert [result.wait(PATIENCE) for result in results] == [SLOTS] * SLOTS


@pools("prefork", "threads", "asyncio", "gevent")
def test_coroutines_run_at_the_same_time(worker, tmp_path):
    """As many coroutines run at once as there are slots."""
    results = tasks.meet_async.enqueue_many([(str(tmp_path), SLOTS)] * SLOTS)

    assert [result.wait(PATIENCE) for result in results] == [SLOTS] * SLOTS


@pytest.mark.parametrize("task", [tasks.fail, tasks.fail_async], ids=["plain", "coroutine"])
def test_exception_fails_the_task(worker, task):
    """The error is kept with a traceback that begins in the body, and waiting raises it."""
    result = task.enqueue("on purpose")

    with pytest.raises(TaskFailed, match="ValueError: on purpose"):
        result.wait(PATIENCE)

    assert result.status == TaskResultStatus.FAILED
    [error] = result.errors
    assert error.exception_class is ValueError
    assert error.outcome == "ERROR"
    assert "tests/worker/tasks.py" in error.traceback
    assert "django_tasks/worker" not in error.traceback


def test_system_exit_fails_the_task_only(worker):
    """sys.exit() in a body ends the task, not the worker."""
    result = finish(tasks.exit_in_body.enqueue())

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is SystemExit


def test_retries_until_it_succeeds(worker, book):
    """Failed attempts are kept, and the next ones follow by the backoff."""
    result = tasks.flaky.enqueue(book, 2)

    assert result.wait(PATIENCE) == "done"
    assert result.attempts == 3
    assert lines(book) == ["ran"] * 3
    assert [error.attempt for error in result.errors] == [1, 2]
    assert {error.exception_class for error in result.errors} == {ConnectionError}


def test_fails_when_attempts_are_spent(worker, book):
    """max_attempts counts all attempts."""
    result = finish(tasks.flaky.enqueue(book, 99))

    assert result.status == TaskResultStatus.FAILED
    assert result.attempts == 4
    assert lines(book) == ["ran"] * 4


def test_retry_asked_for(worker):
    """raise Retry(delay) beats the backoff, and counts attempts."""
    assert tasks.ask_for_retry.enqueue().wait(PATIENCE) == 3


def test_snooze_spends_no_attempt(worker, book):
    """raise Snooze(delay) runs the task again as the same attempt."""
    result = tasks.snooze.enqueue(book, 2)

    assert result.wait(PATIENCE) == 1
    assert lines(book) == ["attempt 1"] * 3
    assert result.attempts == 1
    assert result.errors == []


def test_cancel_in_the_body(worker):
    """raise Cancel ends the task as CANCELLED without another attempt."""
    result = finish(tasks.cancel_itself.enqueue())

    assert result.record_status == "CANCELLED"
    assert result.state == "REVOKED"
    assert result.attempts == 1
    assert "nothing to do" in result.errors[-1].traceback


def test_soft_limit_can_be_caught(worker):
    """SoftTimeLimitExceeded is raised in the body, which may still return."""
    result = tasks.overrun.enqueue(10 * PATIENCE)

    assert result.wait(PATIENCE).startswith("cleaned up: The task ran for longer")


@pytest.mark.parametrize(
    "task", [tasks.overrun_uncaught, tasks.overrun_async], ids=["plain", "coroutine"]
)
def test_soft_limit_that_is_not_caught_fails(worker, task):
    """It fails the task with outcome TIMEOUT."""
    result = finish(task.enqueue(10 * PATIENCE))

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].outcome == "TIMEOUT"
    assert result.errors[0].exception_class_path.endswith("SoftTimeLimitExceeded")


@pools("prefork", "threads", "asyncio")
def test_hard_limit_kills_the_process(worker):
    """A body that swallows everything is stopped with its process; the worker goes on."""
    result = finish(tasks.overrun_stubbornly.enqueue(600))

    assert result.errors[0].outcome == "TIMEOUT"
    assert result.errors[0].exception_class_path.endswith("TimeLimitExceeded")
    assert tasks.add.enqueue(1, 2).wait(PATIENCE) == 3


def test_context_reports(worker, book, gate):
    """Progress, state, log and metadata are seen while the task runs."""
    result = tasks.report.enqueue(book, str(gate))
    assert await_lines(book, 1) == ["stored {'seen': True}"]  # there when save_metadata() returned

    result.refresh()
    assert result.status == TaskResultStatus.RUNNING
    assert (result.progress.done, result.progress.total) == (3, 10)
    assert result.progress.message == "three of ten"
    assert (result.state, result.meta) == ("CRUNCHING", {"part": 3})
    assert result.metadata == {"seen": True}

    gate.touch()
    assert result.wait(PATIENCE) == 1
    assert result.progress.done == 9  # the last value is never skipped
    assert result.state == "SUCCESS"
    log = TaskRecord.objects.get(pk=result.id).log.splitlines()
    assert [line.split(" ", 1)[1] for line in log] == ["a line", "last line"]


def test_context_of_a_coroutine(worker):
    """asave_metadata() and progress work in coroutines, which know their own id."""
    result = tasks.report_async.enqueue()

    assert result.wait(PATIENCE) == result.id
    assert result.metadata == {"seen": "async"}
    assert result.progress.done == 1


def test_context_variables_are_isolated(worker):
    """What a body leaves in a ContextVar is gone in the next one."""
    plain = tasks.leak_context.enqueue_many([()] * 8)
    coroutines = tasks.leak_context_async.enqueue_many([()] * 8)

    assert {result.wait(PATIENCE) for result in [*plain, *coroutines]} == {0}


@pytest.mark.parametrize("task", [tasks.own_id, tasks.own_id_async], ids=["plain", "coroutine"])
def test_body_knows_which_task_it_is(worker, task):
    """The current task's id is that of the task, for each of several."""
    results = task.enqueue_many([()] * 6)

    assert [result.wait(PATIENCE) for result in results] == [result.id for result in results]


def test_cancel_running_plain_function(worker, book):
    """result.cancel() raises in a running body; it may clean up."""
    result = tasks.until_cancelled.enqueue(book)
    assert await_lines(book, 1) == ["started, cancelled: False"]

    assert result.cancel() is True
    finish(result)

    assert result.record_status == "CANCELLED"
    assert lines(book)[1:] == ["cleaned up, cancelled: True"]


def test_cancel_running_coroutine(worker, book):
    """A coroutine that awaits is cancelled and cleans up."""
    result = tasks.until_cancelled_async.enqueue(book)
    await_lines(book, 1)

    assert result.cancel() is True
    finish(result)

    assert result.record_status == "CANCELLED"
    assert until(lambda: "cleaned up" in lines(book), "the coroutine's finally")


def test_stopped_coroutine_is_gone(worker, book, tmp_path_factory):
    """A coroutine that was stopped does not go on when the next one runs."""
    count = 1 if worker.pool == "solo" else SLOTS
    directory = str(tmp_path_factory.mktemp("meeting"))
    result = tasks.tick_for_ever.enqueue(book)
    await_lines(book, 3)
    result.cancel()
    finish(result)

    ticks = len(lines(book))
    for result in tasks.linger_async.enqueue_many([(directory, count)] * count):
        result.wait(PATIENCE)
    assert len(lines(book)) == ticks


@pools("prefork", "threads", "asyncio")
def test_cancel_kills_who_ignores_it(worker, book):
    """A body that swallows the cancellation is killed after the grace period."""
    result = tasks.ignore_everything.enqueue(book)
    [line] = await_lines(book, 1)
    pid = int(line.split()[1])

    result.cancel()
    finish(result)

    assert result.record_status == "CANCELLED"
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the process")
    assert len(lines(book)) == 1
    assert tasks.add.enqueue(1, 2).wait(PATIENCE) == 3


def test_atomic_body_and_success_commit_together(worker):
    """atomic=True: the body's writes are there when the success is."""
    assert tasks.write_atomically.enqueue("kept").wait(PATIENCE) == "kept"
    assert Group.objects.filter(name="kept").exists()


def test_failing_atomic_body_leaves_nothing(worker):
    """atomic=True: the writes of a body that raises are rolled back."""
    result = finish(tasks.write_atomically.enqueue("gone", "no"))

    assert result.status == TaskResultStatus.FAILED
    assert not Group.objects.exists()


def test_lost_claim_rolls_the_atomic_body_back(worker):
    """atomic=True: when the task was taken over meanwhile, the body's writes are undone."""
    result = tasks.write_atomically_but_lose.enqueue("gone")

    late = until(lambda: TaskAttempt.objects.filter(outcome="LATE").first(), "a LATE attempt")

    assert str(late.task_id) == result.id
    assert not Group.objects.exists()


def test_plain_writes_are_committed(worker):
    """A body that is not atomic commits as it goes."""
    tasks.write_group.enqueue("plain").wait(PATIENCE)
    tasks.write_group_async.enqueue("async").wait(PATIENCE)

    assert set(Group.objects.values_list("name", flat=True)) == {"plain", "async"}


def test_transaction_left_open_is_rolled_back(worker):
    """What a body leaves uncommitted is rolled back and does not reach the next task."""
    tasks.leave_transaction_open.enqueue("gone").wait(PATIENCE)
    for number in range(SLOTS * 2):
        tasks.write_group.enqueue(f"kept {number}").wait(PATIENCE)

    assert not Group.objects.filter(name="gone").exists()
    assert Group.objects.count() == SLOTS * 2


def test_broken_connection_is_replaced(worker):
    """A connection that died in one task's hands is a new one in the next task's."""
    finish(tasks.break_connection.enqueue())
    for number in range(SLOTS):
        tasks.write_group.enqueue(str(number)).wait(PATIENCE)

    assert Group.objects.count() == SLOTS


def test_ignored_result_is_not_stored(worker):
    """ignore_result=True: success without a value."""
    result = tasks.ignored.enqueue()

    assert result.wait(PATIENCE) is None
    assert TaskRecord.objects.get(pk=result.id).return_value is None


@pytest.mark.parametrize(
    ("task", "exception"),
    [(tasks.too_large, "ValueError"), (tasks.not_serialisable, "TypeError")],
    ids=["large", "object"],
)
def test_result_that_cannot_be_stored_fails_without_repeating(worker, book, task, exception):
    """The body has finished: the task fails, and is not run again however many attempts it has."""
    result = finish(task.enqueue(book))

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class_path == f"builtins.{exception}"
    assert lines(book) == ["ran"]


@pools("prefork", "threads", "asyncio")
def test_on_lost_fail(worker, book):
    """on_lost="fail": a task whose process dies is not run a second time."""
    result = finish(tasks.die.enqueue(book))

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].outcome == "LOST"
    assert "exited with code 9" in result.errors[0].traceback
    assert lines(book) == ["ran"]


@pools("prefork", "threads", "asyncio", "gevent")
def test_bodies_have_no_input(worker):
    """A body that reads its standard input gets its end, not a person's typing."""
    assert tasks.read_input.enqueue().wait(PATIENCE) == ""


def test_many_fast_tasks(worker):
    """Hundreds of tasks of both kinds all come back with their own values."""
    plain = tasks.add.enqueue_many((n, 1) for n in range(150))
    coroutines = tasks.add_async.enqueue_many((n, 2) for n in range(150))

    assert [result.wait(PATIENCE) for result in plain] == [n + 1 for n in range(150)]
    assert [result.wait(PATIENCE) for result in coroutines] == [n + 2 for n in range(150)]


@pools("asyncio")
def test_asyncio_recovers_the_connection_of_coroutines(worker):
    """Coroutines share a connection; when the server cut it, the next ones get a new one."""
    if connection.vendor == "sqlite":
        pytest.skip("no server to cut connections")
    tasks.count_groups_async.enqueue().wait(PATIENCE)
    terminate_others()

    finish(tasks.count_groups_async.enqueue())

    assert tasks.count_groups_async.enqueue().wait(PATIENCE) == 0


def terminate_others():
    """End all other connections to this database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        cursor.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")
