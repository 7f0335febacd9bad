"""pgqueuer: PostgreSQL, asyncpg, one asyncio loop per process. It keeps no results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, ClassVar

import asyncpg
from pgqueuer import Queries

from benchmarks.systems.base import Arguments, System, python

CHUNK = 1_000
TABLES = "pgqueuer, pgqueuer_log, pgqueuer_statistics"


class PgQueuer(System):
    name = "pgqueuer-10"
    title = "pgqueuer, batch 10 (its default)"
    configuration = "asyncpg, uvloop, durable tables, `pgqueuer.run(batch_size=10)`"
    keeps_results = False
    drain_tasks = 50_000
    batch = 10
    nap_tasks: ClassVar = {"asyncio": "anap"}

    def setup(self) -> None:
        self.create_database()
        self.loop = asyncio.new_event_loop()
        connection = self.loop.run_until_complete(asyncpg.connect(self.database_url))
        self.queries = Queries.from_asyncpg_connection(connection)
        self.loop.run_until_complete(self.queries.install())

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        self.enqueue_each(task, [arguments])

    def enqueue_each(self, task: str, arguments: Iterable[Arguments]) -> None:
        self.loop.run_until_complete(self._enqueue_each(task, arguments))

    async def _enqueue_each(self, task: str, arguments: Iterable[Arguments]) -> None:
        for each in arguments:
            await self.queries.enqueue(task, _payload(each))

    def enqueue_many(self, task: str, arguments: Iterable[Arguments]) -> None:
        self.loop.run_until_complete(self._enqueue_many(task, list(arguments)))

    async def _enqueue_many(self, task: str, arguments: list[Arguments]) -> None:
        for start in range(0, len(arguments), CHUNK):
            payloads = [_payload(each) for each in arguments[start : start + CHUNK]]
            size = len(payloads)
            await self.queries.enqueue([task] * size, payloads, [0] * size)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        command = python("benchmarks.project.pgqueuer_app", str(self.batch))
        if pool:
            command += [str(max(slots, 2 * self.batch))]  # at least two batches: its own rule
        return [command] * processes

    def done(self) -> int:
        return self.count("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")

    def clear(self) -> None:
        self.connection.execute(f"TRUNCATE {TABLES}")

    def close(self) -> None:
        self.loop.run_until_complete(self.queries.driver._connection.close())
        self.loop.close()
        super().close()


class PgQueuerBatch100(PgQueuer):
    name = "pgqueuer-100"
    title = "pgqueuer, batch 100"
    configuration = "the same with `batch_size=100`"
    batch = 100
    nap_tasks: ClassVar = {}  # 50 slots would need 200 at this batch


def _payload(arguments: Arguments) -> bytes:
    return json.dumps(arguments).encode()
