"""How claimed tasks end: what each ending writes, and that a stale claim changes nothing."""

import json
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.dialects import postgresql
from django_tasks.store.tasks import attempts, transitions
from django_tasks.store.values import CLAIMED, Claim, EndingKind, Success
from tests.conformance.steps import (
    DATABASE,
    HOST,
    IS_POSTGRESQL,
    IS_SQLITE,
    WRITER,
    at_once,
    claim_one,
    claimer,
    ending,
    from_the_table,
    ids_of,
    make,
    outcomes,
    record,
    settle,
    statuses,
    success,
    with_brokers,
)

# `from_the_table`: rows that nobody has claimed, so that no broker had a part in it.
pytestmark = with_brokers

#: kind -> status after it without a delay, and whether the attempt counts.
ENDINGS = {
    "fail": (Status.FAILED, True),
    "retry": (Status.READY, True),
    "snooze": (Status.READY, False),
    "release": (Status.READY, False),
    "lose": (Status.READY, False),
    "poison": (Status.FAILED, True),
    "cancel": (Status.CANCELLED, True),
    "expire": (Status.CANCELLED, False),
}
DELAYED = ["retry", "snooze", "release", "lose"]


def refused(*successes):
    late, _locked = attempts.refused_successes(DATABASE, successes, uuid4(), 1, HOST)
    return late


def claim_like(task_id):
    """Return the claim that a worker would hold on this row."""
    row = TaskRecord.objects.values_list(*CLAIMED).get(pk=task_id)
    return Claim(*row, is_expired=False)


def whole(task_id):
    """Return every column of a task, to see that none has changed."""
    return TaskRecord.objects.filter(pk=task_id).values().get()


@from_the_table
def test_every_ending_is_tested():
    """ENDINGS names the endings that the store knows."""
    assert ENDINGS.keys() == transitions._EFFECTS.keys()


# --- succeed ------------------------------------------------------------------------------------


def test_success_is_recorded():
    """A body that returned leaves its value, its run time and when it finished."""
    make(2)
    serving = claimer()
    kept, ignored = serving.claim(2)

    assert (
        serving.finish([success(kept, '{"a":"\\u00e9\\\\\\""}', 1.5), success(ignored, None)]) == 2
    )

    row = record(kept.id)
    assert row.status == Status.SUCCESSFUL
    assert json.loads(row.return_value) == {"a": 'é\\"'}
    assert row.run_time == 1.5
    assert row.started_at <= row.finished_at
    assert abs(row.finished_at - timezone.now()) < timedelta(seconds=30)
    assert record(ignored.id).return_value is None
    assert outcomes(kept.id) == []


@pytest.mark.parametrize(
    "value",
    [
        "null",
        '""',
        '"{},\\"NULL\\\\,"',
        '"' + "x" * 1_000_000 + '"',
        "[" * 60 + "]" * 60,
        '"\\ud83d\\ude00"',
        "123456789012345678901234567890",
        "0.1",
        "true",
        '{"b":1,"a":2}',
    ],
    ids=lambda value: value[:12],
)
def test_return_values_come_back_as_they_were(value):
    """Every text arrives unchanged: quotes, braces, null, a megabyte, big numbers, key order."""
    make(2)
    serving = claimer()
    first, second = serving.claim(2)

    serving.finish([success(first, value)])
    serving.finish_and_claim([success(second, value)], 1)

    assert record(first.id).return_value == record(second.id).return_value == value


def test_stale_success_changes_nothing_and_is_late():
    """After a rescue the first claim's result is refused, whether the second still runs or not."""
    make()
    stale = claim_one()
    settle(ending(stale, "lose", outcome=AttemptOutcome.LOST))
    current = claim_one()
    before = whole(stale.id)

    assert claimer().finish([success(stale, '"stale"')]) == 0
    assert refused(success(stale)) == [stale.id]

    assert whole(stale.id) == before
    assert outcomes(stale.id) == [AttemptOutcome.LOST, AttemptOutcome.LATE]
    late = TaskAttempt.objects.get(outcome=AttemptOutcome.LATE)
    assert (late.claim, late.host) == (stale.claims, HOST)
    claimer().finish([success(current, '"current"')])
    assert claimer().finish([success(stale, '"stale"')]) == 0
    assert record(stale.id).return_value == '"current"'


