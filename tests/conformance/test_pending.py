"""What happens to tasks that no worker owns: promote, expire, cancel, requeue, purge, delete."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import FINAL_STATUSES, PENDING_STATUSES, AttemptOutcome, Status
from django_tasks.store import locking
from django_tasks.store.tasks import deletions, transitions
from tests.conformance.steps import (
    DATABASE,
    FAR_AHEAD,
    IS_POSTGRESQL,
    LONG_AGO,
    claim_one,
    claimer,
    ending,
    ids_of,
    make,
    outcomes,
    point_to,
    record,
    settle,
    shift,
    statuses,
    store,
    success,
    with_brokers,
)
from tests.conformance.test_plans import analyze
from tests.rows_read import rows_read
from tests.tasks import add

#: One chunk and a part of the next.
MANY = locking.CHUNK + 234


# --- promote ------------------------------------------------------------------------------------


@with_brokers
def test_promote_makes_due_tasks_ready():
    """Due ones become READY and are handed out, later ones stay; their queues are named."""
    due = make(status=Status.SCHEDULED, run_after=LONG_AGO, queue_name="a") + make(
        status=Status.SCHEDULED, run_after=LONG_AGO, queue_name="b"
    )
    later = make(status=Status.SCHEDULED, queue_name="c")

    assert transitions.promote(DATABASE) == {"a", "b"}

    assert statuses(due) == [Status.READY] * 2
    assert statuses(later) == [Status.SCHEDULED]
    assert transitions.promote(DATABASE) == set()
    assert set(ids_of(claimer("*").claim(3))) == set(due)


def test_promote_is_by_the_databases_clock(wrong_clock):
    """Seconds around the present are told apart whatever this process's clock says."""
    due, later = make(2, status=Status.SCHEDULED)
    shift([due], "run_after", seconds=-5)
    shift([later], "run_after", seconds=60)

    transitions.promote(DATABASE)

    assert statuses([due, later]) == [Status.READY, Status.SCHEDULED]


@with_brokers
def test_enqueue_tells_due_from_scheduled_by_the_databases_clock():
    """A run_after in the database's past is READY, and handed out; one ahead is SCHEDULED."""
    now = datetime.now(UTC)
    due = add.using(run_after=now - timedelta(seconds=60)).enqueue(1, 2)
    later = add.using(run_after=now + timedelta(seconds=60)).enqueue(1, 2)
    many = add.using(run_after=now + timedelta(seconds=60)).enqueue_many([(1, 2)])

    found = statuses([UUID(due.id), UUID(later.id), UUID(many[0].id)])
    assert found == [Status.READY, Status.SCHEDULED, Status.SCHEDULED]
    assert ids_of(claimer().claim(3)) == [UUID(due.id)]


def test_wrong_clock_does_not_make_a_future_task_run(wrong_clock):
    """A process that lives in 2001 schedules for its own 2001; the row is due for the database."""
    result = add.using(run_after=LONG_AGO + timedelta(days=1)).enqueue(1, 2)

    assert statuses([UUID(result.id)]) == [Status.READY]


def test_promote_leaves_other_statuses_alone():
    """Only SCHEDULED is promoted, however old the run_after of others is."""
    others = [s for s in Status if s != Status.SCHEDULED]
    made = [make(status=status, run_after=LONG_AGO)[0] for status in others]

    assert transitions.promote(DATABASE) == set()
    assert statuses(made) == others


def test_promote_at_any_time():
    """A burst of a test or a person may run what is not due yet."""
    later = make(status=Status.SCHEDULED)

    assert transitions.promote(DATABASE, at_any_time=True) == {"default"}
    assert statuses(later) == [Status.READY]


@with_brokers
def test_promote_goes_on_beyond_a_chunk():
    """More due tasks than one chunk are all promoted and handed out."""
    make(MANY, status=Status.SCHEDULED, run_after=LONG_AGO)

    transitions.promote(DATABASE)

    assert len(claimer().claim(MANY + 1)) == MANY


@with_brokers
def test_promoted_tasks_are_claimed_by_priority():
    """A promoted task takes its place among the ready ones."""
    [ready] = make(priority=1)
    [promoted] = make(status=Status.SCHEDULED, run_after=LONG_AGO, priority=2)
    transitions.promote(DATABASE)

    assert ids_of(claimer().claim(2)) == [promoted, ready]


# --- expire -------------------------------------------------------------------------------------


