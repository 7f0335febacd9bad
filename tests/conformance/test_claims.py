"""Claims: whose, in which order, with how many statements."""

import threading
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from django_tasks.store import dialects
from django_tasks.store.dialects import mysql
from django_tasks.store.tasks import claims as claims_module
from django_tasks.store.tasks import cursors, transitions
from tests.conformance.steps import (
    DATABASE,
    FAR_AHEAD,
    IS_MYSQL,
    IS_SQLITE,
    LONG_AGO,
    at_once,
    claim_one,
    claimer,
    ending,
    from_the_table,
    hand_out,
    ids_of,
    make,
    persistently,
    point_to,
    reconcile,
    record,
    settle,
    shift,
    statuses,
    success,
    with_brokers,
)

# `from_the_table`: a broker's order takes the place of the table's, and primary keys that of its
# cursor.
pytestmark = with_brokers


def are_any_ready():
    """Tell whether a claim was empty only because others had locked what a broker pointed to."""
    is_left = persistently(TaskRecord.objects.filter(status=Status.READY).exists)
    if is_left:
        persistently(reconcile)
    return is_left


def test_claim_makes_a_ready_task_running():
    """A claim writes who runs the task and since when, and brings what is needed to run it."""
    [task_id] = make(priority=7, kwargs='{"c":3}', max_attempts=4, lost=1)
    worker_id = uuid4()

    [claim] = claimer(worker_id=worker_id, process=5).claim(10)

    row = record(task_id)
    assert row.status == Status.RUNNING
    assert (row.worker_id, row.process, row.attempts, row.claims) == (worker_id, 5, 1, 1)
    assert row.started_at == row.last_attempted_at
    assert abs(row.started_at - timezone.now()) < timedelta(seconds=30)
    assert (claim.task_path, claim.args, claim.kwargs) == ("tests.tasks.add", "[1,2]", '{"c":3}')
    assert (claim.id, claim.queue_name, claim.priority) == (task_id, "default", 7)
    assert (claim.attempts, claim.max_attempts, claim.lost, claim.claims) == (1, 4, 1, 1)
    assert not claim.is_expired
    assert isinstance(claim.id, UUID)


def test_second_claim_keeps_the_first_start():
    """started_at is the first start for ever; attempts and claims count on."""
    [task_id] = make(started_at=LONG_AGO, last_attempted_at=LONG_AGO, attempts=2, claims=5)

    claim = claim_one()

    row = record(task_id)
    assert row.started_at == LONG_AGO
    assert row.last_attempted_at > LONG_AGO
    assert (claim.attempts, claim.claims) == (row.attempts, row.claims) == (3, 6)


def test_claim_order_is_priority_then_age():
    """Higher priorities first; within one, the oldest first."""
    oldest_low, newer_low = make(2, priority=-100)
    middle = make(2)
    high = make(2, priority=100)

    claimed = ids_of(claimer().claim(5))

    assert claimed == [*high, *middle, oldest_low]
    assert statuses([newer_low]) == [Status.READY]


def test_claim_order_holds_over_many_small_claims():
    """Claiming one by one gives the same order as claiming all, with the cursor at work."""
    expected = []
    for priority in (50, 1, 0, -1, -50):
        expected += make(7, priority=priority)
    small = claimer()

    claimed = [claim.id for _ in range(12) for claim in small.claim(3)]

    assert claimed == expected


def test_queues_are_served_in_the_order_given():
    """While an earlier queue has ready tasks, later ones wait; patterns come where they stand."""
    made = {name: make(2, queue_name=name) for name in ("low", "mail-a", "mail-b", "high", "x")}
    serving = claimer("high,mail*,low")

    claimed = ids_of(serving.claim(100))

    assert claimed[:2] == made["high"]
    assert set(claimed[2:6]) == {*made["mail-a"], *made["mail-b"]}
    assert claimed[6:] == made["low"]
    assert statuses(made["x"]) == [Status.READY] * 2


def test_queues_of_one_pattern_take_turns():
    """`*` starves no queue: each claim begins with another one."""
    for name in ("a", "b", "c"):
        make(3, queue_name=name)
    serving = claimer("*")

    first_three = {record(claim.id).queue_name for _ in range(3) for claim in serving.claim(1)}

    assert first_three == {"a", "b", "c"}


def test_queue_names_differ_by_case_and_accents():
    """Queues 'Mail', 'mail' and 'maíl' are three queues."""
    made = {name: make(1, queue_name=name) for name in ("Mail", "maíl", "mail")}

    claimed = ids_of(claimer("mail").claim(10))
    ready = dialects.dialect_for(connection).ready_queues(connection, "default")

    assert claimed == made["mail"]
    assert sorted(ready) == ["Mail", "maíl"]


def test_only_ready_tasks_are_claimed():
    """No other status is ever claimed."""
    for status in set(Status) - {Status.READY}:
        point_to(make(2, status=status))

    assert claimer("*").claim(100) == []
    assert claimer("default").claim(100) == []


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_claim_takes_at_most_its_limit(limit):
    """Never more than the free slots."""
    make(5)

    claimed = claimer().claim(limit)

    assert len(claimed) == TaskRecord.objects.filter(status=Status.RUNNING).count() == limit


