"""The Redis broker on servers that are set up as in production."""

import select
from datetime import timedelta

import pytest

from django_tasks.brokers import configured
from tests.brokers.servers import ClusteredRedis, SecureRedis, SentinelRedis
from tests.brokers.steps import broker_claimer, make_reconciler
from tests.worker import tasks

TASKS = {
    "default": {
        "BACKEND": "django_tasks.backends.database.DatabaseBackend",
        "QUEUES": [],
        "OPTIONS": {"broker": "redis"},
    }
}


@pytest.fixture(params=[SecureRedis, SentinelRedis, ClusteredRedis])
def server(request, settings):
    """Let this process use a server of each kind."""
    with request.param() as server:
        settings.TASKS = TASKS
        settings.CACHES = {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "KEY_PREFIX": "tests",
                **server.cache(),
            }
        }
        yield server


def test_tasks_are_published_handed_out_and_published_again(server):
    """Every command of the broker is one that the server takes, over the cache's connection."""
    serving, keeper = broker_claimer("mail*,default"), make_reconciler("*")
    keeper.run()

    mail, plain = (tasks.add.using(queue_name=name).enqueue(1, 2) for name in ("mail-a", "default"))
    claimed = serving.claim(5)
    watched = serving.watch()
    awaited = tasks.add.enqueue(3, 4)
    readable = select.select(watched, [], [], 60)[0]
    claimed += serving.claim(5)

    assert [str(claim.id) for claim in claimed] == [mail.id, plain.id, awaited.id]
    assert readable
    serving.close()
    lost = tasks.add.enqueue(5, 6)
    server.client().flushall()
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(7, 8)
    assert keeper.run().has_later
    assert [str(claim.id) for claim in broker_claimer().claim(5)] == [lost.id]
    assert configured.broker_for("default").outage.since is None
