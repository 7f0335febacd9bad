"""Enqueueing and results, as far as no worker is needed."""

import asyncio
import contextvars
import copy
import os
import pickle
import socket
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.connection import ConnectionDoesNotExist
from django.utils.timezone import now as django_now

import django_tasks
from django_tasks import (
    InvalidTask,
    Progress,
    TaskFailed,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    WaitTimeout,
    default_task_backend,
    task_backends,
)
from django_tasks.definitions import registry
from django_tasks.definitions.current import current_task_id
from django_tasks.dep14 import base as dep14
from django_tasks.models import TaskAttempt, TaskRecord, WorkerRecord
from django_tasks.signals import task_enqueued
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.tasks import transitions
from django_tasks.store.values import Success
from tests.conformance.steps import claimer, ending, settle
from tests.tasks import (
    add,
    add_async,
    attempt_number,
    count_to,
    echo,
    fail,
    greet,
    log_in,
    send_mail,
    subtract,
    urgent,
)

SECRET = "correct horse battery staple"
DATABASE_BACKEND = "django_tasks.backends.database.DatabaseBackend"

pytestmark = pytest.mark.django_db


def row(result):
    return TaskRecord.objects.get(pk=result.id)


def count():
    return TaskRecord.objects.count()


def claim(result):
    """Take this task as a worker would."""
    [claimed] = [c for c in claimer("*").claim(1000) if str(c.id) == result.id]
    return claimed


def succeed(result, value="3"):
    claimed = claim(result)
    claimer("*").finish([Success(claimed.id, claimed.claims, value, 0.1)])


def end(result, kind, **attempt):
    settle(ending(claim(result), kind, **attempt))


# --- enqueue ------------------------------------------------------------------------------------


def test_enqueue_stores_a_ready_row():
    """The row has all that a worker needs; the result says so without reading it."""
    before = datetime.now(UTC)
    result = send_mail.enqueue("a@example.org")

    stored = row(result)
    assert (stored.task_path, stored.queue_name, stored.priority) == (
        "tests.tasks.send_mail", "mail", 10,
    )  # fmt: skip
    assert (stored.args, stored.kwargs, stored.backend) == ('["a@example.org"]', "{}", "default")
    assert (stored.status, stored.attempts, stored.claims) == (Status.READY, 0, 0)
    assert before <= result.enqueued_at <= datetime.now(UTC)
    assert (result.status, result.state) == (TaskResultStatus.READY, "PENDING")
    assert (result.args, result.kwargs) == (["a@example.org"], {})
    assert (result.errors, result.worker_ids, result.attempts) == ([], [], 0)
    assert not result.is_finished


def test_ids_are_uuids_that_sort_by_time():
    """Version 7: index-friendly, and short enough for Django's own limit of 64 characters."""
    ids = [add.enqueue(1, 2).id for _ in range(50)]

    assert ids == sorted(ids)
    assert {UUID(text).version for text in ids} == {7}
    assert len({*ids}) == 50


@pytest.mark.parametrize(
    ("task", "args", "kwargs"),
    [
        (add, (1, 2), {}),
        (add_async, (1,), {"b": 2}),
        (subtract, (5,), {}),
        (greet, (), {"name": "x"}),
        (attempt_number, (), {"offset": 1}),
        (echo, (1, "a", None), {"x": [1, {"y": 2}]}),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_get_result_equals_what_enqueue_returned(task, args, kwargs):
    """One class, the same microseconds, the same values: they compare equal."""
    result = task.enqueue(*args, **kwargs)

    assert task.get_result(result.id) == result
    assert default_task_backend.get_result(result.id) == result


USING = {
    "priority": {"priority": -7},
    "queue_name": {"queue_name": "elsewhere"},
    "run_after": {"run_after": timedelta(minutes=5)},
    "run_after datetime": {"run_after": datetime(2100, 1, 1, 12, tzinfo=UTC)},
    "no delay": {"run_after": timedelta(0)},
    "past": {"run_after": datetime(2001, 1, 1, tzinfo=UTC)},
    "max_attempts": {"max_attempts": 9},
    "metadata": {"metadata": {"k": [1, {"a": None}]}},
    "expires": {"expires": timedelta(hours=1)},
    "expires seconds": {"expires": 60},
}


@pytest.mark.parametrize("name", USING)
def test_get_result_equals_with_options_of_the_call(name):
    """What using() changed is in the row too."""
    result = add.using(**USING[name]).enqueue(1, 2)

    assert add.get_result(result.id) == result


def test_using_changes_the_row():
    """Each option has its column."""
    before = datetime.now(UTC)
    result = add.using(
        priority=5, queue_name="other", run_after=timedelta(minutes=1), expires=120,
        max_attempts=4, metadata={"k": 1},
    ).enqueue(1, 2)  # fmt: skip

    stored = row(result)
    assert (stored.priority, stored.queue_name, stored.max_attempts) == (5, "other", 4)
    assert stored.metadata_value == result.metadata == {"k": 1}
    assert stored.status == Status.SCHEDULED
    late = datetime.now(UTC)
    assert before <= stored.run_after - timedelta(minutes=1) <= late
    assert before <= stored.expires_at - timedelta(minutes=2) <= late
    assert (result.run_after, result.expires_at) == (stored.run_after, stored.expires_at)
    assert (result.status, result.record_status) == (TaskResultStatus.READY, Status.SCHEDULED)


def test_run_after_keeps_its_moment_in_any_time_zone():
    """A time of another zone is the same instant."""
    moment = datetime(2100, 7, 1, 12, 30, 15, 123456, tzinfo=ZoneInfo("Asia/Kolkata"))
    result = add.using(run_after=moment).enqueue(1, 2)

    assert row(result).run_after == result.run_after == moment


def test_expires_of_the_task_counts_from_each_enqueue():
    """A duration in the decorator is added to the moment of the call."""
    result = urgent.enqueue()

    after = row(result).expires_at - result.enqueued_at
    assert after == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))


