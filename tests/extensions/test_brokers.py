"""The built-in brokers keep the contract that brokers of others are tried with."""

import sys
from importlib.util import find_spec

import pytest
from django.db import connection
from django.test import TransactionTestCase

from django_tasks.brokers import configured
from django_tasks.conformance import BrokerConformance
from tests.brokers.steps import Redis

# Once imported, kombu has no __spec__ that find_spec() could return.
has_kombu = "kombu" in sys.modules or find_spec("kombu")
needs_kombu = pytest.mark.skipif(not has_kombu, reason="kombu is not installed")
if has_kombu:
    from tests.brokers.kombu_steps import Post, close_connections

#: Where nobody listens.
NOWHERE = "127.0.0.1:1"


class DatabaseTests(BrokerConformance, TransactionTestCase):
    broker = "database"


class RedisTests(BrokerConformance, TransactionTestCase):
    broker = "redis"
    unreachable = {"name": "redis", "cache": "gone"}

    @pytest.fixture(autouse=True)
    def _server(self, redis_url, settings):
        redis = Redis(redis_url)
        gone = redis.caches["default"] | {"LOCATION": f"redis://{NOWHERE}/0"}
        settings.CACHES = redis.caches | {"gone": gone}
        yield
        redis.delete_all()


@needs_kombu
class MemoryTests(BrokerConformance, TransactionTestCase):
    @pytest.fixture(autouse=True)
    def _server(self):
        self.broker = Post("memory://").broker


@needs_kombu
@pytest.mark.skipif(connection.vendor == "sqlite", reason="beside SQLite one server is enough")
class RabbitMQTests(BrokerConformance, TransactionTestCase):
    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url):
        self.post = Post(rabbitmq_url, queue_type="classic")
        self.broker = self.post.broker
        self.unreachable = self.broker | {"url": f"amqp://guest:guest@{NOWHERE}//"}

    def tearDown(self):
        close_connections(configured.broker_for("default"))
        with self.post.connection() as server:
            channel = server.channel()
            for name in (self.queue, f"{self.queue}-other", "default"):
                channel.queue_delete(self.post.queue(name))
        super().tearDown()
