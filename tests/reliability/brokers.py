"""Redis as the broker of these tests' projects, and what can be done to it."""

import contextlib
from uuid import uuid4

import redis as client

VARIABLE = "RELIABILITY_REDIS"
PREFIX = "reliability"


def settings_of(url, **options):
    """Return settings with which the default backend uses this Redis."""
    return {
        "TASKS": {
            "default": {
                "BACKEND": "django_tasks.backends.database.DatabaseBackend",
                "QUEUES": [],
                "OPTIONS": options | {"broker": "redis"},
            }
        },
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": url,
                "KEY_PREFIX": PREFIX,
            }
        },
    }


class MortalRedis:
    """A Redis server of one's own. Each fault is one that no task may be lost or doubled by."""

    def __init__(self, server):
        self.server = server
        self.url = server.url()
        self.client = client.Redis.from_url(self.url)

    @property
    def environment(self):
        """What a process is started with that uses it."""
        return {VARIABLE: self.url}

    @staticmethod
    def key(queue_name="default"):
        return f"{PREFIX}:{{django_tasks:default}}:ready:{queue_name}"

    def flush(self):
        """Empty it."""
        self.client.flushall()

    def crash(self):
        """kill -9, and start it anew, empty."""
        self.server.restart("immediate")

    def forge(self, task_ids):
        """Hold ids twice and for ever, ids that are of nothing, and garbage."""
        members = [*map(str, task_ids), *(str(uuid4()) for _ in range(50))]
        members += [b"", b"\xff" * 36, "x" * 36, "../../etc/passwd", "1" * 10_000]
        for queue_name in ("default", "nobody", "\N{SNOWMAN} \n"):
            self.client.zadd(self.key(queue_name), dict.fromkeys(members, -1000))
            self.client.sadd(f"{PREFIX}:{{django_tasks:default}}:queues", queue_name, b"\xff")

    @contextlib.contextmanager
    def away(self):
        """Be killed for as long as the `with` lasts."""
        self.server.stop("immediate")
        try:
            yield
        finally:
            self.server.start()
