"""The limit: the same statements on a table of the same shape, with no task system around."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg

DATABASE = "bench_raw"
WORKER = UUID(int=1)
CHUNK = 1_000

CREATE = """
CREATE TABLE task (
    id uuid PRIMARY KEY, task_path varchar(255) NOT NULL, args text NOT NULL, kwargs text NOT NULL,
    queue_name varchar(100) NOT NULL, priority smallint NOT NULL, status varchar(12) NOT NULL,
    backend varchar(64) NOT NULL, run_after timestamptz, expires_at timestamptz,
    enqueued_at timestamptz NOT NULL, started_at timestamptz, last_attempted_at timestamptz,
    finished_at timestamptz, attempts smallint NOT NULL, claims integer NOT NULL,
    lost smallint NOT NULL, worker_id uuid, cancel_requested boolean NOT NULL, progress text,
    return_value text, metadata text, unique_key varchar(255), workflow_id uuid
);
CREATE INDEX task_ready ON task (queue_name, (-priority), id) WHERE status = 'READY';
CREATE INDEX task_scheduled ON task (run_after) WHERE status = 'SCHEDULED';
CREATE INDEX task_running ON task (worker_id) WHERE status = 'RUNNING';
CREATE INDEX task_finished ON task (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX task_unique ON task (unique_key) WHERE unique_key IS NOT NULL;
"""
COLUMNS = (
    "id, task_path, args, kwargs, queue_name, priority, status, backend, enqueued_at,"
    " attempts, claims, lost, cancel_requested"
)
ARGS = "'[7]'"
REST = "'{}', 'default', 0, 'READY', 'default', now(), 0, 0, 0, false"
PATH = "benchmarks.bodies.noop"
INSERT = f"INSERT INTO task ({COLUMNS}) VALUES (%s, %s, {ARGS}, {REST})"
UNNEST = (
    f"INSERT INTO task ({COLUMNS})"
    f" SELECT new.id, new.path, {ARGS}, {REST}"
    " FROM unnest(%s::uuid[], %s::text[]) AS new (id, path)"
)
COPY = f"COPY task ({COLUMNS}) FROM STDIN"
COPY_REST = ("[7]", "{}", "default", 0, "READY", "default", "now", 0, 0, 0, False)
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM task WHERE status = 'READY' AND queue_name = 'default'
    ORDER BY -priority, id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE task SET status = 'RUNNING', worker_id = %s, claims = claims + 1, attempts = attempts + 1,
    started_at = coalesce(started_at, now()), last_attempted_at = now()
FROM picked WHERE task.id = picked.id
RETURNING task.id, task.task_path, task.args, task.kwargs, task.claims, task.attempts
"""
FINISH = """
UPDATE task SET status = 'SUCCESSFUL', finished_at = now(), return_value = done.value
FROM unnest(%s::uuid[], %s::integer[], %s::text[]) AS done (id, claims, value)
WHERE task.id = done.id AND task.claims = done.claims AND task.worker_id = %s
    AND task.status = 'RUNNING'
"""
FINISH_AND_CLAIM = f"WITH finished AS ({FINISH} RETURNING task.id), {CLAIM.strip()[5:]}"


class Raw:
    """Two processes in a row of loops: claim n, finish n, until nothing is left."""

    def __init__(self, postgres_url: str, quick: bool) -> None:
        self.admin_url, self.quick = postgres_url, quick
        self.url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{DATABASE}"))

    def measure(self) -> dict[str, Any]:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {DATABASE}")
            with psycopg.connect(self.url, autocommit=True) as self.connection:
                self.connection.execute(CREATE)
                numbers = {**self.inserts(), **self.cycles()}
            admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        return numbers

    def inserts(self) -> dict[str, float]:
        rate: dict[str, float] = {}
        single, bulk = (200, 2_000) if self.quick else (2_000, 20_000)
        for name, insert, count in (
            ("insert", self.insert_each, single),
            ("unnest", self.insert_unnest, bulk),
            ("copy", self.insert_copy, bulk),
        ):
            self.empty()
            ids = list(_ids(count))
            start = time.perf_counter()
            insert(ids)
            rate[name] = count / (time.perf_counter() - start)
        return rate

    def cycles(self) -> dict[str, float]:
        rate: dict[str, float] = {}
        for batch, count in ((1, 4_000), (10, 20_000), (100, 50_000)):
            for processes in (1, 2):
                for combined in (False, True):
                    name = f"{'combined' if combined else 'cycle'}_{batch}_{processes}"
                    tasks = count // 10 if self.quick else count
                    rate[name] = self.cycle(tasks, batch, processes, combined)
        return rate

    def cycle(self, tasks: int, batch: int, processes: int, combined: bool) -> float:
        """Tasks per second from a start barrier to the end of the last process."""
        self.empty()
        self.insert_unnest(list(_ids(tasks)))
        self.connection.execute("VACUUM ANALYZE task")
        self.connection.execute("CHECKPOINT")
        barrier = multiprocessing.Barrier(processes + 1)
        arguments = (self.url, batch, combined, barrier)
        workers = [multiprocessing.Process(target=_work, args=arguments) for _ in range(processes)]
        for worker in workers:
            worker.start()
        barrier.wait()
        start = time.perf_counter()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - start
        self.check_all_finished(tasks)
        return tasks / seconds

    def check_all_finished(self, tasks: int) -> None:
        row = self.connection.execute(
            "SELECT count(*) FROM task WHERE status = 'SUCCESSFUL'"
        ).fetchone()
        if not row or row[0] != tasks:
            raise RuntimeError(f"raw: {row} of {tasks} finished")

    def empty(self) -> None:
        self.connection.execute("TRUNCATE task")
        self.connection.execute("VACUUM ANALYZE task")

    def insert_each(self, ids: list[UUID]) -> None:
        for each in ids:
            self.connection.execute(INSERT, (each, PATH))

    def insert_unnest(self, ids: list[UUID]) -> None:
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            self.connection.execute(UNNEST, (some, [PATH] * len(some)))

    def insert_copy(self, ids: list[UUID]) -> None:
        with self.connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for each in ids:
                copy.write_row((each, PATH, *COPY_REST))


def _work(url: str, batch: int, combined: bool, barrier: Barrier) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(6):  # so that both statements are prepared, as in a warm worker
            connection.execute(CLAIM, (0, WORKER))
            connection.execute(FINISH, ([], [], [], WORKER))
        barrier.wait()
        (_combined if combined else _separate)(connection, batch)


def _separate(connection: psycopg.Connection, batch: int) -> None:
    while rows := connection.execute(CLAIM, (batch, WORKER)).fetchall():
        connection.execute(FINISH, (*_outcomes(rows), WORKER))


def _combined(connection: psycopg.Connection, batch: int) -> None:
    rows = connection.execute(CLAIM, (batch, WORKER)).fetchall()
    while rows:
        outcome = (*_outcomes(rows), WORKER, batch, WORKER)
        rows = connection.execute(FINISH_AND_CLAIM, outcome).fetchall()


def _outcomes(rows: list[Any]) -> tuple[list[UUID], list[int], list[str]]:
    return [row[0] for row in rows], [row[4] for row in rows], ["7"] * len(rows)


def _ids(count: int) -> Iterator[UUID]:
    """Ids that grow, as version 7 does."""
    start = time.time_ns() // 1_000_000 << 80
    return (UUID(int=start + (n << 62) | uuid4().int >> 70) for n in range(count))
