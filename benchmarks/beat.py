"""python -m benchmarks.beat [DATABASE_URL]: what a beat's ticks cost, in a database of its own."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from statistics import median
from typing import Any

import django
from django.conf import settings

from benchmarks.tables import percentile, short, table
from tests.database_urls import settings_for

ENABLED, DUE, IDLE_TICKS, SINGLE_TICKS = 100_000, 10_000, 1_000, 200
DATABASE = "default"


def main() -> None:
    url = next(iter(sys.argv[1:]), os.environ.get("BENCH_DATABASE_URL", "sqlite"))
    configure(url)
    from django.db import connection

    name = connection.creation.create_test_db(verbosity=0)
    try:
        print(f"{connection.display_name}, {ENABLED:,} enabled schedules")
        print(table(["", "median", "p95", "most"], measure()))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def configure(url: str) -> None:
    database = settings_for(url) | {"TEST": {"NAME": f"bench_beat_{os.getpid()}"}}
    settings.configure(
        DATABASES={DATABASE: database},
        INSTALLED_APPS=["django_tasks", "tests"],
        TASKS={
            DATABASE: {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": []}
        },
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def measure() -> list[list[str]]:
    from django_tasks.beat.tick import tick

    fill()
    idle = [timed(tick) for _ in range(IDLE_TICKS)]
    single = []
    for number in range(SINGLE_TICKS):
        make_due(number, 1)
        single.append(timed(tick))
    rows = [
        milliseconds("an idle tick, ms", idle),
        milliseconds("a tick that enqueues one slot, ms", single),
    ]
    for kind in ("INTERVAL", "CRONTAB"):
        seconds = drain(kind, tick)
        label = f"{DUE:,} slots of kind {kind} due in the same second, all enqueued: s"
        rows.append([label, short(seconds), "", ""])
    return rows


def milliseconds(label: str, samples: list[float]) -> list[str]:
    found = [median(samples), percentile(samples, 0.95), max(samples)]
    return [label, *(short(seconds * 1000) for seconds in found)]


def timed(tick: Any) -> float:
    start = time.perf_counter()
    tick(DATABASE)
    return time.perf_counter() - start


def hour() -> Any:
    from django_tasks.store.tasks.enqueue import database_clock

    return database_clock(DATABASE).replace(minute=0, second=0, microsecond=0)


def fill() -> None:
    """Store the schedules, half of them crontabs, none due within the hour after next."""
    from django.db import connection

    from django_tasks.models import Schedule

    later = hour() + timedelta(hours=2)
    Schedule.objects.bulk_create(
        (
            Schedule(
                name=f"s{number}",
                task_path="tests.tasks.add",
                args="[1, 2]",
                kind="CRONTAB" if number % 2 else "INTERVAL",
                crontab="0 * * * *",
                every=3600.0,
                anchor_at=later,
                next_run_at=later + timedelta(seconds=number),
            )
            for number in range(ENABLED)
        ),
        batch_size=1000,
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE django_tasks_schedule")


def make_due(start: int, count: int, kind: str = "") -> None:
    """Let this hour's slot of some schedules be undecided."""
    from django_tasks.models import Schedule

    rows = Schedule.objects.filter(last_slot_at=None).order_by("pk")
    chosen = rows.filter(kind=kind) if kind else rows
    ids = list(chosen.values_list("pk", flat=True)[start : start + count])
    for first in range(0, len(ids), 500):
        Schedule.objects.filter(pk__in=ids[first : first + 500]).update(next_run_at=hour())


def drain(kind: str, tick: Any) -> float:
    """Enqueue DUE slots of the same second; return the seconds that took."""
    from django_tasks.models import ScheduleRun

    before = ScheduleRun.objects.count()
    make_due(0, DUE, kind)
    start = time.perf_counter()
    while tick(DATABASE) == 0.0:
        pass
    seconds = time.perf_counter() - start
    made = ScheduleRun.objects.count() - before
    assert made == DUE, f"{made} slots instead of {DUE}"
    return seconds


if __name__ == "__main__":
    main()
