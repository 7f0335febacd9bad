"""Enqueueing under an id that the caller chose: however often, there is one task."""

import threading
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4, uuid5

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks import InvalidTask, TaskResultMismatch
from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.signals import task_enqueued
from django_tasks.statuses import Status
from tests.brokers.steps import Redis
from tests.conformance.steps import at_once, claimer, success
from tests.tasks import add, echo, log_in, subtract

pytestmark = pytest.mark.django_db


def stored():
    return set(TaskRecord.objects.values_list("pk", flat=True))


def enqueue_many(task, args, task_id):
    return task.enqueue_many([args], task_ids=[task_id])[0]


#: Each stores one task under an id and returns its result.
WAYS = {
    "enqueue": lambda task, args, task_id: task.using(task_id=task_id).enqueue(*args),
    "aenqueue": lambda task, args, task_id: async_to_sync(task.using(task_id=task_id).aenqueue)(
        *args
    ),
    "enqueue_many": enqueue_many,
    "enqueue_on_commit": lambda task, args, task_id: task.using(task_id=task_id).enqueue_on_commit(
        *args
    ),
}


@pytest.fixture(params=WAYS)
def enqueue(request):
    return WAYS[request.param]


@pytest.mark.parametrize("make", [uuid7, uuid4, lambda: str(uuid4()), lambda: uuid4().hex])
def test_given_id_is_the_tasks(enqueue, make):
    """A UUID of any version, or its text."""
    task_id = make()
    result = enqueue(add, (1, 2), task_id)

    assert UUID(result.id) == UUID(str(task_id))
    assert stored() == {UUID(result.id)}
    assert add.get_result(result.id) == result
    assert result.task.task_id is None, "a copy of the task enqueues under the same id"


def test_second_call_returns_the_task_that_is_there(enqueue):
    """No second row, and no error; what became of it meanwhile is in the result."""
    task_id = uuid7()
    first = enqueue(add, (1, 2), task_id)
    assert enqueue(add, (1, 2), task_id) == first
    [claim] = claimer("*").claim(5)
    claimer("*").finish([success(claim)])

    again = enqueue(add, (1, 2), task_id)

    assert stored() == {task_id}
    assert (again.record_status, again.is_finished) == (Status.SUCCESSFUL, True)


def test_options_of_the_first_call_stay():
    """A retry counts its delays from another moment: that is no other call."""
    task_id = uuid7()
    first = add.using(task_id=task_id, run_after=timedelta(hours=1), priority=3).enqueue(1, 2)

    again = add.using(task_id=task_id, run_after=timedelta(hours=2)).enqueue(1, 2)

    assert again == first


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "other"),
    [
        (subtract, [1, 2], {}, "task tests.tasks.echo"),
        (echo, [1, 3], {"a": 1}, "other arguments of tests.tasks.echo"),
        (echo, [1, 2], {}, "other arguments of tests.tasks.echo"),
        (echo, [1.0, 2], {"a": 1}, "other arguments of tests.tasks.echo"),
        (echo, [True, 2], {"a": 1}, "other arguments of tests.tasks.echo"),
    ],
)
@pytest.mark.parametrize("way", ["one", "many"])
def test_id_of_another_call_is_refused(task, args, kwargs, other, way):
    """It says whose the id is; the caller's transaction goes on."""
    task_id = uuid7()
    echo.using(task_id=task_id).enqueue(1, 2, a=1)
    with transaction.atomic():
        with pytest.raises(TaskResultMismatch, match=rf"{task_id} is taken: .* to {other}\."):
            if way == "one":
                task.using(task_id=task_id).enqueue(*args, **kwargs)
            else:
                task.enqueue_many([((9, 9), {}), (args, kwargs)], task_ids=[uuid7(), task_id])
        after = add.enqueue(1, 2)

    assert stored() == {task_id, UUID(after.id)}


