"""
The steps that tests of the store are made of.

`make` hands tasks out as an enqueue does, and claims are what a worker's process would make: what
the store makes ready has to reach the broker of the test by itself. `reconcile` is the keeper's
part; a test calls it where a claim may lose what the broker pointed to, as by a locked row.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, connections

from django_tasks.brokers import configured
from django_tasks.brokers.base import Ready
from django_tasks.ids import uuid7
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.routing import QueueSelection
from django_tasks.statuses import FINAL_STATUSES, AttemptOutcome, Status
from django_tasks.store.dialects import DatabaseNow
from django_tasks.store.tasks import pruning, publishing, transitions
from django_tasks.store.values import Attempt, Ending, Success
from django_tasks.worker.board import Board
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.engine.claimers import make_claimer
from tests.brokers import steps as brokers

DATABASE = "default"
HOST = "tests.example"
#: The worker that writes endings.
WRITER = uuid4()
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
FAR_AHEAD = datetime(2199, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
IS_POSTGRESQL = connection.vendor == "postgresql"
IS_MYSQL = connection.vendor == "mysql"
IS_SQLITE = connection.vendor == "sqlite"

#: A test that runs once with each broker; one of a module of such that needs no broker but the
#: table. See the fixture `broker`.
with_brokers = pytest.mark.usefixtures("broker")
from_the_table = pytest.mark.parametrize("broker", ["database"], indirect=True)

#: A process has one keeper, in one thread.
keeping = threading.Lock()
#: What the running test claims with; its fixture closes them.
claimers = []


def make(count=1, **columns):
    """Store `count` tasks, READY unless told otherwise, and hand them out; return their ids."""
    made = store(count, **columns)
    hand_out(made)
    return made


def store(count=1, **columns):
    """Store `count` rows that no broker is told of; return their ids in order."""
    columns = {
        "task_path": "tests.tasks.add",
        "queue_name": "default",
        "status": Status.READY,
        "backend": "default",
        "args": "[1,2]",
        "kwargs": "{}",
        "enqueued_at": LONG_AGO,
        **columns,
    }
    if columns["status"] in FINAL_STATUSES:
        columns.setdefault("finished_at", LONG_AGO)
    if columns["status"] == Status.RUNNING:
        columns = {"worker_id": uuid4(), "process": 1, "claims": 1, "attempts": 1, **columns}
    if columns["status"] == Status.SCHEDULED:
        columns.setdefault("run_after", FAR_AHEAD)
    records = [TaskRecord(id=uuid7(), **columns) for _ in range(count)]
    TaskRecord.objects.bulk_create(records)
    return [record.id for record in records]


def record(task_id):
    return TaskRecord.objects.get(pk=task_id)


def statuses(task_ids):
    found = dict(TaskRecord.objects.filter(pk__in=task_ids).values_list("pk", "status"))
    return [found.get(task_id) for task_id in task_ids]


def outcomes(task_id):
    return list(TaskAttempt.objects.filter(task_id=task_id).values_list("outcome", flat=True))


def hand_out(task_ids):
    """Tell the broker of those that are READY, as what made them so would."""
    publishing.publish_again(DATABASE, task_ids)


def point_to(task_ids, queue_name="default"):
    """Let the broker point to tasks, whatever their status is."""
    configured.broker_for("default").publish(
        [Ready(task_id, queue_name, 0) for task_id in task_ids]
    )


def reconcile(queues="*"):
    """Do what a keeper does within its poll interval: a second look confirms what was missing."""
    if configured.broker_for("default").publishes:
        with keeping:
            brokers.reconcile(queues)


def claimer(queues="default", worker_id=None, process=1):
    """Return what a worker's process would claim with."""
    config = WorkerConfig(
        backend="default",
        database=DATABASE,
        queues=QueueSelection.parse(queues),
        pool="prefork",
        processes=1,
        slots=1,
        grace=1.0,
        worker_id=worker_id or uuid4(),
    )
    claimers.append(make_claimer(config, process, Board(1, 1)))
    return claimers[-1]


def claim_one(queue_name="default"):
    [claim] = claimer(queue_name).claim(1)
    return claim


def ids_of(claims):
    return [claim.id for claim in claims]


def success(claim, value="3", run_time=0.25):
    return Success(claim.id, claim.claims, value, run_time)


def ending(claim, kind, *, outcome=AttemptOutcome.ERROR, delay=0.0, fields=None, **attempt):
    """Return the ending of `claim`; outcome=None writes no attempt."""
    told = None if outcome is None else Attempt(outcome=outcome, **attempt)
    return Ending(
        id=claim.id,
        claims=claim.claims,
        number=claim.attempts,
        kind=kind,
        delay=delay,
        attempt=told,
        fields=fields or {},
    )


def prune(statuses, age):
    return pruning.prune_older(DATABASE, statuses, age)


def settle(*endings, writer=WRITER):
    """Write the endings; return those that were refused."""
    return transitions.settle(DATABASE, endings, writer, 1, HOST).refused


def settle_at_last(endings, writer):
    """Write the endings as a process does, however often rows are locked; return the refused."""
    refused = []
    while endings:
        settled = persistently(transitions.settle, DATABASE, endings, writer, 1, HOST)
        refused += settled.refused
        endings = settled.locked
    return refused


def shift(task_ids, column, **delta):
    """Move a time column by a timedelta from the database's present."""
    seconds = timedelta(**delta).total_seconds()
    TaskRecord.objects.filter(pk__in=task_ids).update(**{column: DatabaseNow(seconds)})


def at_once(*functions):
    """
    Run the functions in threads that start together, each with its own connection.

    Return their results in order; raise what any of them raised.
    """
    barrier = threading.Barrier(len(functions))

    def run(function):
        try:
            connection.ensure_connection()
            barrier.wait(timeout=20)
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as executor:
        futures = [executor.submit(run, function) for function in functions]
        return [future.result(timeout=60) for future in futures]


def persistently(function, *arguments):
    """Call until no deadlock or lock timeout ends the call, as every caller of the store must."""
    while True:
        try:
            return function(*arguments)
        except OperationalError:
            time.sleep(random.uniform(0, 0.005))
