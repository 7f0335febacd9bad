"""Rows that no enqueue would write: each hurts nobody but itself, and none of them names code."""

import json
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from django_tasks.ids import uuid7
from django_tasks.models import TaskAttempt, TaskRecord
from tests.reliability import audit, tasks
from tests.reliability.harness import ALIAS, wait_until

PATH = tasks.work.module_path
EVIL = "tests.reliability.evil"


def insert(path=PATH, args='["odd"]', kwargs="{}", **columns):
    """Write a row as somebody does who edits the table by hand."""
    row = TaskRecord(
        id=uuid7(), task_path=path, args=args, kwargs=kwargs, queue_name="default",
        enqueued_at=timezone.now(), **{"backend": "default", "status": "READY"} | columns,
    )  # fmt: skip
    row.save(using=ALIAS, force_insert=True)
    return row.pk


BAD_ARGUMENTS = {
    "broken json": {"args": "[1, 2"},
    "no json": {"args": "b'pickle'"},
    "empty": {"args": ""},
    "not a list": {"args": '{"key": 1}'},
    "a string": {"args": '"odd"'},
    "null": {"args": "null"},
    "too few": {"args": "[]"},
    "too many": {"args": "[1, 2, 3, 4]"},
    "kwargs are a list": {"kwargs": "[1]"},
    "kwargs are broken": {"kwargs": "{"},
    "unknown keyword": {"kwargs": '{"nonsense": 1}'},
    "deep": {"args": "[" * 100_000 + "]" * 100_000},
    "huge number": {"args": "[" + "9" * 10_000 + "]"},
}


def test_bad_arguments_fail_their_own_task(project):
    """Each such row is FAILED with an error that can be read; the tasks around it run."""
    ids = {}
    acknowledged = {}
    for number, (name, columns) in enumerate(BAD_ARGUMENTS.items()):
        ids[name] = insert(**columns)
        acknowledged |= project.enqueue(tasks.work, [f"good-{number}"])

    worker = project.worker("--concurrency", 1)
    project.drain()

    assert {name for name in ids if project.status(ids[name]) != "FAILED"} == set()
    assert {name for name in ids if project.outcomes(ids[name]) != ["ERROR"]} == set()
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert len(worker.task_pids) == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"attempts": 2**31 - 1},
        {"lost": 2**31 - 1},
        {"attempts": -5, "max_attempts": -5},
        {"metadata": "{broken"},
        {"progress": "{broken", "meta": "{broken", "return_value": "{broken"},
        {"priority": 32767},
        {"backend": "no-such-backend"},
    ],
    ids=lambda columns: " ".join(columns),
)
def test_odd_columns_stop_nobody_else(project, columns):
    """Counters at their end, broken JSON, unknown backends: the tasks behind run."""
    insert(**columns)
    acknowledged = project.enqueue(tasks.work, range(20))

    project.worker("--concurrency", 1)
    wait_until(
        lambda: project.records.filter(
            pk__in=acknowledged.values(), status="SUCCESSFUL"
        ).count() == 20,
        "the others run", timeout=8,
    )  # fmt: skip


#: Integer columns of a task, and the bits of their numbers beside the sign.
INTEGERS = {
    "priority": 15, "max_attempts": 31, "attempts": 31, "claims": 63, "lost": 31, "process": 31,
}  # fmt: skip


@pytest.mark.parametrize("status", ["READY", "RUNNING"])
def test_numbers_at_both_ends_of_their_columns(project, status):
    """Whether claimed, rescued or finished, each such row comes to an end like any other."""
    owner = {"worker_id": uuid4(), "process": 1} if status == "RUNNING" else {}
    ids = {
        (column, value): insert(status=status, **owner | {column: value})
        for column, bits in INTEGERS.items()
        for value in (-(2**bits), 2**bits - 1)
    }

    worker = project.worker("--concurrency", 1)
    acknowledged = project.enqueue(tasks.work, range(20))
    project.drain()

    # One that was lost so often is poison: it is not run again.
    poison = [("lost", 2**31 - 1)] if status == "RUNNING" else []
    failed = [end for end, task_id in ids.items() if project.status(task_id) != "SUCCESSFUL"]
    assert failed == poison
    assert {project.status(task_id) for task_id in acknowledged.values()} == {"SUCCESSFUL"}
    assert "Traceback" not in worker.log
    assert worker.stop() == 0


