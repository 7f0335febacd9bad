"""What the parent concludes from the ends of its processes."""

import time

import pytest

from django_tasks.routing import QueueSelection
from django_tasks.worker.children import Child
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.forks import DONE, NOTHING_LEFT
from django_tasks.worker.supervisor import Supervisor


@pytest.fixture
def supervisor():
    config = WorkerConfig(
        backend="default", database="default", queues=QueueSelection(), pool="prefork",
        processes=2, slots=1, grace=1.0, burst=True, max_tasks=2, host="tests.example",
    )  # fmt: skip
    return Supervisor(config, lambda *args: None, lambda *args: 0)


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
