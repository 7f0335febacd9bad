"""Redis and RabbitMQ as the brokers of these tests' projects, and what can be done to them."""

import contextlib
import json
import time
from uuid import uuid4

from tests.brokers.steps import Redis

VARIABLE = "RELIABILITY_BROKER"
UNKNOWN = 50


class MortalBroker:
    """A server of one's own. Each fault is one that no task may be lost or doubled by."""

    #: What is done to it in turn under load; after what the time to the next pick-up is measured.
    faults = ()
    losses = ()
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
    """
    Seldom killed: it takes many seconds to start beside the work.

    Mostly its queues are deleted behind a gate that is shut, which to its clients is the same.
    """

    faults = ("cut", "lose", "away", "forge", "stop", "cut", "lose", "away", "forge", "crash")
    losses = ("lose", "crash", "away")
    smoke = (1_200, 4)

    #: Seconds for which it is gone when it loses its queues: pauses between attempts grow.
    GONE_FOR = 2.0

    def __init__(self, server, gate):
        from tests.brokers.kombu_steps import Post

        super().__init__(server)
        self.gate = gate
        self.post = Post(server.url().replace(f":{server.port}/", f":{gate.port}/"))
        self.broker = self.post.broker

    def cut(self):
        """Cut all connections; it is there all the time."""
        self.gate.shut()
        self.gate.open()

    def lose(self):
        """Be gone for a while, and come back empty."""
        with self.away():
            time.sleep(self.GONE_FOR)  # nothing happens that could be awaited

    @contextlib.contextmanager
    def away(self):
        """Be gone for as long as the `with` lasts, and come back empty."""
        self.gate.shut()
        try:
            yield
        finally:
            from kombu import Connection

            with Connection(self.url) as connection:
                connection.channel().queue_delete(self.post.queue())
            self.gate.open()

    def forge(self, task_ids):
        """Come back with ids twice, ids that are of nothing, and garbage."""
        from tests.brokers.kombu_steps import body_of

        self.lose()
        ids = [*list(task_ids)[-2_000:], *(uuid4() for _ in range(UNKNOWN))]
        garbage = [b"", b"\xff" * 41, "x" * 41, "../../etc/passwd", "1" * 10_000]
        self.post.forge(*map(body_of, ids), *garbage, priority=9)
