"""What the kombu broker refuses, loses and lives through, in one process."""

import logging
from uuid import uuid4

import pytest

from django_tasks.brokers import complaints, known
from django_tasks.brokers.base import BrokerAway
from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.outages import LONGEST_PAUSE
from django_tasks.statuses import Status
from tests.brokers.steps import guided_claimer, reconcile
from tests.conformance.steps import make, statuses
from tests.worker import tasks
from tests.worker.ledger import until

kombu = pytest.importorskip("kombu")
# What follows is imported after kombu is known to be there.
from django_tasks.brokers import kombu as broker_module  # noqa: E402
from tests.brokers.kombu_steps import Post, body_of, claim_all, ids_of  # noqa: E402

# --- what is wrong in the queues ----------------------------------------------------------------


def test_forged_messages_claim_nothing(post):
    """Unknown, finished, someone else's and another queue's ids: nothing runs."""
    [done] = make(status=Status.SUCCESSFUL)
    [elsewhere] = make(queue_name="secret")
    [foreign] = make(backend="other")
    [scheduled] = make(status=Status.SCHEDULED)
    forged = (uuid4(), uuid7(), done, elsewhere, foreign, scheduled)
    result = tasks.add.enqueue(1, 2)
    post.forge(*map(body_of, forged))
    serving = guided_claimer()

    assert claim_all(serving, 1) == [result.id]
    until(lambda: not serving.claim(10) and not post.held(), "all messages")
    serving.close()

    assert statuses([done, elsewhere, foreign, scheduled]) == [
        Status.SUCCESSFUL,
        Status.READY,
        Status.READY,
        Status.SCHEDULED,
    ]


@pytest.mark.parametrize("body", [b"x", b"\xff\x00", b"1" * 200_000, b"[]", b'{"body": 1}'])
def test_malformed_messages_are_dropped_with_one_line(post, body, caplog):
    """Whatever is in the queue, the tasks beside it run, and one line tells of it."""
    serving = guided_claimer()
    serving.claim(1)
    post.forge(body, body, body)
    result = tasks.add.enqueue(1, 2)

    with caplog.at_level(logging.WARNING, "django_tasks"):
        assert claim_all(serving, 1) == [result.id]
        until(lambda: not serving.claim(10) and not post.held(), "all messages")
    serving.close()

    [line] = caplog.messages
    assert "no task id" in line
    assert len(line) < 4 * complaints.SHOWN + 100


def test_pickles_are_not_opened(rabbitmq, caplog):
    """A message is text, whatever its headers say."""
    import pickle

    opened = pickle.dumps(SystemExit)
    serving = guided_claimer()
    serving.claim(1)
    with rabbitmq.connection() as connection:
        connection.Producer().publish(
            opened, exchange="", routing_key=rabbitmq.queue(),
            content_type="application/x-python-serialize", content_encoding="binary",
        )  # fmt: skip

    until(lambda: not serving.claim(1) and not rabbitmq.held(), "the message")
    serving.close()

    assert "no task id" in caplog.text


def test_task_that_is_pointed_to_often_runs_once(post):
    """Whether its messages come together or after the claim."""
    result = tasks.add.enqueue(1, 2)
    post.forge(*[body_of(result.id)] * 4)
    serving = guided_claimer()

    assert claim_all(serving, 1) == [result.id]
    until(lambda: not serving.claim(10) and not post.held(), "all messages")
    serving.close()

    assert TaskRecord.objects.get(pk=result.id).claims == 1


def test_deleted_queue_is_made_again(rabbitmq):
    """By who publishes next, and by who looks next."""
    serving = guided_claimer()
    tasks.add.enqueue(1, 2)
    serving.claim(1)
    rabbitmq.delete_all()
    second = tasks.add.enqueue(1, 2)

    assert ids_of(serving.claim(1)) == [second.id]
    rabbitmq.delete_all()
    assert serving.claim(1) == []
    assert known.of("default").outage.since is None
    serving.close()


def test_queue_with_other_arguments_is_an_outage(rabbitmq, caplog):
    """Somebody else's queue of this name: a line says why, and tasks run from the table."""
    with rabbitmq.connection() as connection:
        connection.channel().queue_declare(rabbitmq.queue(), durable=True, auto_delete=False)

    result = tasks.add.enqueue(1, 2)
    serving = guided_claimer()

    assert ids_of(serving.claim(1)) == [result.id]
    assert "inequivalent arg" in caplog.text
    serving.close()


