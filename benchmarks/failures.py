"""How much slower is a drain in which tasks fail, as when what they call is down?"""

from __future__ import annotations

import signal
import time
from statistics import median
from typing import Any

from benchmarks.tables import short, table

TASKS, ROUNDS = 20_000, 3
TABLE = "django_tasks_taskrecord"
#: Of a hundred tasks, how many raise, and whether these are tried again in an hour.
MIXES = (
    *((0, False), (10, False), (50, False), (100, False)),
    *((10, True), (50, True), (100, True)),
)
UNFINISHED = f"SELECT EXISTS (SELECT 1 FROM {TABLE} WHERE status IN ('READY', 'RUNNING'))"
Numbers = dict[str, Any]


def measure(bench: Any) -> Numbers:
    """Drain with one process, the mixes in turns on the same worker; its log goes to a file."""
    system = bench.system
    system.clear()
    rates: dict[tuple[int, bool], list[float]] = {mix: [] for mix in MIXES}
    try:
        system.start_workers(processes=1)
        for _ in range(ROUNDS):
            for mix in MIXES:
                rates[mix].append(drain(bench, *mix))
    finally:
        system.stop()
        system.clear()
    base = median(rates[0, False])
    rows = [
        [name(*mix), *map(short, each), f"{base / median(each):.2f}"] for mix, each in rates.items()
    ]
    head = ["of 100 tasks", *(f"round {n}" for n in range(1, ROUNDS + 1)), "time, ×"]
    return {
        "failures_time": base / median(rates[100, False]),
        "retries_time": base / median(rates[100, True]),
        "sections": {f"drains of {TASKS:,} by 1 process, per second": table(head, rows)},
    }


def name(failing: int, is_retried: bool) -> str:
    if not failing:
        return "all succeed"
    return f"{failing} {'are to be tried again' if is_retried else 'fail'}"


def drain(bench: Any, failing: int, is_retried: bool) -> float:
    system, tasks = bench.system, bench.scaled(TASKS)
    system.clear()
    system.signal_workers(signal.SIGSTOP)
    task = "flaky_retried" if is_retried else "flaky"
    system.enqueue_many(task, [(n, failing) for n in range(tasks)])
    system.settle()
    start = time.perf_counter()
    system.signal_workers(signal.SIGCONT)
    while system.count(UNFINISHED):
        time.sleep(0.01)
    return tasks / (time.perf_counter() - start)
