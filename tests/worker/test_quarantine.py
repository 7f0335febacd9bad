"""Tasks that lost their worker before, and may not wait for ever for the quarantine."""

import pytest
from django.db import transaction

from django_tasks import TaskResultStatus
from django_tasks.models import TaskRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, until

SHORT_WAIT = {"django_tasks.worker.quarantine.QUARANTINE_WAIT": 0.3}


def enqueue_quarantined(task, *args, lost):
    """Enqueue a task that has lost its worker `lost` times."""
    with transaction.atomic():
        result = task.enqueue(*args)
        TaskRecord.objects.filter(pk=result.id).update(lost=lost)
    return result


def occupy_quarantine(book, gate):
    """Have the quarantine run a body that waits for the gate."""
    enqueue_quarantined(tasks.wait_for, str(gate), book, lost=2)
    await_lines(book, 1)


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_second_run_among_others_after_a_while(start, book, gate, pool):
    """A quarantine that is busy is not waited for, unless another loss would be the last."""
    start("--pool", pool, "-c", 4, patches=SHORT_WAIT)
    occupy_quarantine(book, gate)
    second = enqueue_quarantined(tasks.add, 1, 2, lost=2)
    first = enqueue_quarantined(tasks.add, 3, 4, lost=1)

    assert first.wait(PATIENCE) == 7

    first.refresh()
    second.refresh()
    assert TaskRecord.objects.get(pk=first.id).claims == 2
    assert second.status == TaskResultStatus.RUNNING  # claimed, as the table says, and waiting
    gate.touch()
    assert second.wait(PATIENCE) == 3


def test_last_run_is_never_among_others(start, book, gate):
    """Where the second loss is the last, the task waits for its turn."""
    start(
        "--pool", "threads", "-c", 4, patches=SHORT_WAIT, settings={"DJANGO_TASKS": {"MAX_LOST": 2}}
    )
    occupy_quarantine(book, gate)
    waiting = enqueue_quarantined(tasks.process_id, book, "waiting", lost=1)
    others = [tasks.process_id.enqueue() for _ in range(10)]
    shared = {other.wait(PATIENCE) for other in others}

    gate.touch()

    assert waiting.wait(PATIENCE) not in shared
    assert TaskRecord.objects.get(pk=waiting.id).claims == 2


def test_crowd_of_quarantined_tasks_runs_among_others(start, book, gate):
    """With many at once their worker died for another reason: they do not queue up."""
    start(
        "--pool", "threads", "-c", 4,
        patches={"django_tasks.worker.quarantine.MOST_OFFERED": 2},
    )  # fmt: skip
    occupy_quarantine(book, gate)
    crowd = [enqueue_quarantined(tasks.add, number, 0, lost=1) for number in range(20)]

    def succeeded():
        return TaskRecord.objects.filter(status="SUCCESSFUL").count()

    until(lambda: succeeded() >= len(crowd) - 2, "all but those on offer")
    gate.touch()
    assert [one.wait(PATIENCE) for one in crowd] == list(range(20))