@with_brokers
def test_expire_cancels_what_was_not_started_in_time():
    """READY and SCHEDULED tasks become CANCELLED with an attempt that says why."""
    overdue = make(expires_at=LONG_AGO) + make(status=Status.SCHEDULED, expires_at=LONG_AGO)
    kept = make(expires_at=FAR_AHEAD) + make()

    assert transitions.expire(DATABASE) == 2

    assert statuses(overdue) == [Status.CANCELLED] * 2
    assert statuses(kept) == [Status.READY] * 2
    [attempt] = TaskAttempt.objects.filter(task_id=overdue[0])
    assert attempt.outcome == AttemptOutcome.EXPIRED
    assert attempt.exception_path == "django_tasks.exceptions.TaskExpired"
    assert record(overdue[0]).finished_at > LONG_AGO
    assert ids_of(claimer().claim(4)) == kept


def test_expire_leaves_started_and_finished_tasks_alone():
    """A running task is past its expiry; a finished one too."""
    others = [s for s in Status if s not in (Status.READY, Status.SCHEDULED)]
    made = [make(status=status, expires_at=LONG_AGO)[0] for status in others]

    assert transitions.expire(DATABASE) == 0
    assert statuses(made) == others


def test_expire_is_by_the_databases_clock(wrong_clock):
    """Seconds around the present are told apart whatever this process's clock says."""
    overdue, later = make(2)
    shift([overdue], "expires_at", seconds=-5)
    shift([later], "expires_at", seconds=60)

    assert transitions.expire(DATABASE) == 1
    assert statuses([overdue, later]) == [Status.CANCELLED, Status.READY]


def test_expire_goes_on_beyond_a_chunk():
    """More overdue tasks than one chunk are all cancelled, each with its attempt."""
    make(MANY, expires_at=LONG_AGO)

    assert transitions.expire(DATABASE) == MANY
    assert TaskAttempt.objects.count() == MANY


# --- cancel -------------------------------------------------------------------------------------


def test_cancel_ends_pending_tasks_and_tells_running_ones():
    """Pending ones are CANCELLED at once, running ones get the flag, finished ones nothing."""
    made = {status: make(status=status)[0] for status in Status}

    assert transitions.cancel(DATABASE, made.values()) == (len(PENDING_STATUSES), 1)

    for status, task_id in made.items():
        row = record(task_id)
        assert row.status == (Status.CANCELLED if status in PENDING_STATUSES else status)
        assert row.cancel_requested == (status == Status.RUNNING)
        wrote = [AttemptOutcome.CANCELLED] if status in PENDING_STATUSES else []
        assert outcomes(task_id) == wrote


def test_cancel_of_cancelled_and_unknown_tasks_does_nothing():
    """Cancelling twice cancels once; an unknown id is no error."""
    [task_id] = make()

    assert transitions.cancel(DATABASE, [task_id, uuid4()]) == (1, 0)
    assert transitions.cancel(DATABASE, [task_id, uuid4()]) == (0, 0)
    assert transitions.cancel(DATABASE, []) == (0, 0)
    assert outcomes(task_id) == [AttemptOutcome.CANCELLED]


def test_cancel_takes_any_number_of_tasks():
    """Chunks of a thousand, also from a generator."""
    made = make(MANY)

    assert transitions.cancel(DATABASE, iter(made)) == (MANY, 0)
    assert set(statuses(made)) == {Status.CANCELLED}


@with_brokers
def test_cancelled_tasks_are_never_claimed():
    """Nothing brings a cancelled task back but requeue."""
    [task_id] = make()
    transitions.cancel(DATABASE, [task_id])
    transitions.promote(DATABASE)
    point_to([task_id])

    assert claimer().claim(1) == []


# --- requeue ------------------------------------------------------------------------------------


@with_brokers
def test_requeue_makes_failed_and_cancelled_tasks_ready():
    """Attempts and losses count anew, the claim number grows, the history stays."""
    make(lost=2)
    claim = claim_one()
    state = {"progress": "[1,2,null]", "custom_state": "HALF", "meta": "{}"}
    settle(ending(claim, "fail", fields=state))
    TaskRecord.objects.update(expires_at=LONG_AGO, cancel_requested=True, run_after=LONG_AGO)

    assert transitions.requeue(DATABASE, [claim.id]) == 1

    row = record(claim.id)
    assert (row.status, row.attempts, row.lost, row.claims) == (Status.READY, 0, 0, 2)
    assert (row.finished_at, row.expires_at) == (None, None)
    assert row.run_after > LONG_AGO  # from now on: what it waits is counted from here
    assert (row.progress, row.custom_state, row.meta) == (None, None, None)
    assert not row.cancel_requested
    assert outcomes(claim.id) == [AttemptOutcome.ERROR]
    assert ids_of(claimer().claim(2)) == [claim.id]