def test_enqueue_is_one_statement():
    """One round trip, also in autocommit mode."""
    add.enqueue(1, 2)

    with CaptureQueriesContext(connection) as captured:
        add.enqueue(1, 2)

    assert len(captured) == 1


def test_arguments_are_copied():
    """Changing a list after the call does not change the task."""
    values = [1]
    result = echo.enqueue(values)
    values.append(2)

    assert result.args == row_args(result) == [[1]]


def row_args(result):
    return echo.get_result(result.id).args


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "message"),
    [
        (add, (), {}, "missing a required argument"),
        (add, (1, 2, 3), {}, "too many positional arguments"),
        (add, (1,), {"c": 2}, r"with these arguments: it has no argument 'c'\."),
        (greet, (), {"nmae": "x"}, "it has no argument 'nmae', did you mean 'name'"),
        (add, (1, 2), {"c": 3}, "it has no argument 'c'"),
        (add, (1, 2), {"b": 2}, "multiple values for argument 'b'"),
        (greet, ("x",), {}, "too many positional arguments"),
        (greet, (), {}, "missing a required"),
        (attempt_number, (1, 2), {}, "too many positional arguments"),
        (attempt_number, (), {"context": 1}, "it has no argument 'context'"),
        (add_async, (1,), {}, "missing a required argument"),
    ],
)
@pytest.mark.parametrize("way", ["enqueue", "enqueue_many", "enqueue_on_commit", "aenqueue"])
def test_calls_that_do_not_fit_are_refused(task, args, kwargs, message, way):
    """TypeError where the task is enqueued, with the signature; nothing is written."""
    calls = {
        "enqueue": lambda: task.enqueue(*args, **kwargs),
        "enqueue_many": lambda: task.enqueue_many([(args, kwargs)]),
        "enqueue_on_commit": lambda: task.enqueue_on_commit(*args, **kwargs),
        "aenqueue": lambda: async_to_sync(task.aenqueue)(*args, **kwargs),
    }
    with pytest.raises(TypeError, match=message) as caught:
        calls[way]()

    assert f"Task {task.name}(" in str(caught.value)
    assert count() == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_in.enqueue("a", SECRET, "c"),
        lambda: log_in.enqueue("a", passwd=SECRET),
        lambda: log_in.enqueue("a", {SECRET}),
        lambda: log_in.enqueue("a", [SECRET + "\0"]),
        lambda: log_in.enqueue_many([("a", SECRET, "c")]),
        lambda: log_in.enqueue_many([("a", "b"), (("a",), {"passwd": SECRET})]),
        lambda: log_in.enqueue_many([SECRET]),
    ],
)
def test_errors_do_not_show_arguments(call):
    """What is passed may be secret, and errors are logged and mailed."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_unserialisable_arguments_are_named():
    """Which argument, where in it, of which type."""
    with pytest.raises(TypeError, match=r"argument 'b'\.when is of type datetime\.datetime"):
        add.enqueue(1, {"when": datetime.now(UTC)})
    with pytest.raises(TypeError, match=r"argument 'b'\[0\] is of type builtins\.set"):
        add.enqueue(1, b=[{1}])
    assert count() == 0


def test_too_large_arguments_are_refused(settings):
    """MAX_ARGS_BYTES is named in the way out."""
    settings.DJANGO_TASKS = {"MAX_ARGS_BYTES": 100}

    with pytest.raises(ValueError, match=r"args is .* bytes of JSON, more than the 100 allowed"):
        echo.enqueue("x" * 100)
    with pytest.raises(ValueError, match=r"kwargs is .* bytes of JSON"):
        echo.enqueue(x="x" * 100)
    assert count() == 0


def test_tasks_of_another_class_are_refused():
    """A task made for another backend's class says what to import."""
    other = dep14.Task(
        func=row_args, priority=0, queue_name="default", backend="default", run_after=None
    )

    with pytest.raises(InvalidTask, match="Import `task` from django_tasks"):
        default_task_backend.enqueue(other, [], {})


