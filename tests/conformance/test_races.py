"""Two hands on one task at the same moment: exactly one of them wins, whoever it is."""

import threading
from collections import Counter
from uuid import uuid4

import pytest
from django.db import transaction

from django_tasks.brokers import configured
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.tasks import transitions
from tests.conformance.steps import (
    DATABASE,
    IS_POSTGRESQL,
    IS_SQLITE,
    LONG_AGO,
    at_once,
    claimer,
    ending,
    ids_of,
    make,
    persistently,
    reconcile,
    settle_at_last,
    success,
    with_brokers,
)

#: Tasks that two or three sides go for at the same time; each is one race. Few where a broker has
#: a part: what the rows decide is tried with the table.
RACES, BROKER_RACES = 200, 40


def each(function, items):
    """Return a function that applies `function` to every item, whatever deadlocks it meets."""
    return lambda: [persistently(function, item) for item in items]


def final_statuses(task_ids):
    found = dict(TaskRecord.objects.filter(pk__in=task_ids).values_list("pk", "status"))
    return [found[task_id] for task_id in task_ids]


def finish(claim):
    return claimer().finish([success(claim)])


def cancel(task_id):
    return transitions.cancel(DATABASE, [task_id])


def claim_until(serving, is_done):
    """
    Claim one task at a time until `is_done`; return the claims.

    A claim may find nothing while somebody else has the row locked: it passes over such rows, and
    a broker has to be told of them again.
    """
    claims = []
    while not is_done(claims):
        claims += persistently(claim_or_reconcile, serving, 1)
    return claims


def claim_or_reconcile(serving, limit):
    claims = serving.claim(limit)
    if not claims:
        persistently(reconcile)
    return claims


def are_left(*statuses):
    return TaskRecord.objects.filter(status__in=statuses).exists()


def settle_as(kind, outcome=AttemptOutcome.ERROR):
    worker_id = uuid4()

    def settle_one(claim):
        told = ending(claim, kind, outcome=outcome)
        return not settle_at_last([told], worker_id)

    return settle_one


@pytest.fixture
def races(broker):
    """Return the number of races, by what hands tasks out."""
    return BROKER_RACES if configured.broker_for("default").publishes else RACES


@with_brokers
@pytest.mark.skipif(IS_SQLITE, reason="SQLite has one writer: a cancel waits for the whole claim")
def test_cancel_waits_for_an_open_claim():
    """A cancel that meets a claim before its commit tells the worker that got the task."""
    [task_id] = make()
    is_claimed, is_cancelled = threading.Event(), threading.Event()

    def claim_slowly():
        with transaction.atomic():
            claimer().claim(1)
            is_claimed.set()
            is_cancelled.wait(timeout=0.3)  # in vain: cancel() waits for this transaction

    def cancel_meanwhile():
        assert is_claimed.wait(timeout=20)
        try:
            return cancel(task_id)
        finally:
            is_cancelled.set()

    _, told = at_once(claim_slowly, cancel_meanwhile)

    assert told == (0, 1)


@with_brokers
def test_cancel_against_claim(races):
    """Each task is cancelled before its start or told to stop: a cancel is never lost."""
    made = make(races)

    def claim_all():
        return claim_until(claimer(), lambda _: not are_left(Status.READY))

    cancels, claims = at_once(each(cancel, made), claim_all)

    claimed = {claim.id for claim in claims}
    for task_id, (cancelled, told), status in zip(made, cancels, final_statuses(made), strict=True):
        assert (cancelled, told) == ((0, 1) if task_id in claimed else (1, 0))
        assert status == (Status.RUNNING if task_id in claimed else Status.CANCELLED)
    assert TaskRecord.objects.filter(cancel_requested=True).count() == len(claimed)


def test_cancel_against_retry():
    """A task cancelled while its attempt fails is CANCELLED, not run again."""
    make(RACES)
    claims = claimer().claim(RACES)
    made = [claim.id for claim in claims]

    cancels, _ = at_once(each(cancel, made), each(settle_as("retry"), claims))

    assert Counter(map(sum, cancels)) == {1: RACES}
    assert Counter(final_statuses(made)) == {Status.CANCELLED: RACES}


def test_cancel_against_success():
    """A cancel comes before the finish (then the flag is set) or after it (then it did nothing)."""
    make(RACES)
    claims = claimer().claim(RACES)
    made = [claim.id for claim in claims]

    cancels, finishes = at_once(each(cancel, made), each(finish, claims))

    assert Counter(finishes) == {1: RACES}
    assert Counter(final_statuses(made)) == {Status.SUCCESSFUL: RACES}
    flags = dict(TaskRecord.objects.values_list("pk", "cancel_requested"))
    for task_id, told in zip(made, cancels, strict=True):
        assert told == ((0, 1) if flags[task_id] else (0, 0))


