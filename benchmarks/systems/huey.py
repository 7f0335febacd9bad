"""huey on Redis."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.systems.base import System, python

DATABASE = 11
RESULTS = "huey.results.benchmarks"


class Huey(System):
    name = "huey"
    title = "huey on Redis"
    configuration = "RedisHuey, results kept (store_none too), process workers, all defaults"
    uses_redis = True
    nap_tasks: ClassVar = {"threads": "nap"}

    def setup(self) -> None:
        self.create_database()  # empty: so that every system is measured the same way
        from benchmarks.project import huey_app

        self.app = huey_app
        self.clear()

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        getattr(self.app, task)(*arguments)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        kind = "thread" if pool else "process"
        options = ["-k", kind, "-w", str(slots if pool else processes), "-q"]
        app = "benchmarks.project.huey_app.huey"
        return [python("huey.bin.huey_consumer", app, *options)]

    def done(self) -> int:
        return int(self.redis_database(DATABASE).hlen(RESULTS))

    def clear(self) -> None:
        self.redis_database(DATABASE).flushdb()
