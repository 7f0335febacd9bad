"""Rows for the overview to show: a shop in the middle of its day."""

import math
import random
from collections import Counter
from datetime import timedelta
from uuid import uuid4

from django_tasks.models import Rollup, RollupMark, Schedule, WorkerRecord
from django_tasks.models.rollups import Span
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import Status
from django_tasks.store.rollups import histograms
from django_tasks.store.workers import leases
from tests.conformance.steps import DATABASE, make
from tests.test_admin import send

#: Queues, their tasks per minute, and the seconds that one runs.
QUEUES = (("default", 40, 0.05), ("mail", 120, 0.4), ("reports", 3, 12.0))
#: Schedules, the seconds until they are due, and their tasks.
SCHEDULES = {
    "Exchange rates": (94, "shop.tasks.fetch_rates"),
    "Old carts": (600, "shop.tasks.forget_carts"),
    "Stock of the branches": (1_500, "shop.tasks.count_stock"),
    "Nightly report": (25_200, "shop.tasks.report"),
}


def make_worker(**columns):
    """Store a worker whose lease is good for ten minutes."""
    values = {
        "id": uuid4(),
        "host": "web-1",
        "pid": 4711,
        "backend": "default",
        "queues": "*",
        "pool": "prefork",
        "concurrency": 4,
        "lease": 600.0,
    }
    info = leases.WorkerInfo(**values | columns)
    leases.register(DATABASE, info)
    return WorkerRecord.objects.get(pk=info.id)


def make_schedule(name, seconds, **columns):
    """Store a schedule that is due in `seconds`."""
    row = Schedule.objects.create(
        name=name, task_path=send.module_path, args='["all"]', kind="INTERVAL", every=3600
    )
    due_at = database_now(DATABASE) + timedelta(seconds=seconds)
    Schedule.objects.filter(pk=row.pk).update(next_run_at=due_at, **columns)
    row.refresh_from_db()
    return row


def make_rollup(starts_at, span=Span.MINUTE, **columns):
    """Store a rollup of the default queue."""
    values = {"backend": "default", "queue_name": "default"}
    return Rollup.objects.create(span=span, starts_at=starts_at, **values | columns)


def histogram(*seconds):
    """Return the durations as a rollup has them."""
    counts = Counter()
    for duration in seconds:
        bucket = math.log(max(duration, 1e-9) / histograms.SHORTEST) / math.log(histograms.GROWTH)
        counts[max(0, 1 + math.floor(bucket))] += 1
    return histograms.dumps(counts)


def make_history(now):
    """Store a week of rollups that ends at `now`."""
    source = random.Random(4)
    minute = now.replace(second=0, microsecond=0)
    hour = minute.replace(minute=0)
    steps = [(Span.MINUTE, minute - timedelta(minutes=n), 1, n / 9) for n in range(1, 61)]
    steps += [(Span.HOUR, hour - timedelta(hours=n), 60, n / 3.8) for n in range(168)]
    rows = []
    for queue_name, per_minute, run in QUEUES:
        for span, starts_at, minutes, phase in steps:
            number = round(per_minute * minutes * (1 + 0.6 * math.sin(phase)))
            is_outage = queue_name == "mail" and span == Span.MINUTE and 2.4 < phase < 2.9
            rows.append(
                Rollup(
                    span=span,
                    starts_at=starts_at,
                    backend="default",
                    queue_name=queue_name,
                    successful=number,
                    failed=number // 3 if is_outage else number // 90,
                    cancelled=number // 300,
                    wait_times=histogram(*(0.02 * 4 ** source.gauss(0, 1) for _ in range(40))),
                    run_times=histogram(*(run * 2 ** source.gauss(0, 1) for _ in range(40))),
                )
            )
    Rollup.objects.bulk_create(rows)
    RollupMark.objects.update_or_create(pk=1, defaults={"counted_until": minute})


def make_shop():
    """Store workers at work, tasks of all statuses, schedules and a week of history."""
    now = database_now(DATABASE)
    make_history(now)
    first = make_worker(queues="default,mail")
    second = make_worker(
        host="web-2", pid=318, queues="mail,reports", pool="threads", concurrency=10
    )
    make_worker(pid=4810, pool=leases.BEAT, queues="", concurrency=0)
    running = {"status": Status.RUNNING, "last_attempted_at": now}
    make(3, worker_id=first.pk, queue_name="mail", task_path="shop.tasks.send_mail", **running)
    make(2, worker_id=second.pk, queue_name="reports", task_path="shop.tasks.report", **running)
    make(1, worker_id=second.pk, queue_name="mail", task_path="shop.tasks.send_mail", **running)
    make(12, queue_name="mail", enqueued_at=now - timedelta(seconds=4))
    make(2, enqueued_at=now - timedelta(seconds=1))
    make(40, status=Status.SCHEDULED, run_after=now + timedelta(hours=3))
    for name, (seconds, task_path) in SCHEDULES.items():
        make_schedule(name, seconds, task_path=task_path)
