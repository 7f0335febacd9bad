"""Two releases of the code on one table: what a task's code says holds for who does not know it."""

import signal
from datetime import timedelta

from django.db.models import F

from tests.reliability import next_release, tasks
from tests.reliability.harness import wait_until

NEXT = {"TASK_MODULES": ["tests.reliability.next_release"]}


def test_on_lost_holds_for_rescuers_that_do_not_know_the_task(project):
    """The release before rescues a task of the next one: it FAILS, and is not run again."""
    following = project.worker("--concurrency", 1, settings=NEXT)
    [task_id] = project.enqueue(next_release.pay, ["once"], 60.0).values()
    wait_until(lambda: project.ledger.count("start"), "the start")
    project.worker("--concurrency", 1)

    following.send_all(signal.SIGKILL)

    wait_until(lambda: project.outcomes(task_id), "the rescue")
    assert project.status(task_id) == "FAILED"
    assert project.outcomes(task_id) == ["LOST"]
    assert project.ledger.count("start") == 1


def test_results_outlive_keepers_that_do_not_know_their_task(project):
    """Twenty days later the release before deletes what is due, not what is kept for years."""
    following = project.worker("--concurrency", 1, settings=NEXT)
    [kept] = project.enqueue(next_release.sign, ["contract"]).values()
    [due] = project.enqueue(tasks.work, ["any"]).values()
    project.drain()
    assert following.stop() == 0
    age = timedelta(days=20)
    project.records.update(finished_at=F("finished_at") - age, prune_after=F("prune_after") - age)

    project.worker("--concurrency", 1, settings={"PRUNE_INTERVAL": 0.5})

    wait_until(lambda: not project.records.filter(pk=due).exists(), "the pruning")
    assert project.status(kept) == "SUCCESSFUL"
