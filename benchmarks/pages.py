"""
python -m benchmarks.pages [DATABASE_URL]: what the admin's pages cost over a million tasks.

In a database of its own: ten queues, 60,000 tasks ready, 30,000 scheduled, 9,000 failed, 1,000
running, the others successful; 43,200 rollups, which is all that keepers keep of ten queues.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from statistics import median
from typing import Any
from uuid import uuid4

import django

from benchmarks.tables import short, table

TASKS, TIMES = 1_000_000, 5
QUEUES = [f"queue-{number}" for number in range(10)]
ADMIN = "/admin/django_tasks/"


def main() -> None:
    url = next(iter(sys.argv[1:]), os.environ.get("BENCH_DATABASE_URL", "sqlite"))
    os.environ |= {"TEST_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    django.setup()
    from django.db import connection
    from django.test.utils import setup_test_environment

    setup_test_environment(debug=False)
    name = connection.creation.create_test_db(verbosity=0)
    try:
        began = time.monotonic()
        ready, running = fill()
        print(f"{connection.display_name} {server_version()}, Django {django.get_version()},")
        print(f"Python {sys.version.split()[0]}; filled in {time.monotonic() - began:.0f} s")
        rows = list(measure(ready, running))
        print(table(["page", "queries", "median, ms", "least", "most"], rows))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def server_version() -> str:
    from django.db import connection

    sql = "SELECT sqlite_version()" if connection.vendor == "sqlite" else "SELECT version()"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0]).split(" on ")[0]


def pages(ready: Any, worker: Any) -> dict[str, str]:
    tasks = f"{ADMIN}taskrecord/"
    return {
        "overview, the last hour": f"{ADMIN}overview/",
        "overview, the last day": f"{ADMIN}overview/?span=day",
        "overview, the last week": f"{ADMIN}overview/?span=week",
        "overview, its figures": f"{ADMIN}overview/figures/",
        "tasks, the newest": tasks,
        "tasks that are ready": f"{tasks}?status=READY",
        "tasks that failed": f"{tasks}?status=FAILED",
        "tasks of one queue": f"{tasks}?queue_name=queue-3",
        "tasks found by name": f"{tasks}?q=benchmarks",
        "a task that waits": f"{tasks}{ready}/change/",
        "queues": f"{ADMIN}queuestate/",
        "workers": f"{ADMIN}workerrecord/",
        "a worker": f"{ADMIN}workerrecord/{worker}/change/",
    }


def measure(ready: Any, worker: Any) -> Iterator[list[str]]:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    def opened(address: str) -> None:
        response = client.get(address)
        assert response.status_code == 200, (address, response.status_code)

    looks: dict[str, Callable[[], Any]] = {
        name: partial(opened, address) for name, address in pages(ready, worker).items()
    }
    looks["manage.py tasks_inspect"] = partial(call_command, "tasks_inspect", stdout=StringIO())
    for name, look in looks.items():
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            look()
            took.append((time.perf_counter() - began) * 1000)
        with CaptureQueriesContext(connection) as captured:
            look()
        yield [name, str(len(captured)), *map(short, (median(took), min(took), max(took)))]


# --- rows ---------------------------------------------------------------------------------------


def fill() -> tuple[Any, Any]:
    """Store all rows; return the id of a ready task, and that of a worker."""
    from django.db import connection

    from django_tasks.models import TaskRecord
    from django_tasks.monitoring.reading import database_now
    from django_tasks.store.workers import leases

    now = database_now("default")
    worker = uuid4()
    fill_tasks(worker)
    fill_rollups(now)
    leases.register(
        "default",
        leases.WorkerInfo(
            id=worker,
            host="web-1",
            pid=4711,
            backend="default",
            queues="*",
            pool="prefork",
            concurrency=1000,
            lease=3600.0,
        ),
    )
    analyze = "ANALYZE TABLE django_tasks_taskrecord, django_tasks_rollup"
    with connection.cursor() as cursor:
        cursor.execute(analyze if connection.vendor == "mysql" else "ANALYZE")
    return TaskRecord.objects.filter(status="READY").values_list("pk", flat=True)[0], worker


#: The numbers from 0 on, one of them in 12 hexadecimal digits, and a moment some seconds from now.
SQL = {
    "sqlite": (
        "(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {last})"
        " SELECT n FROM s)",
        "printf('%012x', n)",
        "datetime('now', ({seconds}) || ' seconds')",
    ),
    "postgresql": (
        "(SELECT n FROM generate_series(0::bigint, {last}) AS s(n))",
        "lpad(to_hex(n), 12, '0')",
        "now() + ({seconds}) * interval '1 second'",
    ),
    "mysql": (
        "(SELECT CAST(seq AS SIGNED) AS n FROM seq_0_to_{last})",
        "lpad(hex(n), 12, '0')",
        "TIMESTAMPADD(SECOND, {seconds}, UTC_TIMESTAMP(6))",
    ),
}


def fill_tasks(worker: Any) -> None:
    """Store tasks of the last day, all statuses evenly spread."""
    from django.db import connection

    numbers, digits, moment = SQL[connection.vendor]
    native = connection.features.has_native_uuid_field
    age = f"(n - {TASKS}) * 86400 / {TASKS}"
    enqueued, ended = (moment.format(seconds=each) for each in (age, f"{age} + n % 2"))
    # 7919 and 1000 have no common divisor: of each thousand, each remainder comes once.
    status, began, over = "n * 7919 % 1000", "kind NOT IN (1, 2)", "kind IN (0, 3)"
    values = {
        "id": f"CAST(CONCAT({digits}, '70008000000000000000') AS {{}})".format(
            {"postgresql": "uuid", "mysql": "CHAR(32)"}.get(connection.vendor, "TEXT")
        ),
        "task_path": "CONCAT('benchmarks.tasks.task_', n % 20)",
        "queue_name": "CONCAT('queue-', n * 31 % 7919 % 10)",
        "status": "CASE kind WHEN 1 THEN 'READY' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FAILED'"
        " WHEN 4 THEN 'RUNNING' ELSE 'SUCCESSFUL' END",
        "backend": "'default'",
        "args": "'[1, 2]'",
        "kwargs": "'{}'",
        "run_after": f"CASE WHEN kind = 2 THEN {moment.format(seconds='60 + n % 86400')} END",
        "enqueued_at": enqueued,
        "started_at": f"CASE WHEN {began} THEN {enqueued} END",
        "last_attempted_at": f"CASE WHEN {began} THEN {enqueued} END",
        "finished_at": f"CASE WHEN {over} THEN {ended} END",
        "run_time": f"CASE WHEN {over} THEN 0.2 END",
        "attempts": f"CASE WHEN {began} THEN 1 ELSE 0 END",
        "claims": f"CASE WHEN {began} THEN 1 ELSE 0 END",
        "worker_id": f"CASE WHEN kind = 4 THEN {worker_text(worker, native)} END",
        "process": "CASE WHEN kind = 4 THEN 1 END",
    }
    kinds = (
        f"SELECT n, CASE WHEN {status} < 60 THEN 1 WHEN {status} < 90 THEN 2"
        f" WHEN {status} < 99 THEN 3 WHEN {status} = 99 THEN 4 ELSE 0 END AS kind"
        f" FROM {numbers.format(last=TASKS - 1)} AS numbers"
    )
    connection.ensure_connection()
    if connection.vendor == "sqlite":  # which has none before 3.44
        connection.connection.create_function("CONCAT", -1, lambda *each: "".join(map(str, each)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO django_tasks_taskrecord ({', '.join(values)})"
            f" SELECT {', '.join(values.values())} FROM ({kinds}) AS kinds"
        )


def worker_text(worker: Any, native: bool) -> str:
    from django.db import connection

    text = f"'{worker}'" if native else f"'{worker.hex}'"
    return f"{text}::uuid" if connection.vendor == "postgresql" else text


def fill_rollups(now: datetime) -> None:
    """Store two days of minutes and sixty days of hours for each queue, with full histograms."""
    from django_tasks.models import Rollup, RollupMark
    from django_tasks.models.rollups import Span
    from django_tasks.store.rollups import histograms

    minute = now.replace(second=0, microsecond=0)
    steps = [(Span.MINUTE, minute - timedelta(minutes=n), 70) for n in range(1, 2881)]
    hour = minute.replace(minute=0)
    steps += [(Span.HOUR, hour - timedelta(hours=n), 4200) for n in range(60 * 24)]
    times = histograms.dumps(Counter({bucket: 10 + bucket % 7 for bucket in range(5, 60)}))
    Rollup.objects.bulk_create(
        (
            Rollup(
                span=span,
                starts_at=starts_at,
                backend="default",
                queue_name=queue_name,
                successful=count,
                failed=count // 90,
                retries=count // 50,
                wait_times=times,
                run_times=times,
            )
            for span, starts_at, count in steps
            for queue_name in QUEUES
        ),
        batch_size=2000,
    )
    RollupMark.objects.update_or_create(pk=1, defaults={"counted_until": minute})


if __name__ == "__main__":
    main()