def test_async_api():
    """The same calls with an a: one row, equal results."""

    async def use():
        result = await add_async.aenqueue(1, 2)
        again = await add_async.aget_result(result.id)
        assert again == result
        await result.arefresh()
        [many] = await add_async.aenqueue_many([(3, 4)])
        assert await result.acancel()
        await result.arefresh()
        assert await result.arequeue()
        with pytest.raises(WaitTimeout):
            await many.await_(timeout=0)
        return result.id, many.id

    ids = async_to_sync(use)()

    assert set(TaskRecord.objects.values_list("pk", flat=True)) == set(map(UUID, ids))


def test_call_runs_the_function():
    """call() and acall() run here and now, without a row."""
    assert add.call(1, 2) == 3
    assert add_async.call(1, 2) == 3
    assert asyncio.run(add.acall(1, 2)) == 3
    assert asyncio.run(add_async.acall(1, 2)) == 3
    assert count() == 0


def test_signal_is_sent_with_the_result():
    """task_enqueued: sender is the backend's class; every way of enqueueing sends it."""
    seen = []

    def listen(sender, task_result, **kwargs):
        seen.append((sender, task_result.id))

    task_enqueued.connect(listen)
    try:
        results = [add.enqueue(1, 2), *add.enqueue_many([(1, 2), (3, 4)])]
        results.append(add.enqueue_on_commit(1, 2))
    finally:
        task_enqueued.disconnect(listen)

    assert seen == [(type(task_backends["default"]), result.id) for result in results]


# --- enqueue_many -------------------------------------------------------------------------------


def test_enqueue_many_takes_args_and_kwargs():
    """Tuples and lists of arguments, or a pair with keyword arguments; order is kept."""
    results = subtract.enqueue_many([(5, 2), [6], ((7,), {"b": 1}), ([8, 0], {})])

    assert len(results) == 4
    assert [result.args for result in results] == [[5, 2], [6], [7], [8, 0]]
    assert [result.kwargs for result in results] == [{}, {}, {"b": 1}, {}]
    assert [subtract.get_result(result.id) for result in results] == list(results)
    assert [result.id for result in results] == sorted(result.id for result in results)


def test_enqueue_many_of_2500_from_a_generator():
    """Three statements for 2,500 tasks; a sequence that builds results as they are asked for."""
    calls = ((i, -i) for i in range(2500))

    with CaptureQueriesContext(connection) as captured:
        results = add.enqueue_many(calls)

    assert len(results) == count() == 2500
    inserts = [q for q in captured if "INSERT" in q["sql"]]
    if connection.vendor == "postgresql":
        assert len(inserts) == 3
    assert results[-1].args == [2499, -2499]
    assert results[1000:1002][1].args == [1001, -1001]
    assert len({result.id for result in results}) == 2500
    assert results.ids[7] == results[7].id
    for index in (0, 999, 1000, 2499):
        assert add.get_result(results[index].id) == results[index]


def test_enqueue_many_uses_what_using_changed():
    """Options of the call are those of each task."""
    results = add.using(priority=9, run_after=timedelta(hours=1), queue_name="bulk").enqueue_many(
        [(1, 2), (3, 4)]
    )

    stored = TaskRecord.objects.values_list("priority", "queue_name", "status")
    assert set(stored) == {(9, "bulk", Status.SCHEDULED)}
    assert [add.get_result(result.id) for result in results] == list(results)


@pytest.mark.parametrize("bad", [(1,), (1, 2, 3), (1, {2}), ((1,), {"c": 2}), 5, "ab", {"a": 1}])
def test_enqueue_many_is_all_or_nothing(bad):
    """An error in item 7 of ten: nothing is written, the caller's transaction goes on."""
    calls = [(i, i) for i in range(10)]
    calls[7] = bad

    with pytest.raises((TypeError, ValueError)):
        add.enqueue_many(iter(calls))

    assert count() == 0
    add.enqueue(1, 2)


def test_enqueue_many_names_the_item_of_the_wrong_shape():
    """Which item, and how it should look."""
    with pytest.raises(TypeError, match=r"enqueue_many: item 1 is .*pass a tuple of arguments"):
        add.enqueue_many([(1, 2), 3])


@pytest.mark.parametrize("bad", [(1,), (1, {2})])
def test_enqueue_many_names_the_item_of_wrong_arguments(bad):
    """Among thousands, the index is what one needs."""
    with pytest.raises(TypeError, match="item 7"):
        add.enqueue_many([*[(i, i) for i in range(7)], bad])


def test_enqueue_many_of_nothing():
    """An empty iterable is no statement and no error."""
    with CaptureQueriesContext(connection) as captured:
        results = add.enqueue_many([])

    assert (len(results), list(results), len(captured)) == (0, [], 0)