def test_success_against_rescue():
    """A worker that is late and its rescuer: one of them is refused and leaves LATE."""
    make(RACES)
    claims = claimer().claim(RACES)

    finishes, rescues = at_once(
        each(finish, claims), each(settle_as("lose", AttemptOutcome.LOST), reversed(claims))
    )

    finishes.reverse()
    assert {a + b for a, b in zip(finishes, rescues, strict=True)} == {1}
    found = Counter(TaskRecord.objects.values_list("status", flat=True))
    assert found[Status.SUCCESSFUL] == sum(finishes)
    assert found[Status.READY] == sum(rescues)
    wrote = Counter(TaskAttempt.objects.values_list("outcome", flat=True))
    assert wrote == +Counter(LOST=sum(rescues), LATE=RACES - sum(rescues))


def test_fail_against_rescue():
    """Two endings of one claim: the first stands."""
    make(RACES)
    claims = claimer().claim(RACES)

    fails, rescues = at_once(
        each(settle_as("fail"), claims), each(settle_as("lose", AttemptOutcome.LOST), claims)
    )

    assert {a + b for a, b in zip(fails, rescues, strict=True)} == {1}
    found = Counter(TaskRecord.objects.values_list("status", flat=True))
    assert (found[Status.FAILED], found[Status.READY]) == (sum(fails), sum(rescues))


def test_two_rescuers():
    """Every worker sweeps: a lost task is given back once and counted as lost once."""
    make(RACES)
    claims = claimer().claim(RACES)
    rescue = settle_as("lose", AttemptOutcome.LOST)

    at_once(each(rescue, claims), each(rescue, claims), each(rescue, claims))

    found = set(TaskRecord.objects.values_list("status", "lost", "attempts"))
    assert found == {(Status.READY, 1, 0)}
    lost = TaskAttempt.objects.filter(outcome=AttemptOutcome.LOST)
    assert lost.count() == RACES


@with_brokers
def test_requeue_against_stale_success(races):
    """A result of the run before never finishes the requeued task."""
    make(races)
    claims = claimer().claim(races)
    for claim in claims:
        settle_as("fail")(claim)

    def requeue_and_claim():
        serving, again = claimer(), []
        for claim in claims:
            persistently(transitions.requeue, DATABASE, [claim.id])
            again += claim_until(serving, len)
        return again

    stale, again = at_once(each(finish, [*claims] * 2), requeue_and_claim)

    assert sum(stale) == 0
    assert len(again) == races
    assert set(TaskRecord.objects.values_list("status", "claims")) == {(Status.RUNNING, 3)}


@with_brokers
def test_two_promoters(races):
    """Every worker promotes: each due task becomes ready once and is claimed once."""
    make(races, status=Status.SCHEDULED, run_after=LONG_AGO)

    def promote_and_claim():
        serving, claims = claimer(), []
        while are_left(Status.SCHEDULED, Status.READY):
            persistently(transitions.promote, DATABASE)
            claims += persistently(claim_or_reconcile, serving, races)
        return ids_of(claims)

    taken = [task_id for ids in at_once(*[promote_and_claim] * 3) for task_id in ids]

    assert len(taken) == len(set(taken)) == races


@with_brokers
def test_expire_against_claim(races):
    """An overdue task is cancelled or claimed, never both."""
    made = make(races, expires_at=LONG_AGO)

    def expire():
        return [persistently(transitions.expire, DATABASE) for _ in range(10)]

    def claim_all():
        claims = claim_until(claimer(), lambda _: not are_left(Status.READY))
        return {claim.id for claim in claims}

    expired, claimed = at_once(expire, claim_all)

    assert sum(expired) + len(claimed) == races
    for task_id, status in zip(made, final_statuses(made), strict=True):
        assert status == (Status.RUNNING if task_id in claimed else Status.CANCELLED)
    assert TaskAttempt.objects.count() == sum(expired)


def test_two_requeuers():
    """Requeueing the same tasks from two places makes each ready once."""
    made = make(RACES, status=Status.FAILED)

    def requeue(task_id):
        return transitions.requeue(DATABASE, [task_id])

    first, second = at_once(each(requeue, made), each(requeue, made))

    assert {a + b for a, b in zip(first, second, strict=True)} == {1}


@with_brokers
def test_overlapping_batches_all_go_through(races):
    """
    Settling, cancelling and requeueing the same tasks in any order ends in a legal status.

    On PostgreSQL nobody is even asked to try again: rows are locked in the order of their ids.
    InnoDB locks index entries too, in orders of its own, so there a deadlock may end a try.
    """
    made = make(races)
    rounds = 12
    attempt = (lambda function, *args: function(*args)) if IS_POSTGRESQL else persistently

    def cancel_all():
        for _ in range(rounds):
            attempt(transitions.cancel, DATABASE, made)

    def requeue_all():
        for _ in range(rounds):
            attempt(transitions.requeue, DATABASE, made[::-1])

    def work():
        serving = claimer()
        for _ in range(rounds):
            claims = attempt(serving.claim, races // 2)
            told = [ending(claim, "retry") for claim in claims]
            settle_at_last(told, uuid4())

    at_once(cancel_all, requeue_all, work, work)

    found = set(TaskRecord.objects.values_list("status", flat=True))
    assert found <= {Status.CANCELLED, Status.READY}
    assert TaskRecord.objects.count() == races
