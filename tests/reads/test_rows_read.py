"""
Nothing that is asked again and again, or looked at by people, reads more with more history.

By what each question makes the database read, with some finished tasks and with five times as many:
what grows with history shows, whatever index a plan names. To add a question, add a line.
"""

import io
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import reverse

from django_tasks.admin.tasks import window
from django_tasks.beat import tick
from django_tasks.definitions.backends import database_backends
from django_tasks.models import Schedule, TaskRecord, WorkerRecord, WorkflowRecord
from django_tasks.monitoring import (
    diagnosis,
    measures,
    overview,
    queue_list,
    queues,
    schedule_list,
    snapshot,
)
from django_tasks.monitoring import history as counted
from django_tasks.monitoring.reading import capped_count
from django_tasks.statuses import Status
from django_tasks.store import dialects
from django_tasks.store.dialects import mysql
from django_tasks.store.rollups import counting
from django_tasks.store.schedules import due
from django_tasks.store.tasks import pruning, transitions
from django_tasks.store.workers import leases
from tests.conformance.steps import DATABASE, claimer
from tests.conformance.test_workers import info
from tests.reads import history
from tests.rows_read import rows_read
from tests.worker.conftest import tables  # noqa: F401

#: available_apps: the flush touches no table that the module fills.
pytestmark = pytest.mark.django_db(transaction=True, available_apps=["tests"])

LITTLE, MUCH, CROWD = 2_000, 10_000, 2_000
#: What one row may cost by the unit of rows_read().
UNIT = 3 if connection.vendor == "sqlite" else 1
#: Tasks that counts and lists stop at: so few that both look at as many, and more than a page has.
MOST = 150


def dialect():
    return dialects.dialect_for(connection)


def pruning_by(failed, successful):
    """Prune by these settings."""
    kept = {"RETENTION_FAILED": failed, "RETENTION_SUCCESSFUL": successful}
    with override_settings(DJANGO_TASKS=kept):
        pruning.prune_due(DATABASE)


def one(status):
    return TaskRecord.objects.filter(status=status).order_by("-pk").first()


def in_transaction(lock_orphans, *whose):
    with transaction.atomic():
        return lock_orphans(DATABASE, *whose)


KEEPERS = {
    "renewing": lambda: leases.renew(DATABASE, info()),
    "when is the next due": lambda: dialect().seconds_until_next(connection),
    "promoting": lambda: transitions.promote(DATABASE),
    "expiring": lambda: transitions.expire(DATABASE),
    "signs of something to sweep": lambda: leases.signs(DATABASE, info(), [1, 2]),
    "orphans of dead workers": lambda: in_transaction(leases.lock_orphans_of_dead_workers),
    "orphans of a process": lambda: in_transaction(leases.lock_orphans_of_process, uuid4(), [1, 2]),
    "dead workers": lambda: leases.forget_dead(DATABASE),
    "cancelled tasks": lambda: leases.cancelled_tasks(DATABASE, uuid4()),
    "counting what finished": lambda: counting.count_next(DATABASE),
    "pruning": lambda: pruning.prune_due(DATABASE),
    "pruning while failures are kept for ever": lambda: pruning_by(None, timedelta(days=14)),
    "pruning while successes are kept for ever": lambda: pruning_by(timedelta(days=14), None),
    "old rollups": lambda: counting.prune(DATABASE, history.NOW),
    "ready tasks to compare": lambda: dialect().next_in_turn(connection, "default", "mail", 1000),
}
PROCESSES = {
    "claiming": lambda: claimer("*").claim(10),
    "queues with ready tasks": lambda: dialect().ready_queues(connection, "default"),
    "adopting": lambda: claimer().adopt(set()),
}
BEATS = {
    "when is a schedule due": lambda: due.look(DATABASE),
    "a tick": lambda: tick.tick(DATABASE),
    "due schedules": lambda: due.lock_due(DATABASE),
    "old runs": lambda: due.prune_runs(DATABASE, 1e9),
}
LOOKS = {
    **{
        f"an overview of the {name}": lambda period=period: overview.read_overview(
            DATABASE, list(database_backends().values()), period
        )
        for name, period in counted.PERIODS.items()
    },
    "metrics": lambda: measures.measure(DATABASE, list(database_backends().values())),
    "a snapshot": lambda: snapshot.look(DATABASE),
    "queues": lambda: (found := queue_list.Queues.of(DATABASE)).look_at(found.keys),
    "what a purge would delete": lambda: queue_list.waiting_count(
        DATABASE, queue_list.QueueKey("default", "mail")
    ),
    "schedules": lambda: schedule_list.summaries(DATABASE),
    "next runs of schedules": lambda: schedule_list.upcoming(DATABASE, 20),
}
COMMANDS = {
    " ".join(words): lambda words=words: call_command(*words, stdout=io.StringIO())
    for words in (
        ("tasks_inspect",),
        ("tasks_schedules", "list"),
        ("tasks_schedules", "next", "20"),
        ("tasks_workflow", "list"),
        ("tasks_workflow", "list", "--status", "RUNNING"),
        ("tasks_workflow", "list", "--status", "FAILED"),
    )
}
TASKS = "/admin/django_tasks/taskrecord/"
WORKFLOWS = "/admin/django_tasks/workflowrecord/"
PAGES = {
    "the overview": lambda: "/admin/django_tasks/overview/",
    "tasks": lambda: TASKS,
    **{f"tasks {status}": lambda status=status: f"{TASKS}?status={status}" for status in Status},
    "tasks of a queue": lambda: f"{TASKS}?queue_name=mail",
    "tasks of a kind": lambda: f"{TASKS}?task_path=shop.tasks.kind_7",
    "tasks of a week": lambda: f"{TASKS}?enqueued=7d&status=FAILED",
    "tasks with some metadata": lambda: f"{TASKS}?metadata=tenant",
    "tasks by a word": lambda: f"{TASKS}?q=kind_7",
    "tasks by an id": lambda: f"{TASKS}?q={one(Status.READY).pk}",
    **{
        f"a task that is {status}": lambda status=status: f"{TASKS}{one(status).pk}/change/"
        for status in (Status.READY, Status.RUNNING, Status.FAILED, Status.SUCCESSFUL)
    },
    "workflows": lambda: WORKFLOWS,
    **{
        f"workflows {status}": lambda status=status: f"{WORKFLOWS}?status={status}"
        for status in (Status.RUNNING, Status.FAILED, Status.SUCCESSFUL)
    },
    "workflows by a word": lambda: f"{WORKFLOWS}?q=flow",
    **{
        f"a workflow that is {status}": lambda status=status: (
            f"{WORKFLOWS}{WorkflowRecord.objects.filter(status=status).first().pk}/change/"
        )
        for status in (Status.RUNNING, Status.FAILED)
    },
    "workers": lambda: "/admin/django_tasks/workerrecord/",
    "a worker": lambda: reverse(
        "admin:django_tasks_workerrecord_change", args=[WorkerRecord.objects.first().pk]
    ),
    "the page of queues": lambda: "/admin/django_tasks/queuestate/",
    "the page of schedules": lambda: "/admin/django_tasks/schedule/",
    "a schedule": lambda: reverse(
        "admin:django_tasks_schedule_change", args=[Schedule.objects.first().pk]
    ),
}


