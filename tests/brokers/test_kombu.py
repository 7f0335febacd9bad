"""What is special of the kombu broker; test_contract.py has what all brokers do."""

import logging
import os
import pickle
import re
import select
import subprocess
import sys
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.checks import Error

from django_tasks.backends.database import DatabaseBackend
from django_tasks.brokers import configured
from django_tasks.brokers.base import Ready
from django_tasks.ids import uuid7
from tests.brokers.steps import broker_claimer, ids_of, make_reconciler, reconcile
from tests.conformance.steps import store
from tests.worker import tasks
from tests.worker.ledger import until

kombu = pytest.importorskip("kombu")
# What follows is imported after kombu is known to be there.
from django_tasks.brokers.kombu import broker as broker_module  # noqa: E402
from django_tasks.brokers.kombu.messages import LEVELS, QueueNames, level, read, written  # noqa: E402
from tests.brokers.kombu_steps import Post, sqs  # noqa: E402

# --- messages and names -------------------------------------------------------------------------


def test_queue_names_suit_every_transport():
    """Whatever queues and backends are called, names differ and are what SQS takes."""
    words = ["mail", "Mail", "a.b", "a_b", "a-b", "a__b", "schön", "x" * 100, "x" * 99 + "y", "/"]
    names = [
        QueueNames(prefix, alias).of(word)
        for prefix in ("p", "p" * 30)
        for alias in ("default", "de_fault", "y" * 60)
        for word in words
    ]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in names)


def test_levels_keep_the_order_of_priorities():
    """No higher priority has a lower level; 0 is at 4, and all above is favoured by quorums."""
    levels = [level(priority) for priority in range(-100, 101)]

    assert levels == sorted(levels)
    assert (levels[0], levels[100], levels[101], levels[-1]) == (0, 4, 5, len(LEVELS))


@pytest.mark.parametrize("priority", [-100, -1, 0, 100])
def test_messages_say_what_they_point_to(priority):
    """An id and a priority, in 41 bytes at most."""
    ready = Ready(uuid7(), "mail", priority)

    assert read(written(ready), "mail") == ready
    assert read(written(ready).encode(), "mail") == ready
    assert read(memoryview(written(ready).encode()), "mail") == ready


MALFORMED = [
    "", "12345", "x" * 36 + " 0", f"{uuid4()}", f"{uuid4()} 101", f"{uuid4()} 1e9",
    f"{uuid4()} 0\n", "'; DROP TABLE x; --", "1" * 2_000_000, '{"task": "os.system", "args": []}',
]  # fmt: skip


@pytest.mark.parametrize("body", [*MALFORMED, b"\xff\x00", None, 7, {}])
def test_malformed_messages_point_to_nothing(body):
    """Whatever the body is."""
    assert read(body, "mail") is None


# --- publishing and claiming --------------------------------------------------------------------


def test_rabbitmq_hands_out_by_priority_then_age(rabbitmq):
    """In the order of the levels, and exactly within what is taken at a time."""
    made = {
        priority: [tasks.add.using(priority=priority).enqueue(1, 2).id for _ in range(2)]
        for priority in (0, 5, -30, 100, 1, -100)
    }
    serving = broker_claimer()

    one_by_one = [ids_of(serving.claim(1))[0] for _ in range(4)]
    the_rest = ids_of(serving.claim(20))
    serving.close()

    assert [*one_by_one, *the_rest] == [
        task_id for priority in (100, 5, 1, 0, -30, -100) for task_id in made[priority]
    ]


def test_message_that_came_before_the_wait_wakes(rabbitmq):
    """Also if it was read from the connection already."""
    serving = broker_claimer()
    serving.claim(1)
    result = tasks.add.enqueue(1, 2)
    serving.watch()

    readable = until(lambda: select.select(serving.watch(), [], [], 0)[0], "the message")

    assert readable
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()