def test_success_of_a_claim_to_come_is_refused():
    """A claim number ahead of the row's is no better than one behind it."""
    make()
    claim = claim_one()

    assert claimer().finish([success(claim._replace(claims=claim.claims + 1))]) == 0

    assert statuses([claim.id]) == [Status.RUNNING]


@from_the_table
@pytest.mark.parametrize("status", [s for s in Status if s != Status.RUNNING])
def test_only_running_tasks_succeed(status):
    """succeed expects RUNNING, even when the claim number fits."""
    [task_id] = make(status=status, claims=1)
    before = whole(task_id)

    accepted, _ = claimer("other").finish_and_claim([Success(task_id, 1, '"x"', 0.1)], 1)

    assert accepted == claimer().finish([Success(task_id, 1, '"x"', 0.1)]) == 0
    assert whole(task_id) == before


def test_success_repeated_after_a_lost_reply_is_accepted():
    """The second writing of one success changes nothing and is no late result."""
    make()
    claim = claim_one()
    claimer().finish([success(claim)])
    before = whole(claim.id)

    assert claimer().finish([success(claim, '"again"')]) == 0
    assert refused(success(claim)) == []

    assert whole(claim.id) == before
    assert outcomes(claim.id) == []


def test_success_of_a_deleted_task_is_late_and_harms_nobody():
    """A purge or prune under a running task: its result is refused, the batch goes on."""
    make(2)
    gone, stays = claimer().claim(2)
    TaskRecord.objects.filter(pk=gone.id).delete()

    assert claimer().finish([success(gone), success(stays)]) == 1
    assert refused(success(gone), success(stays)) == [gone.id]


def test_one_stale_success_does_not_stop_the_batch():
    """Each success of a batch is judged alone; the same one twice counts once."""
    make(5)
    serving = claimer()
    claims = serving.claim(5)
    batch = [success(claim) for claim in claims]
    batch[2] = success(claims[2]._replace(claims=99))

    assert serving.finish([*batch, batch[0]]) == 4

    assert statuses([c.id for c in claims]).count(Status.SUCCESSFUL) == 4
    assert refused(*batch) == [claims[2].id]


def test_thousands_of_successes_in_one_batch():
    """A batch has no size at which it breaks."""
    make(2500)
    serving = claimer()

    assert serving.finish([success(claim) for claim in serving.claim(2500)]) == 2500


def test_success_inside_of_the_bodys_transaction():
    """atomic=True: the success is part of the caller's transaction and guarded like any other."""
    make()
    claim = claim_one()

    assert not transitions.succeed_in_transaction(DATABASE, success(claim._replace(claims=7)), {})
    assert transitions.succeed_in_transaction(DATABASE, success(claim, '"done"', 0.5), {})
    assert not transitions.succeed_in_transaction(DATABASE, success(claim, '"again"'), {})

    row = record(claim.id)
    assert (row.status, row.return_value, row.run_time) == (Status.SUCCESSFUL, '"done"', 0.5)
    assert row.finished_at is not None


# --- settle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENDINGS)
def test_ending_writes_its_status(kind):
    """Each ending leads to its status; what runs again is handed out, and nothing else."""
    [task_id] = make(attempts=1, claims=4, lost=1)
    status, counts = ENDINGS[kind]
    claim = claim_one()

    assert settle(ending(claim, kind, run_time=0.5)) == []

    row = record(task_id)
    assert row.status == status
    assert row.attempts == (2 if counts else 1)
    assert row.claims == 5
    assert row.lost == (2 if kind in ("lose", "poison") else 1)
    assert (row.finished_at is not None) == (status in (Status.FAILED, Status.CANCELLED))
    assert row.run_after is None
    assert row.run_time == 0.5
    assert len(claimer().claim(2)) == (status == Status.READY)


