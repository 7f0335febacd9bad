"""What a process keeps per queue does not grow with the names that were ever used."""

from types import SimpleNamespace
from uuid import uuid4

import pytest

from django_tasks.brokers import database
from django_tasks.brokers.base import Ready
from django_tasks.brokers.redis import broker as redis

#: A queue per customer, say, and how many of them a process may keep.
NAMES, MOST = 20_000, 2_000


def kept(holder):
    """Return how many things an object's own collections hold."""
    return sum(len(v) for v in vars(holder).values() if isinstance(v, (dict, set, list)))


@pytest.fixture
def clock(monkeypatch):
    """Return what moves the brokers' clock on."""
    now = SimpleNamespace(seconds=1000.0)
    for module in (database, redis):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))

    def move_on(seconds):
        now.seconds += seconds

    return move_on


def test_wake_ups_of_many_queues(clock):
    """Each has a few per window, whatever the others had."""
    broker = database.DatabaseBroker("default")

    for number in range(NAMES):
        clock(database.WINDOW / 1000)
        sent = [broker.wakes(f"queue {number}") for _ in range(database.WAKES_PER_WINDOW)]
        assert all(sent)

    assert kept(broker) <= MOST


def test_wake_ups_are_few_per_window(clock):
    """What is left out is found by the look that a worker takes after the window."""
    broker = database.DatabaseBroker("default")

    sent = [broker.wakes("default") for _ in range(2 * database.WAKES_PER_WINDOW)]
    clock(database.WINDOW)

    assert sent.count(True) == database.WAKES_PER_WINDOW and broker.wakes("default")


def test_names_that_redis_was_told(clock):
    """Each is told again after a while, which is all that has to be known."""
    broker = redis.RedisBroker("default")

    def told(queue_name):
        commands = list(broker._additions([Ready(uuid4(), queue_name, 0)]))
        return commands[0][0] == "SADD"

    for number in range(NAMES):
        clock(redis.NAME_INTERVAL / 1000)
        assert told(f"queue {number}") and not told(f"queue {number}")

    assert kept(broker) <= MOST
    clock(redis.NAME_INTERVAL)
    assert told(f"queue {NAMES - 1}")


def test_queues_that_a_connection_has_declared():
    """One that stays open for ever declares some of them again."""
    pytest.importorskip("kombu")
    from django_tasks.brokers.kombu.connections import BrokerConnection

    channel = SimpleNamespace(queue_declare=lambda **_: SimpleNamespace(message_count=0))
    connection = BrokerConnection(SimpleNamespace(channel=lambda: channel), {})

    for number in range(NAMES):
        connection.count(f"queue-{number}")

    assert kept(connection) <= MOST
