"""
Committed rows for every test here, as they use several connections at a time; and brokers.

The tables are emptied by DELETE: TRUNCATE, of a dozen tables, costs PostgreSQL ten times as much.

Tests that claim, or make a task ready, or take a ready one away run with each broker: a claim goes
by what the broker points to, and the store has to tell it. What has none in it is tested once:

- plans, and the statements, order and cursor of claims from the table (`from_the_table`);
- endings of tasks that nobody claimed, and the rules of the tables;
- rows of workers, pauses, requests, pruning: no broker hears of them but by the signal that
  tests/brokers tests;
- what is cancelled, expired or left alone without being ready, or by the thousand.
"""

from datetime import datetime
from pathlib import Path

import pytest
from django.utils import timezone

from django_tasks.brokers import configured
from django_tasks.models import (
    QueueState,
    Schedule,
    ScheduleRun,
    TaskAttempt,
    TaskRecord,
    WorkerRecord,
    WorkflowEdge,
    WorkflowJoin,
    WorkflowRecord,
    WorkflowStep,
)
from tests.brokers.steps import Redis
from tests.conformance.steps import DATABASE, LONG_AGO, claimers
from tests.worker.conftest import tables  # noqa: F401

HERE = Path(__file__).parent
WORKFLOWS = (WorkflowEdge, WorkflowStep, WorkflowJoin, WorkflowRecord)
#: The queues of these tests. RabbitMQ is asked for each by name.
QUEUES = (
    *("default", "elsewhere", "nothing-here", "a", "b", "c", "x", "low", "high", "fax"),
    *("mail", "mail-a", "mail-b", "Mail", "maíl"),
)


def pytest_collection_modifyitems(items):
    """Ask for the database. available_apps: the tables that the flush empties."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["tests"]))


@pytest.fixture(autouse=True)
def clean(tables):  # noqa: F811
    """Delete what a test left behind."""
    yield
    for model in (
        *WORKFLOWS,
        TaskAttempt,
        TaskRecord,
        WorkerRecord,
        QueueState,
        ScheduleRun,
        Schedule,
    ):
        model.objects.all()._raw_delete(DATABASE)


@pytest.fixture(params=["database", "redis", "kombu"])
def broker(request, settings):
    """Run a test with each broker; kombu's as it speaks to RabbitMQ."""
    claimers.clear()
    if request.param == "database":
        yield
        return
    used = request.getfixturevalue(f"{request.param}_broker")
    used.use(settings)
    yield
    for claimer in claimers:
        claimer.close()
    used.delete_all()
    # Else claims came from the table.
    assert configured.broker_for("default").outage.since is None


@pytest.fixture(scope="session")
def redis_broker(redis_url):
    return Redis(redis_url)


@pytest.fixture(scope="session")
def kombu_broker(rabbitmq_url):
    pytest.importorskip("kombu")
    from tests.brokers.kombu_steps import SharedPost

    post = SharedPost(rabbitmq_url, QUEUES)
    yield post
    post.close()


@pytest.fixture
def wrong_clock(monkeypatch):
    """Let this process believe that it is the year 2001: nothing may depend on its clock."""

    class AnyDatetime(type):
        def __instancecheck__(cls, value):
            return isinstance(value, datetime)

    class Clock(metaclass=AnyDatetime):
        @staticmethod
        def now(tz=None):
            return LONG_AGO.astimezone(tz)

    for module in ("django_tasks.backends.database", "django_tasks.store.tasks.enqueue"):
        monkeypatch.setattr(f"{module}.datetime", Clock)
    monkeypatch.setattr(timezone, "now", lambda: LONG_AGO)
    monkeypatch.setattr("time.time", LONG_AGO.timestamp)