def getting(address):
    """Return a function that asks for a page."""

    def get():
        assert client.get(url).status_code == 200

    client, url = Client(), address()
    client.force_login(User.objects.get(username="reader"))
    return get


def diagnosing(status):
    """Return a function that asks why a task is in a status."""
    record = one(status)
    return lambda: diagnosis.diagnose(record)


#: Per name, what prepares it and returns what is measured.
QUESTIONS = {
    **{name: lambda q=q: q for name, q in (KEEPERS | PROCESSES | BEATS | LOOKS | COMMANDS).items()},
    **{name: lambda address=address: getting(address) for name, address in PAGES.items()},
    **{
        f"why a task is {status}": lambda status=status: diagnosing(status)
        for status in (Status.READY, Status.SCHEDULED, Status.RUNNING, Status.FAILED)
    },
}


#: These take a thousand of what waits at a time.
OF_A_CHUNK = {"ready tasks to compare"}


@contextmanager
def limits():
    """Have counts and lists stop at MOST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capped_count, "__defaults__", (MOST,))
        for module in (queues, snapshot, queue_list):
            patch.setattr(module, "CAP", MOST)
        patch.setattr(queues, "AGED", MOST)
        patch.setattr(queue_list, "AHEAD", MOST)
        patch.setattr(mysql, "NAMES_READ", MOST)
        patch.setattr(window, "LOOKED_AT", MOST)
        patch.setattr(window, "FIRST", MOST)
        yield


def measured(prepare):
    """Return what a question reads, or the error that it ends in; it leaves nothing behind."""
    try:
        ask = prepare()
        with transaction.atomic():
            ask()  # with whatever is only asked once
            with rows_read() as read:
                ask()
            transaction.set_rollback(True)
    except Exception as error:  # noqa: BLE001 - the test of this question raises it
        return error
    return read.rows


def measured_all():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # As on a table that is larger than these: a small one is read as a whole.
            cursor.execute("SET enable_seqscan = off")
    return {name: measured(prepare) for name, prepare in QUESTIONS.items()}


@pytest.fixture(scope="module")
def reads(tables):  # noqa: F811
    """Return what each question reads, with little history, with much, and with a backlog."""
    User.objects.create_superuser("reader")
    try:
        with limits():
            history.present()
            history.past(LITTLE)
            history.analyze()
            little = measured_all()
            history.past(MUCH - LITTLE)
            history.analyze()
            much = measured_all()
            history.crowd(CROWD)
            crowded = measured_all()
    finally:
        history.forget()
        User.objects.all().delete()
    return {name: (little[name], much[name], crowded[name]) for name in QUESTIONS}


@pytest.fixture
def read(reads, name):
    """Return what one question reads; raise what it ended in."""
    for result in reads[name]:
        if isinstance(result, Exception):
            raise result
    return reads[name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_more_history_is_not_read(read):
    """The difference is far below a tenth of the rows that came to the table."""
    little, much, _crowded = read

    assert much < little + UNIT * (MUCH - LITTLE) / 20, (little, much)


@pytest.mark.parametrize("name", sorted(QUESTIONS.keys() - OF_A_CHUNK))
def test_a_backlog_is_not_read_while_the_statistics_do_not_know_it(read):
    """Nothing has analyzed the table since the backlog came."""
    _little, much, crowded = read

    assert crowded < much + UNIT * CROWD / 4, (much, crowded)
