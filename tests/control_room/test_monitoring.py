"""What the overview says, against rows made by hand."""

from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasks import task
from django_tasks.definitions.backends import database_backends
from django_tasks.models import QueueState, RollupMark, WorkerRecord
from django_tasks.models.rollups import Span
from django_tasks.monitoring import history, queues, reading
from django_tasks.monitoring.health import State
from django_tasks.monitoring.history import PERIODS, read_history, read_rates
from django_tasks.monitoring.overview import NEXT_RUNS, read_overview
from django_tasks.monitoring.reading import CappedCount, database_now
from django_tasks.statuses import Status
from django_tasks.store.workers import leases
from tests.conformance.steps import DATABASE, make
from tests.control_room.overview_rows import (
    histogram,
    make_rollup,
    make_schedule,
    make_worker,
)

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BACKEND = "django_tasks.backends.database.DatabaseBackend"


@task(queue_name="named-by-code")
def known():
    """Do nothing."""


@pytest.fixture
def now():
    return database_now(DATABASE)


def look(period="hour"):
    return read_overview(DATABASE, list(database_backends().values()), PERIODS[period])


def queue(name, backend="default"):
    [found] = [q for q in look().queues if (q.backend, q.name) == (backend, name)]
    return found


def pause(queue_name):
    moment = database_now(DATABASE)
    QueueState.objects.create(
        backend="default",
        queue_name=queue_name,
        paused_at=moment,
        created_at=moment,
        changed_at=moment,
    )


def let_expire(worker):
    past = database_now(DATABASE) - timedelta(seconds=1)
    WorkerRecord.objects.filter(pk=worker.pk).update(expires_at=past)


# --- queues --------------------------------------------------------------------------------------


def test_queue_is_counted(now):
    """Ready, running, scheduled and due tasks; the oldest is the first that could have run."""
    worker = make_worker()
    make(2, queue_name="mail", enqueued_at=now - timedelta(seconds=30))
    late = {"enqueued_at": now - HOUR, "run_after": now - timedelta(seconds=90)}
    make(queue_name="mail", priority=-5, **late)
    make(3, queue_name="mail", status=Status.RUNNING, worker_id=worker.pk)
    make(2, queue_name="mail", status=Status.SCHEDULED)
    make(1, queue_name="mail", status=Status.SCHEDULED, run_after=now - timedelta(seconds=1))
    make(5, queue_name="mail", status=Status.SUCCESSFUL)
    make(4, queue_name="other")

    mail = queue("mail")

    assert (mail.ready, mail.running, mail.scheduled, mail.due) == (3, 3, 3, 1)
    assert mail.oldest == pytest.approx(90, abs=60)
    assert mail.oldest >= 90
    assert mail.orphaned == 0
    assert queue("other").ready == 4


def test_queues_that_code_names_are_listed():
    """Also while there is no task in them."""
    named = queue("named-by-code")

    assert (named.ready, named.oldest, named.running, named.throughput) == (0, None, 0, 0.0)


def test_counts_stop_at_the_cap(monkeypatch):
    """Beyond it they say so."""
    monkeypatch.setattr(queues, "CAP", 3)
    make(3, queue_name="three")
    make(4, queue_name="four")
    make(3, queue_name="four", status=Status.SCHEDULED)
    make(1, queue_name="three", status=Status.SCHEDULED)

    three, four = queue("three"), queue("four")

    assert type(three.ready) is int and three.ready == 3
    assert isinstance(four.ready, CappedCount) and four.ready == 3
    assert isinstance(four.scheduled, CappedCount)


def test_only_so_many_queues_are_counted(monkeypatch):
    """Of the others it is known that there is something ready in them."""
    monkeypatch.setattr(queues, "MOST_COUNTED", 2)
    for name in "abc":
        make(2, queue_name=name)

    assert [queue(name).ready for name in "abc"] == [2, 2, 1]
    assert isinstance(queue("c").ready, CappedCount)
    assert queue("c").oldest is None
    assert {name for _backend, name in look().verdict.unserved} == {"a", "b", "c"}


@override_settings(
    TASKS={
        "default": {"BACKEND": BACKEND, "QUEUES": ["mail"]},
        "second": {"BACKEND": BACKEND, "QUEUES": ["mail", "more"]},
    }
)
def test_queues_of_several_backends_are_told_apart():
    make(2, queue_name="mail")
    make(1, queue_name="mail", backend="second")
    make_worker(queues="mail", backend="second")

    figures = look()

    own = [(q.backend, q.name) for q in figures.queues if q.name in ("mail", "more")]
    assert own == [("default", "mail"), ("second", "mail"), ("second", "more")]
    assert queue("mail").ready == 2
    assert queue("mail", "second").ready == 1
    assert figures.verdict.unserved == [("default", "mail")]


