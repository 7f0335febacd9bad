from __future__ import annotations

import os

from celery import Celery

from benchmarks import bodies

_redis = os.environ["BENCH_REDIS_URL"]
_in_database = os.environ["BENCH_SYSTEM"].startswith("celery-db")

app = Celery(
    "benchmarks",
    broker=f"{_redis}/11",
    backend="django-db" if _in_database else f"{_redis}/12",
)
if os.environ["BENCH_SYSTEM"] == "celery-db-reuse":
    app.conf.CELERY_DB_REUSE_MAX = 1_000_000  # by default it connects anew for every task

noop = app.task(bodies.noop)
stamp = app.task(bodies.stamp)
nap = app.task(bodies.nap)
