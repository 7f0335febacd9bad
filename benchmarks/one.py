"""Measure one system once, in a process of its own, and write the numbers as JSON.

Its own process: each system has its own Django settings, and none pays for another's imports.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.servers import Server
from benchmarks.systems import system_class
from benchmarks.systems.raw import Raw
from benchmarks.workloads import SLOTS, Bench

Numbers = dict[str, Any]


def run(order: Numbers) -> Numbers:
    if order["system"] == "raw":
        return Raw(order["postgres_url"], order["quick"]).measure()
    system = system_class(order["system"])(order["postgres_url"], order["redis_url"])
    servers = {name: Server("", pid) for name, pid in order["pids"].items()}
    bench = Bench(system, servers, order["quick"])
    try:
        system.setup()
        return measure_all(bench, set(order["workloads"]))
    finally:
        system.close()


def measure_all(bench: Bench, wanted: set[str]) -> Numbers:
    system = bench.system
    wanted = wanted - system.skips
    numbers = bench.enqueue() if "enqueue" in wanted else {}
    if "drain" in wanted:
        numbers |= with_workers(bench, [lambda: bench.drain(1)], processes=1)
    # Latency and rest first: a drain leaves some with work of their own, and SIGSTOP in step.
    steps: dict[str, Callable[[], Numbers]] = {
        "latency": bench.latency,
        "idle": bench.idle,
        "drain": lambda: bench.drain(2),
        "memory": bench.memory,
    }
    if asked := [step for name, step in steps.items() if name in wanted]:
        numbers |= with_workers(bench, asked, processes=2)
    for pool, task in system.nap_tasks.items() if "naps" in wanted else ():
        step = [lambda pool=pool: bench.naps(pool)]
        numbers |= with_workers(bench, step, pool=pool, slots=SLOTS, task=task)
    return numbers | bench.extras(wanted)


def with_workers(bench: Bench, steps: list[Callable[[], Numbers]], **workers: Any) -> Numbers:
    """Run steps one after the other on the same workers, over empty tables."""
    numbers: Numbers = {}
    bench.system.clear()
    try:
        bench.system.start_workers(**workers)
        for step in steps:
            numbers |= step()
    finally:
        bench.system.stop()
    return numbers


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    order = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(run(order)))


if __name__ == "__main__":
    main()