def test_enqueue_many_on_a_backend_without_it(settings):
    """The immediate backend runs them one by one."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

    assert [result.return_value for result in add.enqueue_many([(1, 2), ((3,), {"b": 4})])] == [
        3,
        7,
    ]


# --- transactions -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_rolled_back_enqueues_are_gone():
    """The row is part of the caller's transaction, savepoints included."""
    with transaction.atomic():
        kept = add.enqueue(1, 1)
        with pytest.raises(LookupError), transaction.atomic():
            add.enqueue(2, 2)
            add.enqueue_many([(3, 3), (4, 4)])
            add.enqueue_on_commit(5, 5)
            raise LookupError
        also_kept = add.enqueue(6, 6)
    with pytest.raises(LookupError), transaction.atomic():
        lost = add.enqueue(7, 7)
        assert add.get_result(lost.id) == lost
        raise LookupError

    assert set(TaskRecord.objects.values_list("pk", flat=True)) == {
        UUID(kept.id), UUID(also_kept.id),
    }  # fmt: skip
    with pytest.raises(TaskResultDoesNotExist):
        lost.refresh()


@pytest.mark.django_db(transaction=True)
def test_uncommitted_tasks_are_invisible_to_others():
    """No worker starts a task before its data is there."""
    seen = []

    def look():
        try:
            seen.append((count(), len(claimer("default").claim(5))))
        finally:
            connections.close_all()

    with transaction.atomic():
        add.enqueue(1, 2)
        if connection.vendor != "sqlite":  # where a claim would wait for this transaction
            thread = threading.Thread(target=look)
            thread.start()
            thread.join(30)
            assert seen == [(0, 0)]
    thread = threading.Thread(target=look)
    thread.start()
    thread.join(30)

    assert seen[-1] == (1, 1)


server_only = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="a connection to a file does not break"
)


def cut_line():
    """End the connection's socket beneath its driver."""
    raw = connection.connection
    number = raw.fileno() if hasattr(raw, "fileno") else raw._sock.fileno()  # PyMySQL has none
    with socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


@server_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("enqueue", [add.enqueue, lambda *args: add.enqueue_many([args])[0]])
def test_a_broken_connection_is_replaced(enqueue):
    """Outside of a transaction there is nothing to lose: the caller does not notice."""
    connection.ensure_connection()
    cut_line()

    assert add.get_result(enqueue(1, 2).id).args == [1, 2]


@server_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("enqueue", [add.enqueue, lambda *args: add.enqueue_many([args])])
def test_a_broken_connection_with_autocommit_off_is_the_callers(enqueue):
    """What the caller wrote before is lost with it: an error says so, and no task goes on alone."""
    transaction.set_autocommit(False)
    try:
        add.enqueue(1, 1)
        cut_line()
        with pytest.raises((OperationalError, InterfaceError)):
            enqueue(2, 2)
    finally:
        connection.close()

    assert count() == 0


@pytest.mark.django_db(transaction=True)
def test_enqueue_on_commit_on_the_same_database_is_enqueue():
    """The id is known at once and the row is there within the transaction."""
    for enqueue in (add.enqueue_on_commit, partial(add.enqueue_on_commit_of, "default")):
        with transaction.atomic():
            result = enqueue(1, b=2)
            assert add.get_result(result.id) == result


@pytest.fixture
def tasks_elsewhere(transactional_db, settings, tmp_path):
    """Let the default backend keep its tasks in another database than the caller's data."""
    connections.settings["elsewhere"] = connections["default"].settings_dict | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "tasks.sqlite3"),
        "OPTIONS": {},
    }
    connections["elsewhere"].connect()  # the test case forbids it to open by itself
    settings.TASKS = {
        "default": {"BACKEND": DATABASE_BACKEND, "OPTIONS": {"database": "elsewhere"}}
    }
    call_command("migrate", "django_tasks", database="elsewhere", verbosity=0)
    yield TaskRecord.objects.using("elsewhere")
    connections["elsewhere"].close()
    del connections["elsewhere"]
    del connections.settings["elsewhere"]


def test_tasks_in_another_database(tasks_elsewhere):
    """OPTIONS["database"]: rows go there and are read from there."""
    result = add.enqueue(1, 2)
    add.using(run_after=timedelta(hours=1)).enqueue_many([(1, 2)] * 3)

    assert tasks_elsewhere.count() == 4
    assert count() == 0
    assert add.get_result(result.id) == result
    assert result.cancel()
    assert result.requeue()
    with pytest.raises(WaitTimeout):
        result.wait(timeout=0)


def test_enqueue_on_commit_of_another_database(tasks_elsewhere):
    """The row comes after the commit of the caller's database; a rollback leaves none."""
    with transaction.atomic():
        result = add.enqueue_on_commit(1, 2)
        assert UUID(result.id).version == 7
        with pytest.raises(TaskResultDoesNotExist):
            add.get_result(result.id)
        with pytest.raises(LookupError), transaction.atomic():
            add.enqueue_on_commit(3, 4)
            raise LookupError
    assert add.get_result(result.id) == result
    with pytest.raises(LookupError), transaction.atomic():
        add.enqueue_on_commit(5, 6)
        raise LookupError

    assert tasks_elsewhere.count() == 1


