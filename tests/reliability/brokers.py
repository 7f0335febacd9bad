"""Redis and RabbitMQ as the brokers of these tests' projects, and what can be done to them."""

import contextlib
import json
from uuid import uuid4

from tests.brokers.steps import Redis

VARIABLE = "RELIABILITY_BROKER"
UNKNOWN = 50


class MortalBroker:
    """A server of one's own. Each fault is one that no task may be lost or doubled by."""

    #: What is done to it in turn under load; after what the time to the next pick-up is measured.
    faults = ()
    losses = ("crash", "away")
    #: Tasks and faults of the short test; rounds of losses in it.
    smoke = (0, 0)
    smoke_rounds = 1

    def __init__(self, server):
        self.server = server
        self.url = server.url()

    def settings(self, **options):
        """Return settings with which the default backend uses it."""
        tasks = {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "QUEUES": [],
            "OPTIONS": options | {"broker": self.broker},
        }
        return {"TASKS": {"default": tasks}}

    @property
    def environment(self):
        """What a process is started with that uses it."""
        return {VARIABLE: json.dumps(self.settings())}

    def stop(self):
        """Shut it down in order, and start it anew."""
        self.server.restart("fast")

    def crash(self):
        """kill -9, and start it anew, empty."""
        self.server.restart("immediate")

    @contextlib.contextmanager
    def away(self):
        """Be killed for as long as the `with` lasts."""
        self.server.stop("immediate")
        try:
            yield
        finally:
            self.server.start()


class MortalRedis(MortalBroker):
    faults = ("flush", "crash", "away", "forge")
    losses = ("flush", "crash", "away")
    smoke = (2_000, 8)
    smoke_rounds = 3
    broker = "redis"

    def __init__(self, server):
        super().__init__(server)
        self.redis = Redis(self.url)

    def settings(self, **options):
        return {**super().settings(**options), "CACHES": self.redis.caches}

    def flush(self):
        """Empty it."""
        self.redis.client.flushall()

    def forge(self, task_ids):
        """Hold ids twice and for ever, ids that are of nothing, and garbage."""
        members = [*map(str, task_ids), *(str(uuid4()) for _ in range(UNKNOWN))]
        members += [b"", b"\xff" * 36, "x" * 36, "../../etc/passwd", "1" * 10_000]
        for queue_name in ("default", "nobody", "\N{SNOWMAN} \n"):
            self.redis.client.zadd(self.redis.key(queue_name), dict.fromkeys(members, -1000))
            names = f"{self.redis.prefix}:{{django_tasks:default}}:queues"
            self.redis.client.sadd(names, queue_name, b"\xff")


class MortalRabbitMQ(MortalBroker):
    """Takes seconds to start, so that workers are without it for a part of each round."""

    faults = ("stop", "away", "forge", "crash")
    smoke = (600, 2)

    def __init__(self, server):
        from tests.brokers.kombu_steps import Post

        super().__init__(server)
        self.post = Post(self.url)
        self.broker = self.post.broker

    def forge(self, task_ids):
        """Be killed, and come back with ids twice, ids that are of nothing, and garbage."""
        from tests.brokers.kombu_steps import body_of

        self.crash()
        ids = [*list(task_ids)[-2_000:], *(uuid4() for _ in range(UNKNOWN))]
        garbage = [b"", b"\xff" * 41, "x" * 41, "../../etc/passwd", "1" * 10_000]
        self.post.forge(*map(body_of, ids), *garbage, priority=9)
