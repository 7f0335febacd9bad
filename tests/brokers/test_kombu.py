"""What the kombu broker publishes and hands out, in one process."""

import os
import re
import select
import subprocess
import sys
from uuid import uuid4

import pytest
from django.core.checks import Error
from django.db import transaction

from django_tasks.backends.database import DatabaseBackend
from django_tasks.brokers import known
from django_tasks.brokers.base import Ready
from django_tasks.ids import uuid7
from django_tasks.statuses import Status
from django_tasks.store.rows import EndingKind
from tests.brokers.steps import guided_claimer
from tests.conformance.steps import ending, settle, statuses, success
from tests.worker import tasks
from tests.worker.ledger import until

kombu = pytest.importorskip("kombu")
# What follows is imported after kombu is known to be there.
from django_tasks.brokers.kombu_queues import LEVELS, QueueNames, level, read, written  # noqa: E402
from tests.brokers.kombu_steps import claim_all, ids_of  # noqa: E402

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


def test_enqueue_publishes_after_the_commit(post):
    """Nothing is handed out before the row can be claimed, nor after a rollback."""
    with transaction.atomic():
        result = tasks.add.enqueue(1, 2)
        before = post.held()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.add.enqueue(3, 4)
        raise ZeroDivisionError

    assert before == 0
    post.await_held(1)
    serving = guided_claimer()
    assert claim_all(serving, 1) == [result.id]
    serving.close()


def test_published_tasks_are_claimed_once(post):
    """All of them, by whoever asks first; what is claimed is acknowledged."""
    made = {tasks.add.enqueue(number, 1).id for number in range(12)}
    first, second = guided_claimer(), guided_claimer()

    claimed = []
    until(
        lambda: claimed.extend(ids_of(first.claim(2) + second.claim(2))) or len(claimed) >= 12,
        "all claims",
    )
    first.close()
    second.close()

    assert (len(claimed), set(claimed)) == (12, made)
    post.await_held(0)
    assert guided_claimer().claim(10) == []


def test_rabbitmq_hands_out_by_priority_then_age(rabbitmq):
    """In the order of the levels, and exactly within what is taken at a time."""
    made = {
        priority: [tasks.add.using(priority=priority).enqueue(1, 2).id for _ in range(2)]
        for priority in (0, 5, -30, 100, 1, -100)
    }
    serving = guided_claimer()

    one_by_one = [ids_of(serving.claim(1))[0] for _ in range(4)]
    the_rest = ids_of(serving.claim(20))
    serving.close()

    assert [*one_by_one, *the_rest] == [
        task_id for priority in (100, 5, 1, 0, -30, -100) for task_id in made[priority]
    ]


def test_queues_are_served_in_their_order(rabbitmq):
    """While an earlier queue has messages, later ones wait."""
    made = [tasks.add.using(queue_name=name).enqueue(1, 2).id for name in ("other", "mail") * 2]
    serving = guided_claimer("mail,other")

    assert ids_of(serving.claim(3)) == [made[1], made[3], made[0]]
    assert rabbitmq.held("other") == 1
    serving.close()


def test_finish_and_claim_go_together(rabbitmq):
    """Successes are recorded with the next claim, and without one."""
    for _ in range(2):
        tasks.add.enqueue(1, 2)
    serving = guided_claimer()
    [first] = serving.claim(1)

    accepted, [second] = serving.finish_and_claim([success(first)], 1)
    last, nothing = serving.finish_and_claim([success(second)], 1)
    serving.close()

    assert (accepted, last, nothing) == (1, 1, [])
    assert statuses([first.id, second.id]) == [Status.SUCCESSFUL] * 2


def test_tasks_that_run_again_are_published(rabbitmq):
    """A retry without delay makes a new message."""
    tasks.add.enqueue(1, 2)
    serving = guided_claimer()
    [claim] = serving.claim(1)

    settle(ending(claim, EndingKind.RETRY))

    assert ids_of(serving.claim(1)) == [str(claim.id)]
    serving.close()


def test_idle_claimer_asks_the_database_nothing(post, django_assert_num_queries):
    """With the broker there, an empty look is no query."""
    serving = guided_claimer()

    with django_assert_num_queries(0):
        assert serving.claim(10) == []
        serving.watch()
        assert serving.claim(10) == []
        serving.close()


def test_waiting_process_is_woken(post):
    """What it waits on becomes readable by the message, which is then claimed."""
    serving = guided_claimer()
    serving.claim(1)
    waits = serving.watch()
    result = tasks.add.enqueue(1, 2)

    readable = select.select(waits, [], [], 60)[0]

    assert readable == list(waits)
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()
    post.await_held(0)


def test_message_that_came_before_the_wait_wakes(rabbitmq):
    """Also if it was read from the connection already."""
    serving = guided_claimer()
    serving.claim(1)
    result = tasks.add.enqueue(1, 2)
    serving.watch()

    readable = until(lambda: select.select(serving.watch(), [], [], 0)[0], "the message")

    assert readable
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()


def test_process_without_room_leaves_tasks_to_others(post):
    """What it waited for is given back, and what it takes is bounded by its room."""
    busy, idle = guided_claimer(), guided_claimer()
    waits = busy.watch()
    made = [tasks.add.enqueue(1, 2).id for _ in range(3)]
    select.select(waits, [], [], 60)
    [mine] = ids_of(busy.claim(1))
    busy.rest()

    others = claim_all(idle, 2)
    busy.close()
    idle.close()

    assert {mine, *others} == set(made)


def test_unacknowledged_messages_come_back(rabbitmq):
    """Those of a process that is killed between the message and the claim."""
    result = tasks.add.enqueue(1, 2)
    killed = known.of("default").source(guided_claimer().queues)

    [taken] = killed.take(1, ())
    killed._line.drop()

    rabbitmq.await_held(1)
    assert str(taken.id) == result.id
    serving = guided_claimer()
    assert ids_of(serving.claim(1)) == [result.id]
    serving.close()


def test_paused_queues_are_left_out(post):
    """Also when the message came before the pause."""
    serving = guided_claimer("default,other")
    waits = serving.watch()
    paused = tasks.add.enqueue(1, 2)
    select.select(waits, [], [], 60)
    serving.paused = frozenset({"default"})
    other = tasks.add.using(queue_name="other").enqueue(1, 2)

    assert claim_all(serving, 1) == [other.id]
    post.await_held(1)
    serving.paused = frozenset()
    assert claim_all(serving, 1) == [paused.id]
    serving.close()


def test_new_queue_is_served_by_its_pattern(rabbitmq):
    """A queue that no task declares is known by its ready task."""
    result = tasks.add.using(queue_name="mail").enqueue(1, 2)
    serving, nobody = guided_claimer("ma*"), guided_claimer("nobody*")

    assert ids_of(serving.claim(1)) == [result.id]
    assert nobody.claim(1) == []
    assert list(nobody.watch()) == []
    serving.close()
    nobody.close()


FORK = """
import os, sys
import django
django.setup()
from django_tasks.brokers.base import BrokerAway, Ready
from django_tasks.brokers.kombu import KombuBroker
from django_tasks.ids import uuid7

broker = KombuBroker("default", url=sys.argv[1], prefix=sys.argv[2])
for _ in range(2):
    broker.publish([Ready(uuid7(), "default", 0)])
    if (child := os.fork()) == 0:
        broker.publish([Ready(uuid7(), "default", 0)])
        sys.exit(broker.outage.since is not None)  # with all that is done at an exit
    assert os.waitpid(child, 0)[1] == 0
assert len(broker.lines._spare) == 1
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
