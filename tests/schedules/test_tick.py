"""A beat's look at the schedules, on every database."""

import threading
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from django_tasks.beat.tick import LEFT_TO_OTHERS, disable_unreadable, tick
from django_tasks.definitions import registry
from django_tasks.ids import uuid7
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.signals import task_enqueued
from django_tasks.statuses import Status
from django_tasks.store.schedules import due, edits
from tests.conformance.steps import IS_POSTGRESQL, IS_SQLITE, at_once
from tests.schedules.steps import DATABASE, ago, now, outcomes, overdue, saved, slots_of

SECOND = timedelta(seconds=1)
#: What a column takes, before all moments, and Python does not. MySQL takes only moments.
NO_MOMENTS = [("next_run_at", "-infinity")] if IS_POSTGRESQL else []
if IS_SQLITE:
    NO_MOMENTS = [("next_run_at", ""), ("next_run_at", "0 o'clock")]
    NO_MOMENTS += [(name, "2020-99-99 00:00:00") for name in ("next_run_at", "last_slot_at")]


def stored(row):
    return Schedule.objects.get(pk=row.pk)


@contextmanager
def queries():
    """Collect the statements on the task table's database, without those that mark transactions."""
    with CaptureQueriesContext(connection) as context:
        found = []
        yield found
    found += [q["sql"] for q in context.captured_queries if not is_mark(q["sql"])]


def is_mark(sql):
    return sql.split()[0] in ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


# --- enqueueing ---------------------------------------------------------------------------------


def test_due_slot_becomes_a_task():
    """Task, run and schedule are written together; the task is like any other."""
    row = overdue(queue_name="reports", priority=7, kwargs="{}")

    assert tick(DATABASE) == 0.0

    [record] = TaskRecord.objects.all()
    assert (record.task_path, record.args, record.status) == ("tests.tasks.add", "[1,2]", "READY")
    assert (record.queue_name, record.priority, record.run_after) == ("reports", 7, None)
    [run] = ScheduleRun.objects.all()
    assert (run.slot_at, run.outcome, run.task_id) == (row.next_run_at, "ENQUEUED", record.pk)
    after = stored(row)
    assert (after.last_slot_at, after.last_task_id, after.runs) == (run.slot_at, record.pk, 1)
    assert after.next_run_at == run.slot_at + timedelta(minutes=1)
    assert abs(after.last_run_at - now()) < 10 * SECOND


def test_nothing_is_due_twice():
    """After a tick the next one finds nothing, and says when the next slot is."""
    row = overdue()
    tick(DATABASE)

    next_in = tick(DATABASE)

    assert 50 < next_in <= 60
    assert TaskRecord.objects.count() == 1 and len(slots_of(row)) == 1


def test_without_schedules_there_is_no_next_look():
    """No schedule has a next run: the beat looks again after its interval only."""
    assert tick(DATABASE) is None
    saved(enabled=False)
    assert tick(DATABASE) is None


def test_enqueued_task_has_its_signal():
    """task_enqueued is sent after the commit, with the task's result."""
    heard = []

    def receive(sender, task_result, **kwargs):
        heard.append((task_result.id, connection.in_atomic_block))

    overdue()
    task_enqueued.connect(receive)
    try:
        tick(DATABASE)
    finally:
        task_enqueued.disconnect(receive)

    assert heard == [(str(TaskRecord.objects.get().pk), False)]


def test_slot_is_logged(caplog):
    """One line per slot, with the keys that tasks' lines have."""
    with caplog.at_level("INFO", "django_tasks.beat"):
        row = overdue(name="nightly\x1b[2J")
        tick(DATABASE)

    [line] = [record for record in caplog.records if record.name == "django_tasks.beat"]
    assert line.schedule == r"nightly\x1b[2J" and line.path == "tests.tasks.add"
    assert line.slot == row.next_run_at.isoformat() and line.queue == "default"
    assert line.getMessage().startswith(r"nightly\x1b[2J slot ")