@pytest.mark.parametrize("column", ["attempts", "claims", "lost"])
def test_failures_with_numbers_at_their_ends(project, column):
    """Such a row fails, or is tried again, without an error of the worker."""
    bits = INTEGERS[column]
    ids = [insert(tasks.fail_twice.module_path, f'["{n}"]', **{column: value})
           for n, value in enumerate((-(2**bits), 2**bits - 1))]  # fmt: skip

    worker = project.worker("--concurrency", 1)
    wait_until(
        lambda: project.attempts.filter(task_id__in=ids, outcome="ERROR").values("task_id")
        .distinct().count() == 2, "they fail",
    )  # fmt: skip

    assert worker.stop() == 0
    assert "cannot be written" not in worker.log
    assert "was refused" not in worker.log


def test_lost_counter_at_its_end_stops_no_rescue(project):
    """A row whose `lost` cannot grow does not keep the sweep from the others."""
    worker = project.worker("--concurrency", 2)
    odd = insert(tasks.die.module_path, '["odd", "kill"]', lost=2**31 - 1)
    other = project.enqueue_one(tasks.die_once, "other")

    wait_until(lambda: project.status(other) == "SUCCESSFUL", "it is rescued", timeout=15)
    assert project.outcomes(other) == ["LOST"]
    assert project.records.filter(pk=odd).exists()
    assert worker.is_alive


def test_nothing_is_imported_because_a_row_names_it(project):
    """Unknown paths are put back, not imported, not called; the tasks around them run."""
    paths = [f"{EVIL}.drop", EVIL, "os.system", "antigravity.fly", "", ".", "ä.ö", "x" * 255]
    unknown = [insert(path, '["touch evil"]') for path in paths]
    acknowledged = project.enqueue(tasks.work, range(20))

    worker = project.worker("--concurrency", 1)
    wait_until(lambda: project.ledger.count("end") == 20, "the others run")
    wait_until(
        lambda: project.records.filter(pk__in=unknown, claims__gt=1).count() == len(paths),
        "they are looked at again",
    )

    assert not project.ledger.count("imported")
    assert not project.ledger.count("called")
    assert not project.attempts.exists()
    rows = project.records.filter(pk__in=unknown)
    assert set(rows.values_list("status", "attempts")) <= {
        ("SCHEDULED", 0), ("READY", 0), ("RUNNING", 1),
    }  # fmt: skip
    assert not audit.check(project, acknowledged).mistakes
    assert worker.stop() == 0


def test_exception_paths_are_not_imported(project):
    """Reading a result imports no class that a row names."""
    task_id = project.enqueue_one(tasks.work, "a")
    project.records.filter(pk=task_id).update(status="FAILED", finished_at=timezone.now())
    TaskAttempt.objects.using(ALIAS).create(
        task_id=task_id, number=1, claim=1, outcome="ERROR", finished_at=timezone.now(),
        exception_path=f"{EVIL}.Evil", traceback="Traceback",
    )  # fmt: skip

    project.run_python(
        "from tests.reliability import tasks\n"
        f"result = tasks.work.get_result({str(task_id)!r})\n"
        "[error] = result.errors\n"
        "try:\n"
        "    print(error.exception_class)\n"
        "except Exception as error:\n"
        "    print(repr(error))\n"
    )

    assert not project.ledger.count("imported")


def test_statuses_are_the_machines_own(project):
    """The database refuses a status that is none, and a RUNNING row without an owner."""
    task_id = project.enqueue_one(tasks.work, "a")

    for change in ("status = 'NONSENSE'", "status = 'RUNNING'", "status = 'SUCCESSFUL'"):
        with pytest.raises(Exception, match="django_tasks"), connections[ALIAS].cursor() as cursor:
            cursor.execute(f"UPDATE {audit.TABLE} SET {change}")

    assert project.status(task_id) == "READY"
    assert json.loads(project.records.get(pk=task_id).args) == ["a"]
