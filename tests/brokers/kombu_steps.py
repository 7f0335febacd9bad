"""What tests do to the transports of the kombu broker behind its back."""

import time
from urllib.parse import urlsplit
from uuid import uuid4

from kombu import Connection

from django_tasks.brokers import known
from django_tasks.brokers.kombu_queues import QueueNames
from tests.worker.ledger import until


class Post:
    """A transport of messages, with queues of their own for a test."""

    def __init__(self, url, server=None, **options):
        self.url = url
        self.server = server
        self.prefix = f"t-{uuid4().hex[:12]}"
        self.options = options

    @property
    def settings(self):
        """The settings with which the default backend uses it."""
        broker = {"name": "kombu", "url": self.url, "prefix": self.prefix, **self.options}
        return {
            "TASKS": {
                "default": {
                    "BACKEND": "django_tasks.backends.database.DatabaseBackend",
                    "QUEUES": [],
                    "OPTIONS": {"broker": broker},
                }
            }
        }

    def queue(self, queue_name="default"):
        return QueueNames(self.prefix, "default").of(queue_name)

    def connection(self):
        options = self.options.get("transport_options", {})
        return Connection(self.url, transport_options=options | {"wait_time_seconds": 0})

    def held(self, queue_name="default"):
        """Return how many messages wait."""
        line = known.of("default").transport.line()
        try:
            return line.count(self.queue(queue_name))
        finally:
            line.close()

    def await_held(self, count, queue_name="default"):
        """Wait until so many messages wait: what was given back takes a moment."""
        end = time.monotonic() + 60
        while (held := self.held(queue_name)) != count:
            assert time.monotonic() < end, f"{held} messages instead of {count}"

    def forge(self, *bodies, queue_name="default", **options):
        """Send what no broker published."""
        with self.connection() as connection:
            producer = connection.Producer()
            for body in bodies:
                producer.publish(
                    body.encode() if isinstance(body, str) else body,
                    exchange="",
                    routing_key=self.queue(queue_name),
                    content_type="application/octet-stream",
                    content_encoding="binary",
                    **options,
                )

    def lose(self, queue_name="default"):
        """Lose all messages of a queue. Not by a purge, which SQS does once a minute only."""
        line = known.of("default").transport.line()
        while messages := line.fetch([self.queue(queue_name)], 1000):
            for _, message in messages:
                message.ack()
        line.close()

    def delete_all(self, *queue_names):
        """Delete the queues that tests use, and this process' connections."""
        for line in known.of("default").lines._take_all():
            line.close()
        with self.connection() as connection:
            channel = connection.channel()
            for queue_name in ("default", "other", "mail", *queue_names):
                channel.queue_delete(self.queue(queue_name))


def sqs(address):
    """Return the SQS of a moto server."""
    url = f"sqs://key:secret@{urlsplit(address).netloc}"
    return Post(url, transport_options={"region": "eu-central-1", "is_secure": False})


def body_of(task_id, priority=0):
    """Return the message that points to a task."""
    return f"{task_id} {priority}"


def ids_of(claims):
    return [str(claim.id) for claim in claims]


def claim_all(serving, count):
    """Claim until there are so many: SQS gives what it likes of what it has."""
    claimed = []
    until(lambda: claimed.extend(ids_of(serving.claim(10))) or len(claimed) >= count, "all claims")
    return claimed