@pytest.mark.parametrize("kind", DELAYED)
def test_delayed_ending_is_scheduled_by_the_databases_clock(kind):
    """A delay makes the task SCHEDULED, due that many seconds from now."""
    make()
    claim = claim_one()

    settle(ending(claim, kind, delay=60.0))

    row = record(claim.id)
    assert row.status == Status.SCHEDULED
    assert abs(row.run_after - timezone.now() - timedelta(seconds=60)) < timedelta(seconds=30)
    assert claimer().claim(2) == []


@from_the_table
@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("status", [s for s in Status if s != Status.RUNNING])
def test_endings_expect_a_running_task(kind, status):
    """Every other status stays as it is, whatever a worker says; LATE tells of it."""
    [task_id] = make(status=status, claims=1)
    claim = claim_like(task_id)
    before = whole(task_id)

    refused_ones = settle(ending(claim, kind))

    assert [e.id for e in refused_ones] == [task_id]
    assert whole(task_id) == before
    assert outcomes(task_id) == [AttemptOutcome.LATE]


@pytest.mark.parametrize("kind", ENDINGS)
def test_stale_endings_are_refused(kind):
    """The fencing token guards every ending: the second owner's row is not touched."""
    make()
    stale = claim_one()
    settle(ending(stale, "lose", outcome=AttemptOutcome.LOST))
    claim_one()
    before = whole(stale.id)

    assert len(settle(ending(stale, kind))) == 1

    assert whole(stale.id) == before
    assert outcomes(stale.id) == [AttemptOutcome.LOST, AttemptOutcome.LATE]


@pytest.mark.parametrize("kind", ENDINGS)
def test_ending_repeated_after_a_lost_reply_is_accepted(kind):
    """Writing the same ending again changes nothing and adds no attempt."""
    make()
    claim = claim_one()
    settle(ending(claim, kind))
    before = whole(claim.id)

    assert settle(ending(claim, kind)) == []

    assert whole(claim.id) == before
    assert outcomes(claim.id) == [AttemptOutcome.ERROR]


def test_release_without_an_attempt_leaves_no_trace():
    """A task given back unstarted has no attempt row, and giving it back twice is fine."""
    [task_id] = make()
    claim = claim_one()

    assert settle(ending(claim, "release", outcome=None)) == []
    assert settle(ending(claim, "release", outcome=None)) == []

    row = record(task_id)
    assert (row.status, row.attempts, row.claims) == (Status.READY, 0, 1)
    assert outcomes(task_id) == []


def test_stale_release_does_not_release_the_next_owner():
    """Giving back twice never takes the task from who owns it since."""
    make()
    stale = claim_one()
    settle(ending(stale, "release", outcome=None))
    claim_one()

    settle(ending(stale, "release", outcome=None))

    assert statuses([stale.id]) == [Status.RUNNING]


def test_claim_known_to_be_lost_leaves_an_attempt_only():
    """What an atomic body found out about its claim is written beside it, once."""
    make()
    claim = claim_one()
    before = whole(claim.id)
    told = ending(claim, EndingKind.LATE, outcome=AttemptOutcome.LATE)

    assert settle(told) == [told]
    settle(told)  # the reply to the first was lost

    assert whole(claim.id) == before
    [late] = TaskAttempt.objects.filter(task_id=claim.id)
    assert (late.claim, late.outcome, late.traceback) == (1, AttemptOutcome.LATE, "success refused")


def test_attempt_row_tells_everything():
    """An attempt keeps its number, claim, worker, host, times, error, signal and exit code."""
    make()
    claim = claim_one()
    worker_id = uuid4()
    told = ending(
        claim,
        "retry",
        outcome=AttemptOutcome.LOST,
        exception_path="app.Broken",
        traceback="Traceback: é \N{GRINNING FACE} \\ ' \" %s",
        run_time=2.5,
        signal=9,
        exit_code=-9,
        delay=1.0,
    )

    transitions.settle(DATABASE, [told], worker_id, 3, HOST)

    [row] = TaskAttempt.objects.filter(task_id=claim.id)
    assert (row.number, row.claim, row.outcome) == (1, 1, AttemptOutcome.LOST)
    assert (row.worker_id, row.process, row.host) == (worker_id, 3, HOST)
    assert (row.exception_path, row.signal, row.exit_code) == ("app.Broken", 9, -9)
    assert row.traceback == "Traceback: é \N{GRINNING FACE} \\ ' \" %s"
    assert row.finished_at - row.started_at == pytest.approx(
        timedelta(seconds=2.5), abs=timedelta(seconds=0.1)
    )


