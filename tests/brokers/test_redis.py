"""What is special of the Redis broker; test_contract.py has what all brokers do."""

import logging
from datetime import timedelta

import pytest
from django.db import transaction

from django_tasks.brokers import configured
from django_tasks.worker.keeper.reconciler import CONFIRM_AFTER
from tests.brokers.steps import broker_claimer, ids_of, make_reconciler
from tests.conformance.steps import store
from tests.worker import tasks

# --- publishing ---------------------------------------------------------------------------------


def test_tasks_of_one_transaction_are_published_together(redis, monkeypatch):
    """However many are enqueued one by one, the commit is followed by one round trip."""
    asked = []
    pool = configured.broker_for("default").pool
    ask = pool.ask
    monkeypatch.setattr(pool, "ask", lambda *c: (asked.append(len(c)), ask(*c))[1])

    with transaction.atomic():
        made = [tasks.add.enqueue(number, 1).id for number in range(30)]

    assert len(asked) == 1
    assert redis.held() == made


def test_enqueue_many_publishes_a_thousand_at_a_time(redis, monkeypatch):
    """2,500 ids take three round trips."""
    asked = []
    pool = configured.broker_for("default").pool
    ask = pool.ask
    monkeypatch.setattr(pool, "ask", lambda *c: (asked.append(len(c)), ask(*c))[1])

    results = tasks.add.enqueue_many(((number, 1), {}) for number in range(2500))

    assert len(asked) == 3
    assert redis.held() == list(results.ids)


def test_queue_and_priority_decide_the_order(redis):
    """Each queue has its own set, with higher priorities first and the older of equals first."""
    first, second = (tasks.add.enqueue(1, 2).id for _ in range(2))
    urgent = tasks.add.using(priority=9).enqueue(1, 2).id
    patient = tasks.add.using(priority=-9).enqueue(1, 2).id
    other = tasks.add.using(queue_name="other").enqueue(1, 2).id

    assert redis.held() == [urgent, first, second, patient]
    assert redis.held("other") == [other]


# --- what is wrong in Redis ---------------------------------------------------------------------


@pytest.mark.parametrize("score", ["inf", "-inf", 1e300, 0.5])
def test_forged_scores_do_no_harm(redis, score):
    """The row's own priority is what counts."""
    [task_id] = store()
    redis.forge(str(task_id), score=score)

    assert ids_of(broker_claimer().claim(1)) == [str(task_id)]


def test_key_of_another_type_is_removed(redis):
    """A string in the place of a queue stops nothing: the next pop deletes it."""
    redis.client.set(redis.key(), "surprise")
    serving = broker_claimer()

    serving.claim(1)
    result = tasks.add.enqueue(1, 2)

    assert redis.held() == [result.id]
    assert ids_of(serving.claim(1)) == [result.id]


def test_task_that_redis_refuses_is_claimed_from_the_table(redis):
    """An error at publishing is an outage like any other."""
    redis.client.set(redis.key(), "surprise")
    result = tasks.add.enqueue(1, 2)

    assert ids_of(broker_claimer().claim(1)) == [result.id]


# --- what Redis loses ---------------------------------------------------------------------------


def test_loss_of_everything_is_seen_and_made_good_at_once(redis, monkeypatch):
    """A keeper notices that Redis lost its data, and publishes all there is, piece by piece."""
    monkeypatch.setattr("django_tasks.worker.keeper.reconciler.CHUNK", 2)
    monkeypatch.setattr("django_tasks.worker.keeper.reconciler.MOST_CHUNKS", 2)
    keeper = make_reconciler()
    keeper.run()
    made = [tasks.add.enqueue(number, 1).id for number in range(9)]
    redis.delete_all()

    pauses = [keeper.run().pause for _ in range(3)]

    assert redis.held() == made
    assert pauses == [CONFIRM_AFTER, CONFIRM_AFTER, 1.0]


def test_every_keeper_notices_the_loss(redis):
    """Whoever is second finds the mark of the first, which is not the one that it knew."""
    first, second = make_reconciler("mail"), make_reconciler("fax")
    first.run(), second.run()
    mail, fax = (tasks.add.using(queue_name=name).enqueue(1, 2).id for name in ("mail", "fax"))
    redis.delete_all()

    first.run(), second.run()

    assert redis.held("mail") == [mail]
    assert redis.held("fax") == [fax]


def test_ready_tasks_are_compared_in_each_round(redis, settings):
    """One that a dying process took from Redis and did not claim is soon there again."""
    settings.DJANGO_TASKS = {"POLL_INTERVAL": 1e-6}
    kept, lost = (tasks.add.enqueue(number, 1).id for number in range(2))
    keeper = make_reconciler()
    keeper.run()
    redis.client.zrem(redis.key(), lost)

    keeper.run(), keeper.run()

    assert redis.held() == [kept, lost]


def test_garbage_in_the_marks_stops_nothing(redis):
    """Whatever somebody put in their place, tasks are published and found."""
    keys = configured.broker_for("default").keys
    for name in (keys.generation, keys.later):
        redis.client.rpush(name, "surprise")
    keeper = make_reconciler()
    made = [str(task_id) for task_id in store(3)]

    keeper.run(), keeper.run()
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)

    assert redis.held() == made
    assert keeper.run().has_later
    assert configured.broker_for("default").outage.since is None


def test_password_is_not_logged(redis, settings, caplog):
    """Whatever is wrong with the URL."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://:hunter2@127.0.0.1:port/0",
        }
    }

    with caplog.at_level(logging.DEBUG):
        tasks.add.enqueue(1, 2)

    assert "Lost the redis broker" in caplog.text
    assert "hunter2" not in caplog.text
