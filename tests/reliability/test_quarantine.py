"""Tasks that lost their worker before run where they take no other along, and soon."""

import signal
from uuid import uuid4

import pytest
from django.db import transaction

from django_tasks.routing import QueueSelection
from django_tasks.store.tasks.claims import Claimer
from tests.reliability import tasks
from tests.reliability.harness import ALIAS, wait_until

#: Pools whose processes run many tasks at a time.
POOLS = ["threads", "asyncio", "gevent"]
SLOTS = 4


def enqueue_quarantined(project, task, *args, lost=1):
    """Enqueue a task that has lost its worker `lost` times."""
    with transaction.atomic(using=ALIAS):
        task_id = project.enqueue_one(task, *args)
        project.records.filter(pk=task_id).update(lost=lost)
    return task_id


def await_starts(project, count):
    wait_until(lambda: project.ledger.count("start") >= count, f"{count} bodies run")


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("lost", [1, 2])
def test_quarantined_task_runs_beside_a_busy_process(project, gate, pool, lost):
    """It starts although its process is never empty; claimed once, and taken over once."""
    project.worker("--pool", pool, "--concurrency", SLOTS)
    project.enqueue(tasks.wait_for, range(SLOTS - 1), str(gate))
    await_starts(project, SLOTS - 1)

    quarantined = enqueue_quarantined(project, tasks.work, "quarantined", lost=lost)

    wait_until(lambda: project.status(quarantined) == "SUCCESSFUL", "the quarantined task succeeds")
    assert project.records.get(pk=quarantined).claims == 2
    assert project.records.filter(status="RUNNING").count() == SLOTS - 1
    [own] = {event.pid for event in project.ledger.events("start") if event.key == "quarantined"}
    assert own not in {e.pid for e in project.ledger.events("start") if e.key != "quarantined"}
    gate.touch()
    project.drain()


@pytest.mark.parametrize("pool", POOLS)
def test_slots_go_on_while_quarantined_tasks_wait(project, gate, pool):
    """Any number of quarantined tasks before it keep no task from its slot."""
    project.worker("--pool", pool, "--concurrency", SLOTS)
    for number in range(2 * SLOTS):
        enqueue_quarantined(project, tasks.wait_for, f"quarantined {number}", str(gate), lost=2)
    others = project.enqueue(tasks.work, range(5 * SLOTS))

    wait_until(
        lambda: all(project.status(task_id) == "SUCCESSFUL" for task_id in others.values()),
        "the others succeed",
    )

    await_starts(project, len(others) + 1)
    running = project.records.filter(status="RUNNING")
    wait_until(lambda: running.count() == 2 * SLOTS, "all quarantined tasks are claimed")
    assert project.ledger.count("start") == len(others) + 1  # one of them at a time
    gate.touch()
    project.drain()
    assert not project.records.exclude(status="SUCCESSFUL").exists()


@pytest.mark.parametrize("pool", POOLS)
def test_poison_takes_no_neighbour_along_again(project, gate, pool):
    """A task that kills its process kills that of others at the first time only."""
    project.worker("--pool", pool, "--concurrency", SLOTS)
    neighbours = project.enqueue(tasks.wait_for, range(SLOTS - 1), str(gate))
    await_starts(project, SLOTS - 1)

    poison = enqueue_quarantined(project, tasks.die, "poison", "kill")

    wait_until(lambda: project.status(poison) == "FAILED", "the poison fails")
    assert project.outcomes(poison) == ["LOST", "LOST"]
    gate.touch()
    project.drain()
    for task_id in neighbours.values():
        row = project.records.get(pk=task_id)
        assert (row.status, row.attempts, row.lost) == ("SUCCESSFUL", 1, 0)


def test_quarantined_tasks_of_a_process_with_one_slot_run_one_by_one(project):
    """Many that are claimed at once run there, each when the one before it is written."""
    for number in range(50):
        enqueue_quarantined(project, tasks.work, f"quarantined {number}")
    poison = enqueue_quarantined(project, tasks.die, "poison", "kill", lost=2)

    project.worker("--concurrency", 1)

    project.drain()
    assert project.status(poison) == "FAILED"
    rows = project.records.exclude(pk=poison)
    assert set(rows.values_list("status", "lost")) == {("SUCCESSFUL", 1)}
    assert project.ledger.count("start") == 51


@pytest.mark.parametrize("pool", POOLS)
def test_stop_gives_back_what_is_offered(project, gate, pool):
    """SIGTERM: those that wait are READY again, without an attempt; none waits for its turn."""
    worker = project.worker("--pool", pool, "--concurrency", SLOTS)
    project.enqueue(tasks.wait_for, range(SLOTS - 1), str(gate))
    waiting = [
        enqueue_quarantined(project, tasks.wait_for, f"quarantined {number}", str(gate), lost=2)
        for number in range(3)
    ]
    await_starts(project, SLOTS)
    wait_until(lambda: project.records.filter(status="RUNNING").count() == SLOTS + 2, "all claimed")

    worker.send(signal.SIGTERM)
    ready = project.records.filter(pk__in=waiting, status="READY")
    wait_until(lambda: ready.count() == 2, "the waiting ones are given back")
    gate.touch()

    assert worker.wait() == 0
    assert set(ready.values_list("attempts", "lost")) == {(0, 2)}
    assert not project.attempts.exists()


def test_one_of_two_takes_an_offer(project):
    """The quarantine takes it over while its process takes it back: one has it, one has nothing."""
    worker = uuid4()
    task_id = project.enqueue_one(tasks.work, "offered")
    own, quarantine = (Claimer(ALIAS, QueueSelection(), worker, n) for n in (1, 2))
    [claim] = own.claim(1)

    taken = quarantine.claim_again(task_id, claim.claims)

    assert (taken.id, taken.claims) == (task_id, claim.claims + 1)
    assert own.claim_again(task_id, claim.claims) is None
    assert project.records.get(pk=task_id).process == 2
    stranger = Claimer(ALIAS, QueueSelection(), uuid4(), 1)
    assert stranger.claim_again(task_id, taken.claims) is None


def test_burst_waits_for_its_quarantined_tasks(project, gate):
    """A worker that ends when nothing is left ends after what the quarantine ran and enqueued."""
    gate.touch()
    waiting = [
        enqueue_quarantined(project, tasks.work, f"quarantined {n}", lost=2) for n in range(3)
    ]
    poison = enqueue_quarantined(project, tasks.die, "poison", "kill", lost=2)

    worker = project.worker("--pool", "threads", "--concurrency", SLOTS, "--burst", ready=False)

    assert worker.wait() == 0
    assert [project.status(task_id) for task_id in waiting] == ["SUCCESSFUL"] * 3
    assert project.status(poison) == "FAILED"