def test_jitter_delays_the_task_from_its_slot():
    """run_after lies between the slot and jitter seconds after it."""
    rows = [overdue(jitter=3600.0) for _ in range(5)]

    tick(DATABASE)

    delays = [record.run_after - rows[0].next_run_at for record in TaskRecord.objects.all()]
    assert all(timedelta(0) <= delay <= timedelta(hours=1, seconds=1) for delay in delays)
    assert len(set(delays)) == 5
    assert {record.status for record in TaskRecord.objects.all()} <= {"SCHEDULED", "READY"}


def test_expiry_counts_from_the_slot():
    """expires is counted from the slot and its jitter; without it the task's own counts."""
    row = overdue(expires=90.0, jitter=30.0)
    tick(DATABASE)
    record = TaskRecord.objects.get()
    assert record.expires_at == record.run_after + timedelta(seconds=90)
    assert record.run_after >= row.next_run_at

    TaskRecord.objects.all().delete()
    overdue(task_path="tests.tasks.urgent", args="[]")
    tick(DATABASE)
    left = TaskRecord.objects.get().expires_at - now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


# --- policies, with their rows ------------------------------------------------------------------


def with_earlier_task(status, **columns):
    """Return an overdue schedule whose earlier task has this status."""
    row = overdue(**columns)
    ends = {"finished_at": now()} if status == "SUCCESSFUL" else {}
    task = TaskRecord.objects.create(
        id=uuid7(), task_path="tests.tasks.add", queue_name="default", status=status, args="[1,2]",
        kwargs="{}", backend="default", enqueued_at=now(), worker_id=uuid7(), **ends,
    )  # fmt: skip
    Schedule.objects.filter(pk=row.pk).update(last_task_id=task.pk)
    return row, task


@pytest.mark.parametrize("status", ["READY", "RUNNING"])
def test_skip_notes_the_slot(status):
    """SKIP with an unfinished task: a SKIPPED run, no task, the next slot planned."""
    row, _ = with_earlier_task(status, overlap="SKIP")

    tick(DATABASE)

    assert outcomes(row) == [("SKIPPED", 0)] and TaskRecord.objects.count() == 1
    assert stored(row).next_run_at > now() and stored(row).runs == 0


@pytest.mark.parametrize("overlap", ["SKIP", "QUEUE_ONE", "CANCEL_PREVIOUS", "ALLOW"])
def test_finished_task_hinders_nothing(overlap):
    """When the earlier task has finished, or was pruned, every policy enqueues."""
    row, task = with_earlier_task("SUCCESSFUL", overlap=overlap)
    tick(DATABASE)
    assert outcomes(row) == [("ENQUEUED", 0)]

    TaskRecord.objects.all().delete()
    pruned = overdue(overlap=overlap)
    Schedule.objects.filter(pk=pruned.pk).update(last_task_id=task.pk)
    tick(DATABASE)
    assert outcomes(pruned) == [("ENQUEUED", 0)]


def test_queue_one_waits_and_then_runs_once():
    """The slot stays undecided until the earlier task has finished."""
    row, task = with_earlier_task("RUNNING", overlap="QUEUE_ONE", every=1.0, late=3)
    first = row.next_run_at
    tick(DATABASE)
    waiting = stored(row)
    assert outcomes(row) == [] and waiting.waiting_slot_at == first
    assert waiting.last_slot_at is None and 0 < tick(DATABASE) <= 1

    TaskRecord.objects.filter(pk=task.pk).update(status=Status.SUCCESSFUL, finished_at=now())
    Schedule.objects.filter(pk=row.pk).update(next_run_at=ago(seconds=1))
    tick(DATABASE)

    assert [outcome for outcome, _ in outcomes(row)] == ["MISSED", "ENQUEUED"]
    assert slots_of(row)[0] >= first + 3 * SECOND and stored(row).waiting_slot_at is None
    assert TaskRecord.objects.exclude(pk=task.pk).count() == 1


