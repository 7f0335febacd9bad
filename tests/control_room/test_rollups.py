"""Every finished task is counted once in its minute and once in its hour, whoever counts."""

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from django_tasks.models import Rollup, RollupMark, TaskRecord
from django_tasks.models.rollups import Span
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import FINAL_STATUSES, Status
from django_tasks.store.rollups import counting, histograms
from django_tasks.store.tasks import transitions
from tests.conformance.steps import (
    DATABASE,
    FAR_AHEAD,
    IS_MYSQL,
    at_once,
    make,
    persistently,
)
from tests.rows_read import rows_read

#: A minute that ended long enough ago.
MINUTE = timedelta(minutes=1)
COUNTS = ("successful", "failed", "cancelled", "retries")


def count_all():
    """Count until there is nothing more to count now."""
    while persistently(counting.count_next, DATABASE) == 0.0:
        pass


def minutes_ago(minutes, seconds=0.0):
    """Return a moment in a whole minute of UTC."""
    start = database_now(DATABASE).replace(second=0, microsecond=0)
    return start - timedelta(minutes=minutes) + timedelta(seconds=seconds)


def bucket(seconds):
    """Return the bucket as its definition says."""
    if seconds < histograms.SHORTEST:
        return 0
    ratio = math.log(seconds / histograms.SHORTEST) / math.log(histograms.GROWTH)
    return 1 + math.floor(ratio)


def finish(finished_at, status=Status.SUCCESSFUL, wait=0.3, run=0.05, **columns):
    """Store a task that waited, ran, and finished at a moment."""
    [task_id] = make(**finished_columns(finished_at, status, wait, run, **columns))
    return task_id


def finished_columns(finished_at, status=Status.SUCCESSFUL, wait=0.3, run=0.05, **columns):
    started_at = finished_at - timedelta(seconds=run)
    return {
        "status": status,
        "finished_at": finished_at,
        "last_attempted_at": started_at,
        "started_at": started_at,
        "enqueued_at": started_at - timedelta(seconds=wait),
        "run_time": run,
        "attempts": 1,
        "claims": 1,
        **columns,
    }