# --- what the broker loses ----------------------------------------------------------------------


def test_reconciler_publishes_what_was_lost(rabbitmq):
    """All that a queue lost, and only once."""
    for _ in range(5):
        tasks.add.enqueue(1, 2)
    rabbitmq.lose()

    for _ in range(3):
        reconcile()

    rabbitmq.await_held(5)


def test_reconciler_goes_on_where_all_is_lost(rabbitmq, monkeypatch):
    """One round brings back more than one query gives."""
    monkeypatch.setattr("django_tasks.worker.reconciler.CHUNK", 10)
    made = make(35)

    reconcile()

    rabbitmq.await_held(len(made))


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


def test_rough_counts_are_doubted_for_a_minute(moto, settings, monkeypatch):
    """SQS counts late: tasks are missing when they have been for long, and then published once."""
    from tests.brokers.kombu_steps import sqs

    post = sqs(moto)
    settings.TASKS = post.settings["TASKS"]
    clock = 1000.0
    monkeypatch.setattr(broker_module.time, "monotonic", lambda: clock)
    for _ in range(3):
        tasks.add.enqueue(1, 2)
    post.lose()

    reconcile()
    early = post.held()
    clock += broker_module.PATIENCE
    reconcile()
    in_time = post.held()
    post.lose()
    reconcile()

    assert (early, in_time, post.held()) == (0, 3, 0)


# --- the broker gone ----------------------------------------------------------------------------


def test_enqueue_commits_without_rabbitmq_and_says_so_once(mortal_rabbitmq, caplog):
    """An outage costs no task, and one line in the log."""
    mortal_rabbitmq.server.stop("immediate")

    with caplog.at_level(logging.INFO, "django_tasks"):
        results = [tasks.add.enqueue(number, 1) for number in range(20)]

    assert TaskRecord.objects.filter(status=Status.READY).count() == len(results)
    [line] = caplog.messages
    assert "Lost the kombu broker" in line
    assert "guest" not in line


def test_claims_come_from_the_table_without_rabbitmq(mortal_rabbitmq):
    """The next claim works, and so do those after RabbitMQ is back."""
    serving = guided_claimer()
    serving.claim(1)
    serving.watch()
    mortal_rabbitmq.server.stop("immediate")
    lost = tasks.add.enqueue(1, 2)

    assert ids_of(serving.claim(5)) == [lost.id]

    mortal_rabbitmq.server.start()
    outage = known.of("default").outage
    until(lambda: serving.claim(5) or outage.since is None, "the end of the outage")
    back = tasks.add.enqueue(1, 2)
    assert mortal_rabbitmq.held() == 1
    assert ids_of(serving.claim(5)) == [back.id]
    serving.close()


def test_idle_keeper_knows_when_it_is_back(mortal_rabbitmq):
    """Without ready tasks it has nothing to compare, and asks all the same."""
    outage = known.of("default").outage
    mortal_rabbitmq.server.stop("immediate")
    outage.began(BrokerAway("cut"))

    until(lambda: reconcile() or outage._pause >= LONGEST_PAUSE, "some attempts")
    before = outage.since
    mortal_rabbitmq.server.start()
    until(lambda: reconcile() or outage.since is None, "the end of the outage")

    assert before is not None


def test_restart_between_two_enqueues_is_not_noticed(mortal_rabbitmq, caplog):
    """A connection that was cut while nobody used it is replaced, not taken for an outage."""
    tasks.add.enqueue(1, 2)
    mortal_rabbitmq.server.restart("fast")

    with caplog.at_level(logging.INFO, "django_tasks"):
        tasks.add.enqueue(1, 2)

    assert caplog.messages == []


def test_password_is_told_nowhere(settings, rabbitmq_url, caplog):
    """Neither by a server that refuses it nor by an address that cannot be read."""
    host = rabbitmq_url.rpartition("@")[2]
    for url in (f"amqp://guest:hunter%2F2@{host}", "amqp://guest:hunter2@127.0.0.1:port/"):
        settings.TASKS = Post(url).settings["TASKS"]
        with caplog.at_level(logging.DEBUG):
            tasks.add.enqueue(1, 2)

    assert caplog.text.count("Lost the kombu broker") == 2
    assert "hunter" not in caplog.text
