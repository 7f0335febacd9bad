"""What a keeper reports of rescues that may be written or not, beside another keeper."""

from functools import partial
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import OperationalError

from django_tasks.models import TaskAttempt
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.tasks import transitions
from django_tasks.store.workers import leases
from django_tasks.worker.keeper.rescues import Rescues
from tests.conformance.steps import DATABASE, statuses, store

LOST = OperationalError("server closed the connection unexpectedly")
#: So often lost before that the next time is the end, of which receivers are told.
NEARLY_POISON = 2


@pytest.fixture
def keepers():
    """What two keepers have in hand."""
    return [
        Rescues(SimpleNamespace(database=DATABASE, worker_id=uuid4(), host=f"{n}.example"))
        for n in range(2)
    ]


def rescue(keeper):
    return keeper.rescue(partial(leases.lock_orphans_of_dead_workers, DATABASE))


def rescue_without_an_answer(keeper, monkeypatch, *, is_committed):
    """Rescue while the database goes away, before the commit or after it."""
    settle = transitions.settle

    def settle_in_vain(*args, **options):
        settle(*args, **options)
        raise LOST

    def end_in_vain(*_):
        raise LOST

    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        if is_committed:
            patch.setattr(keeper, "_end", end_in_vain)
        else:
            patch.setattr(transitions, "settle", settle_in_vain)
        rescue(keeper)


def test_loss_that_another_keeper_wrote_is_told_by_that_one(keepers, monkeypatch):
    """It looks like one's own, by task, claim, worker and process; the text names who found it."""
    first, second = keepers
    [orphan] = store(status=Status.RUNNING, lost=NEARLY_POISON)
    rescue_without_an_answer(first, monkeypatch, is_committed=False)
    rescue(second)

    assert first.finish()

    assert statuses([orphan]) == [Status.FAILED]
    assert (first.has_unsent, second.has_unsent) == (False, True)
    outcomes = TaskAttempt.objects.filter(task_id=orphan).values_list("outcome", flat=True)
    assert list(outcomes) == [AttemptOutcome.LOST]


def test_loss_that_was_committed_without_an_answer_is_told_by_its_writer(keepers, monkeypatch):
    """Nobody else will."""
    first, second = keepers
    [orphan] = store(status=Status.RUNNING, lost=NEARLY_POISON)
    rescue_without_an_answer(first, monkeypatch, is_committed=True)
    rescue(second)

    assert first.finish()

    assert statuses([orphan]) == [Status.FAILED]
    assert (first.has_unsent, second.has_unsent) == (True, False)