def brute_force(span):
    """Return the expected rows by looking at each task."""
    rows = {}
    for task in TaskRecord.objects.filter(finished_at__isnull=False):
        begin = datetime.fromtimestamp(task.finished_at.timestamp() // span * span, UTC)
        row = rows.setdefault(
            (begin, task.backend, task.queue_name), (Counter(), Counter(), Counter())
        )
        row[0][task.status.lower()] += 1
        row[0]["retries"] += max(0, task.attempts - 1)
        if task.last_attempted_at and task.attempts <= 1 and not task.lost:
            could_run = max(task.enqueued_at, task.run_after or task.enqueued_at)
            row[1][bucket((task.last_attempted_at - could_run).total_seconds())] += 1
        if task.run_time is not None:
            row[2][bucket(task.run_time)] += 1
    return rows


def counted(span):
    return {
        (row.starts_at, row.backend, row.queue_name): (
            +Counter({name: getattr(row, name) for name in COUNTS}),
            histograms.loads(row.wait_times),
            histograms.loads(row.run_times),
        )
        for row in Rollup.objects.filter(span=span)
    }


def expected(span):
    return {key: tuple(+counter for counter in row) for key, row in brute_force(span).items()}


def fill(seed, tasks=300):
    """Store tasks of all kinds that finished within some hours."""
    source = random.Random(seed)
    for _ in range(tasks):
        finish(
            minutes_ago(source.randrange(2, 180), source.uniform(0, 59.9)),
            source.choice(FINAL_STATUSES),
            # In the middle of buckets wider than the milliseconds that SQLite's times have.
            wait=histograms.middle(source.randrange(20, 60)),
            run=histograms.middle(source.randrange(60)),
            queue_name=source.choice(["default", "mail", "Mail", "ünïcode"]),
            backend=source.choice(["default", "other"]),
            attempts=source.choice([0, 1, 1, 1, 3]),
            lost=source.choice([0, 0, 1]),
        )
    make(2, status=Status.CANCELLED, finished_at=minutes_ago(5))
    make(3)
    make(2, status=Status.RUNNING)


@pytest.mark.django_db
def test_counts_are_those_of_a_look_at_each_task():
    """Counts, retries and histograms, for every queue, minute and hour."""
    fill(1)

    count_all()

    assert counted(Span.MINUTE) == expected(Span.MINUTE)
    assert counted(Span.HOUR) == expected(Span.HOUR)


@pytest.mark.django_db
def test_minute_of_many_slices_has_one_row(monkeypatch):
    """A minute that is too large for one transaction is added up; nothing is counted twice."""
    monkeypatch.setattr(counting, "SLICE", 7)
    fill(2, tasks=60)
    for second in range(50):
        finish(minutes_ago(3, second + 0.123))
    for _ in range(20):  # more than a slice in one moment
        finish(minutes_ago(3, 55))

    count_all()

    assert counted(Span.MINUTE) == expected(Span.MINUTE)
    assert counted(Span.HOUR) == expected(Span.HOUR)


@pytest.mark.django_db
def test_first_mark_can_be_moved_whatever_fraction_its_second_has():
    """SQLite's text of a whole second is another one than Django's: made there, it never was."""
    finish(minutes_ago(3))

    mark = counting._mark(DATABASE)

    assert mark.counted_until.microsecond == 0
    assert RollupMark.objects.filter(counted_until=mark.counted_until).exists()
    count_all()
    assert counted(Span.MINUTE) == expected(Span.MINUTE) != {}


#: The kinds of tasks that have indexes of their own.
KINDS = {
    "successful": {},
    "failed": {"status": Status.FAILED},
    "own": {"result_ttl": 1e9, "prune_after": FAR_AHEAD},
}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_slice_is_as_large_as_it_may_be_whatever_kind_the_tasks_are(kind, monkeypatch):
    """It ends where the first kind has enough; none of what the others have there is left out."""
    monkeypatch.setattr(counting, "SLICE", 7)
    others = [columns for name, columns in KINDS.items() if name != kind]
    for second in range(40):
        finish(minutes_ago(3, second + 0.123), **KINDS[kind])
        if second % 5 == 0:
            for columns in others:
                finish(minutes_ago(3, second + 0.123), **columns)

    RollupMark.objects.create(pk=1, counted_until=minutes_ago(3))
    sizes = []
    while persistently(counting.count_next, DATABASE) == 0.0:
        sizes.append(tasks_counted() - sum(sizes))

    assert max(sizes) <= 7 + 2 * 2
    assert counted(Span.MINUTE) == expected(Span.MINUTE)


def tasks_counted():
    rows = Rollup.objects.filter(span=Span.MINUTE)
    return sum(row.successful + row.failed + row.cancelled for row in rows)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", KINDS)
def test_slice_of_a_full_minute_reads_no_more_than_it_counts(kind, monkeypatch):
    """Though the statistics know of little that finished then, and other kinds had much before."""
    monkeypatch.setattr(counting, "SLICE", 50)
    others = [columns for name, columns in KINDS.items() if name != kind]
    for _ in range(10):
        finish(minutes_ago(4, random.uniform(0, 59)), **KINDS[kind])
    for columns in others:
        many = {"status": Status.SUCCESSFUL, "finished_at": minutes_ago(50), **columns}
        make(2000, **many)
    RollupMark.objects.create(pk=1, counted_until=minutes_ago(3))
    analyze()
    read = {}
    for more in (400, 4000):
        marks = RollupMark.objects.all()
        moments = [minutes_ago(3, random.uniform(0, 59)) for _ in range(more)]
        TaskRecord.objects.bulk_create(
            TaskRecord(**LIKE_ANY, **finished_columns(moment, **KINDS[kind])) for moment in moments
        )
        with rows_read() as reading:
            assert counting.count_next(DATABASE) == 0.0
        read[more] = reading.total
        marks.update(counted_until=minutes_ago(3))

    assert read[4000] < 1.5 * read[400], read


#: What every record has.
LIKE_ANY = {
    "task_path": "x", "queue_name": "default", "backend": "default", "args": "[]", "kwargs": "{}",
}  # fmt: skip


def analyze():
    table = TaskRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {table}" if IS_MYSQL else f"ANALYZE {table}")
        cursor.fetchall() if IS_MYSQL else None


@pytest.mark.django_db
@pytest.mark.parametrize("most", [3, 100])
def test_what_is_not_counted_yet_is_found_in_the_order_of_its_end(most):
    """Of all kinds: that of the tasks that finished first, up to so many."""
    moments = [(name, second) for second in range(4) for name in KINDS]
    for name, second in random.sample(moments, len(moments)):
        finish(minutes_ago(3, second), queue_name=f"{name} {second}", **KINDS[name])
    make(2)

    found = counting.uncounted(DATABASE, minutes_ago(3, 1), most)

    assert len(found) == min(most, 9)
    assert {queue for queue, _ in found[:3]} == {f"{name} 1" for name in KINDS}
    assert {status for _, status in found} == {Status.SUCCESSFUL, Status.FAILED}


@pytest.mark.django_db
def test_what_is_counted_is_not_counted_again():
    """Counting goes on from where it came to; old counts do not change with the tasks."""
    fill(3, tasks=50)
    count_all()
    before = counted(Span.MINUTE)

    count_all()
    TaskRecord.objects.all().delete()
    count_all()

    assert counted(Span.MINUTE) == before


@pytest.mark.django_db
def test_minute_that_has_not_settled_waits():
    """The running minute is not counted: others may still commit what finished in it."""
    finish(database_now(DATABASE))

    more_in = counting.count_next(DATABASE)

    assert not Rollup.objects.exists()
    assert 0 < more_in <= 60 + counting.SETTLED_AFTER.total_seconds()


@pytest.mark.django_db
def test_mark_stands_at_the_end_of_the_counted_minute():
    """The mark never passes the last settled minute, and never goes back."""
    finish(minutes_ago(2, 30))
    count_all()
    mark = RollupMark.objects.get()

    assert mark.counted_until.second == mark.counted_until.microsecond == 0
    assert mark.counted_until <= database_now(DATABASE) - counting.SETTLED_AFTER
    assert mark.counted_until >= minutes_ago(2)


@pytest.mark.django_db
def test_counting_catches_up_but_not_for_ever():
    """After an outage it begins two days back; what finished before that is left out."""
    RollupMark.objects.create(pk=1, counted_until=database_now(DATABASE) - timedelta(days=30))
    finish(minutes_ago(60 * 24 * 3))
    finish(minutes_ago(60 * 24 + 5))
    finish(minutes_ago(5))

    count_all()

    assert Rollup.objects.filter(span=Span.MINUTE).aggregate(n=Sum("successful"))["n"] == 2


@pytest.mark.django_db
def test_old_rollups_are_deleted():
    """Minutes go after two days, hours after sixty; tasks have nothing to do with it."""
    now = minutes_ago(0)
    for span, age in [(60, 49), (60, 47), (3600, 24 * 61), (3600, 24 * 59)]:
        Rollup.objects.create(
            span=span, starts_at=now - timedelta(hours=age), backend="b", queue_name="q"
        )

    count_all()

    left = Rollup.objects.values_list("span", "starts_at")
    assert set(left) == {
        (60, now - timedelta(hours=47)),
        (3600, now - timedelta(hours=24 * 59)),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
def test_time_zone_of_the_process_does_not_matter(name):
    """Minutes and hours are those of UTC, whatever is local."""
    with timezone.override(name):
        fill(4, tasks=30)
        count_all()

    assert counted(Span.HOUR) == expected(Span.HOUR)


@pytest.mark.django_db
def test_night_in_which_clocks_go_back_has_all_its_hours(monkeypatch):
    """The hour that local clocks show twice is two hours here."""
    monkeypatch.setattr(counting, "CATCH_UP", timedelta(days=40_000))
    monkeypatch.setattr(counting, "KEPT", {})
    night = datetime(2020, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 twice in Berlin
    for hours in range(3):
        finish(night + timedelta(hours=hours))
    RollupMark.objects.create(pk=1, counted_until=night - timedelta(hours=1))

    with timezone.override("Europe/Berlin"):
        count_all()

    assert [row.starts_at.hour for row in Rollup.objects.filter(span=Span.HOUR)] == [0, 1, 2]


@pytest.mark.django_db
def test_odd_columns_stop_nothing():
    """A run time that is no time, and a clock that went back, land in the outer buckets."""
    finish(minutes_ago(3), run=-5.0)
    finish(minutes_ago(3), wait=-3600.0)
    odd = finish(minutes_ago(3))
    if connection.vendor == "postgresql":
        TaskRecord.objects.filter(pk=odd).update(run_time=float("nan"))
    if connection.vendor != "mysql":
        TaskRecord.objects.filter(pk=finish(minutes_ago(3))).update(run_time=float("inf"))

    count_all()

    row = Rollup.objects.get(span=Span.MINUTE)
    assert row.successful >= 3
    assert histograms.loads(row.run_times)[0] == 1
    assert histograms.loads(row.wait_times)[0] == 1


@pytest.mark.django_db
def test_wait_after_requeue_counts_from_the_requeue():
    """The days that a failed task lay there are no wait in a queue."""
    [task_id] = make(status=Status.FAILED)
    transitions.requeue(DATABASE, [task_id])

    task = TaskRecord.objects.get(pk=task_id)

    assert abs(task.run_after - database_now(DATABASE)) < MINUTE


@pytest.mark.django_db(transaction=True)
def test_keepers_that_race_count_once(monkeypatch):
    """Two keepers at the same time make the rows that one would have made."""
    monkeypatch.setattr(counting, "SLICE", 20)
    fill(5, tasks=200)

    at_once(count_all, count_all)
    count_all()  # whoever came second may have left

    assert counted(Span.MINUTE) == expected(Span.MINUTE)
    assert counted(Span.HOUR) == expected(Span.HOUR)


@pytest.mark.django_db(transaction=True)
def test_keeper_that_dies_leaves_nothing_half_done():
    """Minute, hour and mark change together or not at all."""
    finish(minutes_ago(5))
    add = counting._add

    def die_at_the_hour(database, span, *rest):
        if span == Span.HOUR:
            raise KeyboardInterrupt
        add(database, span, *rest)

    with mock.patch.object(counting, "_add", die_at_the_hour), pytest.raises(KeyboardInterrupt):
        count_all()
    assert not Rollup.objects.exists()
    count_all()

    assert counted(Span.MINUTE) == expected(Span.MINUTE)
    assert counted(Span.HOUR) == expected(Span.HOUR)


def test_percentiles_are_near_the_truth():
    """Within the half width of a bucket, however the parts were added up."""
    source = random.Random(6)
    seconds = sorted(source.lognormvariate(0, 2) for _ in range(10_001))
    parts = [Counter(map(bucket, seconds[i::7])) for i in range(7)]
    counts = histograms.total(map(histograms.dumps, parts))

    for share in (0.5, 0.95):
        found = histograms.percentile(counts, share)
        assert found == pytest.approx(seconds[int(share * 10_000)], rel=0.1)
    assert histograms.percentile(Counter(), 0.5) is None
