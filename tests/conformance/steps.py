"""The steps that tests of the store are made of."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.db import OperationalError, connection, connections

from django_tasks.brokers import known
from django_tasks.ids import uuid7
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.retention import RetentionRule
from django_tasks.routing import QueueSelection
from django_tasks.statuses import FINAL_STATUSES, AttemptOutcome, Status
from django_tasks.store import deletions, transitions
from django_tasks.store.claims import Claimer
from django_tasks.store.dialects import DatabaseNow
from django_tasks.store.guided import GuidedClaimer
from django_tasks.store.rows import Attempt, Ending, Success
from django_tasks.worker.reconciler import Reconciler

DATABASE = "default"
HOST = "tests.example"
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
FAR_AHEAD = datetime(2199, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
IS_POSTGRESQL = connection.vendor == "postgresql"
IS_MYSQL = connection.vendor == "mysql"
IS_SQLITE = connection.vendor == "sqlite"


def make(count=1, **columns):
    """Store `count` records, READY unless told otherwise; return their ids in order."""
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


def claimer(queues="default", worker_id=None, process=1):
    """Return a claimer as the default backend's broker wants it."""
    selection = QueueSelection.parse(queues)
    whose = (DATABASE, selection, worker_id or uuid4(), process)
    broker = known.of("default")
    if not broker.publishes:
        return Claimer(*whose)
    return ReconciledClaimer(*whose, source=broker.source(selection), outage=broker.outage)


class ReconciledClaimer(GuidedClaimer):
    """
    Sees to it that the broker has what tests put into the table by other means.

    `always`: before each claim; else after one that found nothing.
    """

    always = True
    is_hungry = False

    def finish_and_claim(self, successes, limit, **options):
        if self.always or self.is_hungry:
            reconciler = Reconciler(self.connection, self.backend, self.queues, known.of("default"))
            reconciler.run()
            reconciler.run()
        number, claims = super().finish_and_claim(successes, limit, **options)
        self.is_hungry = not claims
        return number, claims


def claim_one(queue_name="default"):
    [claim] = claimer(queue_name).claim(1)
    return claim


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


def prune(statuses, age, **rule):
    return deletions.prune(DATABASE, RetentionRule(statuses=statuses, age=age, **rule))


def settle(*endings):
    """Write the endings; return those that were refused."""
    return transitions.settle(DATABASE, endings, uuid4(), 1, HOST).refused


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
