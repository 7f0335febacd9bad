"""--autoscale decides by the board, without processes."""

from uuid import uuid4

import pytest

from django_tasks.routing import QueueSelection
from django_tasks.worker.board import STARTED, Board
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.supervisor import scaling
from django_tasks.worker.supervisor.children import Child
from django_tasks.worker.supervisor.scaling import Scaling

SLOTS = 10


@pytest.fixture
def time(monkeypatch):
    """The time, which the tests move on."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(scaling, "time", clock)
    monkeypatch.setattr(scaling, "clock", clock.monotonic)
    return clock


@pytest.fixture
def board():
    return Board(3, 4 * SLOTS)


@pytest.fixture
def scale(board):
    config = WorkerConfig(
        backend="default", database="default", queues=QueueSelection(), pool="threads",
        processes=3, slots=SLOTS, grace=1.0, autoscale_min=1, host="tests.example",
    )  # fmt: skip
    return Scaling(config, board)


def process(board, index, running):
    """Return a process that has `running` tasks."""
    lane = board.lane(index)
    lane.open(index + 1)
    for _ in range(running):
        board.states[lane.reserve(uuid4(), 1)] = STARTED
    return Child(0, index + 1, index, 0.0)


def watch(scale, children, time, seconds):
    """Let the supervisor look five times a second."""
    end = time.now + seconds
    while time.now < end:
        scale.step(children)
        time.now += 0.2


def test_free_slots_are_used_first(scale, board, time):
    """One busy slot of ten is not a busy process, and nine are not."""
    watch(scale, [process(board, 0, SLOTS - 1)], time, 60)

    assert scale.wanted == 1


def test_full_processes_get_another_after_a_second(scale, board, time):
    """Step by step up to the most, each after a second without a free slot."""
    children = [process(board, 0, SLOTS)]
    watch(scale, children, time, 0.9)
    assert scale.wanted == 1
    watch(scale, children, time, 0.5)
    assert scale.wanted == 2

    children += [process(board, 1, SLOTS), process(board, 2, SLOTS)]
    watch(scale, children, time, 60)
    assert scale.wanted == 3


def test_a_moment_without_a_free_slot_is_not_enough(scale, board, time):
    """The second begins anew whenever a slot was free."""
    child = process(board, 0, SLOTS)
    entry = next(board.lane(0).taken()).cell

    for _ in range(20):
        watch(scale, [child], time, 0.6)
        board.states[entry] = 0
        watch(scale, [child], time, 0.2)
        board.states[entry] = STARTED

    assert scale.wanted == 1


def test_idle_process_is_retired(scale, board, time, monkeypatch):
    """After half a minute without a task; never below the fewest."""
    children = [process(board, 0, 3), process(board, 1, 0)]
    board.idle_since[1] = time.now
    scale.wanted = 2
    retired = []
    monkeypatch.setattr(scaling, "retire", lambda child, board: retired.append(child))
    watch(scale, children, time, 29)
    assert retired == []

    watch(scale, children, time, 2)

    assert retired[0] is children[1]
    assert scale.wanted == 1
