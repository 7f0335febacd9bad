"""Whatever makes a task ready, or moves a ready one, is heard of at once, by whoever hands out."""

import inspect
import select
from uuid import uuid4

import pytest
from django.db import connection, transaction

from django_tasks.backends.database import DatabaseBackend
from django_tasks.beat.tick import tick
from django_tasks.brokers import configured
from django_tasks.brokers.database import DatabaseBroker
from django_tasks.dep14.handler import task_backends
from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from django_tasks.store import dialects
from django_tasks.store.schedules import due, edits, records
from django_tasks.store.tasks import moves, transitions
from django_tasks.store.tasks.interventions import Intervention
from django_tasks.store.values import EndingKind, Success
from tests.conformance.steps import (
    DATABASE,
    IS_POSTGRESQL,
    LONG_AGO,
    claimer,
    ending,
    ids_of,
    make,
    record,
    settle,
    store,
    with_brokers,
)
from tests.schedules.steps import overdue, saved
from tests.tasks import add
from tests.workflows import steps as workflows


def end(kind):
    """Return what ends a running task so."""

    def way():
        [task_id] = store(status=Status.RUNNING)
        return lambda: settle(ending(record(task_id), kind, outcome=None))

    return way


def intervene(act, **columns):
    """Return what somebody does to a task with these columns."""

    def way():
        made = store(**columns)
        return lambda: act(Intervention(tasks=TaskRecord.objects.filter(pk__in=made)))

    return way


def requeue():
    [task_id] = store(status=Status.FAILED)
    return lambda: task_backends["default"].requeue(str(task_id))


def run_schedule_now():
    row = saved()
    return lambda: edits.run_now(row.pk, using=DATABASE)


def run_first_step(end):
    """Return what ends the first step of a chain so, for which a second waits."""

    def way():
        handle = workflows.start(workflows.chain(2))
        row = record(workflows.task_id(handle, "step-0"))
        TaskRecord.objects.filter(pk=row.pk).update(
            status=Status.RUNNING, claims=1, worker_id=uuid4()
        )
        return lambda: end(row.pk)

    return way


def succeed(task_id):
    return transitions.succeed_steps(DATABASE, [Success(task_id, 1, "2", 0.1)])


def beat():
    overdue(queue_name="elsewhere")
    return lambda: tick(DATABASE)


def promote():
    store(status=Status.SCHEDULED, run_after=LONG_AGO)
    return lambda: transitions.promote(DATABASE)


def at_once(act):
    """Return what needs nothing that was there before."""
    return lambda: act


def enqueue_on_commit():
    with transaction.atomic():
        add.enqueue_on_commit(1, 2)


#: What makes tasks READY, or READY elsewhere: each returns, when all is prepared, what does it.
WAYS = {
    "enqueue": at_once(lambda: add.enqueue(1, 2)),
    "enqueue_many": at_once(lambda: add.enqueue_many([((1, 2), {}), ((3, 4), {})])),
    "enqueue_on_commit": at_once(enqueue_on_commit),
    "retry": end(EndingKind.RETRY),
    "snooze": end(EndingKind.SNOOZE),
    "release": end(EndingKind.RELEASE),
    "lose": end(EndingKind.LOSE),
    "a step before": run_first_step(succeed),
    "promote": promote,
    "requeue": requeue,
    "run again": intervene(Intervention.requeue, status=Status.CANCELLED),
    "copy": intervene(lambda i: i.requeue(copies=True), status=Status.SUCCESSFUL),
    "run now": intervene(Intervention.run_now, status=Status.SCHEDULED),
    "move": intervene(lambda i: i.move(queue_name="mail")),
    "reprioritise": intervene(lambda i: i.move(priority=7)),
    "run a schedule now": run_schedule_now,
    "beat": beat,
}

#: Public functions that WAYS go through, and those that make nothing ready.
COVERED = {
    transitions: {"settle", "promote", "requeue", "run_now", "copy", "succeed_steps"},
    moves: {"move"},
    edits: {"run_now"},
    due: {"write"},
    records: {"hand_out"},
    Intervention: {"requeue", "run_now", "move"},
    DatabaseBackend: {"enqueue", "enqueue_many", "enqueue_on_commit", "requeue"},
}
SILENT = {
    transitions: {
        *("save_fields", "succeed_in_transaction", "has_succeeded", "expire", "cancel"),
    },
    edits: {
        "save",
        "set_enabled",
        "pause",
        "delete",
        "next_slots",
        "check_call",
        "plan_loaded",
    },
    due: {
        *("look", "lock_due", "lock_due_one", "due_ids", "unfinished", "taken_slots"),
        *("unreadable", "disable", "count_enabled", "prune_runs", "prunable_runs"),
    },
    records: {"record_of", "send_enqueued", "tell_subscribers"},
    Intervention: {"cancel", "delete"},
    DatabaseBackend: {
        *("validate_task", "send_enqueued", "tell", "get_result", "exists", "cancel", "check"),
        *("check_wait", "explain", "prepare", "ready_queues"),
    },
}