def test_saving_lets_a_waiting_slot_be_looked_at_at_once():
    """An edit of a schedule whose slot waits neither loses nor repeats the slot."""
    row, _ = with_earlier_task("RUNNING", overlap="QUEUE_ONE")
    slot = row.next_run_at
    tick(DATABASE)

    edited = stored(row)
    edited.overlap = "ALLOW"
    edits.save(edited, using=DATABASE)
    tick(DATABASE)

    assert slots_of(row) == [slot]


@pytest.mark.parametrize(("status", "ended"), [("READY", "CANCELLED"), ("RUNNING", "RUNNING")])
def test_cancel_previous(status, ended):
    """What has not started is cancelled, what runs is told to stop; the slot is enqueued."""
    row, task = with_earlier_task(status, overlap="CANCEL_PREVIOUS")

    tick(DATABASE)

    task.refresh_from_db()
    assert (task.status, task.cancel_requested) == (ended, ended == "RUNNING")
    assert outcomes(row) == [("ENQUEUED", 0)] and stored(row).last_task_id != task.pk


# --- policies, and runs by hand ------------------------------------------------------------------


def fall_due(row):
    """Let another slot of the schedule pass, later than those that were decided on."""
    slot = ago(microseconds=0)
    columns = {"anchor_at": slot, "next_run_at": slot, "last_slot_at": None}
    Schedule.objects.filter(pk=row.pk).update(**columns)
    ScheduleRun.objects.filter(schedule=row, slot_at=slot).delete()


def with_runs_by_hand(count, **columns):
    """Return a schedule with the unfinished task of a slot and of so many runs by hand."""
    row = overdue(**columns)
    tick(DATABASE)
    task_id = TaskRecord.objects.get().pk
    by_hand = [UUID(edits.run_now(row.pk, using=DATABASE).id) for _ in range(count)]
    return row, [task_id, *by_hand]


def finish(*task_ids):
    rows = TaskRecord.objects.filter(pk__in=task_ids)
    rows.update(status=Status.SUCCESSFUL, finished_at=now())


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_skip_looks_at_the_task_of_the_slot_and_at_those_by_hand(last):
    """Whichever of them finishes last, no slot makes a task before."""
    row, made = with_runs_by_hand(3, overlap="SKIP")
    finish(*(task_id for task_id in made if task_id != made[last]))
    fall_due(row)
    tick(DATABASE)
    assert TaskRecord.objects.count() == 4

    finish(*made)
    fall_due(row)
    tick(DATABASE)

    assert TaskRecord.objects.count() == 5 and stored(row).earlier_task_ids is None


@pytest.mark.parametrize("last", [0, 1])
def test_queue_one_waits_for_the_task_of_the_slot_and_for_that_by_hand(last):
    """The slot stays undecided until both have finished."""
    row, made = with_runs_by_hand(1, overlap="QUEUE_ONE")
    finish(made[1 - last])
    fall_due(row)
    tick(DATABASE)
    assert stored(row).waiting_slot_at is not None and TaskRecord.objects.count() == 2

    finish(made[last])
    Schedule.objects.filter(pk=row.pk).update(next_run_at=ago(seconds=1))
    tick(DATABASE)

    assert TaskRecord.objects.count() == 3


def test_cancel_previous_cancels_all_that_is_unfinished():
    """The slot's own task as well as those by hand."""
    row, made = with_runs_by_hand(2, overlap="CANCEL_PREVIOUS")
    fall_due(row)

    tick(DATABASE)

    cancelled = TaskRecord.objects.filter(status=Status.CANCELLED)
    assert set(cancelled.values_list("pk", flat=True)) == set(made)
    assert TaskRecord.objects.filter(status=Status.READY).count() == 1


def test_finished_tasks_are_not_remembered():
    """However often somebody presses the button, the row keeps what is unfinished."""
    row, made = with_runs_by_hand(2, overlap="SKIP")
    finish(made[0], made[2])

    last = edits.run_now(row.pk, using=DATABASE).id

    assert stored(row).tasks_in_hand == [made[1], UUID(last)]


def test_row_remembers_a_limited_number_of_tasks(monkeypatch):
    """The newest ones, so that a script that never stops does not fill the row."""
    monkeypatch.setattr(edits, "MOST_IN_HAND", 2)

    row, made = with_runs_by_hand(4, overlap="SKIP")

    assert stored(row).tasks_in_hand == made[-3:]