def test_enqueue_on_commit_of_a_named_database(tasks_elsewhere):
    """The transaction is that of the alias: the tasks' own here, so that the row is in it."""
    with transaction.atomic(), transaction.atomic(using="elsewhere"):
        result = add.enqueue_on_commit_of("elsewhere", 1, b=2)
        assert add.get_result(result.id) == result
        later = add.enqueue_on_commit_of("default", 1, b=2)
        with pytest.raises(TaskResultDoesNotExist):
            add.get_result(later.id)
    with pytest.raises(ConnectionDoesNotExist):
        add.enqueue_on_commit_of("nowhere", 1, 2)

    assert tasks_elsewhere.count() == 2


@pytest.mark.django_db
def test_enqueue_on_commit_passes_every_argument_on():
    """No name of an argument is taken from the task."""
    result = echo.enqueue_on_commit(using="a", database="b")

    assert result.kwargs == {"using": "a", "database": "b"}


def test_enqueue_on_commit_outside_of_a_transaction(tasks_elsewhere):
    """Nothing to wait for: at once."""
    add.enqueue_on_commit(1, 2)

    assert tasks_elsewhere.count() == 1


def test_enqueue_on_commit_checks_at_the_call(tasks_elsewhere):
    """Mistakes are told where they are made, not in a commit hook."""
    with transaction.atomic():
        with pytest.raises(TypeError):
            add.enqueue_on_commit(1, {2})
        with pytest.raises(TypeError):
            add.enqueue_on_commit(1)

    assert tasks_elsewhere.count() == 0


def test_enqueue_on_commit_needs_a_backend_that_has_it(settings):
    """The message has the line to write instead."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

    with pytest.raises(InvalidTask, match=r"transaction\.on_commit\(functools\.partial"):
        add.enqueue_on_commit(1, 2)


# --- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result_id",
    ["", "123", "no-id", "x" * 10_000, "\0", None, 5, b"\xff", str(uuid4()), "{" + "0" * 32],
    ids=lambda v: repr(v)[:12],
)
def test_unknown_and_malformed_ids(result_id):
    """TaskResultDoesNotExist, whatever it is; no database error breaks the transaction."""
    for get in (default_task_backend.get_result, add.get_result):
        with pytest.raises(TaskResultDoesNotExist):
            get(result_id)
    with pytest.raises(TaskResultDoesNotExist):
        async_to_sync(add.aget_result)(result_id)
    assert not task_backends["default"].exists(result_id)
    assert not task_backends["default"].cancel(result_id)
    assert not task_backends["default"].requeue(result_id)
    add.enqueue(1, 2)


def test_ids_are_read_in_any_spelling():
    """Upper case and no dashes are the same id."""
    result = add.enqueue(1, 2)

    assert add.get_result(result.id.upper().replace("-", "")) == result


def test_result_of_another_task_is_a_mismatch():
    """An id from another task is not mistaken for one's own."""
    result = add.enqueue(1, 2)

    with pytest.raises(TaskResultMismatch, match=r"tests\.tasks\.add"):
        subtract.get_result(result.id)
    assert default_task_backend.get_result(result.id) == result


def test_result_of_an_unknown_task_can_be_read(monkeypatch):
    """The code is gone, the record is not; running it here is refused."""
    result = add.enqueue(1, 2)
    succeed(result)
    monkeypatch.setattr(registry, "_tasks", {})

    found = default_task_backend.get_result(result.id)

    assert (found.return_value, found.args) == (3, [1, 2])
    assert found.task.module_path == "tests.tasks.add"
    with pytest.raises(LookupError, match=r"tests\.tasks\.add is not known"):
        found.task.func()


def test_results_outlive_changed_settings(settings):
    """A queue that was removed from the settings does not make its old results unreadable."""
    result = send_mail.enqueue("a")
    settings.TASKS = {"default": {"BACKEND": DATABASE_BACKEND, "QUEUES": ["default"]}}

    assert send_mail.get_result(result.id).task.queue_name == "mail"


STATES = [
    ("enqueued", lambda r: None, "PENDING", "READY", "READY"),
    ("running", lambda r: claim(r), "STARTED", "RUNNING", "RUNNING"),
    ("succeeded", lambda r: succeed(r), "SUCCESS", "SUCCESSFUL", "SUCCESSFUL"),
    ("failed", lambda r: end(r, "fail"), "FAILURE", "FAILED", "FAILED"),
    ("retried", lambda r: end(r, "retry", delay=60), "RETRY", "READY", "SCHEDULED"),
    ("retried at once", lambda r: end(r, "retry"), "RETRY", "READY", "READY"),
    ("snoozed", lambda r: end(r, "snooze", delay=60), "PENDING", "READY", "SCHEDULED"),
    ("lost", lambda r: end(r, "lose"), "PENDING", "READY", "READY"),
    ("cancelled", lambda r: r.cancel(), "REVOKED", "FAILED", "CANCELLED"),
    ("cancelled itself", lambda r: end(r, "cancel"), "REVOKED", "FAILED", "CANCELLED"),
    ("expired", lambda r: end(r, "expire"), "REVOKED", "FAILED", "CANCELLED"),
]


