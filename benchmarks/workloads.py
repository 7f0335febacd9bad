"""What is measured, the same way on every system."""

from __future__ import annotations

import os
import random
import select
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import measure
from benchmarks.servers import Server
from benchmarks.systems.base import System

SLOTS, NAPS, NAP_SECONDS = 50, 2_000, 0.05
#: A minute: what is done once in it counts, once. It begins when what follows a start is done.
IDLE_SECONDS, SETTLE_SECONDS = 60.0, 10.0
Numbers = dict[str, Any]


class Bench:
    """Measures one system; quick mode takes a tenth of everything."""

    def __init__(self, system: System, servers: dict[str, Server], quick: bool) -> None:
        self.system, self.servers, self.quick = system, servers, quick

    def scaled(self, number: int) -> int:
        return max(number // 10, 20) if self.quick else number

    def enqueue(self) -> Numbers:
        """Tasks per second, one call each and in bulk, while no worker runs."""
        single, bulk = self.scaled(self.system.enqueue_tasks), self.scaled(20_000)
        self.system.clear()
        self.system.settle()
        self.system.enqueue_each("noop", [(n,) for n in range(20)])
        start = time.perf_counter()
        self.system.enqueue_each("noop", [(n,) for n in range(single)])
        middle = time.perf_counter()
        self.system.enqueue_many("noop", [(n,) for n in range(bulk)])
        end = time.perf_counter()
        self.system.clear()
        return {"enqueue_one": single / (middle - start), "enqueue_many": bulk / (end - middle)}

    def drain(self, processes: int) -> Numbers:
        """Tasks per second and CPU from the moment the stopped workers may go on.

        The workers are up and warm, then stopped by SIGSTOP while the tasks are enqueued and the
        tables vacuumed; the clock runs from SIGCONT until the system itself counts all as done.
        """
        tasks = self.scaled(self.system.drain_tasks)
        before = self.system.done()
        self.system.signal_workers(signal.SIGSTOP)
        self.system.enqueue_many("noop", [(n,) for n in range(tasks)])
        self.system.settle()
        cpu = self.cpu()
        start = time.perf_counter()
        self.system.signal_workers(signal.SIGCONT)
        seconds = self.system.wait_done(before + tasks) - start
        spent = {name: value - cpu[name] for name, value in self.cpu().items()}
        numbers: Numbers = {f"drain_{processes}": tasks / seconds}
        for name, value in spent.items():
            numbers[f"cpu_{name}_{processes}"] = value / tasks * 10_000
        return numbers

    def cpu(self) -> dict[str, float]:
        spent = {"workers": measure.cpu_seconds(self.system.worker_roots())}
        for name, server in self.servers.items():
            if server.pid:
                spent[name] = measure.cpu_seconds([server.pid])
        return spent

    def latency(self) -> Numbers:
        """Milliseconds from before the call that enqueues to the first line of the task."""
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            pipe = Path(directory) / "pipe"
            os.mkfifo(pipe)
            reader = os.open(pipe, os.O_RDWR)
            delays = [self._pick_up(pipe, reader, n) for n in range(self._latency_tasks())]
            os.close(reader)
        return {"latency_ms": [delay * 1000 for delay in delays[5:]]}

    def _latency_tasks(self) -> int:
        return 5 + self.scaled(self.system.latency_tasks)

    def _pick_up(self, pipe: Path, reader: int, number: int) -> float:
        time.sleep(random.uniform(0.02, 0.08))
        start = time.time()
        self.system.enqueue_one("stamp", str(pipe), number)
        if not select.select([reader], [], [], 60)[0]:
            raise TimeoutError(f"task {number} not picked up in 60 s\n{self.system.log_tail()}")
        told, at = os.read(reader, 100).split()
        if int(told) != number:
            raise RuntimeError(f"task {int(told)} ran where {number} was expected")
        return float(at) - start

    def naps(self, pool: str) -> Numbers:
        """Tasks per second of 50 ms sleeps on one process with 50 slots: 1,000 is ideal."""
        task, count = self.system.nap_tasks[pool], self.scaled(NAPS)
        before = self.system.done()
        self.system.signal_workers(signal.SIGSTOP)
        self.system.enqueue_many(task, [(NAP_SECONDS,)] * count)
        self.system.settle()
        start = time.perf_counter()
        self.system.signal_workers(signal.SIGCONT)
        return {f"naps_{pool}": count / (self.system.wait_done(before + count) - start)}

    def idle(self) -> Numbers:
        """CPU and queries of workers that have nothing to do, in percent of a core."""
        seconds = 5.0 if self.quick else IDLE_SECONDS
        time.sleep(SETTLE_SECONDS)
        cpu, queries, commands = self.cpu(), self._queries(), self._commands()
        time.sleep(seconds)
        spent = {name: value - cpu[name] for name, value in self.cpu().items()}
        numbers: Numbers = {f"idle_{name}": value / seconds * 100 for name, value in spent.items()}
        numbers["idle_queries"] = (self._queries() - queries) / seconds
        if self.system.uses_redis:
            # less our own command that asks
            numbers["idle_commands"] = (self._commands() - commands - 1) / seconds
        return numbers

    def _queries(self) -> int:
        """Statements in the system's database; transactions where statements are not counted."""
        with psycopg.connect(self.system.admin_url, autocommit=True) as connection:
            name = (self.system.database,)
            if _counts_statements(connection):
                query = (
                    "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s"
                    " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = %s"
                )
            else:
                query = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
            row = connection.execute(query, name).fetchone()
            return int(row[0]) if row else 0

    def _commands(self) -> int:
        if not self.system.uses_redis:
            return 0
        stats = self.system.redis_database(0).info("commandstats")
        return sum(each["calls"] for each in stats.values())

    def extras(self, wanted: set[str]) -> Numbers:
        """What only some systems can be asked."""
        numbers: Numbers = {}
        sections: dict[str, str] = {}
        for name in sorted(wanted & set(self.system.extras)):
            found = self.system.extras[name](self)
            sections |= found.pop("sections", {})
            numbers |= found
        return numbers | {"sections": sections}

    def memory(self) -> Numbers:
        return {"memory_mb": measure.pss_megabytes(self.system.worker_roots())}


def _counts_statements(connection: psycopg.Connection) -> bool:
    loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
    if not loaded or "pg_stat_statements" not in loaded[0]:
        return False
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    return True
