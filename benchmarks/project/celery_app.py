from __future__ import annotations

import os

from celery import Celery

from benchmarks import bodies

_redis = os.environ["BENCH_REDIS_URL"]
_in_database = os.environ["BENCH_SYSTEM"].startswith("celery-db")

_on_rabbitmq = os.environ["BENCH_SYSTEM"] == "celery-rabbitmq"

app = Celery(
    "benchmarks",
    broker=os.environ["BENCH_RABBITMQ_URL"] if _on_rabbitmq else f"{_redis}/11",
    backend="django-db" if _in_database else f"{_redis}/12",
)
if os.environ["BENCH_SYSTEM"] == "celery-db-reuse":
    app.conf.CELERY_DB_REUSE_MAX = 1_000_000  # by default it connects anew for every task

app.conf.task_default_queue = "benchmarks"  # on a RabbitMQ that others may use, too
noop = app.task(bodies.noop)
stamp = app.task(bodies.stamp)
nap = app.task(bodies.nap)