@pytest.mark.parametrize(
    ("act", "state", "status", "record_status"), [s[1:] for s in STATES], ids=[s[0] for s in STATES]
)
def test_states_and_statuses(act, state, status, record_status):
    """Celery's words, Django's four, and the record's own."""
    result = add.enqueue(1, 2)
    act(result)
    result.refresh()

    assert result.state == state
    assert result.status == TaskResultStatus[status]
    assert result.record_status == record_status
    assert result.is_finished == (record_status in ("SUCCESSFUL", "FAILED", "CANCELLED"))
    assert result.finished_at is None or result.is_finished


def test_custom_state_is_shown_while_running():
    """context.set_state() changes the state of a running task only."""
    result = add.enqueue(1, 2)
    claimed = claim(result)
    fields = {"custom_state": "HALF_WAY", "meta": '{"a":[1]}', "progress": '[5,10,"rows"]'}
    transitions.save_fields("default", claimed.id, claimed.claims, fields)

    result.refresh()
    assert (result.state, result.meta) == ("HALF_WAY", {"a": [1]})
    assert result.progress == Progress(done=5, total=10, message="rows")
    assert result.progress.percent == 50.0

    claimer("*").finish([Success(claimed.id, claimed.claims, "3", 0.1)])
    result.refresh()
    assert (result.state, result.meta, result.progress.done) == ("SUCCESS", {"a": [1]}, 5)


def test_refresh_brings_everything_up_to_date():
    """A result is a copy: it changes by refresh() only, and then in all its fields."""
    result = add.enqueue(1, 2)
    succeed(result, '{"sum":3}')
    assert result.status == TaskResultStatus.READY

    result.refresh()

    assert result == add.get_result(result.id)
    assert result.return_value == {"sum": 3}
    assert result.started_at <= result.finished_at
    assert len(result.worker_ids) == result.attempts == 1


def test_return_value_needs_a_success():
    """As in django.tasks: ValueError before the end and after a failure."""
    result = add.enqueue(1, 2)
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value
    end(result, "fail")
    result.refresh()
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_ignored_results_are_none():
    """ignore_result: finished, without a value."""
    result = count_to.enqueue(5)
    claimed = claim(result)
    claimer("*").finish([Success(claimed.id, claimed.claims, None, 0.1)])

    assert result.wait(timeout=0) is None


def test_errors_tell_of_every_attempt():
    """Each attempt with its exception, traceback and number, oldest first."""
    result = fail.enqueue()
    for number in (1, 2):
        settle(
            ending(
                claim(result), "retry", exception_path="builtins.ValueError",
                traceback=f"Traceback {number}\nValueError: x\n",
            )
        )  # fmt: skip
    end(result, "fail", outcome=AttemptOutcome.TIMEOUT, exception_path="nowhere.Gone")
    result.refresh()

    assert [error.attempt for error in result.errors] == [1, 2, 3]
    assert [error.outcome for error in result.errors] == ["ERROR", "ERROR", "TIMEOUT"]
    assert result.errors[1].traceback == "Traceback 2\nValueError: x\n"
    assert result.errors[0].exception_class is ValueError
    with pytest.raises(ImportError, match=r"nowhere\.Gone"):
        _ = result.errors[2].exception_class
    assert result.attempts == len(result.worker_ids) == 3


def test_snoozes_and_late_results_are_no_errors():
    """The task has done nothing wrong: its errors stay empty."""
    result = add.enqueue(1, 2)
    stale = claim(result)
    settle(ending(stale, "snooze", outcome=None))
    claim(result)
    settle(ending(stale, "fail"))
    result.refresh()

    assert TaskAttempt.objects.get().outcome == AttemptOutcome.LATE
    assert result.errors == []


def test_exception_class_imports_nothing(monkeypatch):
    """A path in a row is data: only modules that are loaded are looked at."""
    import sys

    result = fail.enqueue()
    end(result, "fail", exception_path="antigravity.Error")
    result.refresh()
    [error] = result.errors

    with pytest.raises(ImportError):
        _ = error.exception_class
    assert "antigravity" not in sys.modules
    end_path = TaskAttempt.objects.filter(task_id=result.id)
    end_path.update(exception_path="os.path")
    result.refresh()
    with pytest.raises((ValueError, ImportError)):
        _ = result.errors[0].exception_class


# --- wait ---------------------------------------------------------------------------------------


def test_wait_returns_the_value():
    """A finished task's value at once, by wait() and await_()."""
    result = add.enqueue(1, 2)
    succeed(result, '["value"]')

    assert result.wait(timeout=0) == ["value"]
    assert async_to_sync(result.await_)(timeout=0) == ["value"]
    assert result.is_finished


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_wait_ends_in_time(timeout):
    """WaitTimeout is a TimeoutError and says which task, of which queue."""
    result = send_mail.enqueue("a")
    start = time.monotonic()

    for wait in (result.wait, async_to_sync(result.await_)):
        with pytest.raises(TimeoutError, match="of queue 'mail' was READY after") as caught:
            wait(timeout=timeout)

        assert isinstance(caught.value, WaitTimeout)
        assert result.id in str(caught.value)
        assert ("No worker serves its queue" in str(caught.value)) == (timeout > 0)
    assert time.monotonic() - start < 5


