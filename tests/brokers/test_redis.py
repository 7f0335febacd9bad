"""What the Redis broker publishes, hands out, refuses and lives through, in one process."""

import logging
import select
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from django_tasks.brokers import complaints, known
from django_tasks.brokers.base import BrokerAway
from django_tasks.dep14.handler import task_backends
from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.outages import LONGEST_PAUSE
from django_tasks.statuses import Status
from django_tasks.store import transitions
from django_tasks.store.rows import EndingKind
from tests.brokers.steps import guided_claimer, make_reconciler, reconcile
from tests.conformance.steps import ending, make, settle, shift, statuses, success
from tests.worker import tasks
from tests.worker.ledger import until


def ids_of(claims):
    return [str(claim.id) for claim in claims]


# --- publishing ---------------------------------------------------------------------------------


def test_enqueue_publishes_after_the_commit(redis):
    """Nothing is handed out before the row can be claimed."""
    with transaction.atomic():
        result = tasks.add.enqueue(1, 2)
        before = redis.held()

    assert before == []
    assert redis.held() == [result.id]


def test_rollback_publishes_nothing(redis):
    """A task that was never enqueued is never handed out, also of an inner block."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.add.enqueue(1, 2)
        raise ZeroDivisionError
    with transaction.atomic():
        kept = tasks.add.enqueue(1, 2)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tasks.add.enqueue(3, 4)
            raise ZeroDivisionError
        also_kept = tasks.add.enqueue(5, 6)

    assert redis.held() == [kept.id, also_kept.id]


def test_tasks_of_one_transaction_are_published_together(redis, monkeypatch):
    """However many are enqueued one by one, the commit is followed by one round trip."""
    asked = []
    lines = known.of("default").lines
    ask = lines.ask
    monkeypatch.setattr(lines, "ask", lambda *c: (asked.append(len(c)), ask(*c))[1])

    with transaction.atomic():
        made = [tasks.add.enqueue(number, 1).id for number in range(30)]

    assert len(asked) == 1
    assert redis.held() == made


def test_enqueue_many_publishes_a_thousand_at_a_time(redis, monkeypatch):
    """2,500 ids take three round trips."""
    asked = []
    lines = known.of("default").lines
    ask = lines.ask
    monkeypatch.setattr(lines, "ask", lambda *c: (asked.append(len(c)), ask(*c))[1])

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


def test_scheduled_tasks_are_published_when_they_are_promoted(redis):
    """Not before they are due."""
    later = tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)
    before = redis.held()
    [task_id] = TaskRecord.objects.values_list("pk", flat=True)
    shift([task_id], "run_after", seconds=-1)

    transitions.promote("default")

    assert before == []
    assert redis.held() == [later.id]


@pytest.mark.parametrize("kind", ["retry", "snooze", "release", "lose"])
def test_tasks_that_run_again_are_published(redis, kind):
    """Whatever makes a running task ready."""
    make()
    reconcile()
    [claim] = guided_claimer().claim(1)

    settle(ending(claim, EndingKind(kind)))

    assert redis.held() == [str(claim.id)]


def test_tasks_that_run_again_later_are_not_published(redis):
    """Their promotion will do it."""
    make()
    reconcile()
    [claim] = guided_claimer().claim(1)

    settle(ending(claim, EndingKind.RETRY, delay=60))

    assert redis.held() == []


def test_requeued_tasks_are_published(redis):
    """By the API, and by what the admin and the commands call."""
    first, second = make(2, status=Status.FAILED)

    task_backends["default"].requeue(str(first))
    transitions.requeue("default", [second])

    assert redis.held() == [str(first), str(second)]


# --- claiming -----------------------------------------------------------------------------------


def test_published_tasks_are_claimed_in_order(redis):
    """A claim takes what the broker hands out, in its order."""
    made = [tasks.add.using(priority=priority).enqueue(1, 2).id for priority in (0, 5, 0, 9)]

    claimed = ids_of(guided_claimer().claim(10))

    assert claimed == [made[3], made[1], made[0], made[2]]
    assert redis.held() == []


def test_finish_and_claim_go_together(redis):
    """Successes are recorded with the next claim, and without one."""
    made = [tasks.add.enqueue(1, 2).id for _ in range(2)]
    serving = guided_claimer()
    [first] = serving.claim(1)

    accepted, [second] = serving.finish_and_claim([success(first)], 1)
    last, nothing = serving.finish_and_claim([success(second)], 1)

    assert (accepted, last, nothing) == (1, 1, [])
    assert statuses([first.id, second.id]) == [Status.SUCCESSFUL] * 2
    assert ids_of([first, second]) == made


def test_idle_claimer_asks_the_database_nothing(redis, django_assert_num_queries):
    """With the broker there, an empty look is no query."""
    serving = guided_claimer()

    with django_assert_num_queries(0):
        assert serving.claim(10) == []
        serving.watch()
        assert serving.claim(10) == []
    serving.close()


def test_waiting_process_is_handed_what_is_published(redis):
    """The blocking pop's answer makes the line readable, and is claimed."""
    serving = guided_claimer()
    lines = serving.watch()
    result = tasks.add.enqueue(1, 2)

    readable = select.select(lines, [], [], 60)[0]

    assert readable == list(lines)
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()


