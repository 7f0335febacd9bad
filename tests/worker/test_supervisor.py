"""What the parent concludes from the ends of its processes."""

import signal
import time
from uuid import uuid4

import pytest

from django_tasks.routing import QueueSelection
from django_tasks.runtime.forks import DONE, NOTHING_LEFT
from django_tasks.worker.board import STARTED
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.supervisor.children import Child
from django_tasks.worker.supervisor.supervisor import Supervisor


@pytest.fixture
def supervisor():
    config = WorkerConfig(
        backend="default", database="default", queues=QueueSelection(), pool="prefork",
        processes=2, slots=1, grace=1.0, burst=True, max_tasks=2, host="tests.example",
    )  # fmt: skip
    return Supervisor(config, lambda *args: None, lambda *args: 0)


def die(supervisor, *, in_a_body):
    """Let a process that was just started die, with a body on its hands or not."""
    lane = supervisor.board.lane(0)
    lane.open(1)
    cell = lane.reserve(uuid4(), 1)
    if in_a_body:
        supervisor.board.states[cell] = STARTED
    supervisor._child_died(Child(1, 1, 0, time.monotonic()), signal.SIGKILL)


def test_deaths_in_bodies_make_no_pause(supervisor):
    """They say nothing of the tasks that the next process would run."""
    for _ in range(20):
        die(supervisor, in_a_body=True)

    assert supervisor._may_spawn


def test_processes_that_cannot_start_are_waited_for(supervisor):
    """A core is not spent on processes that die before they have done anything."""
    for _ in range(4):
        die(supervisor, in_a_body=False)

    assert not supervisor._may_spawn


def end(supervisor, child, exit_code):
    supervisor._child_died(child, exit_code << 8)


def test_burst_is_over_when_a_process_finds_nothing(supervisor):
    """The others have nothing to do, either."""
    child = Child(1, 1, 0, time.monotonic())

    end(supervisor, child, NOTHING_LEFT)

    assert supervisor._is_over()


@pytest.mark.parametrize("is_first", [True, False])
def test_burst_goes_on_when_a_process_was_used_up(supervisor, is_first):
    """Its last task may have enqueued another after the other process looked."""
    used_up, idle = Child(1, 1, 0, time.monotonic()), Child(2, 2, 1, time.monotonic())
    ends = [(used_up, DONE), (idle, NOTHING_LEFT)]

    for child, exit_code in ends if is_first else reversed(ends):
        end(supervisor, child, exit_code)
    assert not supervisor._is_over()

    end(supervisor, Child(3, 3, 0, time.monotonic()), NOTHING_LEFT)
    assert supervisor._is_over()