@pytest.mark.parametrize("broken", ["[1", "{}", '["no id"]', "7", "[[]]"])
def test_broken_list_of_tasks_stops_nothing(broken):
    """Who wrote it by SQL gets the policy that looks at the last task."""
    row, _ = with_earlier_task("RUNNING", overlap="SKIP")
    Schedule.objects.filter(pk=row.pk).update(earlier_task_ids=broken)
    other = overdue()

    tick(DATABASE)

    assert outcomes(row) == [("SKIPPED", 0)] and outcomes(other) == [("ENQUEUED", 0)]


def test_edit_keeps_what_is_unfinished():
    """Somebody saves the schedule as it was before the button was pressed."""
    row, made = with_runs_by_hand(0, overlap="SKIP")
    before = stored(row)
    by_hand = UUID(edits.run_now(row.pk, using=DATABASE).id)

    before.description = "edited"
    before.save()

    assert stored(row).tasks_in_hand == [*made, by_hand]


def test_slots_that_were_taken_leave_the_last_task():
    """A row that was turned back makes no task, and forgets none that still runs."""
    row, made = with_runs_by_hand(1, overlap="SKIP")
    slot = slots_of(row)[0]
    turned_back = {"anchor_at": slot, "next_run_at": slot, "last_slot_at": None, "overlap": "ALLOW"}
    Schedule.objects.filter(pk=row.pk).update(**turned_back)

    tick(DATABASE)

    assert TaskRecord.objects.count() == 2 and stored(row).tasks_in_hand == made


def test_missed_slots_are_noted_once():
    """Three days without a beat: one task, and one run that tells of the others."""
    row = overdue(late=3 * 86400)

    tick(DATABASE)

    [(missed, count), (enqueued, _)] = outcomes(row)
    assert (missed, enqueued) == ("MISSED", "ENQUEUED") and count == 3 * 1440 - 1
    assert stored(row).runs == 1


def test_catch_up_all_in_rounds():
    """More slots than one decision takes: tick after tick, in order, each once."""
    row = overdue(every=1.0, catch_up="ALL", late=1200)

    while tick(DATABASE) == 0.0:
        pass

    found = slots_of(row)
    assert len(found) >= 1200
    assert found == [row.anchor_at + n * SECOND for n in range(len(found))]
    assert stored(row).runs == len(found) == TaskRecord.objects.count()


# --- what is wrong stays alone ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"kind": "CRONTAB", "crontab": "61 * * * *"}, "crontab"),
        ({"kind": "CRONTAB", "crontab": "* * * * *", "timezone": "Mars/Olympus"}, "timezone"),
        ({"every": None}, "every"),
        ({"args": "[1"}, "args"),
        ({"args": "[1, 2, 3]"}, "args"),
        ({"kwargs": "[]"}, "kwargs"),
        ({"backend": "nowhere"}, "backend"),
        ({"queue_name": "a b"}, "queue_name"),
        ({"overlap": "SOMETIMES"}, "SOMETIMES"),
        ({"jitter": 1e18}, "OverflowError"),
        ({"expires": 1e18}, "OverflowError"),
    ],
)
def test_broken_row_is_disabled_and_the_others_go_on(columns, field):
    """A row broken by hand says what is wrong and is looked at no more."""
    before, broken, after = (overdue(late=late) for late in (3, 2, 1))
    Schedule.objects.filter(pk=broken.pk).update(**columns)

    tick(DATABASE)

    row = stored(broken)
    assert not row.enabled and row.next_run_at is None and field in row.error
    assert outcomes(before) == outcomes(after) == [("ENQUEUED", 0)] and outcomes(broken) == []