def test_expired_tasks_are_told_from_others():
    """is_expired compares expires_at with the database's clock at the claim."""
    [overdue] = make(expires_at=LONG_AGO)
    make(expires_at=FAR_AHEAD)
    make()

    claimed = claimer().claim(10)

    assert [claim.id for claim in claimed if claim.is_expired] == [overdue]


@from_the_table
def test_claim_and_finish_statements():
    """One statement per claim; a finish and the next claim share one where the database can."""
    make(6)
    serving = claimer()
    serving.claim(1)  # connects

    with CaptureQueriesContext(connection) as claiming:
        claimed = serving.claim(2)
    with CaptureQueriesContext(connection) as both:
        accepted, more = serving.finish_and_claim([success(c) for c in claimed], 2)

    assert (accepted, len(more)) == (2, 2)
    assert len(claiming) == (4 if IS_MYSQL else 1)  # MySQL: BEGIN, SELECT, UPDATE, COMMIT
    assert len(both) == {"postgresql": 1, "sqlite": 2, "mysql": 5}[connection.vendor]


@from_the_table
def test_claim_of_nothing_is_cheap():
    """An idle worker asks once."""
    serving = claimer()
    serving.claim(1)

    with CaptureQueriesContext(connection) as captured:
        assert serving.finish_and_claim([], 100) == (0, [])

    assert len(captured) == (3 if IS_MYSQL else 1)


def test_successes_are_recorded_when_no_queue_is_ready():
    """A finish does not depend on there being anything to claim."""
    make(2)
    for queues in ("default", "*"):
        serving = claimer(queues)
        [claim] = serving.claim(1)
        TaskRecord.objects.filter(status=Status.READY).update(queue_name="elsewhere")

        accepted, claimed = claimer("nothing-here").finish_and_claim([success(claim)], 5)

        assert (accepted, claimed) == (1, [])
        assert statuses([claim.id]) == [Status.SUCCESSFUL]
        TaskRecord.objects.filter(status=Status.READY).update(queue_name="default")


@from_the_table
def test_cursor_skips_what_lies_before_until_the_rescan(monkeypatch):
    """A higher priority that arrives later is found at the rescan, and first."""
    if not dialects.dialect_for(connection).has_claim_cursor:
        pytest.skip("only PostgreSQL keeps entries of what was claimed for old snapshots")
    clock = 1000.0
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: clock)
    make(6)
    serving = claimer()
    serving.claim(2)
    [urgent] = make(priority=50)

    before = ids_of(serving.claim(2))
    clock += cursors.RESCAN_INTERVAL
    after = ids_of(serving.claim(2))

    assert urgent not in before
    assert after[0] == urgent


@from_the_table
def test_cursor_finds_requeued_tasks_when_it_runs_dry():
    """A task given back before the cursor is found by the claim that finds nothing beyond it."""
    made = make(4)
    serving = claimer()
    serving.claim(2)
    serving.claim(2)
    TaskRecord.objects.filter(pk=made[0]).update(status=Status.READY)

    assert ids_of(serving.claim(2)) == [made[0]]
    assert serving.claim(2) == []


def test_cursor_never_loses_a_task():
    """With tasks coming back and arriving at any priority, all are claimed without any sleep."""
    serving = claimer()
    made = make(30)
    taken = []
    for round_ in range(60):
        claimed = serving.claim(3)
        taken += ids_of(claimed)
        if round_ < 10:
            made += make(1, priority=round_ - 5)
            TaskRecord.objects.filter(pk=taken[0]).update(status=Status.READY)
            hand_out(taken[:1])

    assert set(taken) == set(made)
    assert not TaskRecord.objects.filter(status=Status.READY).exists()


def test_each_queue_has_its_own_cursor():
    """What was claimed in one queue says nothing about another."""
    late = make(3, queue_name="b")
    make(3, queue_name="a")
    serving = claimer("a,b")
    serving.claim(3)

    assert ids_of(serving.claim(2)) == late[:2]


def test_two_claimers_never_take_the_same_task():
    """Thousands of tasks, four claimers on their own connections: each task once, none left."""
    total = 3000
    make(total)

    def drain():
        serving, taken = claimer(), []
        while (claimed := persistently(serving.claim, 7)) or are_any_ready():
            taken += ids_of(claimed)
        return taken

    tally = Counter(task_id for taken in at_once(*[drain] * 4) for task_id in taken)

    assert len(tally) == total
    assert set(tally.values()) == {1}
    assert set(TaskRecord.objects.values_list("claims", flat=True)) == {1}


def test_concurrent_finish_and_claim_loses_nothing():
    """Finishing and claiming in one step from several connections: all succeed exactly once."""
    total = 1500
    make(total)

    def work():
        serving, done, accepted = claimer(), [], 0
        while True:
            number, claimed = persistently(serving.finish_and_claim, done, 11)
            accepted += number
            if not claimed and not are_any_ready():
                return accepted
            done = [success(claim) for claim in claimed]

    assert sum(at_once(*[work] * 3)) == total
    assert set(TaskRecord.objects.values_list("status", "claims")) == {(Status.SUCCESSFUL, 1)}