# --- history -------------------------------------------------------------------------------------


def test_rates_are_those_of_the_rollups(now):
    """Failures of 24 hours to the minute, and the throughput of the last hour."""
    end = (now - timedelta(seconds=10)).replace(second=0, microsecond=0)
    make_rollup(end - MINUTE, successful=50, failed=10)
    make_rollup(end - HOUR, successful=60)
    make_rollup(end - HOUR - MINUTE, successful=1000)
    make_rollup(end - 24 * HOUR, failed=7)
    make_rollup(end - 24 * HOUR - MINUTE, failed=500)
    first_whole = (end - 24 * HOUR).replace(minute=0) + HOUR
    make_rollup(first_whole, Span.HOUR, failed=30)
    make_rollup(first_whole - HOUR, Span.HOUR, failed=4000)
    make_rollup(end - MINUTE, successful=6, queue_name="mail")

    rates = read_rates(DATABASE, now)

    # Minutes from the first whole hour on are in its rollup already.
    assert rates["default", "default"].failed == 37
    assert rates["default", "default"].throughput == 2.0
    assert rates["default", "mail"].throughput == 0.1


@pytest.mark.parametrize("name", ["hour", "day", "week"])
def test_history_has_a_slot_for_each_part(name, now):
    period = PERIODS[name]

    slots = read_history(DATABASE, period, now)

    assert len(slots) == period.count
    steps = {later.starts_at - slot.starts_at for slot, later in pairwise(slots)}
    assert steps == {period.slot}
    assert slots[-1].starts_at <= now
    assert period.count * period.slot == {"hour": HOUR, "day": 24 * HOUR, "week": 168 * HOUR}[name]


