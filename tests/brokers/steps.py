"""The steps that tests of brokers are made of."""

from uuid import uuid4

import redis as client
from django.db import connection

from django_tasks.brokers import known
from django_tasks.routing import QueueSelection
from django_tasks.store.guided import GuidedClaimer
from django_tasks.worker.reconciler import Reconciler


class Redis:
    """What a test does to Redis behind the broker's back. `server`: where it may be killed."""

    def __init__(self, url, server=None):
        self.url = url
        self.server = server
        self.prefix = f"tests-{uuid4().hex[:12]}"
        self.client = client.Redis.from_url(url)

    def key(self, queue_name="default"):
        return f"{self.prefix}:{{django_tasks:default}}:ready:{queue_name}"

    def held(self, queue_name="default"):
        """Return the members of a queue, in order."""
        return [m.decode(errors="replace") for m in self.client.zrange(self.key(queue_name), 0, -1)]

    def forge(self, *members, queue_name="default", score=0):
        """Add what no broker published."""
        for member in members:
            self.client.zadd(self.key(queue_name), {member: score})

    def delete_all(self):
        """Delete what the tests' prefix has, as FLUSHALL would in a Redis of one's own."""
        for key in self.client.scan_iter(f"{self.prefix}:*"):
            self.client.delete(key)


def broker_settings(redis, **broker):
    """Return settings with which the default backend uses this Redis."""
    return {
        "TASKS": {
            "default": {
                "BACKEND": "django_tasks.backends.database.DatabaseBackend",
                "QUEUES": [],
                "OPTIONS": {"broker": {"name": "redis", **broker}},
            }
        },
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": redis.url,
                "KEY_PREFIX": redis.prefix,
            }
        },
    }


def guided_claimer(queues="default", worker_id=None, process=1):
    """Return a claimer that asks the default backend's broker, and nobody else."""
    broker = known.of("default")
    selection = QueueSelection.parse(queues)
    source = broker.source(selection)
    return GuidedClaimer(
        "default", selection, worker_id or uuid4(), process, source=source, outage=broker.outage
    )


def make_reconciler(queues="default"):
    """Return what a keeper has for the default backend's broker."""
    selection = QueueSelection.parse(queues)
    return Reconciler(connection, "default", selection, known.of("default"))


def reconcile(queues="default"):
    """Do what the keeper does in a poll interval, whose end confirms what was missing."""
    reconciler = make_reconciler(queues)
    reconciler.run()
    reconciler.run()
