from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import Job, PgQueuer, run

from benchmarks import bodies


@asynccontextmanager
async def main() -> AsyncGenerator[PgQueuer]:
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE_URL"])
    manager = PgQueuer.from_asyncpg_connection(connection)

    @manager.entrypoint("noop")
    async def noop(job: Job) -> None:
        bodies.noop(*_arguments(job))

    @manager.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        bodies.stamp(*_arguments(job))

    @manager.entrypoint("nap")
    async def nap(job: Job) -> None:
        await asyncio.to_thread(bodies.nap, *_arguments(job))

    @manager.entrypoint("anap")
    async def anap(job: Job) -> None:
        await bodies.anap(*_arguments(job))

    try:
        yield manager
    finally:
        await connection.close()


def _arguments(job: Job) -> list:
    return json.loads(job.payload or b"[]")


if __name__ == "__main__":
    # What `pgq run` does; its command line does not start with every version of typer.
    batch, limit = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    uvloop.run(run(main, batch_size=batch, max_concurrent_tasks=limit))
