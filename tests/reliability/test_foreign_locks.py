"""Somebody holds a row and takes his time: everything else goes on, and that row follows."""

import contextlib
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from django_tasks import default_task_backend
from django_tasks.exceptions import TaskFailed
from django_tasks.models import WorkflowJoin
from django_tasks.store.tasks import transitions
from django_tasks.workflows import chord
from tests.reliability import tasks
from tests.reliability.harness import ALIAS, wait_until
from tests.reliability.test_rescues import leave_orphans

pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite locks the whole database for a writer"
)
#: Seconds within which others must get on: far below how long a row is held here.
SOON = 10.0


@contextlib.contextmanager
def held(act):
    """Have somebody call `act` in a transaction, and leave it open meanwhile."""
    is_held, may_end = threading.Event(), threading.Event()

    def hold():
        try:
            with transaction.atomic(using=ALIAS):
                act()
                is_held.set()
                may_end.wait(120)
        finally:
            connections[ALIAS].close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(20)
        yield
    finally:
        may_end.set()
        thread.join()


def lock(rows):
    return lambda: list(rows.select_for_update().values_list("pk"))


def others_run(project, key):
    """Wait until tasks that nobody has locked have run, and their ends are written."""
    ids = project.enqueue(tasks.work, [f"{key}-{n}" for n in range(30)]).values()
    done = project.records.filter(pk__in=ids, status="SUCCESSFUL")
    wait_until(lambda: done.count() == 30, "the others run", timeout=SOON)


@pytest.fixture(params=["prefork", "threads"])
def worker(request, project):
    return project.worker("--pool", request.param, "--concurrency", 2)


@pytest.mark.parametrize(
    ("task", "status"), [(tasks.wait_for, "SUCCESSFUL"), (tasks.fail_when_there, "FAILED")]
)
def test_end_of_a_locked_task_follows(project, worker, task, status):
    """Whether it succeeds or fails: it is written when the lock is gone, once."""
    path = project.directory / "may-end"
    task_id = project.enqueue_one(task, "locked", str(path))
    wait_until(lambda: project.ledger.count("start", "locked"), "it runs")

    with held(lock(project.records.filter(pk=task_id))):
        path.touch()
        others_run(project, "first")
        others_run(project, "second")
        assert project.status(task_id) == "RUNNING"
    wait_until(lambda: project.status(task_id) == status, "its end is written", timeout=SOON)

    assert project.outcomes(task_id) == (["ERROR"] if status == "FAILED" else [])
    assert worker.stop() == 0


def test_cancel_in_an_open_transaction(project, worker):
    """A request that cancels, and goes on to do other things: the workers do not wait for it."""
    path = project.directory / "may-end"
    task_id = project.enqueue_one(tasks.wait_for, "cancelled", str(path))
    wait_until(lambda: project.ledger.count("start", "cancelled"), "it runs")

    with held(lambda: default_task_backend.get_result(str(task_id)).cancel()):
        path.touch()
        others_run(project, "others")
    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "it is written", timeout=SOON)


def test_body_that_reports_in_a_transaction_blocks_nobody(project, worker):
    """Metadata and progress are seen at once, and its own engine serves the other slots."""
    path = project.directory / "may-end"
    task_id = project.enqueue_one(tasks.save_in_transaction, "saved", str(path))
    wait_until(lambda: project.ledger.count("saved"), "it reports")

    row = project.records.filter(pk=task_id)
    wait_until(lambda: row.get().progress, "the progress is written", timeout=SOON)
    assert row.get().metadata_value == {"key": "saved"}
    with held(lock(row)):  # nor does anybody else have it
        others_run(project, "others")
    path.touch()
    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "it ends", timeout=SOON)


def test_last_words_of_a_locked_task_are_kept(project, worker):
    """What a body reports while its row is locked is written before its end."""
    path = project.directory / "may-end"
    task_id = project.enqueue_one(tasks.report_when_there, "words", str(path))
    wait_until(lambda: project.ledger.count("start", "words"), "it runs")

    with held(lock(project.records.filter(pk=task_id))):
        path.touch()
        wait_until(lambda: project.ledger.count("end", "words"), "its body ends")
        others_run(project, "others")
    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "it is written", timeout=SOON)

    assert project.records.get(pk=task_id).progress_value.message == "last"


def test_locked_orphan_stops_no_rescue(project):
    """Others are rescued meanwhile, and the keeper does all the rest."""
    worker = project.worker("--concurrency", 1, "--queues", "default")
    path = project.directory / "may-end"
    first = project.enqueue_one(tasks.wait_for, "first", str(path))
    wait_until(lambda: project.ledger.count("start", "first"), "it runs")
    with held(lock(project.records.filter(pk=first))):
        worker.destroy()
        heir = project.worker("--concurrency", 1, "--queues", "default")
        orphans = leave_orphans(5)
        left = project.records.filter(pk__in=orphans, status="RUNNING")
        wait_until(lambda: not left.exists(), "the others are rescued", timeout=SOON)
        others_run(project, "others")
    path.touch()
    wait_until(lambda: project.status(first) == "SUCCESSFUL", "it follows", timeout=SOON)
    assert project.outcomes(first) == ["LOST"]
    assert "taken for dead" not in heir.log


@pytest.mark.skipif(connection.vendor != "postgresql", reason="locks a table as PostgreSQL does")
def test_lock_on_the_whole_table_costs_nothing(project, worker):
    """A migration, say: what ended meanwhile is written after it, as what it was."""
    path = project.directory / "may-end"
    ids = project.enqueue(tasks.wait_for, range(2), str(path))
    wait_until(lambda: project.ledger.count("start") == 2, "they run")

    def lock_table():
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("LOCK TABLE django_tasks_taskrecord IN ACCESS EXCLUSIVE MODE")

    with held(lock_table):
        path.touch()
        wait_until(lambda: project.ledger.count("end") == 2, "they end")
        wait_until(lambda: "lock timeout" in worker.log, "a worker's statement gives up")
    project.drain()

    assert {project.status(task_id) for task_id in ids.values()} == {"SUCCESSFUL"}
    assert not project.attempts.exists()
    assert worker.stop() == 0


def test_locked_join_holds_nobody_up_but_its_own_workflow(project, worker):
    """Members that end meanwhile are written when it is free; other workflows go on."""
    later = {"run_after": timedelta(hours=1)}
    members = [tasks.work.using(**later).si(f"locked-{n}") for n in range(3)]
    locked = chord(members, tasks.gather.s("a")).enqueue()
    failing = chord([tasks.always_fail.using(**later).si("failing")], tasks.gather.s("b")).enqueue()
    joins = WorkflowJoin.objects.using(ALIAS).filter(workflow__in=[locked.id, failing.id])
    scheduled = project.records.filter(status="SCHEDULED").values_list("pk", flat=True)
    with held(lock(joins)):
        assert transitions.run_now(ALIAS, list(scheduled)) == 4
        wait_until(lambda: project.ledger.count("end", "locked-2"), "the members run")
        free = chord([tasks.work.si("free")], tasks.gather.s("c")).enqueue()
        assert free.wait(SOON) == ["free"]
        others_run(project, "beside")
        assert not project.ledger.count("start", "a")
    assert locked.wait(60) == [f"locked-{n}" for n in range(3)]
    with pytest.raises(TaskFailed, match="failed"):
        failing.wait(60)
    assert project.ledger.count("start", "locked-0") == 1