def test_fields_are_written_with_the_ending():
    """What the body reported last (progress, log) is stored with the outcome."""
    make()
    claim = claim_one()

    settle(ending(claim, "fail", fields={"progress": '[1,2,""]', "log": "a\nb"}))

    row = record(claim.id)
    assert (row.progress, row.log) == ('[1,2,""]', "a\nb")


def test_one_refused_ending_does_not_stop_the_batch():
    """The others of a batch are written, whatever kinds they are."""
    make(len(ENDINGS) + 1)
    stale, *claims = claimer().claim(len(ENDINGS) + 1)
    batch = [ending(claim, kind) for claim, kind in zip(claims, ENDINGS, strict=True)]

    refused_ones = settle(*batch, ending(stale._replace(claims=9), "fail"))

    assert [e.id for e in refused_ones] == [stale.id]
    assert statuses([c.id for c in claims]) == [status for status, _ in ENDINGS.values()]


def test_batch_that_the_database_refuses_changes_nothing():
    """One transaction: an ending that cannot be stored takes the others back with it."""
    make(2)
    good, bad = claimer().claim(2)

    with pytest.raises((DatabaseError, ValueError, OverflowError)):
        settle(ending(good, "fail"), ending(bad, "fail", traceback=None))

    assert statuses([good.id, bad.id]) == [Status.RUNNING] * 2
    assert outcomes(good.id) == []
    assert settle(ending(good, "fail")) == []


@pytest.mark.parametrize(("kind", "after"), [("retry", True), ("snooze", True), ("fail", False)])
def test_cancelled_while_running_does_not_run_again(kind, after):
    """A cancel request outlives the attempt: what would run again is CANCELLED instead."""
    make()
    claim = claim_one()
    assert transitions.cancel(DATABASE, [claim.id]) == (0, 1)

    settle(ending(claim, kind, delay=5.0))

    assert statuses([claim.id]) == [Status.CANCELLED if after else Status.FAILED]
    assert record(claim.id).finished_at is not None


@from_the_table
@pytest.mark.parametrize("kind", ENDINGS)
def test_batch_of_endings_takes_few_statements(kind):
    """A lock, a change and the attempts, however many end (plus BEGIN and COMMIT)."""
    make(100)
    told = [ending(claim, kind, delay=1.0) for claim in claimer().claim(100)]

    with CaptureQueriesContext(connection) as captured:
        settle(*told)

    assert len(captured) <= 3 + 2 + connection.vendor.count("sqlite")
    assert len(set(statuses([e.id for e in told]))) == 1
    assert TaskAttempt.objects.count() == 100


@from_the_table
def test_mixed_batch_takes_a_change_per_set_of_columns():
    """What bodies reported last is written by the batch, too."""
    make(60)
    claims = claimer().claim(60)
    extra = [{}, {"progress": "[1,2]"}, {"progress": "[2,2]", "custom_state": "HALF"}]
    told = [
        ending(claim, list(ENDINGS)[n % len(ENDINGS)], delay=n % 2, fields=extra[n % 3])
        for n, claim in enumerate(claims)
    ]

    with CaptureQueriesContext(connection) as captured:
        settle(*reversed(told))

    # PostgreSQL is asked which queues to wake, and told to.
    wakes = 2 * connection.vendor.count("postgresql")
    assert len(captured) <= 5 + 2 + wakes + connection.vendor.count("sqlite")
    rows = TaskRecord.objects.in_bulk([claim.id for claim in claims])
    for n, claim in enumerate(claims):
        row = rows[claim.id]
        assert (row.progress, row.custom_state) == (
            extra[n % 3].get("progress"),
            extra[n % 3].get("custom_state"),
        )


