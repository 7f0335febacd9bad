"""What runs, in which order, and when a worker with --burst is done."""

import time
from datetime import timedelta

import pytest

from django_tasks import TaskFailed, TaskResultStatus
from django_tasks.models import TaskRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, lines, until

ONE = ("--concurrency", 1)


def note(book, word, **options):
    """Enqueue a task that writes `word`."""
    return tasks.note.using(**options).enqueue(book, word)


def burst(start, *options, **kwargs):
    """Run a worker until nothing is left; return it."""
    worker = start("--burst", *options, **kwargs)
    assert worker.wait() == 0
    return worker


def test_queues_are_served_in_their_order(start, book):
    """Names, prefixes and *: while an earlier queue has tasks, later ones wait."""
    for queue in ("other", "mail-b", "first", "mail-a", "other", "first"):
        note(book, queue, queue_name=queue)

    burst(start, *ONE, "--queues", "first,mail*,*", settings={"DJANGO_TASKS": {"BATCH_SIZE": 1}})

    done = lines(book)
    assert done[:2] == ["first", "first"]
    assert sorted(done[2:4]) == ["mail-a", "mail-b"]
    assert done[4:] == ["other", "other"]


def test_other_queues_are_left_alone(start, book):
    """A worker runs only what its queues name, and burst ends though others have tasks."""
    for queue in ("mail", "mailing", "fax"):
        note(book, queue, queue_name=queue)

    burst(start, *ONE, "--queues", "mail*")

    assert sorted(lines(book)) == ["mail", "mailing"]
    assert TaskRecord.objects.get(queue_name="fax").status == "READY"


def test_higher_priority_first_then_older_first(start, book):
    """-100 to 100, higher first; equals in the order they were enqueued."""
    for number, priority in enumerate((0, -100, 100, 0, 100)):
        note(book, f"{priority} {number}", priority=priority)

    burst(start, *ONE)

    assert lines(book) == ["100 2", "100 4", "0 0", "0 3", "-100 1"]


def test_due_tasks_run_and_future_ones_do_not(start, book):
    """run_after in the past is due; one far ahead stays and does not keep burst from ending."""
    note(book, "due", run_after=timedelta(seconds=-1))
    note(book, "later", run_after=timedelta(hours=1))

    burst(start)

    assert lines(book) == ["due"]
    assert TaskRecord.objects.get(status="SCHEDULED")


def test_scheduled_task_runs_when_due(start, book):
    """A task due in half a second runs then, not at once."""
    worker = start(*ONE)
    worker.await_output("stop ")
    result = note(book, "later", run_after=timedelta(seconds=0.5))

    result.wait(PATIENCE)

    assert result.last_attempted_at - result.enqueued_at >= timedelta(seconds=0.45)


def test_expired_task_is_cancelled_unrun(start, book):
    """A task that nobody started in time ends CANCELLED, with TaskExpired."""
    result = note(book, "stale", expires=0.01)
    time.sleep(0.02)  # the deadline itself, no event to wait for

    burst(start)

    with pytest.raises(TaskFailed, match="TaskExpired"):
        result.wait(0)
    assert result.record_status == "CANCELLED"
    assert lines(book) == []


def test_unknown_task_is_held_and_warned_about(start, book):
    """Another release may know it: it is kept, costs no attempt, and does not stop the others."""
    unknown = note(book, "never")
    TaskRecord.objects.filter(pk=unknown.id).update(task_path="gone.tasks.renamed")
    known = note(book, "known")

    worker = start(*ONE)
    known.wait(PATIENCE)
    worker.await_output("is not known to this worker")

    assert "gone.tasks.renamed" in worker.output
    row = until(
        lambda: TaskRecord.objects.filter(pk=unknown.id, status="SCHEDULED").first(), "the hold"
    )
    assert (row.attempts, row.lost) == (0, 0)
    TaskRecord.objects.filter(pk=unknown.id).update(task_path=tasks.note.module_path)
    until(lambda: "never" in lines(book), "the task to run once it is known")


def test_burst_runs_what_tasks_enqueue_and_retries(start, tmp_path):
    """Burst ends with 0 after the tasks that tasks enqueued and the retries without delay."""
    chain, retry = str(tmp_path / "chain"), str(tmp_path / "retry")
    tasks.enqueue_more.enqueue(chain, 5)
    flaky = tasks.flaky.enqueue(retry, 1)

    burst(start, "--concurrency", 2)

    assert lines(chain) == ["5", "4", "3", "2", "1", "0"]
    assert lines(retry) == ["ran", "ran"]
    flaky.refresh()
    assert flaky.status == TaskResultStatus.SUCCESSFUL


def test_burst_with_nothing_to_do(start):
    """An empty queue: exit 0 at once."""
    burst(start, "--concurrency", 2)


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "solo"])
def test_burst_runs_all_there_is(start, book, pool):
    """Several hundred tasks, each run once."""
    size = {"prefork": ("-c", 2), "threads": ("-c", 4, "--processes", 2), "asyncio": (), "solo": ()}
    tasks.note.enqueue_many((book, str(n)) for n in range(300))

    burst(start, "--pool", pool, *size[pool], "-v", 0)

    assert sorted(map(int, lines(book))) == list(range(300))


def test_burst_with_recycling_leaves_nothing(start, book):
    """Processes that end after a few tasks do not end the burst."""
    tasks.enqueue_more.enqueue(book, 9)

    burst(start, "--concurrency", 2, "--max-tasks-per-child", 2)

    assert len(lines(book)) == 10
    assert not TaskRecord.objects.exclude(status="SUCCESSFUL").exists()


def test_fast_tasks_behind_a_slow_one_move_on(start, book, gate):
    """Claims that wait behind a slow task are given back; another process runs them soon."""
    for _ in range(20):  # teach the process that tasks are fast, so that it claims many
        tasks.process_id.enqueue()
    first = start(*ONE)
    until(lambda: not TaskRecord.objects.exclude(status="SUCCESSFUL").exists(), "the fast tasks")
    slow = tasks.wait_for.enqueue(str(gate), book)
    fast = tasks.process_id.enqueue_many([()] * 10)
    await_lines(book, 1)

    start(*ONE)
    pids = {result.wait(PATIENCE) for result in fast}

    slow.refresh()
    assert slow.status == TaskResultStatus.RUNNING
    assert int(lines(book)[0].split()[1]) not in pids
    assert set(TaskRecord.objects.values_list("attempts", flat=True)) == {1}
    gate.touch()
    slow.wait(PATIENCE)
    first.stop()