def serve(queues):
    """Let a live worker serve these queues."""
    now = django_now()
    WorkerRecord.objects.create(
        id=uuid4(), host="h", pid=1, backend="default", queues=queues, pool="prefork",
        concurrency=2, started_at=now, heartbeat_at=now, lease=20.0,
        expires_at=now + timedelta(minutes=5),
    )  # fmt: skip


SAID = {
    "nobody serves it": (
        lambda result: None,
        ["No worker serves its queue “mail”.", "runworker --queues mail"],
    ),
    "others are served": (
        lambda result: serve("default"),
        ["No worker serves its queue “mail”."],
    ),
    "served": (lambda result: serve("mail"), ["It is next in line"]),
    "unknown here": (
        lambda result: TaskRecord.objects.update(task_path="gone.tasks.f"),
        ["This process does not know the task “gone.tasks.f”.", "TASK_MODULES", "No worker serves"],
    ),
    "later": (
        lambda result: TaskRecord.objects.update(
            status=Status.SCHEDULED, run_after=datetime(2100, 1, 1, tzinfo=UTC)
        ),
        ["was SCHEDULED", "It is scheduled for", "2100"],
    ),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", SAID)
def test_wait_says_why(name):
    """In English whatever the language of the moment, by a handful of queries."""
    prepare, expected = SAID[name]
    result = send_mail.enqueue("a")
    prepare(result)

    with (
        translation.override("de"),
        CaptureQueriesContext(connection) as captured,
        pytest.raises(WaitTimeout) as caught,
    ):
        result.wait(timeout=0.001)

    assert [words for words in expected if words not in str(caught.value)] == []
    assert len(captured) <= 15


IN_VAIN = "does not see what others commit"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_wait_in_a_transaction_that_never_sees_the_end(level):
    """It says so at once, instead of waiting for ever; where the end can be seen it waits."""
    result = add.enqueue(1, 2)
    is_in_vain = connection.vendor == "sqlite" or level != "READ COMMITTED"
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            with pytest.raises(RuntimeError if is_in_vain else WaitTimeout) as caught:
                result.wait(timeout=None if is_in_vain else 0.01)
            assert (IN_VAIN if is_in_vain else "see it after the commit") in str(caught.value)
            with pytest.raises(WaitTimeout):
                result.wait(timeout=0)
    finally:
        connection.close()


def test_wait_for_what_has_finished_is_never_in_vain():
    """The first look is enough, in whatever transaction."""
    result = add.enqueue(1, 2)
    succeed(result)

    assert result.wait() == 3


def test_wait_in_an_event_loop_names_the_other_method():
    """It would stop the loop; Django would name sync_to_async."""
    result = add.enqueue(1, 2)

    async def use():
        with pytest.raises(SynchronousOnlyOperation, match=r"result\.await_"):
            result.wait(1)

    asyncio.run(use())


def test_wait_with_timeout_0_looks_once():
    """A poll, not a loop."""
    result = add.enqueue(1, 2)

    with CaptureQueriesContext(connection) as captured, pytest.raises(WaitTimeout):
        result.wait(timeout=0)

    assert len(captured) == 1


@pytest.mark.django_db(transaction=True)
def test_wait_sees_the_task_finish():
    """Another connection finishes it while this one waits."""
    result = add.enqueue(1, 2)

    def finish():
        try:
            succeed(result, "3")
        finally:
            connections.close_all()

    thread = threading.Timer(0.05, finish)
    thread.start()
    try:
        assert result.wait(timeout=30) == 3
    finally:
        thread.join(30)


def test_wait_raises_what_happened_on_the_worker():
    """TaskFailed has the exception's path and its remote traceback, in the text too."""
    result = fail.enqueue()
    end(
        result, "fail", exception_path="builtins.ValueError",
        traceback="Traceback (most recent call last):\n  line\nValueError: boom\n",
    )  # fmt: skip

    for wait in (lambda: result.wait(5), lambda: async_to_sync(result.await_)(5)):
        with pytest.raises(TaskFailed) as caught:
            wait()
        assert caught.value.exception_class_path == "builtins.ValueError"
        assert caught.value.traceback.endswith("ValueError: boom\n")
        assert "tests.tasks.fail" in str(caught.value)
        assert "failed after 1 attempt." in str(caught.value)
        assert "On the worker:\nTraceback (most recent call last)" in str(caught.value)


def test_wait_for_a_cancelled_task():
    """Cancelled is an end too, with a named reason."""
    result = add.enqueue(1, 2)
    result.cancel()

    with pytest.raises(TaskFailed, match="was cancelled") as caught:
        result.wait(timeout=5)

    assert caught.value.exception_class_path == "django_tasks.exceptions.TaskCancelled"


def test_wait_for_a_deleted_task():
    """Pruned or purged meanwhile: TaskResultDoesNotExist, not an endless wait."""
    result = add.enqueue(1, 2)
    TaskRecord.objects.all().delete()

    with pytest.raises(TaskResultDoesNotExist, match=f"no task '{result.id}'.*'default'.*deleted"):
        result.wait(timeout=5)


@pytest.fixture
def inside_a_task():
    """Be, for a test, the body of a task."""
    token = current_task_id.set(uuid4())
    yield
    current_task_id.reset(token)


@pytest.mark.usefixtures("inside_a_task")
def test_wait_is_refused_inside_of_a_task(settings):
    """It would block a slot of the worker; a setting allows it."""
    result = add.enqueue(1, 2)
    succeed(result)

    for wait in (lambda: result.wait(0), lambda: async_to_sync(result.await_)(0)):
        with pytest.raises(RuntimeError, match="ALLOW_WAIT_IN_TASKS"):
            wait()
    settings.DJANGO_TASKS = {"ALLOW_WAIT_IN_TASKS": True}
    assert result.wait(0) == 3


def test_wait_is_refused_in_what_a_task_calls():
    """The mark follows the code into coroutines and copied contexts, and ends with the task."""
    result = add.enqueue(1, 2)

    def body():
        current_task_id.set(uuid4())
        with pytest.raises(RuntimeError):
            async_to_sync(result.await_)(0)

    contextvars.copy_context().run(body)
    with pytest.raises(WaitTimeout):
        result.wait(0)


# --- cancel and requeue -------------------------------------------------------------------------


def test_cancel_says_whether_it_was_possible():
    """True while the task is not finished; the result changes by refresh()."""
    pending, running, finished = [add.enqueue(1, 2) for _ in range(3)]
    succeed_all = {c.id: c for c in claimer("*").claim(3)}
    done = succeed_all[UUID(finished.id)]
    claimer("*").finish([Success(done.id, done.claims, "3", 0.1)])
    settle(ending(succeed_all[UUID(pending.id)], "release", outcome=None))

    assert (pending.cancel(), running.cancel(), finished.cancel()) == (True, True, False)
    assert not pending.cancel()

    pending.refresh()
    assert (pending.state, pending.status) == ("REVOKED", TaskResultStatus.FAILED)
    assert pending.errors[0].exception_class is django_tasks.exceptions.TaskCancelled
    assert row(running).cancel_requested


def test_requeue_runs_a_failed_task_again():
    """READY with its attempts counted anew; the errors of before stay readable."""
    result = fail.enqueue()
    assert not result.requeue()
    end(result, "fail", exception_path="builtins.ValueError")

    assert result.requeue()

    result.refresh()
    assert (result.state, result.record_status, result.attempts) == ("PENDING", "READY", 0)
    assert [error.exception_class_path for error in result.errors] == ["builtins.ValueError"]
    assert result.finished_at is None


def test_requeue_of_a_cancelled_task_keeps_its_history():
    """The cancellation stays among the errors, as for a task that had run."""
    result = add.enqueue(1, 2)
    result.cancel()
    result.requeue()
    result.refresh()

    assert [error.outcome for error in result.errors] == ["CANCELLED"]


# --- values -------------------------------------------------------------------------------------


def test_results_are_pickled_and_copied():
    """Results travel through caches and processes."""
    result = log_in.using(metadata={"a": 1}, priority=3).enqueue("a", "b")

    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert again == result
        again.refresh()
        assert again.id == result.id


def test_results_have_no_secrets_in_their_text():
    """Not in str() of the record; repr() of a result is for debugging."""
    result = log_in.enqueue("a", SECRET)

    assert SECRET not in str(row(result))
    assert SECRET not in repr(log_in)
    assert SECRET not in repr(log_in.enqueue_many([("a", SECRET)]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ResultStatus", TaskResultStatus),
        ("DEFAULT_QUEUE_NAME", "default"),
        ("TASK_DEFAULT_PRIORITY", 0),
        ("MAX_PRIORITY", 100),
        ("MIN_PRIORITY", -100),
        ("tasks", task_backends),
    ],
)
def test_old_names_of_the_backport(name, value):
    """They import, with a warning that points to today's names."""
    with pytest.warns(DeprecationWarning, match=f"django_tasks.{name} is a name of the old"):
        assert getattr(django_tasks, name) == value


def test_public_names():
    """__all__ is sorted, importable and complete; unknown names are AttributeErrors."""
    assert all(hasattr(django_tasks, name) for name in django_tasks.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = django_tasks.no_such_name


def test_unknown_backend_alias():
    """Django's own error, for a task and a call."""
    with pytest.raises(django_tasks.InvalidTaskBackend, match="'nowhere' doesn't exist"):
        add.using(backend="nowhere")
    with pytest.raises(django_tasks.InvalidTaskBackend):
        _ = task_backends["nowhere"]
