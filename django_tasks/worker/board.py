"""
Memory that the processes of one worker share: who runs what since when.

The supervisor holds no database connection and a killed process can say nothing any more; from
here the others read what it had claimed, started and finished. Every cell has one writer at a
time: the process of the lane, except for the cancel flags (keeper). The supervisor clears the
pid of a process that died.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

FREE, CLAIMED, STARTED, ENDED = range(4)

if hasattr(time, "CLOCK_BOOTTIME"):

    def clock() -> float:
        """Return seconds that also pass while the machine sleeps, the same in all processes."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
else:  # macOS: monotonic is the nearest
    clock = time.monotonic


def _cells(length: int, size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, max(1, length) * size)).cast("B")


def _small(length: int) -> memoryview[int]:
    return _cells(length, 1)


def _whole(length: int) -> memoryview[int]:
    return _cells(length, 8).cast("q")


def _real(length: int) -> memoryview[float]:
    return _cells(length, 8).cast("d")


class Entry(NamedTuple):
    """A task that a process has claimed and not yet written the end of."""

    id: UUID
    claims: int
    is_started: bool
    started_at: float
    #: When its process is to be killed, 0 for never.
    deadline: float
    is_cancelled: bool
    #: Where it is on the board.
    cell: int


class Board:
    """One lane per process, a number of entries per lane, and a few cells of the worker's own."""

    _LEASE, _SUPERVISOR, _KEEPER, _KEEPER_TICKS, _INTERRUPT, _LISTENING, _BEAT = range(7)
    _ASKED_TO_STOP, _STOPPING, _WANTED, _CONCURRENCY, _PAUSES, _REFUSING = range(7, 13)

    def __init__(self, lanes: int, entries: int) -> None:
        self.lane_count = lanes
        self.entries = entries
        total = lanes * entries
        self._head = _real(13)
        self.pids = _whole(lanes)
        self.processes = _whole(lanes)
        self.finished = _whole(lanes)
        self.beats = _real(lanes)
        self.starved_at = _real(lanes)
        #: Tasks that the process may run at the same time; 0: as many as at the start.
        self.slots = _whole(lanes)
        #: The `pauses` that the process has obeyed.
        self.obeyed = _whole(lanes)
        self.retiring = _small(lanes)
        self.states = _small(total)
        self.cancelled = _small(total)
        self.claims = _whole(total)
        self.started_at = _real(total)
        self.deadlines = _real(total)
        self.ids = _small(total * 16)

    def lane(self, index: int) -> Lane:
        """Return the lane of one process."""
        return Lane(self, index)

    @property
    def lease_until(self) -> float:
        """The `clock()` until which this worker owns its tasks for sure."""
        return float(self._head[self._LEASE])

    @lease_until.setter
    def lease_until(self, value: float) -> None:
        self._head[self._LEASE] = value

    @property
    def is_interrupting(self) -> bool:
        """Whether the grace period is over: running tasks are to stop now."""
        return bool(self._head[self._INTERRUPT])

    def interrupt(self) -> None:
        """Say that running tasks are to stop now."""
        self._head[self._INTERRUPT] = 1.0

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether somebody asked the worker to stop gently."""
        return bool(self._head[self._ASKED_TO_STOP])

    def ask_to_stop(self) -> None:
        """Ask the worker to stop gently."""
        self._head[self._ASKED_TO_STOP] = 1.0

    @property
    def is_stopping(self) -> bool:
        """Whether the worker has begun to stop."""
        return bool(self._head[self._STOPPING])

    def begin_to_stop(self) -> None:
        """Say that the worker has begun to stop."""
        self._head[self._STOPPING] = 1.0

    @property
    def wanted_concurrency(self) -> int:
        """The slots that somebody asked for; 0: nobody did."""
        return int(self._head[self._WANTED])

    @wanted_concurrency.setter
    def wanted_concurrency(self, value: int) -> None:
        self._head[self._WANTED] = value

    @property
    def concurrency(self) -> int:
        """The slots of all processes that there are to be."""
        return int(self._head[self._CONCURRENCY])

    @concurrency.setter
    def concurrency(self, value: int) -> None:
        self._head[self._CONCURRENCY] = value

    @property
    def pauses(self) -> int:
        """How often the keeper has found that other queues are paused; 0: it has not looked yet."""
        return int(self._head[self._PAUSES])

    def note_pauses(self) -> None:
        """Say that other queues are paused than before: processes then read which."""
        self._head[self._PAUSES] += 1

    @property
    def are_pauses_obeyed(self) -> bool:
        """Whether all processes leave out the queues that are paused, or claim nothing yet."""
        obeyed = (self.obeyed[i] for i in range(self.lane_count) if self.pids[i])
        return all(pauses in (0, self.pauses) for pauses in obeyed)

    @property
    def process_count(self) -> int:
        """How many processes there are."""
        return sum(1 for pid in self.pids if pid)

    @property
    def is_listening(self) -> bool:
        """Whether the keeper is woken by the database, so that polling may be rare."""
        return bool(self._head[self._LISTENING])

    @is_listening.setter
    def is_listening(self, value: bool) -> None:
        self._head[self._LISTENING] = float(value)

    @property
    def is_broker_refusing(self) -> bool:
        """Whether the keeper finds that the broker takes nothing in, whatever it hands out."""
        return bool(self._head[self._REFUSING])

    @is_broker_refusing.setter
    def is_broker_refusing(self, value: bool) -> None:
        self._head[self._REFUSING] = float(value)

    @property
    def keeper_ticks(self) -> int:
        """How many rounds the keeper has finished."""
        return int(self._head[self._KEEPER_TICKS])

    def beat_keeper(self, *, finished_round: bool = False) -> None:
        """Say that the keeper lives."""
        self._head[self._KEEPER] = clock()
        if finished_round:
            self._head[self._KEEPER_TICKS] += 1

    def keeper_silence(self) -> float:
        """Return the seconds since the keeper gave a sign of life."""
        return clock() - self._head[self._KEEPER]

    @property
    def is_well(self) -> bool:
        """Whether tasks can be claimed and recorded: the lease holds."""
        return clock() < self.lease_until and self.keeper_ticks > 0

    def beat_scheduler(self) -> None:
        """Say that the beat lives."""
        self._head[self._BEAT] = clock()

    def scheduler_silence(self) -> float:
        """Return the seconds since the beat gave a sign of life."""
        return clock() - self._head[self._BEAT]

    def beat_supervisor(self) -> None:
        """Say that the supervisor lives."""
        self._head[self._SUPERVISOR] = clock()

    def silence(self) -> float:
        """Return for how many seconds the most silent part of the worker has said nothing."""
        beats = [self._head[self._SUPERVISOR], self._head[self._KEEPER]]
        beats += [self.beats[i] for i in range(self.lane_count) if self.pids[i]]
        return clock() - min(beats)


class Lane:
    """The part of the board that belongs to one process."""

    def __init__(self, board: Board, index: int) -> None:
        self.board = board
        self.index = index
        self.base = index * board.entries
        self._free: list[int] = []

    # --- by the supervisor, while no process has the lane -----------------------------------------

    def open(self, process: int) -> None:
        """Clear the lane for a new process."""
        board, end = self.board, self.base + self.board.entries
        board.states[self.base : end] = bytes(board.entries)
        board.cancelled[self.base : end] = bytes(board.entries)
        board.deadlines[self.base : end] = memoryview(bytes(8 * board.entries)).cast("d")
        board.processes[self.index] = process
        board.finished[self.index] = 0
        board.retiring[self.index] = 0
        board.starved_at[self.index] = 0.0
        board.obeyed[self.index] = 0
        board.beats[self.index] = clock()
        self._free = list(range(end - 1, self.base - 1, -1))

    # --- by the process ---------------------------------------------------------------------------

    @property
    def is_retiring(self) -> bool:
        """Whether the supervisor wants the process to stop gently."""
        return bool(self.board.retiring[self.index])

    @property
    def slots(self) -> int:
        """Tasks that the process may run at the same time; 0: as many as at the start."""
        return self.board.slots[self.index]

    def obey(self, pauses: int) -> None:
        """Say that the process leaves out what is paused."""
        self.board.obeyed[self.index] = pauses

    def beat(self) -> None:
        """Say that the process claims and records."""
        self.board.beats[self.index] = clock()

    def reserve(self, task_id: UUID, claims: int) -> int:
        """Note a claim and return its entry."""
        entry = self._free.pop()
        board = self.board
        board.ids[entry * 16 : entry * 16 + 16] = task_id.bytes
        board.claims[entry] = claims
        board.cancelled[entry] = 0
        board.deadlines[entry] = 0.0
        board.states[entry] = CLAIMED
        return entry

    def end(self, entry: int) -> None:
        """Note that the body has ended, if there was one: no limit reaches it any more."""
        if self.board.states[entry] == STARTED:
            self.board.deadlines[entry] = 0.0
            self.board.states[entry] = ENDED

    def release(self, entry: int) -> None:
        """Forget a claim whose end is written."""
        self.board.states[entry] = FREE
        self.board.deadlines[entry] = 0.0
        self._free.append(entry)

    # --- by anybody -------------------------------------------------------------------------------

    def taken(self) -> Iterator[Entry]:
        """Yield what the process has claimed and not yet written the end of."""
        board = self.board
        for offset, state in enumerate(self._states()):
            if state != FREE:
                index = self.base + offset
                yield Entry(
                    id=UUID(bytes=bytes(board.ids[index * 16 : index * 16 + 16])),
                    claims=board.claims[index],
                    is_started=state != CLAIMED,
                    started_at=board.started_at[index],
                    deadline=board.deadlines[index],
                    is_cancelled=bool(board.cancelled[index]),
                    cell=index,
                )

    @property
    def is_running_tasks(self) -> bool:
        """Whether a task has started and its end is not written."""
        states = self._states()
        return STARTED in states or ENDED in states

    @property
    def is_in_a_body(self) -> bool:
        """Whether a task has started and its body has not ended."""
        return STARTED in self._states()

    @property
    def held(self) -> int:
        """How many tasks the process has claimed and not written the end of."""
        states = self._states()
        return len(states) - states.count(FREE)

    def first_deadline(self) -> float:
        """Return the first time at which a task is to be killed, or infinity."""
        deadlines = self.board.deadlines[self.base : self.base + self.board.entries]
        return min((d for d in deadlines if d), default=float("inf"))

    def _states(self) -> bytes:
        return bytes(self.board.states[self.base : self.base + self.board.entries])