@pytest.mark.skipif(IS_SQLITE, reason="SQLite has one writer and no row locks")
def test_locked_rows_are_skipped():
    """A claim neither waits for a row that another transaction holds, nor takes it."""
    first, second = make(2)
    is_locked, may_end = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            TaskRecord.objects.select_for_update().get(pk=first)
            is_locked.set()
            assert may_end.wait(timeout=20)

    def claim():
        assert is_locked.wait(timeout=20)
        try:
            return ids_of(claimer().claim(2))
        finally:
            may_end.set()

    _, claimed = at_once(hold, claim)

    assert claimed == [second]
    assert statuses([first]) == [Status.READY]


@pytest.mark.skipif(IS_SQLITE, reason="SQLite has one writer and no row locks")
def test_uncommitted_claims_are_skipped():
    """While one claim's transaction is open, another claim gets other rows at once."""
    made = make(4)
    is_claimed, may_end = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            claimed = ids_of(claimer().claim(2))
            is_claimed.set()
            assert may_end.wait(timeout=20)
            return claimed

    def quick():
        assert is_claimed.wait(timeout=20)
        try:
            return ids_of(claimer().claim(4))
        finally:
            may_end.set()

    assert at_once(slow, quick) == [made[:2], made[2:]]


def test_rolled_back_claims_leave_the_task_ready():
    """A claim whose transaction fails has not happened."""
    [task_id] = make()

    with transaction.atomic():
        claim_one()
        transaction.set_rollback(True)

    row = record(task_id)
    assert (row.status, row.claims, row.attempts, row.worker_id) == (Status.READY, 0, 0, None)


def test_adopt_returns_claims_that_the_process_does_not_know():
    """A claim whose reply was lost is found again by its owner, and by nobody else."""
    make(3)
    worker_id = uuid4()
    owner = claimer(worker_id=worker_id, process=2)
    known, lost, _ = owner.claim(3)

    found = owner.adopt({(known.id, known.claims)})

    assert lost in found
    assert len(found) == 2
    assert owner.adopt({(claim.id, claim.claims) for claim in [known, *found]}) == []
    assert claimer(worker_id=worker_id, process=3).adopt(set()) == []
    assert claimer(process=2).adopt(set()) == []


@from_the_table
def test_ready_queues_are_found_without_reading_the_tasks():
    """Only queues with ready tasks, each once."""
    make(3, queue_name="b")
    make(2, queue_name="a")
    make(1, queue_name="c", status=Status.RUNNING)
    make(1, queue_name="d", status=Status.SCHEDULED)

    assert dialects.dialect_for(connection).ready_queues(connection, "default") == ["a", "b"]


@pytest.mark.parametrize("read", [1, 2, 3, 4, 5, 1000])
@from_the_table
def test_all_ready_queues_are_found_by_a_few_tasks_at_a_time(monkeypatch, read):
    """MySQL and MariaDB read the names a few tasks at a time, wherever a queue of them ends."""
    monkeypatch.setattr(mysql, "NAMES_READ", read)
    names = ["", "Mail", "a", "ab", "mail", "maíl", "z" * 100, "\U0001f40d"]
    for place, name in enumerate(names):
        make(1 + place % 3, queue_name=name)
        make(1, queue_name=f"{name}!"[-100:], backend="other")

    assert sorted(dialects.dialect_for(connection).ready_queues(connection, "default")) == names
    assert dialects.dialect_for(connection).ready_queues(connection, "none") == []


@from_the_table
def test_seconds_until_next_tells_when_to_wake():
    """Seconds to the next due time and the next expiry; infinity when there is none."""
    dialect = dialects.dialect_for(connection)
    assert dialect.seconds_until_next(connection) == (float("inf"), float("inf"))
    shift(make(status=Status.SCHEDULED), "run_after", seconds=100)
    shift(make(status=Status.SCHEDULED), "run_after", seconds=500)
    shift(make(), "expires_at", seconds=200)
    shift(make(status=Status.SUCCESSFUL), "expires_at", seconds=1)

    due, expiry = dialect.seconds_until_next(connection)

    assert due == pytest.approx(100, abs=20)
    assert expiry == pytest.approx(200, abs=20)


@from_the_table
def test_change_marker_moves_when_others_commit():
    """SQLite's cheap look at whether anything changed; others have none."""
    marker = dialects.dialect_for(connection).change_marker(connection)
    if not IS_SQLITE:
        assert marker is None
        return

    at_once(make)

    assert dialects.dialect_for(connection).change_marker(connection) != marker


def test_claims_count_only_grows():
    """The fencing token survives retries, releases, requeues (which count as a step too)."""
    make()
    tokens = []
    for kind in ("release", "retry", "snooze", "lose", "fail", "release"):
        claim = claim_one()
        tokens.append(claim.claims)
        assert settle(ending(claim, kind)) == []
        transitions.requeue(DATABASE, [claim.id])

    assert tokens == [1, 2, 3, 4, 5, 7]