@pytest.mark.parametrize("place", COVERED, ids=lambda place: place.__name__)
def test_every_writer_is_known(place):
    """A function that is new here needs a way above, or a reason to make nothing ready."""
    module = inspect.getmodule(place).__name__
    found = {
        name
        for name, function in inspect.getmembers(place, inspect.isfunction)
        if name in vars(place) and function.__module__ == module and not name.startswith("_")
    }

    assert found == COVERED[place] | SILENT.get(place, set())


class Recording(DatabaseBroker):
    """Writes down what it is told."""

    publishes = True

    def __init__(self):
        super().__init__("default")
        self.told = []

    def wakes(self, queue_name):
        return False

    def publish(self, ready):
        self.told += ready


@pytest.fixture
def recording(monkeypatch):
    broker = Recording()
    monkeypatch.setitem(configured._brokers, "default", broker)
    monkeypatch.setattr(configured, "publishing_aliases", lambda: ["default"])
    return broker


def ready_tasks():
    rows = TaskRecord.objects.filter(status=Status.READY)
    return set(rows.values_list("pk", "queue_name", "priority"))


@pytest.mark.parametrize("way", WAYS)
def test_what_becomes_ready_is_published(way, recording):
    """With its queue and priority as they are now."""
    act = WAYS[way]()
    before = ready_tasks()
    recording.told.clear()

    act()

    made = ready_tasks() - before
    assert made and made == set(recording.told)


@pytest.mark.parametrize("way", WAYS)
def test_rollback_publishes_nothing(way, recording):
    """What did not become ready after all is not told of."""
    act = WAYS[way]()
    before = ready_tasks()
    recording.told.clear()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        act()
        raise ZeroDivisionError

    assert (ready_tasks(), recording.told) == (before, [])


@pytest.mark.skipif(not IS_POSTGRESQL, reason="Only PostgreSQL can wake workers.")
@pytest.mark.parametrize("way", WAYS)
def test_what_becomes_ready_wakes_the_workers_of_its_queue(way):
    """By NOTIFY, when no broker hands it out."""
    broker = configured.broker_for("default")
    broker._sent.clear()  # a process under load sends only a few
    act = WAYS[way]()
    before = ready_tasks()
    listener = broker.listen(lambda: dialects.dialect_for(connection).listener(connection))

    act()

    queues = {queue_name for _, queue_name, _ in ready_tasks() - before}
    heard = set()
    while select.select([listener], [], [], 5.0 if not heard else 0.0)[0]:
        heard |= listener.read()
    listener.close()
    assert queues and queues <= heard


@with_brokers
@pytest.mark.parametrize(
    ("act", "columns", "queue_name"),
    [
        (Intervention.run_now, {"status": Status.SCHEDULED}, "default"),
        (Intervention.requeue, {"status": Status.FAILED}, "default"),
        (lambda i: i.move(queue_name="mail"), {}, "mail"),
    ],
    ids=["run now", "run again", "move"],
)
def test_worker_finds_what_somebody_made_ready(act, columns, queue_name):
    """No keeper has to find it for the broker."""
    made = make(3, **columns)

    act(Intervention(tasks=TaskRecord.objects.filter(pk__in=made)))

    assert ids_of(claimer(queue_name).claim(10)) == made


@with_brokers
def test_worker_finds_copies():
    """They are new records."""
    make(2, status=Status.SUCCESSFUL)
    report = Intervention(tasks=TaskRecord.objects.all()).requeue(copies=True)

    assert (report.copied, len(claimer().claim(10))) == (2, 2)


@with_brokers
def test_move_to_a_higher_priority_is_obeyed():
    """The broker's order follows the row's."""
    first, second = make(2)  # equals, in the order of their ages

    moves.move(DATABASE, [second], priority=9)

    assert ids_of(claimer().claim(2)) == [second, first]
