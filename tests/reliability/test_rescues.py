"""Many workers find what one that is gone has left, with the database some way off."""

from collections import Counter
from uuid import uuid4

import pytest
from django.utils import timezone

from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from tests.reliability import tasks
from tests.reliability.harness import ALIAS, LEASE, wait_until
from tests.reliability.proxy import Proxy

#: Seconds that a request to the database and its answer take.
LATENCY = 0.01
ORPHANS = 3000


@pytest.fixture
def distant(project):
    """Where workers connect, so that each of their statements takes its time."""
    with Proxy(project.url) as proxy:
        proxy.latency = LATENCY
        yield proxy.url(project.url)


def leave_orphans(count, **columns):
    """Store running tasks of a worker that nobody knows; return their ids."""
    whose = {"worker_id": uuid4(), "process": 1, "claims": 1, "attempts": 1, **columns}
    rows = [
        TaskRecord(
            id=uuid7(), task_path=tasks.work.module_path, args='["orphan"]', kwargs="{}",
            queue_name="nobodys", backend="default", status="RUNNING",
            enqueued_at=timezone.now(), **whose,
        )
        for _ in range(count)
    ]  # fmt: skip
    TaskRecord.objects.using(ALIAS).bulk_create(rows)
    return [row.pk for row in rows]


def start_workers(project, url, count):
    """Start workers, each with a body that ends when a file is there; return them and its path."""
    path = project.directory / "may-end"
    environment = {"RELIABILITY_TELL": "1"}
    options = ("--concurrency", 1, "--queues", "default")
    workers = [project.worker(*options, url=url, environment=environment) for _ in range(count)]
    project.enqueue(tasks.wait_for, [f"long-{n}" for n in range(count)], str(path))
    wait_until(lambda: project.ledger.count("start") == count, "every worker is busy")
    return workers, path


def test_rescue_of_thousands_gives_way_to_the_lease(project, distant):
    """Each orphan is rescued once, and nobody who rescues them is taken for dead meanwhile."""
    workers, path = start_workers(project, distant, 3)
    orphans = leave_orphans(ORPHANS)

    left = project.records.filter(pk__in=orphans, status="RUNNING")
    wait_until(lambda: not left.exists(), "all are rescued", timeout=10 * LEASE)
    path.touch()
    wait_until(lambda: project.ledger.count("end") == 3, "the long bodies end")
    wait_until(lambda: not project.records.filter(status="RUNNING").exists(), "that is written")

    rescued = project.records.filter(pk__in=orphans)
    assert set(rescued.values_list("status", "lost", "attempts")) == {("READY", 1, 0)}
    outcomes = project.attempts.values_list("task_id", "outcome")
    assert Counter(outcomes) == dict.fromkeys(((pk, "LOST") for pk in orphans), 1)
    assert not [worker for worker in workers if "taken for dead" in worker.log]
    assert [worker.stop() for worker in workers] == [0, 0, 0]


def test_each_end_is_told_once_however_many_keepers_find_it(project, distant):
    """Tasks that were lost too often: one signal and one line for each, from one of them."""
    workers, path = start_workers(project, distant, 3)
    orphans = leave_orphans(ORPHANS // 5, lost=2)

    left = project.records.filter(pk__in=orphans).exclude(status="FAILED")
    wait_until(lambda: not left.exists(), "all have failed")
    path.touch()
    project.drain()
    assert [worker.stop() for worker in workers] == [0, 0, 0]

    told = Counter(event.key for event in project.ledger.events("told"))
    assert {told[str(pk)] for pk in orphans} == {1}
    assert set(told.values()) == {1}
    lines = [line for worker in workers for line in worker.log.splitlines()]
    failed = Counter(pk for line in lines for pk in map(str, orphans) if f"{pk} failed" in line)
    assert failed == dict.fromkeys(map(str, orphans), 1)


def test_end_whose_commit_had_no_answer_is_told_once(project):
    """The keeper does not know whether a rescue was committed; it was."""
    with Proxy(project.url) as proxy:
        worker = project.worker(
            "--concurrency", 1, "--queues", "default",
            url=proxy.url(project.url), environment={"RELIABILITY_TELL": "1"},
        )  # fmt: skip
        proxy.swallow(b"INSERT INTO django_tasks_taskattempt")
        orphans = leave_orphans(20, lost=2)
        wait_until(lambda: proxy.swallowed, "the answer is lost")
        wait_until(lambda: project.ledger.count("told") >= len(orphans), "all are told of")
        [after] = leave_orphans(1, lost=2)
        wait_until(lambda: project.ledger.count("told", str(after)), "the keeper goes on")
        assert worker.stop() == 0

    told = Counter(event.key for event in project.ledger.events("told"))
    assert told == dict.fromkeys(map(str, [*orphans, after]), 1)
    assert worker.log.count("its worker was lost too often") == len(orphans) + 1
