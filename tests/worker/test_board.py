"""What processes tell each other by cells that are used again at once."""

import os
from types import SimpleNamespace
from uuid import uuid4

import pytest

from django_tasks.runtime.clock import clock
from django_tasks.worker.board import NEVER, STARTED, Board
from django_tasks.worker.execution.limits import next_interruption
from django_tasks.worker.keeper import keeper
from django_tasks.worker.keeper.keeper import Keeper


@pytest.fixture
def board():
    board = Board(1, 8)
    board.lane(0).open(1)
    return board


@pytest.fixture
def lane(board):
    lane = board.lane(0)
    lane.open(1)
    return lane


def start(lane, task_id, claims=1):
    """Claim and start a task; return its cell."""
    cell = lane.reserve(task_id, claims)
    lane.board.started_at[cell] = clock() - 5
    lane.board.states[cell] = STARTED
    return cell


def use_again(lane, cell):
    """End the task in a cell and start another one there."""
    lane.end(cell)
    lane.release(cell)
    assert start(lane, uuid4()) == cell


def test_cancelled_body_is_to_stop_in_time(board, lane):
    """The flag reaches its body, and the process is killed for it when it goes on."""
    cell = start(lane, uuid4())

    board.cancel(board.entry(cell), 17.0)

    assert board.is_cancelled(cell)
    assert lane.first_deadline() == 17.0


def test_earlier_limit_of_a_cancelled_body_stays(board, lane):
    cell = start(lane, uuid4())
    board.deadlines[cell] = 5.0

    board.cancel(board.entry(cell), 17.0)

    assert lane.first_deadline() == 5.0


def test_flag_for_an_earlier_task_reaches_no_other(board, lane):
    """Whoever flags a task that has ended meanwhile does not hit the next one in its cell."""
    cell = start(lane, uuid4())
    seen = board.entry(cell)

    use_again(lane, cell)
    board.cancel(seen, 17.0)

    assert not board.is_cancelled(cell)
    assert next_interruption(board, SimpleNamespace(entry=cell, interruptions=())) is None
    assert lane.first_deadline() == NEVER


def test_keeper_that_is_held_up_cancels_no_other_task(board, lane, monkeypatch):
    """The process reuses the cell after the keeper has read it and before it flags it."""
    board.pids[0] = os.getpid()
    cancelled = uuid4()
    cell = start(lane, cancelled)
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(number))

    def held_up():
        use_again(lane, cell)
        return clock()

    monkeypatch.setattr(keeper, "clock", held_up)
    me = SimpleNamespace(board=board, config=SimpleNamespace(grace=25.0))
    Keeper._flag(me, 0, {(cancelled, 1)})

    assert signals  # it had found the task
    assert not board.is_cancelled(cell)
    assert lane.first_deadline() == NEVER


def test_flag_of_an_ended_task_is_not_inherited(board, lane):
    """A cancelled task leaves nothing to the next one in its cell."""
    cell = start(lane, uuid4())
    board.cancel(board.entry(cell), 17.0)

    use_again(lane, cell)

    assert not board.is_cancelled(cell)
    assert lane.first_deadline() == NEVER


def test_ended_body_has_no_deadline(board, lane):
    """Its process is not killed for what has ended and is only not written yet."""
    cell = start(lane, uuid4())
    board.deadlines[cell] = 1.0
    board.cancel(board.entry(cell), 2.0)

    lane.end(cell)

    assert lane.first_deadline() == NEVER
    assert board.entry(cell).deadline == NEVER


def test_new_process_of_a_lane_inherits_no_flag(board, lane):
    """A flag for a task of the dead process does not hit those of its successor."""
    cell = start(lane, uuid4())
    seen = board.entry(cell)

    lane.open(2)
    board.cancel(seen, 17.0)

    assert start(lane, uuid4()) == cell
    assert not board.is_cancelled(cell)


def test_offer_is_there_until_it_is_taken_over(board, lane):
    task_id = uuid4()
    cell = lane.reserve(task_id, 3)
    lane.offer(cell)
    assert board.has_offers

    [offer] = board.offers()
    assert (offer.id, offer.claims, offer.is_started) == (task_id, 3, False)
    board.take_over(offer)

    assert lane.is_taken_over(cell)
    assert list(board.offers()) == []


def test_offer_that_was_taken_over_too_late_takes_no_other_task(board, lane):
    """Its process has taken it back, ended it, and offers another one in the same cell."""
    cell = lane.reserve(uuid4(), 1)
    lane.offer(cell)
    [seen] = board.offers()

    lane.withdraw(cell, 2)
    lane.release(cell)
    assert lane.reserve(uuid4(), 1) == cell
    lane.offer(cell)
    board.take_over(seen)

    assert not lane.is_taken_over(cell)
    assert [offer.generation for offer in board.offers()] == [seen.generation + 1]


def test_offer_that_changes_while_it_is_read_is_none(board, lane, monkeypatch):
    """A cell that is read while its process takes the task back and starts another is left out."""
    cell = lane.reserve(uuid4(), 1)
    lane.offer(cell)
    read = board.entry

    def read_late(cell):
        lane.withdraw(cell, 2)
        use_again(lane, cell)
        return read(cell)

    monkeypatch.setattr(board, "entry", read_late)

    assert list(board.offers()) == []
