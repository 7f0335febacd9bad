"""A worker with a pool of others."""

import json

import pytest

from django_tasks.models import WorkerRecord
from tests.worker import tasks
from tests.worker.conftest import clean, start, tables  # noqa: F401
from tests.worker.ledger import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["tests"])


def test_worker_runs_tasks_in_a_pool_of_others(start):  # noqa: F811
    """Its row has the name of the class."""
    start("--pool", "tests.extensions.shop.pools.FreshThreadPool", "--concurrency", 2)

    results = [tasks.add.enqueue(1, 2), tasks.add_async.enqueue(3, 4)]

    assert [result.wait(PATIENCE) for result in results] == [3, 7]
    assert WorkerRecord.objects.get().pool == "FreshThreadPool"


def test_worker_and_its_keeper_tell_subscribers(start, tmp_path):  # noqa: F811
    """The times are in order, and what a dead process had in hand is told by the keeper."""
    book = tmp_path / "events"
    book.touch()
    worker = start(
        "--concurrency", 1, env={"BOOK_OF_EVENTS": str(book)},
        settings={"DJANGO_TASKS": {"INSTRUMENTATION": ["tests.extensions.subscribers.write"]}},
    )  # fmt: skip
    fine, lost = tasks.add.enqueue(1, 2), tasks.die.enqueue(str(tmp_path / "ledger"))
    fine.wait(PATIENCE)

    def told_of(result, event):
        lines = map(json.loads, book.read_text().splitlines())
        return [line for line in lines if (line["id"], line["event"]) == (result.id, event)]

    [end] = until(lambda: told_of(fine, "ended"), "the event")
    assert end["enqueued_at"] <= end["claimed_at"] <= end["started_at"] <= end["ended_at"]
    assert (end["outcome"], end["attempt"], end["process"]) == ("succeeded", 1, 1)
    [poisoned] = until(lambda: told_of(lost, "ended"), "the keeper's event")
    assert (poisoned["outcome"], poisoned["process"]) == ("poisoned", 0)
    assert poisoned["exception_path"] == "django_tasks.exceptions.WorkerLost"
    assert poisoned["worker"] == end["worker"] in worker.output
    assert len(told_of(lost, "claimed")) == 1


def test_worker_refuses_a_path_that_leads_nowhere(start):  # noqa: F811
    """Also when nobody has checked: its events would be lost."""
    worker = start(
        "--skip-checks", settings={"DJANGO_TASKS": {"INSTRUMENTATION": ["shop.nowhere.count"]}}
    )

    assert worker.wait() == 1
    assert "DJANGO_TASKS['INSTRUMENTATION']: 'shop.nowhere.count'" in worker.output
