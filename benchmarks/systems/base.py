"""The contract that every measured system fills, and what they all do the same way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from benchmarks import measure

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 200
START_SECONDS, STOP_SECONDS = 60, 20
Arguments = Sequence[Any]


class NotDone(Exception):
    """The workers did not finish what was enqueued in the time allowed."""


class System:
    """One task system as its documentation says to run it.

    A subclass tells how to set up, enqueue, start workers and count finished tasks. It serves
    four tasks: noop(number) returns number, stamp(path, number) writes the time to a named
    pipe, nap(seconds) sleeps in a thread, anap(seconds) in a coroutine.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    configuration: ClassVar[str]
    keeps_results: ClassVar[bool] = True
    uses_redis: ClassVar[bool] = False
    uses_rabbitmq: ClassVar[bool] = False
    drain_tasks: ClassVar[int] = 20_000
    enqueue_tasks: ClassVar[int] = 2_000
    latency_tasks: ClassVar[int] = 200
    nap_tasks: ClassVar[dict[str, str]] = {"threads": "nap", "asyncio": "anap"}
    skips: ClassVar[frozenset[str]] = frozenset()  # workloads that another system answers
    extras: ClassVar[dict[str, Callable[[Any], dict[str, Any]]]] = {}

    def __init__(self, postgres_url: str, redis_url: str | None) -> None:
        self.admin_url = postgres_url
        self.database = f"bench_{self.name.replace('-', '_')}"
        self.database_url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{self.database}"))
        self.redis_url = redis_url
        self.workers: list[subprocess.Popen[bytes]] = []
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        os.environ.update(self.environment())

    # What a subclass says.

    def setup(self) -> None:
        """Create tables, import what enqueues."""
        raise NotImplementedError

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        raise NotImplementedError

    def enqueue_each(self, task: str, arguments: Iterable[Arguments]) -> None:
        """One call per task, as a web request would make it."""
        for each in arguments:
            self.enqueue_one(task, *each)

    def enqueue_many(self, task: str, arguments: Iterable[Arguments]) -> None:
        """The fastest documented way to enqueue many."""
        self.enqueue_each(task, arguments)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        """Commands for `processes` noop processes, or one process with `slots` in `pool`."""
        raise NotImplementedError

    def done(self) -> int:
        """Finished tasks since the last clear(), as the system itself recorded them."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget every task, while no worker runs."""
        raise NotImplementedError

    # What they share.

    def environment(self) -> dict[str, str]:
        return {
            "BENCH_SYSTEM": self.name,
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.redis_url or "",
            "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
            "PYTHONPATH": str(ROOT),
        }

    def create_database(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {self.database}")
        self.connection = psycopg.connect(self.database_url, autocommit=True)

    def drop_database(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")

    def count(self, query: str) -> int:
        row = self.connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def redis_database(self, number: int) -> redis.Redis:
        return redis.Redis.from_url(f"{self.redis_url}/{number}")

    def settle(self) -> None:
        """Start every round from vacuumed tables and a fresh checkpoint."""
        tables = self.connection.execute(
            "SELECT quote_ident(relname) FROM pg_stat_user_tables"
        ).fetchall()
        for (table,) in tables:
            self.connection.execute(f"VACUUM (ANALYZE) {table}")
        self.connection.execute("CHECKPOINT")

    def start_workers(
        self, processes: int = 1, pool: str | None = None, slots: int = 1, task: str = "noop"
    ) -> None:
        """Start, and return when the workers have run their first tasks."""
        for command in self.worker_commands(processes, pool, slots):
            log = (self.directory / f"worker-{len(self.workers)}.log").open("ab")
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
            self.workers.append(process)
        before = self.done()
        self.enqueue_many(task, [(0,) for _ in range(WARM_UP)])
        self.wait_done(before + WARM_UP, timeout=START_SECONDS)

    def worker_roots(self) -> list[int]:
        return [process.pid for process in self.workers]

    def signal_workers(self, number: signal.Signals) -> None:
        for pid in measure.tree(self.worker_roots()):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def wait_done(self, expected: int, timeout: float = 600) -> float:
        """The time when `expected` tasks were done, within about 10 ms.

        Looks seldom, because counting costs CPU too: when nine tenths of the rest should be done
        at the latest rate, but at the latest when twice the time has passed.
        """
        start = then = time.perf_counter()
        finished = last = self.done()
        while finished < expected:
            time.sleep(0.01)
            now, finished = time.perf_counter(), self.done()
            self._check_progress(finished, expected, now - start, timeout)
            rate = (finished - last) / (now - then)
            rest = (expected - finished) / rate * 0.9 if rate else 0.02
            then, last = now, finished
            if finished < expected:
                time.sleep(max(0.0, min(rest - 0.01, now - start)))
        return time.perf_counter()

    def _check_progress(self, done: int, expected: int, elapsed: float, timeout: float) -> None:
        exited = [process.args for process in self.workers if process.poll() is not None]
        if exited or elapsed > timeout:
            why = f"exited: {exited}" if exited else f"not done in {timeout:.0f} s"
            raise NotDone(f"{self.name}: {done} of {expected} done, {why}\n{self.log_tail()}")

    def log_tail(self) -> str:
        logs = sorted(self.directory.glob("worker-*.log"))
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)

    def stop(self) -> None:
        """Ask politely, then insist."""
        tree = measure.tree(self.worker_roots())
        for process in self.workers:
            process.send_signal(signal.SIGTERM)
        for process in self.workers:
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"{self.name}: a worker ignored SIGTERM for {STOP_SECONDS} s", flush=True)
        for pid in tree:
            _kill(pid)
        for process in self.workers:
            process.wait()
        self.workers = []

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)
        if hasattr(self, "connection"):
            self.connection.close()
            self.drop_database()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def python(*arguments: str) -> list[str]:
    """A command of the interpreter that runs the benchmarks."""
    return [sys.executable, "-m", *arguments]
