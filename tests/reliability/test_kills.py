"""Random kills, on the database of this run."""

import json
import os

from django.db import connection

from tests.reliability import audit, tasks
from tests.reliability.faults import Killer
from tests.reliability.harness import processes_of, wait_until

SEED = int(os.environ.get("TEST_CHAOS_SEED", "20261120"))
#: Seconds of kills, tasks, mean seconds of a task.
SMOKE, FULL = (10.0, 2_000, 0.02), (60.0, 20_000, 0.012)


def enqueue_short_tasks(project, count, mean):
    """Enqueue tasks of 0 to 2 * mean seconds, in five lengths; return {key: id}."""
    acknowledged = {}
    for share in range(5):
        keys = [f"{share}-{number}" for number in range(count // 5)]
        acknowledged |= project.enqueue(tasks.work, keys, mean * share / 2)
    return acknowledged


def test_each_task_runs_once_without_faults(project, is_full):
    """The control: two workers, mixed lengths, nobody killed: one run each, nothing to warn of."""
    acknowledged = enqueue_short_tasks(project, 20_000 if is_full else 1_500, 0.01)
    workers = [project.worker("--concurrency", 4) for _ in range(2)]

    project.drain(timeout=120)

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.starts == len(acknowledged)
    assert not report.outcomes, report.figures()
    assert set(project.records.values_list("attempts", "lost")) == {(1, 0)}
    for worker in workers:
        assert worker.stop() == 0
        assert "WARNING" not in worker.log and "ERROR" not in worker.log


def test_random_kills_lose_nothing_and_double_nothing(project, is_full):
    """kill -9 of a child, parent or group each second: no task is lost, none ends twice."""
    seconds, count, mean = FULL if is_full else SMOKE
    acknowledged = enqueue_short_tasks(project, count, mean)
    killer = Killer(project, lambda: project.worker("--concurrency", 4, ready=False), 2, SEED)
    wait_until(lambda: project.ledger.count("start"), "the first task starts")

    killer.run(seconds)
    project.drain(timeout=180 if is_full else 60)

    report = audit.check(project, acknowledged)
    figures = {"database": connection.vendor, "seed": SEED, "kills": len(killer.faults)}
    print(json.dumps(figures | report.figures()))
    assert not report.mistakes, report.figures()
    assert report.outcomes["LOST"], "no kill hit a task: the test shows nothing"
    assert not report.outcomes["LATE"]
    assert report.statuses == {"SUCCESSFUL": len(acknowledged)}
    assert set(project.records.values_list("attempts", flat=True)) == {1}, "a kill was charged"
    assert killer.stop() == [0, 0]
    assert not processes_of(project)
