"""A broker that hands out and takes nothing in, as one that is full does."""

import time

import pytest

from django_tasks.brokers import configured
from tests.brokers.steps import broker_claimer, ids_of, make_reconciler
from tests.worker import tasks
from tests.worker.ledger import until

#: Seconds that publishing may keep an enqueue waiting.
BEARABLE = 5.0


@pytest.fixture(params=["redis", "rabbitmq"])
def full(request, settings):
    """Return a broker that a test fills and empties, and let this process use it."""
    broker = request.getfixturevalue(f"mortal_{request.param}")
    settings.DJANGO_TASKS = {"POLL_INTERVAL": 0.2}
    return broker


def test_keeper_notices_a_full_broker(full):
    """Without having anything to publish; and when it takes again."""
    keeper = make_reconciler()
    assert not keeper.run().is_refused

    full.fill()
    assert keeper.run().is_refused

    full.empty()
    until(lambda: not keeper.run().is_refused, "it is taken in again")


def test_keeper_notices_that_its_own_publishing_is_refused(redis, monkeypatch):
    """Also of a Redis that refuses one key only, and takes its marks."""
    monkeypatch.setattr("django_tasks.worker.keeper.reconciler.REST", 0.0)
    keeper = make_reconciler()
    keeper.run()
    redis.client.set(redis.key(), "surprise")
    tasks.add.enqueue(1, 2)
    configured.broker_for("default").outage.over()  # as it is in the process of a keeper

    found = until(lambda: [f for f in [keeper.run()] if f.is_refused], "it is refused")

    assert found[0].has_later and configured.broker_for("default").outage.since is not None


def test_claimer_looks_into_both_while_the_broker_refuses(redis):
    """What it holds is taken, what nobody could publish is claimed from the table."""
    held = tasks.add.enqueue(1, 2)
    lost = tasks.add.enqueue(3, 4)
    redis.client.zrem(redis.key(), lost.id)
    serving = broker_claimer()
    serving.is_refusing = lambda: True

    first = serving.claim(10)

    assert ids_of(first) == [held.id] and serving.may_have_more and not serving.uses_broker
    assert ids_of(serving.claim(10)) == [lost.id]
    serving.close()


def test_full_broker_leaves_no_task_before_idle_workers(full, start):
    """An enqueue commits soon, what it stored runs from the table; then all is as before."""
    quick = full.settings | {"DJANGO_TASKS": {"POLL_INTERVAL": 0.2}}
    worker = start("--concurrency", 2, settings=quick)
    worker.await_output("queues ")
    assert tasks.add.enqueue(1, 1).wait(30) == 2
    full.fill()

    began = time.monotonic()
    results = [tasks.add.enqueue(number, 1) for number in range(30)]
    assert time.monotonic() - began < BEARABLE
    assert [result.wait(30) for result in results] == [number + 1 for number in range(30)]

    full.empty()
    until(lambda: "is back" in worker.output, "the keeper notices that it takes again")
    assert tasks.add.enqueue(1, 1).wait(30) == 2
    assert worker.output.count("Lost the") == worker.output.count("is back")
