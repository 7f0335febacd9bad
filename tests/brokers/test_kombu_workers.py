"""Workers that a kombu broker points to their tasks."""

import pytest

from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from tests.brokers.steps import Redis
from tests.worker import tasks
from tests.worker.ledger import await_lines, lines, until

pytest.importorskip("kombu")
from tests.brokers.kombu_steps import sqs

#: So long that only the broker can have pointed to a task that is run before.
NEVER = {"DJANGO_TASKS": {"POLL_INTERVAL": 3600.0}}


def await_success():
    ready = TaskRecord.objects.exclude(status=Status.SUCCESSFUL)
    until(lambda: not ready.exists(), "all results")


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "gevent", "solo"])
def test_each_pool_runs_what_rabbitmq_hands_out(start, rabbitmq, pool):
    """A worker that never looks into the table runs what is published, while idle and after."""
    worker = start("--pool", pool, settings=rabbitmq.settings | NEVER)
    worker.await_output("queues ")

    for _ in range(2):
        results = [tasks.add.enqueue(number, 1) for number in range(20)]
        for number, result in enumerate(results):
            assert result.wait(60) == number + 1

    assert worker.stop() == 0
    rabbitmq.await_held(0)
    assert "Traceback" not in worker.output


def test_worker_runs_what_sqs_hands_out(start, moto, settings):
    """Its thread waits for messages, also of several queues."""
    post = sqs(moto)
    post.use(settings)
    options = ("--concurrency", 1, "--queues", "default,other")
    worker = start(*options, settings=post.settings | NEVER)
    worker.await_output("queues ")

    for queue in ("default", "other", "default"):
        result = tasks.add.using(queue_name=queue).enqueue(1, 2)
        assert result.wait(60) == 3

    assert worker.stop() == 0
    assert "Traceback" not in worker.output
    post.delete_all()


def test_lost_messages_are_published_again(start, rabbitmq, book):
    """Whatever empties a queue, the keeper fills it again."""
    start("--concurrency", 1, settings=rabbitmq.settings).await_output("queues ")
    gate = f"{book}.gate"
    tasks.wait_for.enqueue(gate, book)  # nothing is taken meanwhile
    await_lines(book, 1)
    for number in range(20):
        tasks.note.using(queue_name="default").enqueue(book, f"word {number}")
    rabbitmq.lose()
    open(gate, "w").close()

    done = await_lines(book, 21)

    assert len(set(done)) == 21
    await_success()


def test_worker_lives_through_a_rabbitmq_that_is_stopped(start, mortal_rabbitmq, book):
    """Stopped and killed under work, with tasks enqueued meanwhile: each runs once, all run."""
    worker = start("--concurrency", 2, settings=mortal_rabbitmq.settings)
    worker.await_output("queues ")
    words = iter(range(10_000))

    def note_some():
        for _ in range(50):
            tasks.note.using(queue_name="default").enqueue(book, f"word {next(words)}")

    for mode in ("fast", "immediate"):
        note_some()
        mortal_rabbitmq.server.stop(mode)
        note_some()
        await_success()  # without it
        mortal_rabbitmq.server.start()
        note_some()
    await_success()
    worker.await_output("is back after")

    assert sorted(lines(book)) == sorted(f"word {number}" for number in range(300))
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_workers_of_all_brokers_serve_one_table(start, rabbitmq, redis_url, book):
    """Each task runs once, whoever is pointed to it or finds it."""
    redis = Redis(redis_url)
    for one in (rabbitmq.settings, redis.settings, {}):
        start("--concurrency", 1, settings=one).await_output("queues ")

    words = [f"word {number}" for number in range(300)]
    for word in words:
        tasks.note.using(queue_name="default").enqueue(book, word)
    await_success()

    assert sorted(lines(book)) == sorted(words)
    assert set(TaskRecord.objects.values_list("claims", flat=True)) == {1}
    redis.delete_all()