def test_requeue_of_other_statuses_does_nothing():
    """Only FAILED and CANCELLED tasks run again."""
    others = [s for s in Status if s not in (Status.FAILED, Status.CANCELLED)]
    made = [make(status=status)[0] for status in others]

    assert transitions.requeue(DATABASE, made) == 0
    assert statuses(made) == others


@with_brokers
def test_requeue_fences_the_first_run_off():
    """A result of the run before the requeue does not finish the task."""
    make()
    stale = claim_one()
    settle(ending(stale, "fail"))
    transitions.requeue(DATABASE, [stale.id])

    assert claimer("other").finish([success(stale)]) == 0
    current = claim_one()
    assert claimer("other").finish([success(stale)]) == 0
    assert claimer("other").finish([success(current)]) == 1


@with_brokers
def test_requeue_takes_any_number_of_tasks():
    """Chunks of a thousand, also from a generator."""
    made = make(MANY, status=Status.FAILED)

    assert transitions.requeue(DATABASE, iter(made)) == MANY
    assert len(claimer().claim(MANY + 1)) == MANY


# --- purge and prune ----------------------------------------------------------------------------


@with_brokers
def test_purge_deletes_what_has_not_started():
    """
    Only pending tasks of that queue; their attempts go with them, and nothing is claimed.

    WAITING stays: nothing makes it yet, and no index finds it among all that finished.
    """
    made = {status: make(status=status)[0] for status in Status}
    kept = {*make(queue_name="elsewhere"), *make(backend="other")}
    settle(ending(claim_one(), "retry", delay=60.0))  # the READY one: it has an attempt now

    purged = (Status.SCHEDULED, Status.READY)
    assert deletions.purge(DATABASE, "default", "default") == (len(purged), True)

    left = {task_id for status, task_id in made.items() if status not in purged}
    assert set(TaskRecord.objects.values_list("pk", flat=True)) == left | kept
    assert not TaskAttempt.objects.exists()
    assert {claim.queue_name for claim in claimer("*").claim(10)} == {"elsewhere"}


def test_finished_tasks_are_deleted_by_id():
    """Unfinished ones of the same list stay."""
    made = {status: make(status=status)[0] for status in Status}

    assert deletions.delete_finished(DATABASE, made.values()) == len(FINAL_STATUSES)
    left = set(TaskRecord.objects.values_list("pk", flat=True))
    assert left == {task_id for s, task_id in made.items() if s not in FINAL_STATUSES}


# --- rows read ---------------------------------------------------------------------------------


@pytest.mark.skipif(not IS_POSTGRESQL, reason="plans of PostgreSQL")
def test_promoting_a_chunk_of_very_much_that_is_due_reads_no_more():
    """Also while the statistics say that it is little: PostgreSQL would sort all of it."""
    moments = random.Random(7)

    def make_due(rows):
        for row in rows:
            row.run_after = LONG_AGO + timedelta(seconds=moments.random() * 1e6)
        TaskRecord.objects.bulk_update(rows, ["run_after"], batch_size=1000)

    def read_by_a_chunk():
        with rows_read() as read:
            transitions.promote(DATABASE, seconds=0.0)
        return read.total

    store(5 * locking.CHUNK, status=Status.SCHEDULED)
    made = list(TaskRecord.objects.only("pk"))
    moments.shuffle(made)
    make_due(made[: locking.CHUNK])
    analyze()
    make_due(made[: 4 * locking.CHUNK])
    much = read_by_a_chunk()
    TaskRecord.objects.filter(pk__in=[row.pk for row in made[: 4 * locking.CHUNK]]).delete()
    make_due(made[4 * locking.CHUNK :])
    analyze()
    little = read_by_a_chunk()

    assert much < 1.5 * little, (much, little)


# --- constraints --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "DONE"},
        {"status": ""},
        {"status": Status.READY, "finished_at": LONG_AGO},
        {"status": Status.RUNNING, "worker_id": uuid4(), "finished_at": LONG_AGO},
        {"status": Status.SUCCESSFUL, "finished_at": None},
        {"status": Status.FAILED, "finished_at": None},
        {"status": Status.CANCELLED, "finished_at": None},
        {"status": Status.RUNNING, "worker_id": None},
        {"status": Status.SCHEDULED, "run_after": None},
    ],
    ids=lambda columns: "-".join(f"{k}={v}"[:24] for k, v in columns.items()),
)
def test_database_refuses_impossible_rows(columns):
    """The machine's invariants are CHECK constraints: not even plain SQL breaks them."""
    [task_id] = make()

    with pytest.raises(IntegrityError), transaction.atomic():
        TaskRecord.objects.filter(pk=task_id).update(**columns)

    assert statuses([task_id]) == [Status.READY]