def test_process_without_room_leaves_tasks_to_others(redis):
    """What arrives while it stops waiting is handed on."""
    busy, idle = guided_claimer(), guided_claimer()
    busy.watch()
    busy.rest()
    result = tasks.add.enqueue(1, 2)

    assert ids_of(idle.claim(1)) == [result.id]


def test_paused_queues_are_left_out(redis):
    """Also when the id arrives by a pop that began before the pause."""
    serving = guided_claimer("default,other")
    lines = serving.watch()
    paused = tasks.add.enqueue(1, 2)
    select.select(lines, [], [], 60)
    serving.paused = frozenset({"default"})
    other = tasks.add.using(queue_name="other").enqueue(1, 2)

    assert ids_of(serving.claim(5)) == [other.id]
    assert redis.held() == [paused.id]
    serving.close()


def test_new_queue_is_served_by_its_pattern(redis):
    """A queue that no task declares is known once something was published to it."""
    result = tasks.add.using(queue_name="tenant-7").enqueue(1, 2)

    assert ids_of(guided_claimer("tenant*").claim(1)) == [result.id]
    assert guided_claimer("nobody*").claim(1) == []


# --- what is wrong in Redis ---------------------------------------------------------------------


def test_forged_ids_claim_nothing(redis):
    """Unknown, finished, someone else's and another queue's ids: nothing runs."""
    [done] = make(status=Status.SUCCESSFUL)
    [elsewhere] = make(queue_name="secret")
    [foreign] = make(backend="other")
    [scheduled] = make(status=Status.SCHEDULED)
    redis.forge(*map(str, (uuid4(), uuid7(), done, elsewhere, foreign, scheduled)))

    claimed = guided_claimer().claim(100)

    assert claimed == []
    assert redis.held() == []
    assert statuses([done, elsewhere, foreign, scheduled]) == [
        Status.SUCCESSFUL,
        Status.READY,
        Status.READY,
        Status.SCHEDULED,
    ]


@pytest.mark.parametrize(
    "member", [b"", b"\xff\x00", b"x" * 36, b"1" * 2_000_000, b"'; DROP TABLE x; --", b"12345"]
)
def test_malformed_ids_are_dropped_with_one_line(redis, member, caplog):
    """Whatever is in the set, the tasks beside it run, and one line tells of it."""
    serving = guided_claimer()
    result = tasks.add.enqueue(1, 2)
    redis.forge(member, member + b"1", member + b"2", score=-1000)

    with caplog.at_level(logging.WARNING, "django_tasks"):
        claimed = ids_of(serving.claim(10))

    assert claimed == [result.id]
    [line] = caplog.messages
    assert "no task id" in line
    assert len(line) < 4 * complaints.SHOWN + 100


@pytest.mark.parametrize("score", ["inf", "-inf", 1e300, 0.5])
def test_forged_scores_do_no_harm(redis, score):
    """The row's own priority is what counts."""
    [task_id] = make()
    redis.forge(str(task_id), score=score)

    assert ids_of(guided_claimer().claim(1)) == [str(task_id)]


