"""What becomes of slots that are due: every overlap and catch-up policy, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from django_tasks.beat.plan import MOST_SLOTS, decide
from django_tasks.models import Schedule
from django_tasks.schedules import spec_of

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def at(minutes):
    """Return the slot of that many minutes after START."""
    return START + minutes * MINUTE


def row(**columns):
    """Return an enabled schedule of every minute whose first slot is START."""
    values = {"kind": "INTERVAL", "every": 60.0, "anchor_at": START, "next_run_at": START}
    return Schedule(**values | columns)


def decided(schedule, now, is_unfinished=False):
    return decide(schedule, spec_of(schedule), now, is_unfinished=is_unfinished)


# --- one slot -----------------------------------------------------------------------------------


def test_due_slot_is_enqueued_and_the_next_one_planned():
    """The slot is the spec's, not the moment of the tick; so is the next."""
    decision = decided(row(), at(0) + 7 * SECOND)

    assert (decision.slots, decision.excluded) == ([at(0)], [])
    assert (decision.next_run_at, decision.last_slot_at) == (at(1), at(0))


def test_nothing_is_due_before_its_slot():
    """A next run that somebody moved by hand is set right, and nothing enqueued."""
    decision = decided(row(next_run_at=START + 10 * SECOND), START + 20 * SECOND)

    assert (decision.slots, decision.next_run_at) == ((), at(1))


def test_decided_slot_never_comes_back():
    """last_slot_at bounds the slots even when the next run was moved back."""
    decision = decided(row(last_slot_at=at(3)), at(3) + SECOND)

    assert (decision.slots, decision.next_run_at) == ((), at(4))


@pytest.mark.parametrize(("error", "slots"), [("", [at(5)]), ("task_path: …", [])])
def test_queue_one_excuses_only_waiting_for_a_task(error, slots):
    """A slot that waited for code that knows its task is late, and catch-up decides on it."""
    waiting = row(
        overlap="QUEUE_ONE", catch_up="NONE", every=300.0, error=error,
        waiting_slot_at=at(5), next_run_at=at(8),
    )  # fmt: skip

    decision = decided(waiting, at(8))

    assert decision.slots == slots and bool(decision.excluded) == bool(error)
    assert decision.next_run_at == at(10)


def test_once_is_once():
    """A moment has no next run."""
    decision = decided(row(kind="CLOCKED", clocked_at=START), at(0))

    assert (decision.slots, decision.next_run_at) == ([START], None)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"is_declared": False}])
def test_disabled_schedule_has_no_next_run(changes):
    """Disabled, or gone from the code: never looked at again."""
    assert decided(row(**changes), at(0)).next_run_at is None
    assert decided(row(**changes), at(0)).slots == ()


def test_end_and_number_of_runs_end_it():
    """The last slot is the one at end_at, or the one that makes max_runs."""
    assert decided(row(end_at=at(1)), at(0)).next_run_at == at(1)
    assert decided(row(end_at=at(1) - SECOND), at(0)).next_run_at is None
    assert decided(row(max_runs=3, runs=1), at(0)).next_run_at == at(1)
    assert decided(row(max_runs=3, runs=2), at(0)).next_run_at is None


def test_paused_schedule_goes_on_after_the_pause():
    """Slots within a pause are not enqueued, and not called missed."""
    decision = decided(row(paused_until=at(5)), at(3))

    assert (decision.slots, decision.excluded, decision.next_run_at) == ((), (), at(6))


# --- catch-up -----------------------------------------------------------------------------------


def test_catch_up_none_leaves_out_what_is_more_than_a_minute_late():
    """Slots of the last 60 seconds are on time; the others are missed."""
    decision = decided(row(catch_up="NONE"), at(10) + 30 * SECOND)

    assert decision.slots == [at(10)]
    assert decision.excluded == [("MISSED", at(9), 9)]
    assert decision.next_run_at == at(11)


def test_catch_up_none_may_leave_out_all():
    """A slot a day that is an hour late waits for tomorrow."""
    decision = decided(row(catch_up="NONE", every=86400.0), at(60))

    assert decision.slots == []
    assert decision.excluded == [("MISSED", START, 0)]
    assert decision.next_run_at == START + timedelta(days=1)


def test_catch_up_none_enqueues_each_slot_that_is_on_time():
    """A tick that comes seconds late loses no slot of a short interval."""
    decision = decided(row(catch_up="NONE", every=1.0), START + 5 * SECOND)

    assert len(decision.slots) == 6 and not decision.excluded


def test_catch_up_latest_enqueues_the_newest_only():
    """However many slots passed: one task, for the newest."""
    decision = decided(row(catch_up="LATEST"), at(3 * 1440))

    assert decision.slots == [at(3 * 1440)]
    assert decision.excluded == [("MISSED", at(3 * 1440 - 1), 3 * 1440 - 1)]


def test_catch_up_latest_within_its_deadline():
    """A newest slot that is later than the deadline is missed, too."""
    late = row(catch_up="LATEST", every=3600.0, catch_up_deadline=600.0)

    assert decided(late, at(65)).slots == [at(60)]
    decision = decided(late, at(75))
    assert decision.slots == [] and decision.excluded == [("MISSED", at(60), 1)]


def test_catch_up_all_enqueues_every_slot():
    """Each slot that passed has its task."""
    decision = decided(row(catch_up="ALL"), at(4))

    assert decision.slots == [at(n) for n in range(5)]
    assert decision.excluded == [] and decision.next_run_at == at(5)


