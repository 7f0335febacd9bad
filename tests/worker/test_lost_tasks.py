"""What the attempt of a lost task says."""

from uuid import uuid4

import pytest

from django_tasks.store.values import Claim, EndingKind
from django_tasks.store.workers.leases import Orphan
from django_tasks.worker.keeper.lost_tasks import of_line, of_orphan, report, to_line


@pytest.fixture
def orphan():
    claim = Claim(
        id=uuid4(), task_path="tests.worker.tasks.add", args="[1,2]", kwargs="{}",
        queue_name="default", priority=0, attempts=1, max_attempts=None, lost=0, hooks=0, claims=1,
        is_expired=False,
    )  # fmt: skip
    return Orphan(claim, worker_id=uuid4(), process=3)


def test_orphan_of_another_worker_lost_its_lease(orphan):
    """Nothing is known of that worker but that it is silent."""
    ending = of_orphan(orphan, finder_id=uuid4())

    assert ending.kind is EndingKind.LOSE
    assert f"Worker {orphan.worker_id} did not renew its lease" in ending.attempt.traceback


def test_orphan_of_the_own_worker_lost_its_process(orphan):
    """The worker that finds it is well, and its lease is good: only a process has died."""
    ending = of_orphan(orphan, finder_id=orphan.worker_id)

    assert ending.kind is EndingKind.LOSE
    assert "Process 3 of worker" in ending.attempt.traceback
    assert "lease" not in ending.attempt.traceback


def test_the_row_says_whether_a_loss_is_the_end(orphan):
    """Nobody here knows the code of this task."""
    strange = orphan.claim._replace(task_path="another.release.task")

    for on_lost, kind in ((None, EndingKind.LOSE), ("fail", EndingKind.POISON)):
        found = orphan._replace(claim=strange, on_lost=on_lost)
        assert of_orphan(found, finder_id=uuid4()).kind is kind


def test_report_is_read_as_it_was_written():
    """A line in the pipe is one report."""
    told = report(3, 4711, [], signal_number=9, exit_code=None)

    assert of_line(to_line(told)) == told


@pytest.mark.parametrize("cut_at", [1, 30, -2])
def test_rest_of_a_report_is_skipped(cut_at, caplog):
    """The keeper before this one had read its beginning when it died."""
    line = to_line(report(3, 4711, [], signal_number=9, exit_code=None))

    assert of_line(line[cut_at:]) is None

    assert "cut short" in caplog.text
