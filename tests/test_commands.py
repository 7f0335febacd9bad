"""The tasks_* commands: what they print and change, and how they fail."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasks import task
from django_tasks.models import (
    Rollup,
    RollupMark,
    Schedule,
    ScheduleRun,
    TaskAttempt,
    TaskRecord,
    WorkerRecord,
)
from django_tasks.models.rollups import Span
from django_tasks.monitoring import queues, reading, snapshot
from django_tasks.statuses import Status
from django_tasks.store.workers import leases

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
CANARY = "canary-4410"
COMMANDS = (
    "tasks_inspect", "tasks_cancel", "tasks_requeue", "tasks_prune", "tasks_purge", "tasks_control",
)  # fmt: skip
ALL_COMMANDS = (*COMMANDS, "tasks_schedules", "tasks_workflow", "import_celery_beat")


@task(queue_name="known-queue")
def nothing():
    """Do nothing."""


def make(status=Status.READY, **fields):
    """Store a task record in this status."""
    values = {
        "task_path": nothing.module_path,
        "queue_name": "default",
        "backend": "default",
        "args": json.dumps([CANARY]),
        "kwargs": json.dumps({"x": CANARY}),
        "enqueued_at": NOW,
    }
    if status in (Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED):
        values |= {"finished_at": NOW, "attempts": 1, "claims": 1}
    if status == Status.RUNNING:
        values |= {"worker_id": uuid4(), "process": 1, "last_attempted_at": NOW, "claims": 1}
    if status == Status.SCHEDULED:
        values["run_after"] = NOW + timedelta(days=1)
    return TaskRecord.objects.create(status=status, **values | fields)


def make_worker(**fields):
    """Store a worker whose lease is good for a minute."""
    values = {
        "id": uuid4(),
        "host": "host1",
        "pid": 4711,
        "backend": "default",
        "queues": "*",
        "pool": "prefork",
        "concurrency": 4,
        "lease": 60.0,
    }
    info = leases.WorkerInfo(**values | fields)
    leases.register("default", info)
    return info


def run(name, *args):
    """Run a command and return what it printed."""
    out = io.StringIO()
    call_command(name, *map(str, args), stdout=out, no_color=True)
    return out.getvalue()


def statuses(*records):
    found = dict(TaskRecord.objects.values_list("pk", "status"))
    return [found.get(record.pk) for record in records]


def days_ago(count):
    return NOW - timedelta(days=count)


def seconds_since(moment):
    """How long ago it was: NOW is when the tests were collected, which may be minutes."""
    return (datetime.now(UTC) - moment).total_seconds()


class Terminal(io.StringIO):
    """A standard input at which a person answers."""

    def isatty(self):
        return True


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_help_has_examples_on_lines_of_their_own(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        call_command(name, "--help")

    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  manage.py {name}" in text
    assert "--backend ALIAS" in text


ARGUMENTS = {
    "tasks_inspect": [],
    "tasks_cancel": [uuid4()],
    "tasks_requeue": [uuid4()],
    "tasks_prune": [],
    "tasks_purge": ["default"],
    "tasks_control": ["pause", "default"],
    "tasks_schedules": ["list"],
    "tasks_workflow": ["list"],
    "import_celery_beat": [],
}


@pytest.mark.django_db(transaction=True)
def test_missing_tables_are_told_with_the_fix():
    """One line that names the command to run, not a traceback of the database."""
    table = TaskRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO hidden_away")
    try:
        for name in COMMANDS:
            with pytest.raises(CommandError) as error:
                run(name, *ARGUMENTS[name])
            assert str(error.value) == (
                "The tables of django_tasks are not in database 'default'. Run: manage.py migrate"
            )
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE hidden_away RENAME TO {table}")


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_other_faults_of_the_database_are_told_in_its_words(name, monkeypatch):
    from django.db import OperationalError

    def refuse(self, sql, params=None):
        raise OperationalError("the disk is full")

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", refuse)

    with pytest.raises(CommandError, match="Database 'default': the disk is full"):
        run(name, *ARGUMENTS[name])


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_backends_that_store_nothing_are_refused(name):
    tasks = {
        "default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"},
        "now": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"},
    }
    with override_settings(TASKS=tasks):
        with pytest.raises(CommandError, match="'now' does not store its tasks in the database"):
            run(name, "--backend", "now", *ARGUMENTS[name])
        with pytest.raises(CommandError, match="'defualt' is not in TASKS, did you mean 'default'"):
            run(name, "--backend", "defualt", *ARGUMENTS[name])
    with (
        override_settings(TASKS={"default": tasks["now"]}),
        pytest.raises(CommandError, match="there are no stored tasks"),
    ):
        run(name, *ARGUMENTS[name])


def test_the_only_backend_that_stores_tasks_is_taken():
    record = make()
    tasks = {
        "default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"},
        "stored": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"},
    }
    with override_settings(TASKS=tasks):
        run("tasks_cancel", record.pk)

    assert statuses(record) == [Status.CANCELLED]


# --- tasks_inspect -------------------------------------------------------------------------------


def fail(queue_name, hours):
    """Store the rollup of a minute in which a task failed."""
    starts_at = (NOW - timedelta(hours=hours)).replace(second=0, microsecond=0)
    for span, begin in ((Span.MINUTE, starts_at), (Span.HOUR, starts_at.replace(minute=0))):
        values = {"span": span, "starts_at": begin, "failed": 1}
        Rollup.objects.create(backend="default", queue_name=queue_name, **values)


def inspected():
    """Return the document, and its queues by name."""
    document = json.loads(run("tasks_inspect", "--json"))
    return document, {queue["name"]: queue for queue in document["queues"]}


def fill():
    """Store a bit of everything; return the running task."""
    worker = make_worker()
    make_worker(host="host2", lease=-5.0)
    make(enqueued_at=NOW - timedelta(seconds=90))
    make(enqueued_at=NOW - timedelta(seconds=30))
    make(queue_name="mail")
    make(Status.SCHEDULED)
    fail("default", hours=2)
    fail("default", hours=48)
    return make(
        Status.RUNNING,
        worker_id=worker.id,
        last_attempted_at=NOW - timedelta(seconds=75),
        progress=json.dumps([1, 4, CANARY]),
        attempts=2,
        return_value=json.dumps(CANARY),
    )


def test_inspect_as_json_has_queues_workers_and_running_tasks():
    running = fill()

    document, found = inspected()

    assert (document["backend"], document["database"]) == ("default", "default")
    assert document["capped"] == []
    oldest = found["default"].pop("oldest")
    assert 90 <= oldest <= seconds_since(NOW) + 91
    assert found["default"] == {
        "name": "default",
        "ready": 2,
        "running": 1,
        "scheduled": 1,
        "failed": 1,
        "paused": [],
        "capped": [],
    }
    assert found["mail"]["ready"] == 1
    assert found["known-queue"]["oldest"] is None
    assert {w["versions"] for w in document["workers"]} == {leases.VERSIONS}
    assert {w["host"]: (w["state"], w["running"]) for w in document["workers"]} == {
        "host1": ("alive", 1),
        "host2": ("late", 0),
    }
    [task_] = document["running"]
    assert (task_["id"], task_["worker"], task_["attempt"]) == (str(running.pk), "host1:4711", 2)
    assert 75 <= task_["seconds"] <= seconds_since(NOW) + 76
    assert task_["progress"] == {"done": 1, "total": 4, "percent": 25.0}


def test_inspect_as_text_has_the_same():
    running = fill()

    text = run("tasks_inspect")

    rows = [line.split() for line in text.splitlines()]
    assert ["mail", "1"] in [row[:2] for row in rows]
    assert ["host1:4711", "alive"] in [row[:2] for row in rows]
    [row] = [row for row in rows if str(running.pk) in row]
    assert row[0] == nothing.module_path and row[-2:] == ["25", "%"]
    assert text.count(leases.VERSIONS) == 2
    assert "No worker is alive" not in text


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_inspect_prints_no_payload(form):
    """Terminals are logged and shared: arguments, results and messages stay out."""
    fill()
    assert CANARY not in run("tasks_inspect", *form)


def test_inspect_says_when_no_worker_is_alive():
    make_worker(lease=-5.0)
    assert "No worker is alive. Start one: manage.py runworker" in run("tasks_inspect")


def test_inspect_caps_its_counts(monkeypatch):
    """What there is more of is named, and a queue with none of the first may have others."""
    monkeypatch.setattr(queues, "CAP", 3)
    monkeypatch.setattr(reading.capped_count, "__defaults__", (3,))
    for _ in range(5):
        make()
        make(Status.SCHEDULED)

    document, found = inspected()

    assert (found["default"]["ready"], found["default"]["scheduled"]) == (3, 3)
    assert found["default"]["capped"] == ["ready", "scheduled"]
    assert (found["known-queue"]["scheduled"], found["known-queue"]["capped"]) == (0, ["scheduled"])
    assert document["capped"] == []
    assert "3+" in run("tasks_inspect")


def test_inspect_says_which_lists_are_cut(monkeypatch):
    monkeypatch.setattr(snapshot, "RUNNING_LISTED", 2)
    monkeypatch.setattr(reading.capped_count, "__defaults__", (1,))
    for name in ("a", "b"):
        make(Status.RUNNING)
        Schedule.objects.create(
            name=name, task_path=nothing.module_path, kind="INTERVAL", every=60, next_run_at=NOW
        )
    assert inspected()[0]["capped"] == ["schedules"]
    assert "have run longest" not in run("tasks_inspect")

    make(Status.RUNNING)

    document, _queues = inspected()
    assert (document["schedules"], len(document["running"])) == (1, 2)
    assert document["capped"] == ["schedules", "running"]
    assert "(the 2 that have run longest)" in run("tasks_inspect")


def test_inspect_counts_every_queue(monkeypatch):
    """A monitor looks at one of them, wherever it comes: so many are asked for at a time."""
    monkeypatch.setattr(queues, "MOST_COUNTED", 2)
    names = [f"queue-{number}" for number in range(5)]
    for name in names:
        make(queue_name=name, enqueued_at=NOW - timedelta(seconds=60))
        make(queue_name=name)

    _document, found = inspected()

    assert [(found[name]["ready"], found[name]["capped"]) for name in names] == [(2, [])] * 5
    assert all(60 <= found[name]["oldest"] <= seconds_since(NOW) + 61 for name in names)


def test_inspect_knows_failures_that_nobody_has_counted_yet(monkeypatch):
    """Keepers count a minute when it is over; what they have counted is not counted again."""
    counted_until = NOW - timedelta(hours=1)
    fail("mail", hours=2)
    for hours, queue_name in ((2, "mail"), (1, "mail"), (0, "mail"), (0, "new")):
        finished_at = NOW - timedelta(hours=hours)
        make(Status.FAILED, queue_name=queue_name, finished_at=finished_at)
    make(Status.SUCCESSFUL, queue_name="mail", finished_at=NOW)
    make(Status.FAILED, queue_name="mail", finished_at=NOW - timedelta(hours=25))

    _document, found = inspected()
    assert (found["mail"]["failed"], found["new"]["failed"]) == (4, 1)  # no keeper has begun

    RollupMark.objects.create(pk=1, counted_until=counted_until)
    _document, found = inspected()
    assert (found["mail"]["failed"], found["new"]["failed"]) == (3, 1)

    monkeypatch.setattr(snapshot, "CAP", 1)
    _document, found = inspected()
    assert (found["mail"]["failed"], found["mail"]["capped"]) == (2, ["failed"])


def test_inspect_sums_up_queues_of_one_name(monkeypatch):
    """Several backends may have one each; capped is the sum of which a part is."""
    monkeypatch.setattr(queues, "CAP", 3)
    for _ in range(5):
        make(queue_name="mail")
    make(queue_name="mail", backend="second", enqueued_at=NOW - timedelta(seconds=60))
    make(Status.RUNNING, queue_name="mail", backend="second")
    fail("mail", hours=2)
    own = settings.TASKS["default"]
    with override_settings(TASKS={"default": own, "second": own}):
        _document, found = inspected()

    mail = found["mail"]
    assert (mail["ready"], mail["running"], mail["failed"]) == (4, 1, 1)
    assert mail["capped"] == ["ready"]
    assert mail["oldest"] >= 60


def test_queries_of_inspect_do_not_grow_with_the_tasks():
    fill()
    with CaptureQueriesContext(connection) as few:
        run("tasks_inspect")
    for _ in range(20):
        make()
        make(Status.RUNNING)

    with CaptureQueriesContext(connection) as many:
        run("tasks_inspect")

    assert len(many) == len(few)


def test_database_now_is_aware_and_now():
    assert abs(reading.database_now("default") - datetime.now(UTC)) < timedelta(minutes=1)


# --- tasks_cancel --------------------------------------------------------------------------------


def test_cancel_tells_what_became_of_each():
    ready, running = make(), make(Status.RUNNING)

    text = run("tasks_cancel", ready.pk, running.pk)

    assert text == "Cancelled 1 task.\nTold 1 running task to stop.\n"
    running.refresh_from_db()
    assert statuses(ready) == [Status.CANCELLED] and running.cancel_requested


def test_cancel_fails_for_finished_and_unknown_tasks_but_does_the_rest():
    ready, done, unknown = make(), make(Status.SUCCESSFUL), uuid4()

    with pytest.raises(CommandError) as error:
        run("tasks_cancel", ready.pk, done.pk, unknown)

    assert str(error.value) == (f"1 task was skipped: 1 successful. No task has the id {unknown}.")
    assert error.value.returncode == 1
    assert statuses(ready, done) == [Status.CANCELLED, Status.SUCCESSFUL]


@pytest.mark.parametrize("name", ["tasks_cancel", "tasks_requeue"])
def test_ids_that_are_none_are_wrong_usage(name):
    with pytest.raises(CommandError, match="'12' is no task id"):
        run(name, "12")


# --- tasks_requeue -------------------------------------------------------------------------------


def test_requeue_by_id_runs_again():
    failed, cancelled = make(Status.FAILED), make(Status.CANCELLED)

    assert run("tasks_requeue", failed.pk, cancelled.pk) == "Requeued 2 tasks.\n"
    assert statuses(failed, cancelled) == [Status.READY, Status.READY]

    with pytest.raises(CommandError, match="1 task was skipped: 1 ready"):
        run("tasks_requeue", failed.pk)


def test_requeue_of_what_failed_can_be_narrowed():
    mail = make(Status.FAILED, queue_name="mail")
    other = make(Status.FAILED, queue_name="mail", task_path="a.b")
    default, cancelled = make(Status.FAILED), make(Status.CANCELLED, queue_name="mail")

    text = run(
        "tasks_requeue", "--failed", "--queue", "mail", "--task", nothing.module_path, "--yes"
    )

    assert text == "Requeued 1 task.\n"
    assert statuses(mail, other, default, cancelled) == [
        Status.READY,
        Status.FAILED,
        Status.FAILED,
        Status.CANCELLED,
    ]


def test_requeue_of_nothing_is_no_failure():
    assert run("tasks_requeue", "--failed", "--queue", "mail") == "No failed task matches.\n"


@pytest.mark.parametrize("arguments", [[], ["--queue", "mail"], ["--failed", str(uuid4())]])
def test_requeue_needs_ids_or_failed(arguments):
    with pytest.raises(CommandError) as error:
        run("tasks_requeue", *arguments)
    assert error.value.returncode == 2


@pytest.mark.parametrize(
    ("name", "arguments"), [("tasks_requeue", ["--failed"]), ("tasks_purge", ["default"])]
)
def test_what_touches_many_tasks_asks_first(name, arguments, monkeypatch):
    records = [make(Status.FAILED), make()]
    before = statuses(*records)

    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="add --yes"):
        run(name, *arguments)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with pytest.raises(CommandError, match=r"Nothing was changed\."):
        run(name, *arguments)
    assert statuses(*records) == before

    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    run(name, *arguments)
    assert statuses(*records) != before


@pytest.mark.parametrize("option", ["--yes", "--no-input", "--noinput"])
def test_the_question_can_be_answered_beforehand(option):
    record = make()
    run("tasks_purge", "default", option)
    assert statuses(record) == [None]


# --- tasks_prune ---------------------------------------------------------------------------------


def test_prune_takes_what_its_row_says():
    tomorrow = NOW + timedelta(days=1)
    kept = make(Status.SUCCESSFUL, prune_after=tomorrow), make(Status.RUNNING)
    old = make(Status.SUCCESSFUL, prune_after=days_ago(1))
    failed = make(Status.FAILED, finished_at=days_ago(29))
    TaskAttempt.objects.create(task=old, number=1, claim=1, outcome="ERROR", finished_at=NOW)

    text = run("tasks_prune")

    lines = text.splitlines()
    assert [*lines[:3], lines[-1]] == [
        "SUCCESSFUL: 1 task past its time deleted.",
        "FAILED: 0 tasks past their time deleted.",
        "CANCELLED: 0 tasks past their time deleted.",
        "Runs of schedules: 0 runs older than 14 d deleted.",
    ]
    assert statuses(old) == [None] and None not in statuses(*kept, failed)
    assert not TaskAttempt.objects.exists()


def test_prune_goes_by_the_settings_of_now():
    """A task with a result_ttl of its own does not ask them."""
    old = make(Status.SUCCESSFUL, finished_at=days_ago(15))
    own = make(
        Status.SUCCESSFUL,
        finished_at=days_ago(15),
        result_ttl=86400.0 * 365,
        prune_after=NOW + timedelta(days=350),
    )
    failed = make(Status.FAILED, finished_at=days_ago(15))

    with override_settings(DJANGO_TASKS={"RETENTION_SUCCESSFUL": timedelta(days=20)}):
        assert "SUCCESSFUL: 0 tasks past their time" in run("tasks_prune")
    dry = run("tasks_prune", "--dry-run")
    assert dry.startswith("SUCCESSFUL: 1 task past its time would be deleted.")
    assert None not in statuses(old, own, failed)
    run("tasks_prune", "--status", "SUCCESSFUL")
    assert statuses(old, own, failed) == [None, Status.SUCCESSFUL, Status.FAILED]
    with override_settings(DJANGO_TASKS={"RETENTION_FAILED": timedelta(days=1)}):
        run("tasks_prune")
    assert statuses(own, failed) == [Status.SUCCESSFUL, None]


@override_settings(DJANGO_TASKS={"RETENTION_FAILED": None})
def test_prune_leaves_what_is_kept_for_ever():
    record = make(Status.FAILED, finished_at=days_ago(4000))

    assert "FAILED: kept for ever; give --older-than to delete some." in run("tasks_prune")
    assert statuses(record) == [Status.FAILED]
    run("tasks_prune", "--older-than", "1w")
    assert statuses(record) == [None]


def test_prune_obeys_age_status_and_dry_run():
    records = [
        make(status, finished_at=days_ago(1)) for status in (Status.FAILED, Status.SUCCESSFUL)
    ]

    text = run("tasks_prune", "--older-than", "12h", "--dry-run")
    assert "FAILED: 1 task older than 12 h would be deleted." in text
    assert None not in statuses(*records)

    run("tasks_prune", "--older-than", "12h", "--status", "failed,cancelled")
    assert statuses(*records) == [None, Status.SUCCESSFUL]


def make_runs(*ages):
    """Store a run of one schedule per age in days."""
    schedule = Schedule.objects.create(
        name="hourly", task_path=nothing.module_path, kind="INTERVAL", every=3600, anchor_at=NOW
    )
    for age in ages:
        at = days_ago(age)
        ScheduleRun.objects.create(schedule=schedule, slot_at=at, outcome="ENQUEUED", created_at=at)


def ages_of_runs():
    """Return the ages of all runs, in whole days."""
    moments = ScheduleRun.objects.order_by("-created_at").values_list("created_at", flat=True)
    return [(datetime.now(UTC) - moment).days for moment in moments]


def test_prune_deletes_runs_of_schedules_like_successful_tasks():
    make_runs(1, 13, 15, 40)

    text = run("tasks_prune", "--dry-run")
    assert "Runs of schedules: 2 runs older than 14 d would be deleted." in text
    assert ages_of_runs() == [1, 13, 15, 40]

    assert "Runs of schedules: 2 runs older than 14 d deleted." in run("tasks_prune")
    assert ages_of_runs() == [1, 13]

    run("tasks_prune", "--older-than", "12d")
    assert ages_of_runs() == [1]


def test_prune_leaves_runs_when_successful_tasks_stay():
    make_runs(40)

    text = run("tasks_prune", "--older-than", "1d", "--status", "FAILED,CANCELLED")
    with override_settings(DJANGO_TASKS={"RETENTION_SUCCESSFUL": None}):
        text += run("tasks_prune")

    assert "Runs of schedules" not in text
    assert ages_of_runs() == [40]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--older-than", "7"],
        ["--status", "RUNNING"],
    ],
)
def test_prune_refuses_wrong_arguments(arguments):
    record = make(Status.RUNNING)
    with pytest.raises(CommandError, match=r"is no age|choose from"):
        run("tasks_prune", *arguments)
    assert statuses(record) == [Status.RUNNING]


# --- tasks_purge ---------------------------------------------------------------------------------


def test_purge_deletes_what_has_not_started_in_one_queue():
    gone = [make(), make(Status.SCHEDULED)]
    stays = [make(Status.RUNNING), make(Status.FAILED), make(queue_name="mail")]

    assert run("tasks_purge", "default", "--yes") == "Deleted 2 tasks of queue 'default'.\n"

    assert statuses(*gone) == [None, None]
    assert None not in statuses(*stays)


def test_purge_of_an_unknown_queue_names_the_known_ones():
    assert "(known queues: " in run("tasks_purge", "defualt", "--yes")
    with pytest.raises(CommandError, match="name exactly one"):
        run("tasks_purge", "*", "--yes")


def test_workers_are_untouched_by_all_of_it():
    make_worker()
    for name in ("tasks_prune", "tasks_inspect"):
        run(name)
    assert WorkerRecord.objects.count() == 1