def test_id_that_is_held_twice_runs_once(redis):
    """Published again after the claim, it claims nothing."""
    result = tasks.add.enqueue(1, 2)
    serving = guided_claimer()
    serving.claim(1)
    redis.forge(result.id)

    assert serving.claim(1) == []
    assert TaskRecord.objects.get(pk=result.id).claims == 1


def test_key_of_another_type_is_removed(redis):
    """A string in the place of a queue stops nothing: the next pop deletes it."""
    redis.client.set(redis.key(), "surprise")
    serving = guided_claimer()

    serving.claim(1)
    result = tasks.add.enqueue(1, 2)

    assert redis.held() == [result.id]
    assert ids_of(serving.claim(1)) == [result.id]


def test_task_that_redis_refuses_is_claimed_from_the_table(redis):
    """An error at publishing is an outage like any other."""
    redis.client.set(redis.key(), "surprise")
    result = tasks.add.enqueue(1, 2)

    assert ids_of(guided_claimer().claim(1)) == [result.id]


# --- what Redis loses ---------------------------------------------------------------------------


def test_reconciler_publishes_what_was_lost(redis):
    """What is missing at two looks is published again, in its order."""
    made = [tasks.add.enqueue(1, 2).id for _ in range(5)]
    redis.delete_all()

    reconcile()

    assert redis.held() == made


def test_reconciler_goes_on_where_all_is_lost(redis, monkeypatch):
    """After the loss of everything it does not stop after the first tasks."""
    monkeypatch.setattr("django_tasks.worker.reconciler.CHUNK", 10)
    made = [str(task_id) for task_id in make(35)]

    reconcile()

    assert redis.held() == made


def test_loss_of_everything_is_seen_and_made_good_at_once(redis, monkeypatch):
    """A keeper notices that Redis lost its data, and publishes all there is, piece by piece."""
    monkeypatch.setattr("django_tasks.worker.reconciler.CHUNK", 2)
    monkeypatch.setattr("django_tasks.worker.reconciler.MOST_CHUNKS", 2)
    keeper = make_reconciler()
    keeper.run()
    made = [tasks.add.enqueue(number, 1).id for number in range(9)]
    redis.delete_all()

    rounds = [keeper.run().is_unfinished for _ in range(3)]

    assert redis.held() == made
    assert rounds == [True, True, False]


def test_every_keeper_notices_the_loss(redis):
    """Whoever is second finds the mark of the first, which is not the one that it knew."""
    first, second = make_reconciler("mail"), make_reconciler("fax")
    first.run(), second.run()
    mail, fax = (tasks.add.using(queue_name=name).enqueue(1, 2).id for name in ("mail", "fax"))
    redis.delete_all()

    first.run(), second.run()

    assert redis.held("mail") == [mail]
    assert redis.held("fax") == [fax]


def test_idle_keeper_asks_redis_and_not_the_database(redis, django_assert_num_queries):
    """As long as Redis has lost nothing, the table is left alone."""
    keeper = make_reconciler()
    assert keeper.rest == 1.0
    keeper.run()

    with django_assert_num_queries(0):
        for _ in range(5):
            assert keeper.run() == (False, False)
    assert keeper.rest == keeper.longest_rest == 10.0


def test_ready_tasks_are_compared_in_each_round(redis, settings):
    """One that a dying process took from Redis and did not claim is soon there again."""
    settings.DJANGO_TASKS = {"POLL_INTERVAL": 1e-6}
    kept, lost = (tasks.add.enqueue(number, 1).id for number in range(2))
    keeper = make_reconciler()
    keeper.run()
    redis.client.zrem(redis.key(), lost)

    keeper.run(), keeper.run()

    assert redis.held() == [kept, lost]


@pytest.mark.parametrize("kind", ["retry", "snooze", "release"])
def test_keepers_hear_of_tasks_put_off(redis, kind):
    """The next look at what is due does not wait until the table is looked at anyway."""
    make()
    reconcile()
    [claim] = guided_claimer().claim(1)
    keeper = make_reconciler()
    keeper.run()

    settle(ending(claim, EndingKind(kind), delay=60))

    assert keeper.run().has_later
    assert not keeper.run().has_later


