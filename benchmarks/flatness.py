"""Does a claim stay as fast with millions of other rows, and under a snapshot that others hold?"""

from __future__ import annotations

import signal
import time
from statistics import median
from typing import Any

import psycopg

from benchmarks.tables import short, table

TASKS, ROUNDS = 30_000, 3
FINISHED, FUTURE = 2_000_000, 1_000_000
TABLE = "django_tasks_taskrecord"
Numbers = dict[str, Any]
Round = tuple[float, float]


def measure(bench: Any) -> Numbers:
    """Drain with two processes: alone, under a snapshot, over history, over future rows."""
    system = bench.system
    found = under_snapshot(bench)
    finished, future = bench.scaled(FINISHED), bench.scaled(FUTURE)
    system.clear()
    fill(system, finished, finished_at="now() - interval '1 hour'", status="'SUCCESSFUL'")
    found[f"{finished:,} finished rows"] = rounds(bench)
    fill(system, future, run_after="now() + interval '1 day'", status="'SCHEDULED'")
    found[f"those and {future:,} future rows"] = rounds(bench)
    system.clear()
    alone, _, history, ahead = (median(rate for rate, _ in each) for each in found.values())
    return {"flat_history": history / alone, "flat_future": ahead / alone} | numbers(found)


def measure_snapshot(bench: Any) -> Numbers:
    """Drain with two processes: alone, and under a snapshot."""
    found = under_snapshot(bench)
    bench.system.clear()
    return numbers(found)


def under_snapshot(bench: Any) -> dict[str, list[Round]]:
    system = bench.system
    system.clear()
    found = {"nothing else": rounds(bench)}
    with psycopg.connect(system.database_url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute(f"SELECT count(*) FROM {TABLE}")
        found["a snapshot held by another session"] = rounds(bench)
        other.rollback()
    return found


def numbers(found: dict[str, list[Round]]) -> Numbers:
    """The table, and the rate of the last round under a snapshot in times of that without."""
    rates = {name: [rate for rate, _ in each] for name, each in found.items()}
    server = {name: median(cpu for _, cpu in each) for name, each in found.items()}
    alone, snapshot, *_ = rates.values()
    base = median(alone)
    rows = [
        [name, *map(short, each), f"{median(each) / base:.2f}", short(server[name])]
        for name, each in rates.items()
    ]
    head = ["in the table", *(f"round {n}" for n in range(1, ROUNDS + 1)), "median, ×"]
    head += ["CPU s of PostgreSQL per 10,000"]
    return {
        "flat_snapshot": snapshot[-1] / base,
        "sections": {f"drains of {TASKS:,} by 2 processes, per second": table(head, rows)},
    }


def rounds(bench: Any) -> list[Round]:
    system = bench.system
    system.settle()
    system.forget_done()
    try:
        system.start_workers(processes=2)
        return [drain(bench) for _ in range(ROUNDS)]
    finally:
        system.stop()


def drain(bench: Any) -> Round:
    """The rate, and the CPU seconds of the server per 10,000 (0 where it is out of reach)."""
    system, tasks = bench.system, bench.scaled(TASKS)
    system.forget_done()  # so that counting costs the same in each round
    before = system.done()
    system.signal_workers(signal.SIGSTOP)
    system.enqueue_many("noop", [(n,) for n in range(tasks)])
    cpu, start = bench.cpu(), time.perf_counter()
    system.signal_workers(signal.SIGCONT)
    rate = tasks / (system.wait_done(before + tasks) - start)
    spent = bench.cpu().get("postgres", 0.0) - cpu.get("postgres", 0.0)
    return rate, spent / tasks * 10_000


def fill(system: Any, count: int, **changes: str) -> None:
    """Copy one enqueued row `count` times, with ids of an hour ago."""
    system.enqueue_one("noop", 7)
    old = "extract(epoch FROM now() - interval '1 hour') * 1000"
    stamp = f"lpad(to_hex(({old})::bigint), 12, '0')"
    changes["id"] = f"({stamp} || '7' || right(md5(n::text || '{count}'), 19))::uuid"
    columns = system.connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (TABLE,)
    ).fetchall()
    names = [name for (name,) in columns]
    values = [changes.get(name, f"template.{name}") for name in names]
    system.connection.execute(
        f"INSERT INTO {TABLE} ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM (SELECT * FROM {TABLE} WHERE status = 'READY' LIMIT 1) AS template,"
        f" generate_series(1, {count}) AS n"
    )
    system.connection.execute(f"DELETE FROM {TABLE} WHERE status = 'READY'")