def test_refusal_names_what_the_id_is_of():
    """Which task, since when, and what to do; no arguments, which may be secret."""
    task_id = uuid7()
    log_in.using(task_id=task_id).enqueue("anna", "hunter2")

    with pytest.raises(TaskResultMismatch) as caught:
        log_in.using(task_id=task_id).enqueue("anna", "hunter3")

    text = str(caught.value)
    assert f"{task_id} is taken" in text
    assert "other arguments of tests.tasks.log_in" in text
    assert "hunter" not in text
    with pytest.raises(TaskResultMismatch, match=r"to task tests\.tasks\.log_in"):
        add.using(task_id=task_id).enqueue(1, 2)


def test_order_of_keyword_arguments_does_not_matter():
    """A retry may build its dict in another order."""
    task_id = uuid7()
    first = echo.using(task_id=task_id).enqueue(a={"x": 1, "y": 2}, b=2)

    assert echo.using(task_id=task_id).enqueue(b=2, a={"y": 2, "x": 1}) == first


def test_backends_share_the_ids(settings):
    """They are those of the table: another backend's task is another call."""
    settings.TASKS = settings.TASKS | {"second": settings.TASKS["default"]}
    task_id = uuid7()
    add.using(task_id=task_id).enqueue(1, 2)

    with pytest.raises(TaskResultMismatch, match="to backend 'default'"):
        add.using(task_id=task_id, backend="second").enqueue(1, 2)


def test_many_of_which_some_are_there():
    """Those that are missing are stored; results are in the order of the calls."""
    task_ids = [uuid4() for _ in range(2500)]
    kept = add.using(priority=7).enqueue_many(
        [(i, i) for i in range(0, 2500, 2)], task_ids=task_ids[::2]
    )

    results = add.enqueue_many(((i, i) for i in range(2500)), task_ids=map(str, task_ids))

    assert stored() == set(task_ids)
    assert [UUID(text) for text in results.ids] == task_ids
    assert [UUID(result.id) for result in results] == task_ids
    assert [result.task.priority for result in results[:4]] == [7, 0, 7, 0]
    assert list(results[::2]) == list(kept)
    assert add.get_result(results[1].id) == results[1]


def test_signal_is_sent_once():
    """task_enqueued is for what was stored, not for each call."""
    task_id, seen = uuid7(), []

    def listen(sender, task_result, **kwargs):
        seen.append(task_result.id)

    task_enqueued.connect(listen)
    try:
        for way in WAYS.values():
            way(add, (1, 2), task_id)
        add.enqueue_many([(1, 2), (3, 4)], task_ids=[task_id, other := uuid7()])
    finally:
        task_enqueued.disconnect(listen)

    assert seen == [str(task_id), str(other)]


@pytest.mark.parametrize("bad", ["order-7", "", 7, object()])
def test_what_is_no_uuid_is_refused(bad):
    """At the call, with the way to make one of a name."""
    with pytest.raises(InvalidTask, match=r"task_id must be a UUID or its text.*uuid5"):
        add.using(task_id=bad)
    with pytest.raises(ValueError, match=r"task_ids\[1\] must be a UUID or its text"):
        add.enqueue_many([(1, 2), (3, 4)], task_ids=[uuid7(), bad])


def test_ids_that_do_not_fit_the_items_are_refused():
    """As many as items, each once, and not those of using()."""
    task_id = uuid7()
    with pytest.raises(ValueError, match="2 items and 1 task_ids"):
        add.enqueue_many([(1, 2), (3, 4)], task_ids=[task_id])
    with pytest.raises(ValueError, match="1 items and 2 task_ids"):
        add.enqueue_many([(1, 2)], task_ids=[task_id, uuid7()])
    with pytest.raises(ValueError, match=r"task_ids\[2\] is the same as task_ids\[0\]"):
        add.enqueue_many([(1, 2)] * 3, task_ids=[task_id, uuid7(), str(task_id)])
    with pytest.raises(InvalidTask, match=r"give enqueue_many\(\) task_ids"):
        add.using(task_id=task_id).enqueue_many([(1, 2)])

    assert stored() == set()


def test_id_is_no_option_of_the_decorator():
    """Every call of the task would be the same one."""
    with pytest.raises(TypeError, match=r"Use \.using\(task_id=\.\.\.\)"):
        type(add)(func=stored, task_id=uuid7())