def test_nothing_is_waited_for_without_queues(rabbitmq):
    """A pattern that no queue matches yet."""
    nobody = broker_claimer("nobody*")

    assert nobody.claim(1) == []
    assert list(nobody.watch()) == []
    nobody.close()


def test_unacknowledged_messages_come_back(rabbitmq):
    """Those of a process that is killed between the message and the claim."""
    result = tasks.add.enqueue(1, 2)
    killed = configured.broker_for("default").source(broker_claimer().queues)

    [taken] = killed.take(1, ())
    killed._connection.drop()

    rabbitmq.await_held(1)
    assert str(taken.id) == result.id
    serving = broker_claimer()
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()


FORK = """
import os, sys
import django
django.setup()
from django_tasks.brokers.base import BrokerAway, Ready
from django_tasks.brokers.kombu.broker import KombuBroker
from django_tasks.ids import uuid7

broker = KombuBroker("default", url=sys.argv[1], prefix=sys.argv[2])
for _ in range(2):
    broker.publish([Ready(uuid7(), "default", 0)])
    if (child := os.fork()) == 0:
        broker.publish([Ready(uuid7(), "default", 0)])
        sys.exit(broker.outage.since is not None)  # with all that is done at an exit
    assert os.waitpid(child, 0)[1] == 0
assert len(broker.pool._spare) == 1
sys.exit(broker.outage.since is not None)
"""


def test_connections_do_not_cross_a_fork(rabbitmq):
    """A child publishes on a connection of its own, and leaves the parent's as it was."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}

    done = subprocess.run(
        [sys.executable, "-c", FORK, rabbitmq.url, rabbitmq.prefix],
        env=environment, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    rabbitmq.await_held(4)


# --- what is wrong in the queues ----------------------------------------------------------------


def test_pickles_are_not_opened(rabbitmq, caplog):
    """A message is text, whatever its headers say."""
    opened = pickle.dumps(SystemExit)
    serving = broker_claimer()
    serving.claim(1)
    with rabbitmq.connection() as connection:
        connection.Producer().publish(
            opened, exchange="", routing_key=rabbitmq.queue(),
            content_type="application/x-python-serialize", content_encoding="binary",
        )  # fmt: skip

    until(lambda: not serving.claim(1) and not rabbitmq.count(), "the message")
    serving.close()

    assert "no task id" in caplog.text


def test_deleted_queue_is_made_again(rabbitmq):
    """By who publishes next, and by who looks next."""
    serving = broker_claimer()
    tasks.add.enqueue(1, 2)
    serving.claim(1)
    rabbitmq.delete_all()
    second = tasks.add.enqueue(1, 2)

    assert ids_of(serving.claim(1)) == [second.id]
    rabbitmq.delete_all()
    assert serving.claim(1) == []
    assert configured.broker_for("default").outage.since is None
    serving.close()


def test_queue_with_other_arguments_is_an_outage(rabbitmq, caplog):
    """Somebody else's queue of this name: a line says why, and tasks run from the table."""
    with rabbitmq.connection() as connection:
        connection.channel().queue_declare(rabbitmq.queue(), durable=True, auto_delete=False)

    result = tasks.add.enqueue(1, 2)
    serving = broker_claimer()

    assert ids_of(serving.claim(1)) == [result.id]
    assert "inequivalent arg" in caplog.text
    serving.close()


# --- what the broker loses ----------------------------------------------------------------------


def test_loss_of_some_costs_each_one_message_more(rabbitmq):
    """Nobody can tell which were lost: all are published, and the next rounds publish none."""
    for _ in range(4):
        tasks.add.enqueue(1, 2)
    connection = rabbitmq.connection()
    connection.channel().basic_get(rabbitmq.queue(), no_ack=True)
    connection.release()

    for _ in range(4):
        reconcile()

    rabbitmq.await_held(3 + 4)


