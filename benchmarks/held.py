"""Does a drain keep its speed through minutes of a snapshot that another session holds?"""

from __future__ import annotations

import os
import select
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks.tables import percentile, short, table

#: Ready tasks, which are made up for as they are done; and seconds: held, after it, of a sample.
READY, HELD, AFTER, SAMPLE = 1_000_000, 180, 30, 10
QUEUES, PRIORITIES = ("default", "mail", "web"), (30, 20, 10, 0, -10, -20, -30)
#: A newcomer comes in before all others so many times a second.
NEWCOMERS, URGENT = 2, 100
TABLE = "django_tasks_taskrecord"
Numbers = dict[str, Any]


def measure(bench: Any) -> Numbers:
    """Drain with two processes for minutes under a snapshot, and beyond its end."""
    system, sample = bench.system, SAMPLE / 10 if bench.quick else SAMPLE
    held, after = HELD // SAMPLE, AFTER // SAMPLE
    system.clear()
    system.settle()
    filler = Filler(system, bench.scaled(READY))
    filler.connection.execute(f"VACUUM (ANALYZE) {TABLE}")
    filler.connection.execute("CHECKPOINT")
    try:
        with psycopg.connect(system.database_url) as other, Newcomers(system) as newcomers:
            other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            other.execute(f"SELECT 1 FROM {TABLE} LIMIT 1")
            system.start_workers(processes=2)
            system.forget_done()
            rates = [rate(system, filler, newcomers, sample) for _ in range(held)]
            other.rollback()
            rates += [rate(system, filler, newcomers, sample) for _ in range(after)]
    finally:
        filler.close()
        system.stop()
        system.clear()
    return numbers(rates, held, sample, newcomers)


def numbers(rates: list[float], held: int, sample: float, newcomers: Newcomers) -> Numbers:
    """The table, and the rate at the end of the snapshot in times of that at its start."""
    start, end = median(rates[:3]), median(rates[held - 3 : held])
    rows = [
        [f"{n * sample:g} s", "held" if n < held else "released", short(each)]
        for n, each in enumerate(rates)
    ]
    waits = sorted(newcomers.waits) or [float("inf")]
    told = [
        f"newcomers: {len(newcomers.waits)} of {newcomers.sent} started",
        f"after {percentile(waits, 0.5) * 1000:,.0f} ms (p50),"
        f" {percentile(waits, 0.99) * 1000:,.0f} ms (p99), {waits[-1] * 1000:,.0f} ms (most).",
    ]
    text = table(["from", "snapshot", "tasks per second"], rows) + "\n" + " ".join(told) + "\n"
    return {"held_rate": end / start, "sections": {"a drain under a snapshot held for long": text}}


def rate(system: Any, filler: Filler, newcomers: Newcomers, seconds: float) -> float:
    """Let newcomers in for `seconds`; return the tasks per second, and have them made up for."""
    since, start = system.since, time.perf_counter()
    newcomers.come_in(until=start + seconds)
    system.forget_done()  # the next sample begins here
    done = system.count(
        f"SELECT count(*) FROM {TABLE} WHERE status = 'SUCCESSFUL'"
        f" AND finished_at > '{since}' AND finished_at <= '{system.since}'"
    )
    filler.add(done)
    return float(done / (system.since - since).total_seconds())


class Filler:
    """Copies one enqueued task into all queues and priorities, with ids of the moment."""

    def __init__(self, system: Any, count: int) -> None:
        self.connection = psycopg.connect(system.database_url, autocommit=True)
        system.enqueue_one("noop", 7)
        self.connection.execute(
            f"CREATE TEMP TABLE template AS SELECT * FROM {TABLE} WHERE status = 'READY' LIMIT 1"
        )
        columns = self.connection.execute("SELECT * FROM template").description or ()
        self.names = [column.name for column in columns]
        self._thread = threading.Thread()
        self._copy(count)

    def add(self, count: int) -> None:
        """Add so many beside the drain."""
        if self._thread.is_alive():
            self._thread.join()
        self._thread = threading.Thread(target=self._copy, args=(count,))
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._thread.join()
        self.connection.close()

    def _copy(self, count: int) -> None:
        stamp = "lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')"
        changes = {
            "id": f"({stamp} || '7' || right(md5(random()::text || n), 19))::uuid",
            "queue_name": f"('{{{','.join(QUEUES)}}}'::text[])[1 + n % {len(QUEUES)}]",
            "priority": f"('{{{','.join(map(str, PRIORITIES))}}}'::int[])"
            f"[1 + n / {len(QUEUES)} % {len(PRIORITIES)}]",
            "enqueued_at": "now()",
        }
        values = [changes.get(name, f"template.{name}") for name in self.names]
        self.connection.execute(
            f"INSERT INTO {TABLE} ({', '.join(self.names)}) SELECT {', '.join(values)}"
            f" FROM template, generate_series(1, {count}) AS n"
        )


class Newcomers:
    """Tasks that are to run before all others; each tells when it starts by a named pipe."""

    def __init__(self, system: Any) -> None:
        self._task = system.tasks.stamp.using(priority=URGENT)
        self._sent_at: list[float] = []
        self.waits: list[float] = []

    def __enter__(self) -> Newcomers:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-")
        self._path = Path(self._directory.name) / "pipe"
        os.mkfifo(self._path)
        self._pipe = os.open(self._path, os.O_RDWR)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)
        self._directory.cleanup()

    @property
    def sent(self) -> int:
        return len(self._sent_at)

    def come_in(self, until: float) -> None:
        """Enqueue one after the other, and hear of those that have started."""
        while (now := time.perf_counter()) < until:
            self._sent_at.append(time.time())
            self._task.enqueue(str(self._path), self.sent - 1)
            self._hear(min(until, now + 1 / NEWCOMERS))

    def _hear(self, until: float) -> None:
        while (left := until - time.perf_counter()) > 0:
            if not select.select([self._pipe], [], [], left)[0]:
                return
            for line in os.read(self._pipe, 1 << 16).splitlines():
                number, at = line.split()
                self.waits.append(float(at) - self._sent_at[int(number)])