@override_settings(DJANGO_TASKS={"UNKNOWN_TASK_DELAY": 30.0})
def test_unknown_task_is_looked_at_again(monkeypatch, caplog):
    """A task that this version of the code does not know is waited for, and loses no slot."""
    row, other = overdue(), overdue()
    slot = row.next_run_at
    Schedule.objects.filter(pk=row.pk).update(task_path="tests.tasks.to_come")

    with caplog.at_level("WARNING", "django_tasks.beat"):
        tick(DATABASE)
        waiting = stored(row)
        assert waiting.enabled and "tests.tasks.to_come" in waiting.error
        assert 25 * SECOND < waiting.next_run_at - now() <= 30 * SECOND
        assert outcomes(row) == [] and outcomes(other) == [("ENQUEUED", 0)]
        Schedule.objects.filter(pk=row.pk).update(next_run_at=ago(seconds=1))
        tick(DATABASE)
    assert len(caplog.records) == 1

    monkeypatch.setitem(registry._tasks, "tests.tasks.to_come", registry.find("tests.tasks.add"))
    Schedule.objects.filter(pk=row.pk).update(next_run_at=ago(seconds=1))
    tick(DATABASE)

    assert slots_of(row) == [slot] and stored(row).error == ""


@pytest.mark.parametrize(("column", "text"), NO_MOMENTS)
def test_text_that_is_no_moment_disables_its_schedule(column, text, caplog):
    """Raw SQL may write it: one error says which schedule, and what to do; the others go on."""
    before, odd, after = (overdue(late=late) for late in (3, 2, 1))
    with connection.cursor() as cursor:
        sql = f"UPDATE {Schedule._meta.db_table} SET {column} = %s WHERE id = %s"
        cursor.execute(sql, [text, odd.pk])

    with caplog.at_level("ERROR", "django_tasks.beat"):
        while tick(DATABASE) == 0.0:
            pass

    assert outcomes(before) == outcomes(after) == [("ENQUEUED", 0)]
    [state] = Schedule.objects.filter(pk=odd.pk).values("enabled", "next_run_at", "error")
    assert (state["enabled"], state["next_run_at"]) == (False, None)
    [record] = caplog.records
    assert record.getMessage() == f"{odd.name} (id {odd.pk}) was disabled: {state['error']}"
    assert state["error"].startswith(f"{column}: this is no moment")


@pytest.mark.skipif(not IS_SQLITE, reason="the others take no such text")
def test_text_that_sorts_after_all_moments_is_found_at_the_start():
    """No look comes to it while other schedules have a next run; a beat that starts looks."""
    odd, other = overdue(), overdue()
    with connection.cursor() as cursor:
        sql = f"UPDATE {Schedule._meta.db_table} SET next_run_at = 'soon' WHERE id = %s"
        cursor.execute(sql, [odd.pk])

    assert disable_unreadable(DATABASE) == 1

    assert stored(odd).next_run_at is None and "next_run_at" in stored(odd).error
    assert stored(other).enabled and disable_unreadable(DATABASE) == 0
    edits.set_enabled([odd.pk], True, using=DATABASE)
    assert stored(odd).next_run_at is not None and stored(odd).error == ""


def test_row_that_the_database_refuses_stays_alone():
    """A chunk that fails in the database is written one by one; who failed says so."""
    rows = [overdue() for _ in range(3)]
    bad = rows[1]

    def write(database, changes, original=due.write):
        original(database, changes)
        if any(change.row.pk == bad.pk for change in changes):
            raise DataError("value out of range")

    with patch.object(due, "write", write):
        assert tick(DATABASE) == 0.0

    assert [outcomes(row) for row in rows] == [[("ENQUEUED", 0)], [], [("ENQUEUED", 0)]]
    assert not stored(bad).enabled and "out of range" in stored(bad).error
    assert TaskRecord.objects.count() == 2


def test_slot_that_has_its_run_makes_no_second_task():
    """Columns turned back by hand: UNIQUE(schedule, slot) holds, and the schedule goes on."""
    row, other = overdue(), overdue()
    tick(DATABASE)
    Schedule.objects.update(next_run_at=row.next_run_at, last_slot_at=None, runs=0)
    overdue()

    assert tick(DATABASE) == 0.0

    assert outcomes(row) == outcomes(other) == [("ENQUEUED", 0)]
    assert TaskRecord.objects.count() == 3
    assert stored(row).next_run_at > now() and stored(row).runs == 0


