"""What every broker publishes, hands out, refuses, loses and lives through, in one process."""

import logging
import select
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from django_tasks.brokers import configured, rejects
from django_tasks.brokers.base import BrokerAway
from django_tasks.dep14.handler import task_backends
from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.runtime.outages import LONGEST_PAUSE
from django_tasks.statuses import Status
from django_tasks.store.values import EndingKind
from django_tasks.worker.keeper.reconciler import Findings
from tests.brokers import steps
from tests.brokers.steps import broker_claimer, claim_all, claim_one, ids_of, reconcile
from tests.conformance.steps import ending, settle, statuses, store, success
from tests.worker import tasks
from tests.worker.ledger import until

#: Those that keep an order, and tell keepers what they have to know.
able = pytest.mark.brokers("redis", "classic")

# --- publishing ---------------------------------------------------------------------------------


def test_enqueue_publishes_after_the_commit(broker):
    """Nothing is handed out before the row can be claimed."""
    with transaction.atomic():
        result = tasks.add.enqueue(1, 2)
        before = broker.count()

    assert before == 0
    broker.await_held(1)
    serving = broker_claimer()
    assert claim_all(serving, 1) == [result.id]
    serving.close()


def test_rollback_publishes_nothing(broker):
    """A task that was never enqueued is never handed out, also of an inner block."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.add.enqueue(1, 2)
        raise ZeroDivisionError
    with transaction.atomic():
        tasks.add.enqueue(1, 2)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tasks.add.enqueue(3, 4)
            raise ZeroDivisionError
        tasks.add.enqueue(5, 6)

    broker.await_held(2)


@able
def test_tasks_for_later_are_not_published(broker):
    """Their promotion will do it."""
    tasks.add.enqueue(1, 2)
    serving = broker_claimer()
    claim = claim_one(serving)

    settle(ending(claim, EndingKind.RETRY, delay=60))
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)
    serving.close()

    assert broker.count() == 0


@able
def test_requeued_task_is_published(broker):
    """By the API; tests/conformance has what else makes a task ready."""
    [task_id] = store(status=Status.FAILED)

    task_backends["default"].requeue(str(task_id))

    broker.await_held(1)


# --- claiming -----------------------------------------------------------------------------------


def test_published_tasks_are_claimed_once(broker):
    """All of them, by whoever asks first; what is claimed is not handed out again."""
    made = {tasks.add.enqueue(number, 1).id for number in range(12)}
    first, second = broker_claimer(), broker_claimer()

    claimed = []
    until(
        lambda: claimed.extend(ids_of(first.claim(2) + second.claim(2))) or len(claimed) >= 12,
        "all claims",
    )
    first.close()
    second.close()

    assert (len(claimed), set(claimed)) == (12, made)
    broker.await_held(0)
    assert broker_claimer().claim(10) == []


@pytest.mark.brokers("redis", "classic", "quorum", "memory")
def test_what_is_taken_at_a_time_is_in_order(broker):
    """Higher priorities first, and the older of equals."""
    made = [tasks.add.using(priority=priority).enqueue(1, 2).id for priority in (0, 5, 0, -9, 9)]
    serving = broker_claimer()

    assert ids_of(serving.claim(10)) == [made[4], made[1], made[0], made[2], made[3]]
    serving.close()


@able
def test_queues_are_served_in_their_order(broker):
    """While an earlier queue has ids, later ones wait."""
    made = [tasks.add.using(queue_name=name).enqueue(1, 2).id for name in ("other", "mail") * 2]
    serving = broker_claimer("mail,other")

    assert ids_of(serving.claim(3)) == [made[1], made[3], made[0]]
    assert broker.count("other") == 1
    serving.close()


@able
def test_finish_and_claim_go_together(broker):
    """Successes are recorded with the next claim, and without one."""
    for _ in range(2):
        tasks.add.enqueue(1, 2)
    serving = broker_claimer()
    [first] = serving.claim(1)

    accepted, [second] = serving.finish_and_claim([success(first)], 1)
    last, nothing = serving.finish_and_claim([success(second)], 1)
    serving.close()

    assert (accepted, last, nothing) == (1, 1, [])
    assert statuses([first.id, second.id]) == [Status.SUCCESSFUL] * 2


def test_idle_claimer_asks_the_database_nothing(broker, django_assert_num_queries):
    """With the broker there, an empty look is no query."""
    serving = broker_claimer()

    with django_assert_num_queries(0):
        assert serving.claim(10) == []
        serving.watch()
        assert serving.claim(10) == []
        serving.close()


def test_waiting_process_is_woken(broker):
    """What it waits on becomes readable by the id, which is then claimed."""
    serving = broker_claimer()
    serving.claim(1)
    waits = serving.watch()
    result = tasks.add.enqueue(1, 2)

    readable = select.select(waits, [], [], 60)[0]

    assert readable == list(waits)
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()
    broker.await_held(0)


def test_waiting_process_hears_of_each_of_its_queues(broker):
    """Also of the last, while there is nothing in those before it."""
    serving = broker_claimer("mail,other,default")
    serving.claim(1)
    waits = serving.watch()
    result = tasks.add.using(queue_name="default").enqueue(1, 2)

    assert select.select(waits, [], [], 20)[0] == list(waits)

    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()
    broker.await_held(0)


def test_process_without_room_leaves_tasks_to_others(broker):
    """What it waited for is given back, and what it takes is bounded by its room."""
    busy, idle = broker_claimer(), broker_claimer()
    waits = busy.watch()
    made = [tasks.add.enqueue(1, 2).id for _ in range(3)]
    select.select(waits, [], [], 60)
    [mine] = ids_of(busy.claim(1))
    # An id that arrives just as it stops waiting may be lost on the way, until a keeper looks.
    select.select(busy.watch(), [], [], 60)
    busy.release()

    others = claim_all(idle, 2)
    busy.close()
    idle.close()

    assert {mine, *others} == set(made)


def test_paused_queues_are_left_out(broker):
    """Also when the id came before the pause."""
    serving = broker_claimer("default,other")
    waits = serving.watch()
    paused = tasks.add.enqueue(1, 2)
    select.select(waits, [], [], 60)
    serving.paused = frozenset({"default"})
    other = tasks.add.using(queue_name="other").enqueue(1, 2)

    assert claim_all(serving, 1) == [other.id]
    broker.await_held(1)
    serving.paused = frozenset()
    assert claim_all(serving, 1) == [paused.id]
    serving.close()


@able
def test_new_queue_is_served_by_its_pattern(broker):
    """A queue that no task declares is known by its ready task."""
    result = tasks.add.using(queue_name="mail").enqueue(1, 2)
    serving, nobody = broker_claimer("ma*"), broker_claimer("nobody*")

    assert ids_of(serving.claim(1)) == [result.id]
    assert nobody.claim(1) == []
    serving.close()
    nobody.close()


# --- what is wrong in a broker ------------------------------------------------------------------


def test_forged_ids_claim_nothing(broker):
    """Unknown, finished, someone else's and another queue's ids: nothing runs."""
    columns = {"status": Status.SUCCESSFUL}, {"queue_name": "secret"}, {"backend": "other"}
    others = [store(**column)[0] for column in (*columns, {"status": Status.SCHEDULED})]
    result = tasks.add.enqueue(1, 2)
    broker.point_to(uuid4(), uuid7(), *others)
    serving = broker_claimer()

    assert claim_all(serving, 1) == [result.id]
    until(lambda: not serving.claim(10) and not broker.count(), "all ids")
    serving.close()

    expected = [Status.SUCCESSFUL, Status.READY, Status.READY, Status.SCHEDULED]
    assert statuses(others) == expected


def test_garbage_is_dropped_with_one_line(broker, caplog):
    """Whatever is there, the tasks beside it run, and one line tells of it."""
    for body in (b"x", b"\xff\x00", b"x" * 36, b"1" * 200_000, b"'; DROP TABLE x; --", b"[]"):
        serving = broker_claimer()
        serving.claim(1)
        caplog.clear()
        broker.forge(body, body + b"1", body + b"2")
        result = tasks.add.enqueue(1, 2)

        with caplog.at_level(logging.WARNING, "django_tasks"):
            assert claim_all(serving, 1) == [result.id]
            until(lambda: not serving.claim(10) and not broker.count(), "all ids")  # noqa: B023
        serving.close()

        [line] = caplog.messages
        assert "no task id" in line
        assert len(line) < 4 * rejects.SHOWN + 100


def test_task_that_is_handed_out_often_runs_once(broker):
    """Whether its ids come together or after the claim."""
    result = tasks.add.enqueue(1, 2)
    broker.point_to(*[result.id] * 4)
    serving = broker_claimer()

    assert claim_all(serving, 1) == [result.id]
    broker.point_to(result.id)
    until(lambda: not serving.claim(10) and not broker.count(), "all ids")
    serving.close()

    assert TaskRecord.objects.get(pk=result.id).claims == 1


# --- what a broker loses, and what it tells keepers ---------------------------------------------


@able
def test_reconciler_publishes_what_was_lost(broker):
    """What is missing at two looks is published again, once."""
    made = [tasks.add.enqueue(1, 2).id for _ in range(5)]
    broker.lose()

    for _ in range(3):
        reconcile()

    broker.await_held(5)
    serving = broker_claimer()
    assert ids_of(serving.claim(10)) == made
    serving.close()


@able
def test_reconciler_goes_on_where_all_is_lost(broker, monkeypatch):
    """One round brings back more than one query gives."""
    monkeypatch.setattr("django_tasks.worker.keeper.reconciler.CHUNK", 10)
    made = store(35)

    reconcile()

    broker.await_held(len(made))


@able
def test_reconciler_serves_patterns_and_only_its_queues(broker):
    """A keeper publishes what its own worker would run."""
    store(queue_name="mail")
    store(queue_name="other")

    reconcile("mai*")

    broker.await_held(1, "mail")
    assert broker.count("other") == 0


@able
def test_idle_keeper_asks_the_broker_and_not_the_database(broker, django_assert_num_queries):
    """As long as nothing was lost, the table is left alone."""
    keeper = steps.make_reconciler()
    assert keeper.rest == 1.0
    keeper.run()

    with django_assert_num_queries(0):
        for _ in range(5):
            assert keeper.run() == Findings(1.0)
    assert keeper.rest == keeper.longest_rest == 10.0


@able
@pytest.mark.parametrize("kind", ["retry", "snooze", "release"])
def test_keepers_hear_of_tasks_put_off(broker, kind):
    """The next look at what is due does not wait until the table is looked at anyway."""
    tasks.add.enqueue(1, 2)
    serving = broker_claimer()
    claim = claim_one(serving)
    serving.close()
    keeper = steps.make_reconciler()
    keeper.run()

    settle(ending(claim, EndingKind(kind), delay=60))

    assert keeper.run().has_later
    assert not keeper.run().has_later


@able
def test_keepers_hear_of_tasks_for_later(broker):
    """Each of them, after the commit, and not after a rollback."""
    keeper, another = steps.make_reconciler(), steps.make_reconciler()
    keeper.run(), another.run()
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
    assert another.run().has_later
    later.enqueue_many([((1, 2), {})])
    assert keeper.run().has_later


# --- the broker gone ----------------------------------------------------------------------------


def test_outage_costs_no_task_and_one_line(mortal, caplog):
    """Enqueues commit, claims and keepers turn to the table, and all come back by themselves."""
    caplog.set_level(logging.INFO, "django_tasks")
    serving, keeper, outage = (
        broker_claimer(),
        steps.make_reconciler(),
        configured.broker_for("default").outage,
    )
    serving.claim(1), serving.watch(), keeper.run()
    mortal.server.stop("immediate")

    assert keeper.run().has_later  # it is told what it may not have heard
    assert keeper.rest == 1.0
    made = [tasks.add.enqueue(number, 1).id for number in range(20)]
    assert ids_of(serving.claim(30)) == made
    # Without ready tasks there is nothing to compare, and it is asked all the same.
    until(lambda: reconcile() or outage._pause >= LONGEST_PAUSE, "some attempts")
    assert outage.since is not None
    [line] = caplog.messages
    assert "Lost the" in line
    assert "guest" not in line

    mortal.server.start()
    until(lambda: reconcile() or outage.since is None, "the end of the outage")
    lost = store()
    reconcile()
    mortal.await_held(1)
    until(lambda: serving.claim(0) or outage.since is None, "a new connection")
    assert [claim_one(serving).id] == lost
    back = tasks.add.enqueue(1, 2)
    mortal.await_held(1)
    assert ids_of(serving.claim(5)) == [back.id]
    serving.close()


@able
def test_keeper_asks_in_each_round_whether_the_broker_is_back(broker):
    """However long others pause: workers that came back wait for what it publishes."""
    keeper, outage = steps.make_reconciler(), configured.broker_for("default").outage
    keeper.run()
    made = store(3)
    outage._pause = 3600.0
    outage.began(BrokerAway("so says the test"))

    keeper.run(), keeper.run()

    broker.await_held(len(made))
    assert outage.since is None


@able
def test_keeper_waits_for_grace_after_an_outage(broker):
    """What those enqueue who do not know yet that it is over is found, though all was quiet."""
    keeper = steps.make_reconciler()
    configured.broker_for("default").outage.began(BrokerAway("so says the test"))
    keeper.run()
    made = store(3)

    keeper.run(), keeper.run()

    broker.await_held(len(made))


def test_restart_between_two_enqueues_is_not_noticed(mortal, caplog):
    """A connection that was cut while nobody used it is replaced, not taken for an outage."""
    tasks.add.enqueue(1, 2)
    mortal.server.restart("fast")

    with caplog.at_level(logging.INFO, "django_tasks"):
        tasks.add.enqueue(1, 2)

    assert caplog.messages == []
    mortal.await_held(1)
