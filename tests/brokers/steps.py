"""The steps that tests of brokers are made of."""

from uuid import uuid4

import redis as client
from django.db import connection

from django_tasks.brokers import configured
from django_tasks.routing import QueueSelection
from django_tasks.store.tasks.broker_claims import BrokerClaimer
from django_tasks.worker.keeper.reconciler import Reconciler
from tests.worker.ledger import until


class Behind:
    """What a test does to a broker behind its back. `server`: where it may be killed."""

    #: What the default backend's option is, and what other settings it needs.
    broker = None
    caches = None
    server = None

    @property
    def settings(self):
        """The settings with which the default backend uses it."""
        backend = {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "QUEUES": [],
            "OPTIONS": {"broker": self.broker},
        }
        tasks = {"TASKS": {"default": backend}}
        return tasks if self.caches is None else tasks | {"CACHES": self.caches}

    def use(self, settings):
        """Let this process' default backend hand ids out by it."""
        for name, value in self.settings.items():
            setattr(settings, name, value)

    def count(self, queue_name="default"):
        """Return how many ids wait."""
        raise NotImplementedError

    def await_held(self, count, queue_name="default"):
        """Wait until so many ids wait: what was given back may take a moment."""
        until(lambda: self.count(queue_name) == count, f"{count} ids")


class Redis(Behind):
    """Redis, with keys of their own for a test."""

    broker = "redis"

    def __init__(self, url, server=None):
        self.url = url
        self.server = server
        self.prefix = f"tests-{uuid4().hex[:12]}"
        self.client = client.Redis.from_url(url)

    @property
    def caches(self):
        cache = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": self.url,
            "KEY_PREFIX": self.prefix,
        }
        return {"default": cache}

    def key(self, queue_name="default"):
        return f"{self.prefix}:{{django_tasks:default}}:ready:{queue_name}"

    def held(self, queue_name="default"):
        """Return the members of a queue, in order."""
        return [m.decode(errors="replace") for m in self.client.zrange(self.key(queue_name), 0, -1)]

    def count(self, queue_name="default"):
        return self.client.zcard(self.key(queue_name))

    def forge(self, *members, queue_name="default", score=0):
        """Add what no broker published."""
        for member in members:
            self.client.zadd(self.key(queue_name), {member: score})

    def point_to(self, *task_ids, queue_name="default"):
        """Hold ids that no broker published."""
        self.forge(*map(str, task_ids), queue_name=queue_name)

    def lose(self, queue_name="default"):
        """Lose all ids of a queue."""
        self.client.delete(self.key(queue_name))

    def fill(self):
        """Let the server, which is the test's own, have no memory left."""
        self.client.config_set("maxmemory", 1)

    def empty(self):
        """Give it memory again."""
        self.client.config_set("maxmemory", 0)

    def delete_all(self):
        """Delete what the tests' prefix has, as FLUSHALL would in a Redis of one's own."""
        for key in self.client.scan_iter(f"{self.prefix}:*"):
            self.client.delete(key)


def broker_claimer(queues="default", worker_id=None, process=1):
    """Return a claimer that asks the default backend's broker, and nobody else."""
    broker = configured.broker_for("default")
    selection = QueueSelection.parse(queues)
    source = broker.source(selection)
    return BrokerClaimer(
        "default", selection, worker_id or uuid4(), process, source=source, outage=broker.outage
    )


def ids_of(claims):
    return [str(claim.id) for claim in claims]


def claim_all(serving, count):
    """Claim until there are so many: SQS gives what it likes of what it has."""
    claimed = []
    until(lambda: claimed.extend(ids_of(serving.claim(10))) or len(claimed) >= count, "all claims")
    return claimed


def claim_one(serving):
    """Claim the next task, as soon as it is handed out."""
    [claim] = until(lambda: serving.claim(1), "a claim")
    return claim


def make_reconciler(queues="default"):
    """Return what a keeper has for the default backend's broker."""
    selection = QueueSelection.parse(queues)
    return Reconciler(connection, "default", selection, configured.broker_for("default"))


def reconcile(queues="default"):
    """Do what the keeper does in a poll interval, whose end confirms what was missing."""
    reconciler = make_reconciler(queues)
    reconciler.run()
    reconciler.run()
