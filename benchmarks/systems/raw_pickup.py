"""The limit of the pick-up: commit a row, tell one waiting process, commit its claim. No more."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg
import redis

from benchmarks import bodies
from benchmarks.systems import raw
from benchmarks.systems.base import System, python

INSERT = f"INSERT INTO task ({raw.COLUMNS}) VALUES (%s, %s, %s, {raw.REST})"
#: The channel in PostgreSQL and the key in Redis, where nobody else uses this database.
PLACE, REDIS_DATABASE = "pickup", 12


class RawNotify(System):
    name = "raw-notify"
    title = "raw limit: INSERT with NOTIFY, then the claim"
    configuration = "psycopg; one process, which listens and claims on the same connection"
    skips: ClassVar = frozenset({"enqueue", "drain", "memory", "idle"})
    nap_tasks: ClassVar = {}
    insert = f"{INSERT} RETURNING pg_notify('{PLACE}', '')"

    def setup(self) -> None:
        self.create_database()
        self.connection.execute(raw.CREATE)

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        self.tell(self.store(task, arguments))

    def store(self, task: str, arguments: tuple[Any, ...]) -> UUID:
        task_id = uuid4()
        self.connection.execute(self.insert, (task_id, task, json.dumps(arguments)))
        return task_id

    def tell(self, task_id: UUID) -> None:
        """Do nothing more: the NOTIFY is in the INSERT."""

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        return [python("benchmarks.systems.raw_pickup", self.name)]

    def done(self) -> int:
        return self.count("SELECT count(*) FROM task WHERE status = 'RUNNING'")

    def clear(self) -> None:
        self.connection.execute("TRUNCATE task")


class RawRedis(RawNotify):
    name = "raw-redis"
    title = "raw limit: INSERT, LPUSH, BRPOP, then the claim"
    configuration = "psycopg and redis-py; one process, which waits for Redis"
    uses_redis = True
    insert = INSERT

    def setup(self) -> None:
        super().setup()
        self.redis = self.redis_database(REDIS_DATABASE)

    def tell(self, task_id: UUID) -> None:
        self.redis.lpush(PLACE, str(task_id))

    def clear(self) -> None:
        super().clear()
        self.redis.delete(PLACE)


def waits_for_postgres(connection: psycopg.Connection) -> Callable[[], None]:
    connection.execute(f"LISTEN {PLACE}")

    def wait() -> None:
        select.select([connection], [], [])
        connection.pgconn.consume_input()
        while connection.pgconn.notifies():
            continue

    return wait


def waits_for_redis(url: str) -> Callable[[], None]:
    server = redis.Redis.from_url(f"{url}/{REDIS_DATABASE}")
    return lambda: server.brpop([PLACE])


def main(name: str) -> None:
    with psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True) as connection:
        if name == RawRedis.name:
            wait = waits_for_redis(os.environ["BENCH_REDIS_URL"])
        else:
            wait = waits_for_postgres(connection)
        while True:
            rows = connection.execute(raw.CLAIM, (100, raw.WORKER), prepare=True).fetchall()
            for _, task, arguments, *_ in rows:
                getattr(bodies, task)(*json.loads(arguments))
            if not rows:
                wait()


if __name__ == "__main__":
    main(sys.argv[1])
