"""What coroutines leave in the threads and the loop beside them does not reach the next body."""

import asyncio
import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection, connections
from django.utils import timezone, translation

from django_tasks import TaskFailed
from django_tasks.worker.execution.runner import SyncCaller
from django_tasks.worker.execution.side_threads import CallThreads, SideThreads
from tests.worker import async_tasks as tasks
from tests.worker.ledger import PATIENCE, lines

POOLS = {
    "prefork": ("--concurrency", 2),
    "threads": ("--concurrency", 2),
    "asyncio": ("--concurrency", 2),
    "gevent": ("--concurrency", 2),
    "solo": (),
}
ways = pytest.mark.parametrize("way", tasks.WAYS)
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="no server that cuts connections or serves two writers"
)


def pools(*names):
    return pytest.mark.parametrize("worker", names, indirect=True)


@pytest.fixture(scope="module", params=POOLS)
def worker(request, shared_worker):
    """A worker that keeps its connections for ever: what is left in them stays."""
    pool = request.param
    if pool == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    database = settings.DATABASES["default"] | {
        "NAME": connection.settings_dict["NAME"],
        "CONN_MAX_AGE": None,
    }
    changed = {
        "DATABASES": {"default": database},
        "DJANGO_TASKS": {"TASK_MODULES": ["tests.worker.async_tasks"]},
    }
    worker = shared_worker("--pool", pool, *POOLS[pool], settings=changed)
    yield worker
    assert worker.stop() == 0


def names():
    return sorted(Group.objects.values_list("name", flat=True))


@needs_server
@ways
def test_cut_connection_is_replaced(worker, way):
    """The body that is cut off fails; the next ones have a connection."""
    for _ in range(2):
        with pytest.raises(TaskFailed):
            tasks.cut_connection.enqueue(way).wait(PATIENCE)

    results = tasks.count_groups.enqueue_many([(way,)] * 6)

    assert [result.wait(PATIENCE) for result in results] == [0] * 6


@needs_server
def test_connection_of_a_plain_body_with_its_own_loop_is_replaced(worker):
    """Such a body's queries run beside its thread as well."""
    for _ in range(2):
        with pytest.raises(TaskFailed):
            tasks.cut_in_own_loop.enqueue().wait(PATIENCE)

    results = tasks.count_in_own_loop.enqueue_many([()] * 6)

    assert [result.wait(PATIENCE) for result in results] == [0] * 6


@ways
def test_transaction_left_open_is_rolled_back(worker, way):
    """What later bodies write is committed, what was left uncommitted is not."""
    for number in range(2):
        tasks.leave_transaction.enqueue(way, f"lost {number}").wait(PATIENCE)

    for number in range(6):
        tasks.create_group.enqueue(way, f"kept {number}").wait(PATIENCE)

    assert names() == [f"kept {number}" for number in range(6)]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only it tells")
@ways
def test_no_transaction_is_open_between_bodies(worker, way):
    """It would hold its locks, and keep dead rows from being removed."""
    tasks.leave_transaction.enqueue(way, "lost").wait(PATIENCE)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            " AND datname = current_database()"
        )
        assert cursor.fetchone() == (0,)


@needs_server
@pools("prefork", "threads", "asyncio", "gevent")
def test_transaction_of_a_coroutine_is_its_own(worker):
    """What others write meanwhile is not rolled back with it."""
    held = tasks.hold_transaction.enqueue("held", "other")

    tasks.create_group.enqueue("sync_to_async", "other").wait(PATIENCE)

    assert held.wait(PATIENCE) is True
    assert names() == ["other"]


def test_asyncio_tasks_left_running_are_cancelled(worker, book):
    """They have ended when the body's task has."""
    tasks.leave_asyncio_task.enqueue(book).wait(PATIENCE)
    left = lines(book)
    tasks.linger.enqueue(0.1).wait(PATIENCE)

    assert left[-1] == "cancelled"
    assert lines(book) == left


@pools("prefork", "solo")
def test_loop_handles_no_signals_for_the_next_body(worker):
    """add_signal_handler() ends with the body."""
    tasks.leave_signal_handler.enqueue_many([()] * 4)

    for result in tasks.wakeup_descriptor.enqueue_many([()] * 6):
        assert result.wait(PATIENCE) == -1


# --- without a worker ------------------------------------------------------------------------


@pytest.fixture
def caller():
    caller = SyncCaller()
    yield caller
    caller.close()


def test_settings_of_a_thread_end_with_the_call():
    """Language, time zone and context variables, also where nobody copies the context."""

    def change():
        translation.activate("de")
        timezone.activate("Asia/Tokyo")

    with CallThreads(1) as threads:
        threads.submit(change).result()

        assert threads.submit(translation.get_language).result() == "en-us"
        assert threads.submit(timezone.get_current_timezone_name).result() == "UTC"


def test_asyncio_task_outside_of_the_body_goes_on(caller):
    """A client that lives as long as the process starts its own in an empty context."""

    async def start():
        loop = asyncio.get_running_loop()
        return loop.create_task(asyncio.Event().wait(), context=Context())

    task = caller(start, [], {})

    assert not task.done()


def test_asyncio_task_of_a_timer_is_cancelled(caller):
    """A timer that the body left starts nothing."""
    started = []

    async def leave_timer():
        loop = asyncio.get_running_loop()
        loop.call_later(0, lambda: started.append(loop.create_task(asyncio.Event().wait())))

    caller(leave_timer, [], {})
    caller(asyncio.sleep, [0.05], {})

    assert [task.cancelled() for task in started] == [True]


def test_asyncio_task_that_ignores_the_first_cancellation_is_waited_for(caller):
    """Nothing of a body runs when it is over."""
    seen = []

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            seen.append("cleaned up")

    async def leave():
        asyncio.create_task(stubborn())  # noqa: RUF006 - it is left behind
        await asyncio.sleep(0)

    caller(leave, [], {})

    assert seen == ["cleaned up"]


def test_connection_that_aged_while_nothing_ran_is_replaced():
    """It is closed when the thread is next used, as Django closes it when a request comes."""

    def used(age):
        connection.ensure_connection()
        connection.close_at = time.monotonic() + age
        return connection.connection

    side_threads = SideThreads([])
    for threads in (CallThreads(1), side_threads):
        first = threads.submit(used, 3600).result()
        again = threads.submit(used, 3600).result()
        side_threads.finish()
        assert first is again

        aged = threads.submit(used, 0.1).result()
        side_threads.finish()
        time.sleep(0.11)
        assert threads.submit(used, 3600).result() is not aged
        threads.submit(connections.close_all).result()


def test_threads_beside_are_used_again():
    """As many as bodies use at the same time are made."""
    made = []

    def make():
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    idle = []
    for _ in range(3):
        both = SideThreads(idle, make), SideThreads(idle, make)
        for side_threads in both:
            side_threads.submit(int).result()
        for side_threads in both:
            side_threads.finish().result()
    SideThreads(idle).close()

    assert len(made) == 2


def test_waiting_for_oneself_is_refused(caller):
    """A loop within a thread-sensitive call, whose own such calls could only wait for it."""

    async def inner():
        from asgiref.sync import sync_to_async

        await sync_to_async(int)()

    async def outer():
        from asgiref.sync import sync_to_async

        await sync_to_async(asyncio.run)(inner())

    async def run():
        caller.enter()
        await outer()

    with pytest.raises(RuntimeError, match=r"async_to_sync\(\)"):
        caller(run, [], {})