@from_the_table
def test_refused_endings_are_looked_into_by_the_batch():
    """Late ones cost two questions more, however many there are."""
    make(100)
    stale = claimer().claim(100)
    settle(*[ending(claim, "lose", outcome=AttemptOutcome.LOST) for claim in stale])

    with CaptureQueriesContext(connection) as captured:
        refused_ones = settle(*[ending(claim, "fail") for claim in stale])

    assert len(refused_ones) == 100
    assert len(captured) <= 5 + 2 + connection.vendor.count("sqlite")


def test_ending_that_another_one_wrote_is_refused():
    """Two keepers that decide the same for one claim: only one of them may tell of it."""
    make(2)
    first, second = claimer().claim(2)

    def lost(claim, finder):
        text = f"Worker {finder} found it."
        return ending(claim, "poison", outcome=AttemptOutcome.LOST, traceback=text)

    assert settle(lost(first, "a"), lost(second, "b")) == []

    assert ids_of(settle(lost(first, "b"), lost(second, "b"))) == [first.id]
    assert settle(lost(first, "a")) == []  # it was its own: the reply was lost


def test_ending_of_another_process_is_no_own_earlier_one():
    """The same outcome for one claim, by a worker that is not the writer."""
    make()
    claim = claim_one()
    settle(ending(claim, "fail"))

    assert len(settle(ending(claim, "fail"), writer=uuid4())) == 1


@pytest.mark.parametrize("kind", ["retry", "snooze"])
def test_cancelled_instead_is_told_again_after_a_lost_reply(kind):
    """Who writes it once more is told once more that the task is CANCELLED, not to run again."""
    make()
    claim = claim_one()
    transitions.cancel(DATABASE, [claim.id])
    told = ending(claim, kind, delay=5.0, outcome=None if kind == "snooze" else "ERROR")

    for _ in range(2):
        settled = transitions.settle(DATABASE, [told], WRITER, 1, HOST)
        assert settled == ([], {claim.id}, [])

    assert statuses([claim.id]) == [Status.CANCELLED]


@pytest.mark.skipif(IS_SQLITE, reason="SQLite locks the whole database for a writer")
@pytest.mark.parametrize("how", ["after a lock was met", "without session settings"])
def test_locked_rows_are_left_for_later(how):
    """Neither an ending nor a success waits for them; the others of the batch are written."""
    made = make(4)
    claims = {claim.id: claim for claim in claimer().claim(4)}
    fails, succeeds, locked_fail, locked_success = (claims[task_id] for task_id in made)
    is_locked, is_done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            rows = TaskRecord.objects.filter(pk__in=[locked_fail.id, locked_success.id])
            list(rows.select_for_update())
            is_locked.set()
            assert is_done.wait(timeout=20)

    def write():
        assert is_locked.wait(timeout=20)
        try:
            serving = claimer()
            if how == "without session settings" and IS_POSTGRESQL:
                vars(serving.connection)[postgresql._WAITS] = True
            else:
                serving.skip_locked_for_a_while()
            settled = transitions.settle(
                DATABASE, [ending(locked_fail, "fail"), ending(fails, "fail")], WRITER, 1, HOST
            )
            successes = [success(locked_success), success(succeeds)]
            return settled, serving.finish(successes), refused(*successes)
        finally:
            is_done.set()

    _, (settled, accepted, late) = at_once(hold, write)

    assert (ids_of(settled.locked), settled.refused) == ([locked_fail.id], [])
    assert (accepted, late) == (1, [])
    assert statuses(made) == [Status.FAILED, Status.SUCCESSFUL, Status.RUNNING, Status.RUNNING]
    assert outcomes(locked_fail.id) == []


def test_save_fields_is_guarded_by_the_claim():
    """Progress and state of a stale attempt are not written."""
    make()
    claim = claim_one()

    assert transitions.save_fields(DATABASE, claim.id, claim.claims, {"custom_state": "HALF"})
    assert not transitions.save_fields(DATABASE, claim.id, claim.claims + 1, {"custom_state": "X"})
    assert record(claim.id).custom_state == "HALF"

    settle(ending(claim, "retry"))
    assert not transitions.save_fields(DATABASE, claim.id, claim.claims, {"custom_state": "X"})
