"""
Memory that the processes of one worker share: who runs what since when.

The supervisor holds no database connection and a killed process can say nothing any more; from
here the others read what it had claimed, started and finished. Every cell has one writer: the
process of the lane, except for the cancel flags (keeper) and what the quarantine has taken over
(its process). The supervisor clears the pid of a process that died.

A cell is used again at once, also while somebody decides on what was in it. So each use has a
generation, and whoever writes about a task in another's cell writes the generation it is meant for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from ..runtime.clock import clock

#: What a cell holds. OFFERED is claimed, and waits for the quarantine to take it over.
FREE, CLAIMED, STARTED, ENDED, OFFERED = range(5)

NEVER = float("inf")


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
    #: When its process is to be killed; NEVER also when the body has ended.
    deadline: float
    is_cancelled: bool
    #: Where it is on the board, and which use of that place it is.
    cell: int
    generation: int


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
        self.idle_since = _real(lanes)
        #: Tasks that the process may run at the same time; 0: as many as at the start.
        self.slots = _whole(lanes)
        #: The `pauses` that the process has applied.
        self.applied = _whole(lanes)
        self.retiring = _small(lanes)
        self.states = _small(total)
        #: How often the cell was used.
        self.generations = _whole(total)
        #: The generation that is cancelled, and when its process is to be killed for it.
        self.cancelled = _whole(total)
        self.kill_at = _real(total)
        #: The generation that the quarantine has taken over.
        self.taken_over = _whole(total)
        self.claims = _whole(total)
        self.started_at = _real(total)
        self.deadlines = _real(total)
        self.ids = _small(total * 16)

    def lane(self, index: int) -> Lane:
        """Return the lane of one process."""
        return Lane(self, index)

    @property
    def has_offers(self) -> bool:
        """Whether a process offers a task to the quarantine."""
        return OFFERED in bytes(self.states)

    def offers(self) -> Iterator[Entry]:
        """Yield what is offered to the quarantine, and was when it was read."""
        for cell, state in enumerate(bytes(self.states)):
            entry = self.entry(cell) if state == OFFERED else None
            if entry is None or self.taken_over[cell] == entry.generation:
                continue
            # Its process may have taken it back meanwhile, and have another task in the cell.
            if (self.generations[cell], self.states[cell]) == (entry.generation, OFFERED):
                yield entry

    def entry(self, cell: int) -> Entry:
        """Return what is in a cell."""
        generation = self.generations[cell]  # first: what is read of a later use is not its own
        state = self.states[cell]
        return Entry(
            id=UUID(bytes=bytes(self.ids[cell * 16 : cell * 16 + 16])),
            claims=self.claims[cell],
            is_started=state in (STARTED, ENDED),
            started_at=self.started_at[cell],
            deadline=self.deadline(cell) if state == STARTED else NEVER,
            is_cancelled=self.is_cancelled(cell),
            cell=cell,
            generation=generation,
        )

    def cancel(self, entry: Entry, kill_at: float) -> None:
        """Flag a task as cancelled; its process is killed at `kill_at` if it goes on."""
        self.kill_at[entry.cell] = kill_at
        self.cancelled[entry.cell] = entry.generation

    def is_cancelled(self, cell: int) -> bool:
        """Whether the task that is in the cell now is cancelled."""
        return self.cancelled[cell] == self.generations[cell]

    def deadline(self, cell: int) -> float:
        """Return when the process is to be killed for the body in this cell."""
        own = self.deadlines[cell] or NEVER
        return min(own, self.kill_at[cell]) if self.is_cancelled(cell) else own

    def take_over(self, entry: Entry) -> None:
        """Say that the quarantine has looked after an offered task: its process forgets it."""
        self.taken_over[entry.cell] = entry.generation

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
    def are_pauses_applied(self) -> bool:
        """Whether all processes leave out the queues that are paused, or claim nothing yet."""
        applied = (self.applied[i] for i in range(self.lane_count) if self.pids[i])
        return all(pauses in (0, self.pauses) for pauses in applied)

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
        board.deadlines[self.base : end] = memoryview(bytes(8 * board.entries)).cast("d")
        board.processes[self.index] = process
        board.finished[self.index] = 0
        board.retiring[self.index] = 0
        board.idle_since[self.index] = 0.0
        board.applied[self.index] = 0
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

    def note_applied(self, pauses: int) -> None:
        """Say that the process leaves out what is paused."""
        self.board.applied[self.index] = pauses

    def beat(self) -> None:
        """Say that the process claims and records."""
        self.board.beats[self.index] = clock()

    def reserve(self, task_id: UUID, claims: int) -> int:
        """Note a claim and return its entry."""
        entry = self._free.pop()
        board = self.board
        board.ids[entry * 16 : entry * 16 + 16] = task_id.bytes
        board.claims[entry] = claims
        board.generations[entry] += 1
        board.states[entry] = CLAIMED
        return entry

    @property
    def room(self) -> int:
        """How many more claims can be noted."""
        return len(self._free)

    def is_unstarted(self, entry: int) -> bool:
        """Whether a claim has neither started nor ended."""
        return self.board.states[entry] == CLAIMED

    def offer(self, entry: int) -> None:
        """Offer a claim to the quarantine."""
        self.board.states[entry] = OFFERED

    def withdraw(self, entry: int, claims: int) -> None:
        """Note that an offered task is this process' own again, by a new claim."""
        self.board.states[entry] = CLAIMED  # first: the new claim is not on offer
        self.board.claims[entry] = claims

    def is_taken_over(self, entry: int) -> bool:
        """Whether an offered task is the quarantine's now."""
        return self.board.taken_over[entry] == self.board.generations[entry]

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
        for offset, state in enumerate(self._states()):
            if state != FREE:
                yield self.board.entry(self.base + offset)

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
        """How many tasks the process has claimed for itself and not written the end of."""
        states = self._states()
        return len(states) - states.count(FREE) - states.count(OFFERED)

    def first_deadline(self) -> float:
        """Return the first time at which the process is to be killed for a body, or NEVER."""
        started = (i for i, state in enumerate(self._states(), self.base) if state == STARTED)
        return min(map(self.board.deadline, started), default=NEVER)

    def _states(self) -> bytes:
        return bytes(self.board.states[self.base : self.base + self.board.entries])