# --- statements ---------------------------------------------------------------------------------


def test_idle_tick_is_one_query(django_assert_num_queries):
    """However many schedules there are, an idle tick asks once, by the index."""
    for _ in range(5):
        saved()

    with django_assert_num_queries(1):
        assert 0 < tick(DATABASE) <= 60


@pytest.mark.parametrize("count", [1, 20])
def test_busy_tick_has_the_same_statements_for_any_number(count):
    """Look, lock, tasks, runs, schedules, and a wake-up where the database has it."""
    for _ in range(count):
        overdue()

    with queries() as statements:
        tick(DATABASE)

    assert TaskRecord.objects.count() == count
    assert len(statements) == 5 + IS_POSTGRESQL, "\n".join(s[:120] for s in statements)


def test_overlap_policies_cost_one_more_query():
    """All earlier tasks of a chunk are asked for together."""
    for _ in range(3):
        with_earlier_task("RUNNING", overlap="SKIP")

    with queries() as statements:
        tick(DATABASE)

    assert len(statements) == 5, "\n".join(s[:120] for s in statements)


def test_chunk_is_bounded(monkeypatch):
    """One transaction handles a chunk; the next tick the rest."""
    for _ in range(5):
        overdue()

    monkeypatch.setattr(due.lock_due, "__defaults__", (3,))
    tick(DATABASE)
    assert TaskRecord.objects.count() == 3
    tick(DATABASE)
    assert TaskRecord.objects.count() == 5


def test_transaction_ends_after_so_many_tasks(monkeypatch):
    """However much schedules have to catch up with; the next tick goes on with the others."""
    monkeypatch.setattr("django_tasks.beat.tick.MOST_TASKS", 2)
    for _ in range(3):
        overdue(catch_up="ALL", every=60.0, late=150)

    counts = []
    for _ in range(3):
        tick(DATABASE)
        counts.append(TaskRecord.objects.count())

    assert counts == [3, 6, 9]


# --- several beats ------------------------------------------------------------------------------


@pytest.mark.skipif(IS_SQLITE, reason="SQLite has one writer: the other beat waits")
def test_locked_schedules_are_left_to_others():
    """A beat neither waits for what another has in hand nor looks again at once."""
    row, free = overdue(), overdue()
    is_locked, is_done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            list(Schedule.objects.filter(pk=row.pk).select_for_update())
            is_locked.set()
            assert is_done.wait(20)

    def beat():
        assert is_locked.wait(20)
        try:
            return tick(DATABASE), tick(DATABASE)
        finally:
            is_done.set()

    _, answers = at_once(hold, beat)

    assert answers == (0.0, LEFT_TO_OTHERS)
    assert outcomes(row) == [] and outcomes(free) == [("ENQUEUED", 0)]


def test_beats_share_what_is_due():
    """Three beats at once: each slot once."""
    rows = [overdue(every=1.0, catch_up="ALL", late=20) for _ in range(20)]

    def beat():
        while (next_in := tick(DATABASE)) is not None and next_in < 0.06:
            pass

    at_once(beat, beat, beat)

    for row in rows:
        found = slots_of(row)
        assert len(found) >= 20
        assert found == [row.anchor_at + n * SECOND for n in range(len(found))]
    assert TaskRecord.objects.count() == ScheduleRun.objects.count()


# --- old runs -----------------------------------------------------------------------------------


def test_old_runs_are_pruned():
    """Runs older than that go; the slot does not come back."""
    row = overdue()
    tick(DATABASE)
    ScheduleRun.objects.update(created_at=ago(days=3))
    young = overdue()
    tick(DATABASE)

    assert due.prune_runs(DATABASE, 2 * 86400.0) == (1, True)

    assert outcomes(row) == [] and outcomes(young) == [("ENQUEUED", 0)]
    Schedule.objects.filter(pk=row.pk).update(next_run_at=row.next_run_at)
    tick(DATABASE)
    assert outcomes(row) == []
