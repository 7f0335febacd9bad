"""The connections on which receivers of signals run."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction

from django_tasks.signals import task_finished
from django_tasks.worker.execution.connections import OwnConnections, ReceiverConnections
from django_tasks.worker.reporting.signals import SignalSender
from tests.conformance.steps import claim_one
from tests.worker import tasks


@pytest.fixture
def receivers():
    receivers = ReceiverConnections("default")
    yield receivers
    if receivers._theirs is not None:
        receivers._theirs.close()


@pytest.fixture
def heard():
    """The connection on which each signal was received."""
    heard = []

    def receive(task_result, **kwargs):
        Group.objects.count()
        heard.append(connections["default"])

    task_finished.connect(receive)
    yield heard
    task_finished.disconnect(receive)


@pytest.fixture
def own():
    """The connection of this thread, as that of an engine."""
    own = connections["default"]
    own.ensure_connection()
    yield own
    assert connections["default"] is own


def test_receivers_do_not_get_the_connection_of_the_worker(own, receivers, heard):
    """It has settings of its own, such as plans without sequential scans."""
    tasks.add.enqueue(1, 2)

    SignalSender("default", receivers).send_successes([claim_one()])

    assert len(heard) == 1
    assert heard[0] is not own
    assert heard[0].settings_dict == connections.settings["default"]


def test_tests_share_their_connection(own, heard):
    """run_pending_tasks() lets receivers see what the test has not committed."""
    tasks.add.enqueue(1, 2)

    SignalSender("default", OwnConnections()).send_successes([claim_one()])

    assert heard == [own]


def test_receivers_leave_no_transaction(own, receivers):
    """What a receiver leaves open is rolled back, and does not reach the next one."""
    with receivers.lent():
        transaction.set_autocommit(False)
        Group.objects.create(name="gone")

    with receivers.lent():
        assert transaction.get_autocommit()
        assert not Group.objects.exists()


def test_connections_of_receivers_age(own, receivers):
    """As after a request, a connection beyond CONN_MAX_AGE is closed: by default at once."""
    with receivers.lent():
        Group.objects.count()
        theirs = connections["default"]
        assert theirs.connection is not None

    assert theirs.connection is None
    assert connection.connection is not None