def test_catch_up_all_goes_on_in_the_next_round():
    """More slots than one decision takes: the next run is the first of the rest."""
    decision = decided(row(catch_up="ALL"), at(10_000))

    assert decision.slots == [at(n) for n in range(MOST_SLOTS)]
    assert decision.next_run_at == at(MOST_SLOTS)


def test_catch_up_all_with_limit_and_deadline():
    """The newest n that are not too late; the others are missed, with their number."""
    limited = decided(row(catch_up="ALL", catch_up_limit=3), at(9))
    assert limited.slots == [at(7), at(8), at(9)]
    assert limited.excluded == [("MISSED", at(6), 6)]

    in_time = decided(row(catch_up="ALL", catch_up_deadline=120.0), at(9))
    assert in_time.slots == [at(7), at(8), at(9)]
    assert in_time.excluded == [("MISSED", at(6), 6)]

    both = decided(row(catch_up="ALL", catch_up_limit=2, catch_up_deadline=180.0), at(9))
    assert both.slots == [at(8), at(9)]
    assert both.excluded == [("MISSED", at(7), 7)]


def test_catch_up_stops_at_the_end():
    """After a downtime that the schedule ended in, its last slots are what is caught up."""
    decision = decided(row(catch_up="ALL", end_at=at(2)), at(60))

    assert decision.slots == [at(0), at(1), at(2)] and decision.next_run_at is None
    latest = decided(row(catch_up="LATEST", end_at=at(2)), at(60))
    assert latest.slots == [at(2)] and latest.excluded == [("MISSED", at(1), 1)]


def test_nothing_is_missed_after_the_end():
    """Of a schedule that ended long ago, the slots up to its end are what was left out."""
    decision = decided(row(catch_up="NONE", end_at=at(2)), at(60))

    assert decision.slots == [] and decision.next_run_at is None
    assert decision.excluded == [("MISSED", at(2), 2)]


def test_catch_up_obeys_the_number_of_runs():
    """Three runs are left: three slots, and the end."""
    decision = decided(row(catch_up="ALL", max_runs=5, runs=2), at(60))

    assert decision.slots == [at(0), at(1), at(2)] and decision.next_run_at is None


# --- overlap ------------------------------------------------------------------------------------


def test_overlap_allow():
    """The slot is enqueued whatever runs."""
    assert decided(row(overlap="ALLOW"), at(0), True).slots == [at(0)]


def test_overlap_skip():
    """The slot is left out while the earlier task has not finished."""
    decision = decided(row(overlap="SKIP"), at(0), True)
    assert decision.slots == [] and decision.excluded == [("SKIPPED", at(0), 0)]
    assert decision.next_run_at == at(1)

    assert decided(row(overlap="SKIP"), at(0), False).slots == [at(0)]


def test_overlap_skip_of_several_slots():
    """Of slots that are due together, the first has its task; the others would overlap it."""
    decision = decided(row(overlap="SKIP", catch_up="ALL"), at(3))

    assert decision.slots == [at(0)] and decision.excluded == [("SKIPPED", at(3), 2)]


def test_overlap_queue_one_waits():
    """The slot waits for the earlier task, looked at every second."""
    decision = decided(row(overlap="QUEUE_ONE"), at(0), True)

    assert decision.slots == () and decision.excluded == () and decision.last_slot_at is None
    assert decision.waiting_slot_at == at(0) and decision.next_run_at == at(0) + SECOND


@pytest.mark.parametrize("catch_up", ["NONE", "LATEST", "ALL"])
def test_overlap_queue_one_enqueues_the_newest_once(catch_up):
    """When the earlier task has finished, the newest slot runs once, however long it waited."""
    waits = row(
        overlap="QUEUE_ONE", waiting_slot_at=at(0), next_run_at=at(20) - SECOND,
        catch_up=catch_up, catch_up_deadline=5.0,
    )  # fmt: skip
    assert decided(waits, at(20), True).waiting_slot_at == at(0)

    decision = decided(waits, at(20) + 30 * SECOND, False)

    assert decision.slots == [at(20)] and decision.excluded == [("MISSED", at(19), 19)]
    assert decision.waiting_slot_at is None and decision.next_run_at == at(21)


def test_overlap_queue_one_of_several_slots():
    """Of slots that are due together, the first has its task and the others wait for it."""
    decision = decided(row(overlap="QUEUE_ONE", catch_up="ALL"), at(3))

    assert decision.slots == [at(0)] and decision.excluded == []
    assert decision.waiting_slot_at == at(1) and decision.next_run_at == at(3) + SECOND


def test_overlap_cancel_previous():
    """The earlier task is cancelled and the slot enqueued."""
    decision = decided(row(overlap="CANCEL_PREVIOUS"), at(0), True)
    assert decision.slots == [at(0)] and decision.cancels

    assert not decided(row(overlap="CANCEL_PREVIOUS"), at(0), False).cancels


def test_overlap_cancel_previous_of_several_slots():
    """Of slots that are due together only the newest is enqueued."""
    decision = decided(row(overlap="CANCEL_PREVIOUS", catch_up="ALL"), at(3), True)

    assert decision.slots == [at(3)] and decision.excluded == [("MISSED", at(2), 2)]
    limited = row(overlap="CANCEL_PREVIOUS", catch_up="ALL", catch_up_limit=2)
    assert decided(limited, at(9)).excluded == [("MISSED", at(8), 8)]
