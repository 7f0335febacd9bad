"""What tests do to the transports of the kombu broker behind its back."""

from urllib.parse import urlsplit
from uuid import uuid4

from kombu import Connection

from django_tasks.brokers import configured
from django_tasks.brokers.base import BrokerAway
from django_tasks.brokers.kombu.broker import KombuBroker
from django_tasks.brokers.kombu.messages import QueueNames
from tests.brokers.steps import Behind
from tests.worker.ledger import until


class Post(Behind):
    """A transport of messages, with queues of their own for a test."""

    def __init__(self, url, server=None, **options):
        self.url = url
        self.server = server
        self.prefix = f"t-{uuid4().hex[:12]}"
        self.options = options

    @property
    def broker(self):
        return {"name": "kombu", "url": self.url, "prefix": self.prefix, **self.options}

    def queue(self, queue_name="default"):
        return QueueNames(self.prefix, "default").of(queue_name)

    def connection(self):
        options = self.options.get("transport_options", {})
        return Connection(self.url, transport_options=options | {"wait_time_seconds": 0})

    def count(self, queue_name="default"):
        queue = self.queue(queue_name)
        return configured.broker_for("default").pool.use(lambda connection: connection.count(queue))

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

    def point_to(self, *task_ids, queue_name="default", **options):
        """Send messages that point to tasks, and that no broker published."""
        self.forge(*map(body_of, task_ids), queue_name=queue_name, **options)

    def lose(self, queue_name="default"):
        """Lose all messages of a queue. Not by a purge, which SQS does once a minute only."""
        connection = configured.broker_for("default").transport.connect()
        while messages := connection.fetch([self.queue(queue_name)], 1000):
            for _, message in messages:
                message.ack()
        connection.close()

    def fill(self):
        """Let the server, which is the test's own, block all who publish."""
        self.server.control("set_vm_memory_high_watermark", 0)
        until(self.is_blocked, "it is out of memory")

    def is_blocked(self):
        """Tell whether it takes no messages."""
        connection = configured.broker_for("default").transport.connect()
        try:
            connection.prove()
        except BrokerAway:
            return True
        finally:
            connection.drop()
        return False

    def empty(self):
        """Let it take messages again."""
        self.server.control("set_vm_memory_high_watermark", 0.9)

    def delete_all(self):
        """Delete the queues that tests use, and this process' connections."""
        close_connections(configured.broker_for("default"))
        with self.connection() as connection:
            channel = connection.channel()
            for queue_name in ("default", "other", "mail"):
                channel.queue_delete(self.queue(queue_name))


class SharedPost(Post):
    """RabbitMQ with queues that stay for many tests, as does this process' connection."""

    def __init__(self, url, queue_names):
        super().__init__(url)
        self._broker = KombuBroker("default", url=url, prefix=self.prefix)
        self.queues = [self.queue(queue_name) for queue_name in queue_names]

    def use(self, settings):
        super().use(settings)
        configured._brokers["default"] = self._broker

    def delete_all(self):
        """Delete the messages that a test left."""
        self._broker.pool.use(self._purge)

    def _purge(self, connection):
        for queue, count in zip(self.queues, connection._counts(self.queues), strict=True):
            if count:
                connection._channel.queue_purge(queue)

    def close(self):
        """Delete the queues, and this process' connections."""
        self._broker.pool.use(
            lambda connection: [connection._channel.queue_delete(queue) for queue in self.queues]
        )
        close_connections(self._broker)


def close_connections(broker):
    """Close the connections that a process keeps to publish and to hear by."""
    heard, broker._change_signals._connection = broker._change_signals._connection, None
    for connection in [*broker.pool._take_all(), *filter(None, [heard])]:
        connection.close()


def sqs(address):
    """Return the SQS of a moto server."""
    url = f"sqs://key:secret@{urlsplit(address).netloc}"
    return Post(url, transport_options={"region": "eu-central-1", "is_secure": False})


def body_of(task_id, priority=0):
    """Return the message that points to a task."""
    return f"{task_id} {priority}"