def test_keepers_hear_of_tasks_for_later(redis):
    """After the commit, and not after a rollback."""
    keeper = make_reconciler()
    keeper.run()
    later = tasks.add.using(run_after=timedelta(hours=1))

    with transaction.atomic():
        later.enqueue(1, 2)
        before = keeper.run().has_later
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        after = keeper.run().has_later
        later.enqueue(1, 2)
        raise ZeroDivisionError

    assert (before, after) == (False, True)
    assert not keeper.run().has_later
    later.enqueue_many([((1, 2), {})])
    assert keeper.run().has_later


def test_garbage_in_the_marks_stops_nothing(redis):
    """Whatever somebody put in their place, tasks are published and found."""
    keys = known.of("default").keys
    for name in (keys.generation, keys.later):
        redis.client.rpush(name, "surprise")
    keeper = make_reconciler()
    made = [str(task_id) for task_id in make(3)]

    keeper.run(), keeper.run()
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)

    assert redis.held() == made
    assert keeper.run().has_later
    assert known.of("default").outage.since is None


def test_reconciler_serves_patterns_and_only_its_queues(redis):
    """A keeper publishes what its own worker would run."""
    [mail] = make(queue_name="mail-a")
    make(queue_name="fax")

    reconcile("mail*")

    assert redis.held("mail-a") == [str(mail)]
    assert redis.held("fax") == []


# --- Redis gone ---------------------------------------------------------------------------------


def test_keeper_looks_into_the_table_while_redis_is_away(mortal_redis):
    """Often, as without a broker; when Redis is back, it is told what is due and what is ready."""
    keeper = make_reconciler()
    keeper.run()
    mortal_redis.server.stop("immediate")

    away = keeper.run()

    assert away.has_later
    assert keeper.rest == 1.0
    result = tasks.add.enqueue(1, 2)
    mortal_redis.server.start()
    while keeper.rest == 1.0:
        keeper.run()
    keeper.run()
    assert mortal_redis.held() == [result.id]


def test_enqueue_commits_without_redis_and_says_so_once(mortal_redis, caplog):
    """An outage costs no task, and one line in the log, without the password."""
    mortal_redis.server.stop("immediate")

    with caplog.at_level(logging.INFO, "django_tasks"):
        results = [tasks.add.enqueue(number, 1) for number in range(20)]

    assert TaskRecord.objects.filter(status=Status.READY).count() == len(results)
    [line] = caplog.messages
    assert "Lost the redis broker" in line


def test_claims_come_from_the_table_without_redis(mortal_redis):
    """The next claim works, and so do those after Redis is back."""
    serving = guided_claimer()
    serving.claim(1)
    mortal_redis.server.stop("immediate")
    lost = tasks.add.enqueue(1, 2)

    assert ids_of(serving.claim(5)) == [lost.id]

    mortal_redis.server.start()
    outage = known.of("default").outage
    while outage.since is not None:
        serving.claim(5)
    back = tasks.add.enqueue(1, 2)
    assert mortal_redis.client.exists(mortal_redis.key())
    assert ids_of(serving.claim(5)) == [back.id]
    serving.close()


def test_idle_keeper_knows_when_it_is_back(mortal_redis):
    """Without ready tasks it has nothing to compare, and asks all the same."""
    outage = known.of("default").outage
    mortal_redis.server.stop("immediate")
    outage.began(BrokerAway("cut"))

    until(lambda: reconcile() or outage._pause >= LONGEST_PAUSE, "some attempts")
    before = outage.since
    mortal_redis.server.start()
    until(lambda: reconcile() or outage.since is None, "the end of the outage")

    assert before is not None


def test_restart_between_two_enqueues_is_not_noticed(mortal_redis, caplog):
    """A line that was cut while nobody used it is replaced, not taken for an outage."""
    tasks.add.enqueue(1, 2)
    mortal_redis.server.restart("immediate")

    with caplog.at_level(logging.INFO, "django_tasks"):
        second = tasks.add.enqueue(1, 2)

    assert caplog.messages == []
    assert mortal_redis.held() == [second.id]


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