def test_history_adds_up_queues_and_hours(now):
    """Counts and histograms of all queues in a slot; nothing of other slots or spans."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    slots = read_history(DATABASE, PERIODS["week"], now)
    begin = slots[-2].starts_at
    make_rollup(begin, Span.HOUR, successful=5, failed=1, run_times=histogram(1, 1, 1))
    make_rollup(begin + 5 * HOUR, Span.HOUR, successful=2, queue_name="mail")
    make_rollup(begin + 5 * HOUR, Span.HOUR, cancelled=4, run_times=histogram(64))
    make_rollup(begin + 6 * HOUR, Span.HOUR, successful=100)
    make_rollup(begin, Span.MINUTE, successful=1000)
    make_rollup(hour - 400 * HOUR, Span.HOUR, successful=1000)

    slots = read_history(DATABASE, PERIODS["week"], now)

    assert (slots[-2].successful, slots[-2].failed, slots[-2].cancelled) == (7, 1, 4)
    assert slots[-2].run(0.5) == pytest.approx(1, rel=0.2)
    assert slots[-2].run(0.95) == pytest.approx(64, rel=0.2)
    assert slots[-2].wait(0.5) is None
    assert slots[-1].successful == 100
    assert sum(slot.successful for slot in slots) == 107


def test_running_hour_is_part_of_a_day(now):
    hour = now.replace(minute=0, second=0, microsecond=0)
    make_rollup(hour, Span.HOUR, successful=3)

    assert read_history(DATABASE, PERIODS["day"], now)[-1].successful == 3


# --- workers and schedules -----------------------------------------------------------------------


def test_workers_and_beats_are_told_apart():
    worker = make_worker()
    beat = make_worker(pool=leases.BEAT)
    make(2, status=Status.RUNNING, worker_id=worker.pk, task_path="shop.pay")
    make(1, status=Status.RUNNING, worker_id=worker.pk, task_path="shop.ship")

    figures = look()

    [seen] = figures.workers
    assert (seen.row.pk, seen.used, seen.state) == (worker.pk, 3, "alive")
    assert seen.tasks == {"shop.pay": 2, "shop.ship": 1}
    assert [b.row.pk for b in figures.beats] == [beat.pk]


def test_next_schedules_are_listed():
    """Ten of them, the next one first; those that never run are not."""
    for n in range(NEXT_RUNS + 2):
        make_schedule(f"s{n:02}", 1000 - n)
    ended = make_schedule("ended", 1)
    type(ended).objects.filter(pk=ended.pk).update(next_run_at=None)

    names = [row.name for row in look().schedules]

    assert names == [f"s{n:02}" for n in range(NEXT_RUNS + 1, 1, -1)]


# --- the verdict ---------------------------------------------------------------------------------


def state():
    return look().verdict.state


def test_nothing_to_do_is_idle():
    make(status=Status.SUCCESSFUL)
    make(status=Status.SCHEDULED)

    assert state() == State.IDLE


def test_tasks_that_a_worker_serves_are_work():
    make(queue_name="mail")
    make_worker(queues="other,ma*")

    assert state() == State.WORKING


@pytest.mark.parametrize(
    "columns", [{"queues": "mail"}, {"backend": "other"}, {"pool": leases.BEAT}]
)
def test_workers_of_something_else_serve_nobody(columns):
    make(queue_name="letters")
    make_worker(**columns)

    verdict = look().verdict

    assert (verdict.state, verdict.unserved) == (State.UNSERVED, [("default", "letters")])


def test_worker_whose_row_is_broken_serves_nobody():
    """And it does not stop the page."""
    make()
    make_worker(queues="not a queue")

    assert state() == State.UNSERVED


def test_worker_that_stops_serves_nobody():
    make()
    worker = make_worker()
    WorkerRecord.objects.filter(pk=worker.pk).update(is_stopping=True)

    assert state() == State.UNSERVED


def test_worker_that_is_late_serves_nobody():
    """What it ran waits, too: nobody else is there to take it over."""
    worker = make_worker()
    make(status=Status.RUNNING, worker_id=worker.pk)
    assert state() == State.WORKING

    let_expire(worker)

    assert state() == State.UNSERVED
    make_worker()
    assert state() == State.WORKING


def test_running_tasks_of_nobody_are_no_work():
    make(status=Status.RUNNING, worker_id=uuid4())

    assert state() == State.UNSERVED


def test_due_tasks_wait_although_nobody_made_them_ready(now):
    """Workers do that: without one they stay scheduled."""
    make(status=Status.SCHEDULED, run_after=now - timedelta(seconds=5))

    assert state() == State.UNSERVED


def test_paused_queue_is_no_emergency():
    make(queue_name="mail")
    pause("mail")

    verdict = look().verdict

    assert (verdict.state, verdict.unserved) == (State.IDLE, [])
    assert verdict.paused == [("default", "mail")]


@pytest.mark.parametrize(
    ("seconds", "has_beat", "lacks_beat", "is_overdue"),
    [(-5, False, True, True), (500, False, True, False), (-5, True, False, False)],
)
def test_schedules_need_a_beat(seconds, has_beat, lacks_beat, is_overdue):
    make_schedule("hourly", seconds)
    if has_beat:
        make_worker(pool=leases.BEAT)
    let_expire(make_worker(pool=leases.BEAT))

    verdict = look().verdict

    assert (verdict.lacks_beat, verdict.is_overdue) == (lacks_beat, is_overdue)


def test_without_schedules_no_beat_is_missed():
    assert not look().verdict.lacks_beat


# --- what it costs -------------------------------------------------------------------------------


def test_a_glance_takes_eleven_queries(now, django_assert_num_queries):
    RollupMark.objects.create(pk=1, counted_until=now)
    for name in "abcdef":
        make(2, queue_name=name)
        make_worker(queues=name)
        make_schedule(name, 60)

    with django_assert_num_queries(11):
        look()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="plans of SQLite")
def test_tasks_are_found_by_indexes():
    """A scan of the table would take seconds with a million finished tasks."""
    make()
    make(status=Status.RUNNING)
    make(status=Status.SCHEDULED)

    with CaptureQueriesContext(connection) as captured:
        look()
        list(reading.with_running_count(WorkerRecord.objects.all()))

    looked_at = [q["sql"] for q in captured if "django_tasks_taskrecord" in q["sql"]]
    assert len(looked_at) == 6
    for sql in looked_at:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + sql.replace("%%", "%").replace("%", "%%"), [])
            steps = [row[3] for row in cursor.fetchall()]
        scans = [s for s in steps if "taskrecord" in s and "INDEX" not in s]
        assert scans == [], steps


def test_settled_minute_is_over():
    """The last bar of an hour is never one that is still being counted."""
    moment = history._settled_minute(database_now(DATABASE))

    assert moment <= database_now(DATABASE) - timedelta(seconds=10)
