"""Workflows under kill -9: each callback runs after all that it waits for, or is cancelled."""

import os

from django_tasks.models import WorkflowJoin, WorkflowRecord
from django_tasks.models.workflows import JoinKind
from django_tasks.statuses import Status
from django_tasks.workflows import chord, group
from tests.reliability import tasks
from tests.reliability.faults import Killer
from tests.reliability.harness import ALIAS, wait_until

SEED = int(os.environ.get("TEST_CHAOS_SEED", "20261120"))
#: Seconds of kills, chords, members of each.
SMOKE, FULL = (8.0, 60, 8), (60.0, 500, 20)
#: The outcomes of attempts after which a body may run again.
REASONS = {"LOST", "INTERRUPTED", "ERROR"}


def start_chord(number, size):
    """
    Enqueue a chord; return its handle, the key of its callback and the value, or None.

    Every third has a group among its members, every fifth a member that never succeeds.
    """
    key = f"body-{number}"
    keys = [f"{number}-{member}" for member in range(size)]
    members = [
        (tasks.fail_first if member % 4 == 0 else tasks.work).si(each, 0.01)
        for member, each in enumerate(keys)
    ]
    value = list(keys)
    if number % 3 == 0:
        inner = [f"{number}-inner-{member}" for member in range(3)]
        members.append(group(tasks.work.si(each) for each in inner))
        value += inner  # as Celery has it
    if number % 5 == 0:
        members.append(tasks.always_fail.si(f"{number}-doomed"))
        value = None
    return chord(members, tasks.gather.s(key)).enqueue(), key, value


def runs_are_explained(project, rows):
    """Tell of bodies that ran again without a reason in their attempts."""
    starts = project.ledger.times("start")
    mistakes = []
    for key, task_id in rows.items():
        reasons = [each for each in project.outcomes(task_id) if each in REASONS]
        if len(starts[key]) > 1 + len(reasons):
            mistakes.append((key, len(starts[key]), reasons))
    return mistakes


def test_callbacks_run_once_or_are_cancelled(project, is_full):
    """kill -9 of a child, parent or group each second; then every workflow is at its end."""
    seconds, count, size = FULL if is_full else SMOKE
    chords = [start_chord(number, size) for number in range(count)]
    killer = Killer(project, lambda: project.worker("--concurrency", 4, ready=False), 2, SEED)
    wait_until(lambda: project.ledger.count("start"), "the first task starts")

    killer.run(seconds)
    running = WorkflowRecord.objects.using(ALIAS).filter(status=Status.RUNNING)
    wait_until(lambda: not running.exists(), "every workflow ends", 240 if is_full else 90)

    assert not project.unfinished
    ends = project.ledger.times("end")
    callbacks = {}
    for handle, key, value in chords:
        handle.refresh()
        *_, last = handle.steps()
        callbacks[key] = last.task_id
        if value is None:
            assert (handle.status, last.status) == (Status.FAILED, Status.CANCELLED), key
            assert not project.ledger.count("start", key), "it ran, though a member had failed"
            continue
        assert (handle.status, handle.value) == (Status.SUCCESSFUL, value), key
        began = min(project.ledger.times("start")[key])
        late = [member for member in value if min(ends[member]) > began]
        assert not late, f"{key} began before {late} ended"
    assert runs_are_explained(project, callbacks) == []
    assert killer.faults, "nothing was killed: the test shows nothing"
    joins = WorkflowJoin.objects.using(ALIAS)
    assert not joins.filter(state__lt=4).exists()
    for join in joins.exclude(kind=JoinKind.FAILURE):
        assert join.done + join.failed == join.needed, join.pk