def test_new_task_is_one_statement():
    """As without an id; MySQL is asked first, since it would lock what stands in the way."""
    add.using(task_id=uuid7()).enqueue(1, 2)

    with CaptureQueriesContext(connection) as captured:
        add.using(task_id=uuid7()).enqueue(1, 2)

    assert len(captured) == (2 if connection.vendor == "mysql" else 1)


def test_name_makes_the_id():
    """What the documentation advises: the same name, the same id."""
    shop = UUID("7a1f0f5e-8b1e-4b57-9a3c-2d6f4c0e9b11")
    ids = {add.using(task_id=uuid5(shop, "order 7")).enqueue(1, 2).id for _ in range(3)}

    assert len(ids) == 1


# --- several at a time ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["enqueue", "enqueue_many"])
def test_several_at_once_make_one_row(way):
    """Whoever is second gets the result of the first, in each of many rounds."""
    for _ in range(25):
        task_id = uuid4()
        results = at_once(*[partial(WAYS[way], add, (1, 2), task_id)] * 4)

        assert {result.id for result in results} == {str(task_id)}
        assert TaskRecord.objects.filter(pk=task_id).count() == 1


@pytest.mark.django_db(transaction=True)
def test_several_at_once_with_many_of_the_same():
    """In other orders, each with some that the others do not have: no deadlock, no error."""
    for _ in range(5):
        shared = [uuid4() for _ in range(50)]
        own = [[uuid4() for _ in range(3)] for _ in range(4)]

        def store(ids):
            return add.enqueue_many([(1, 2)] * len(ids), task_ids=ids).ids

        orders = [shared + own[0], own[1] + shared[::-1], shared[25:] + own[2], own[3] + shared]
        at_once(*[partial(store, ids) for ids in orders])

    assert len(stored()) == 5 * (50 + 12)


server_only = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="one transaction at a time writes"
)


@server_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["enqueue", "enqueue_many"])
@pytest.mark.parametrize("commits", [True, False])
def test_second_waits_for_an_open_transaction(way, commits):
    """What the first one's transaction becomes decides who stores the task."""
    task_id, results = uuid4(), []

    def second():
        try:
            with transaction.atomic():
                results.append(WAYS[way](add, (1, 2), task_id))
                results.append(echo.enqueue("goes on"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        first = WAYS[way](add.using(priority=5), (1, 2), task_id)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        transaction.set_rollback(not commits)
    thread.join(30)

    assert results[0].id == first.id
    assert results[0].task.priority == (5 if commits else 0)
    assert len(stored()) == 2


@server_only
@pytest.mark.django_db(transaction=True)
def test_old_snapshot_does_not_hide_the_task():
    """REPEATABLE READ: MariaDB and MySQL find it; PostgreSQL says that the caller must repeat."""
    task_id = uuid4()

    def look(number):
        at_once(partial(add.using(task_id=task_id).enqueue, 1, 2))
        return add.using(task_id=task_id).enqueue(1, number)

    def with_snapshot(number):
        level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute(level)
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    cursor.execute(level)
                assert not stored()
                result = look(number)
                assert echo.enqueue("goes on").id
                return result

    if connection.vendor == "postgresql":
        with pytest.raises(OperationalError, match="could not serialize access"):
            with_snapshot(2)
    else:
        assert with_snapshot(2).id == str(task_id)
        TaskRecord.objects.all().delete()
        with pytest.raises(TaskResultMismatch):
            with_snapshot(3)


@pytest.mark.django_db(transaction=True)
def test_broker_is_told_again(redis_url, settings):
    """Whoever stored the task may have ended before the broker knew of it."""
    broker = Redis(redis_url)
    broker.use(settings)
    task_id = uuid7()
    try:
        add.using(task_id=task_id).enqueue(1, 2)
        for repeat in (
            lambda: add.using(task_id=task_id).enqueue(1, 2),
            lambda: add.enqueue_many([(1, 2)], task_ids=[task_id]),
        ):
            broker.delete_all()
            repeat()
            assert broker.count() == 1
    finally:
        broker.delete_all()
