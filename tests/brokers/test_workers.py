"""Workers that a Redis broker points to their tasks."""

from uuid import uuid4

import pytest

from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from tests.conformance.steps import store
from tests.servers import free_port
from tests.worker import tasks
from tests.worker.control import pause, resume, row_of
from tests.worker.ledger import PATIENCE, await_lines, lines, until
from tests.worker.test_health import probe

#: So long that only the broker can have pointed to a task that is run before.
NEVER = {"POLL_INTERVAL": 3600.0}
#: What is no id.
GARBAGE = [b"", b"\xff\x00", b"x" * 36, b"1" * 100_000, b"'; DROP TABLE x; --", b"\x80\x04K."]


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "gevent", "solo"])
def test_each_pool_runs_what_redis_hands_out(start, redis, pool):
    """A worker that never looks into the table runs what is published, while idle and after."""
    worker = start("--pool", pool, settings=redis.settings | {"DJANGO_TASKS": NEVER})
    worker.await_output("queues ")

    for _ in range(3):
        results = [tasks.add.enqueue(number, 1) for number in range(20)]
        for number, result in enumerate(results):
            assert result.wait(60) == number + 1

    assert worker.stop() == 0
    assert redis.held() == []


def test_queues_and_priorities_are_obeyed(start, redis, book):
    """The broker's order is that of the table."""
    words = [("other", 0), ("mail", -5), ("mail", 5), ("first", 0)]
    for queue, priority in words:
        tasks.note.using(queue_name=queue, priority=priority).enqueue(book, f"{queue} {priority}")

    start(
        *("--concurrency", 1, "--queues", "first,mail*,*"),
        settings=redis.settings | {"DJANGO_TASKS": NEVER | {"BATCH_SIZE": 1}},
    )

    assert await_lines(book, 4) == ["first 0", "mail 5", "mail -5", "other 0"]


def test_burst_also_runs_what_redis_does_not_hold(start, redis, book):
    """A worker that ends when nothing is left looks into the table for it."""
    kept = tasks.note.enqueue(book, "held")
    tasks.note.enqueue(book, "lost")
    redis.delete_all()
    redis.forge(kept.id, queue_name="mail")

    worker = start("--burst", settings=redis.settings)

    assert worker.wait() == 0
    assert sorted(lines(book)) == ["held", "lost"]


def test_lost_ids_are_published_again(start, redis, book):
    """Whatever empties Redis, the keeper fills it again."""
    start("--concurrency", 1, settings=redis.settings).await_output("queues ")
    gate = f"{book}.gate"
    tasks.wait_for.enqueue(gate, book)  # nothing is taken from Redis meanwhile
    await_lines(book, 1)
    for number in range(20):
        tasks.note.using(queue_name="default").enqueue(book, f"word {number}")
    redis.delete_all()
    open(gate, "w").close()

    done = await_lines(book, 21)

    assert len(set(done)) == 21
    until(lambda: not TaskRecord.objects.exclude(status=Status.SUCCESSFUL).exists(), "all results")


def test_worker_lives_through_a_redis_that_dies(start, mortal_redis, book):
    """Killed and started, or gone for good: tasks run, and the worker says so once each way."""
    worker = start("--concurrency", 1, settings=mortal_redis.settings)
    worker.await_output("queues ")
    tasks.note.using(queue_name="default").enqueue(book, "with")
    await_lines(book, 1)

    mortal_redis.server.stop("immediate")
    tasks.note.using(queue_name="default").enqueue(book, "without")
    await_lines(book, 2)
    mortal_redis.server.start()
    worker.await_output("is back after")
    tasks.note.using(queue_name="default").enqueue(book, "again")

    assert await_lines(book, 3) == ["with", "without", "again"]
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_redis_hands_out_no_task_of_a_paused_queue(start, redis, book):
    """Other queues run meanwhile; and afterwards what waited, without a look into the table."""
    worker = start("--concurrency", 2, settings=redis.settings)
    row_of(worker)

    pause("mail")
    waiting = [tasks.note.enqueue(book, f"mail {number}") for number in range(3)]
    tasks.note.using(queue_name="other").enqueue(book, "other").wait(60)

    assert lines(book) == ["other"]
    resume("mail")
    for result in waiting:
        result.wait(60)
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_readyz_tells_of_an_outage_of_redis(start, mortal_redis):
    """The worker stays ready without its broker; a second line says since when it is away."""
    port = free_port()
    settings = mortal_redis.settings
    start("--concurrency", 1, "--health-port", port, settings=settings)
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    mortal_redis.server.stop("immediate")
    until(lambda: probe(port, "/readyz") != (200, "ok\n"), "the outage is told")

    status, body = probe(port, "/readyz")
    assert status == 200
    assert body.startswith("ok\nthe redis broker of TASKS['default'] is away since 20")
    assert probe(port, "/livez") == (200, "ok\n")
    assert tasks.add.enqueue(1, 2).wait(PATIENCE) == 3
    mortal_redis.server.start()
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "the end of it is told")


def test_garbage_in_redis_runs_nothing_and_stops_nothing(start, redis, book):
    """Forged, stale and malformed entries under a live worker: the tasks run, one line tells."""
    worker = start("--concurrency", 2, settings=redis.settings)
    worker.await_output("queues ")
    done = tasks.note.using(queue_name="default").enqueue(book, "once")
    await_lines(book, 1)
    [elsewhere] = store(backend="other")
    redis.client.set(redis.key("first"), "no set at all")
    for queue_name in ("default", "first", "mail", "nobody's"):
        if queue_name != "first":
            redis.forge(*GARBAGE, str(uuid4()), done.id, str(elsewhere), queue_name=queue_name)
        redis.client.sadd(f"{redis.prefix}:{{django_tasks:default}}:queues", queue_name, b"\xff")
    redis.client.set(f"{redis.prefix}:{{django_tasks:default}}:generation", b"\xff\x00")

    names = [f"after {number}" for number in range(5)]
    for name in names:
        tasks.note.using(queue_name="default").enqueue(book, name)

    assert sorted(await_lines(book, 6)) == [*names, "once"]
    until(lambda: not redis.held("mail") and not redis.held("nobody's"), "garbage is dropped")
    assert TaskRecord.objects.get(pk=elsewhere).status == Status.READY
    assert worker.stop() == 0
    # Each of the two processes tells once.
    assert 1 <= worker.output.count("held what is no task id") <= 2
    assert "Traceback" not in worker.output
    assert lines(book).count("once") == 1