def test_rough_counts_are_confirmed_after_a_minute(moto, settings, monkeypatch):
    """SQS counts late: tasks are missing when they have been for long, and then published once."""
    post = sqs(moto)
    post.use(settings)
    clock = 1000.0
    monkeypatch.setattr(broker_module.time, "monotonic", lambda: clock)
    for _ in range(3):
        tasks.add.enqueue(1, 2)
    post.lose()

    reconcile()
    early = post.count()
    clock += broker_module.MISSING_FOR
    reconcile()
    in_time = post.count()
    post.lose()
    reconcile()

    assert (early, in_time, post.count()) == (0, 3, 0)


def test_password_is_told_nowhere(settings, rabbitmq_url, caplog):
    """Neither by a server that refuses it nor by an address that cannot be read."""
    host = rabbitmq_url.rpartition("@")[2]
    for url in (f"amqp://guest:hunter%2F2@{host}", "amqp://guest:hunter2@127.0.0.1:port/"):
        Post(url).use(settings)
        with caplog.at_level(logging.DEBUG):
            tasks.add.enqueue(1, 2)

    assert caplog.text.count("Lost the kombu broker") == 2
    assert "hunter" not in caplog.text


# --- what keepers hear --------------------------------------------------------------------------


def test_cut_line_may_have_missed_something(rabbitmq):
    """A keeper whose connection is new looks for what was lost, and for what is due."""
    keeper, signals = make_reconciler(), configured.broker_for("default")._change_signals
    keeper.run()
    assert not keeper.run().has_later
    made = store(2)
    signals._connection._amqp.sock.close()

    assert keeper.run().has_later
    rabbitmq.await_held(len(made))  # at once: not after a second look
    assert configured.broker_for("default").outage.since is None


def test_marks_are_heard_after_their_exchange_was_deleted(rabbitmq):
    """By somebody who tidies up: keepers bind to a new one."""
    keeper = make_reconciler()
    keeper.run()
    with rabbitmq.connection() as connection:
        connection.channel().exchange_delete(configured.broker_for("default").queues.later)
    keeper.run()

    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)

    assert keeper.run().has_later


def test_other_transports_leave_keepers_to_the_table(settings):
    """They have no word for what is due, and are asked nothing for it."""
    Post("memory://").use(settings)
    broker = configured.broker_for("default")

    broker.expect()

    assert broker.pulse() is None
    assert broker.pool._spare == []


# --- settings -----------------------------------------------------------------------------------


def check(settings, **options):
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": {"broker": {"name": "kombu", **options}},
        }
    }
    return list(DatabaseBackend("default", settings.TASKS["default"])._check_broker())


@pytest.mark.parametrize(
    "url", ["amqp://u:p@host/vhost", "amqps://host", "memory://", "amqp://a;amqp://b"]
)
def test_good_settings_are_silent(settings, url):
    """No server is asked."""
    assert check(settings, url=url, queue_type="quorum", transport_options={}) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, "needs a 'url'"),
        ({"url": "hunter2"}, "needs a 'url'"),
        ({"url": "amqb://u:hunter2@host"}, "no transport: 'amqb'"),
        ({"url": "amqp://u:hunter2@host:port"}, "cannot be read"),
        ({"url": "memory://", "prefix": "a.b"}, "hyphens and underscores, not 'a.b'"),
        ({"url": "memory://", "queue_type": "quorums"}, "did you mean 'quorum'?"),
    ],
)
def test_wrong_settings_are_told(settings, options, part):
    """E012, without the password."""
    [error] = check(settings, **options)

    assert isinstance(error, Error)
    assert error.id == "django_tasks.E012"
    assert part in error.msg
    assert "hunter" not in f"{error}"


def test_package_of_a_transport_is_named(settings, monkeypatch):
    """SQS needs boto3."""
    for module in ("kombu.transport.SQS", "botocore.client", "boto3"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("kombu.transport._transport_cache", {})

    [error] = check(settings, url="sqs://")

    assert "sqs:// that is not installed" in error.msg
