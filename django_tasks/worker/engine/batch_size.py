"""Choose how many tasks a process claims at a time, and how often it polls."""

from __future__ import annotations

import math

from ...conf import app_settings

#: Seconds after being woken at which a process looks once more: see brokers.database.WINDOW.
TRAILING_LOOK = 0.06
FIRST_POLL = 0.01
#: Seconds that an outcome waits for others to be written with it.
FLUSH_AFTER = 0.005
#: Outcomes that are written at once.
FLUSH_AT = 100


class BatchSize:
    """
    Sizes claims by the recent run time of tasks.

    Fast tasks are claimed by the hundred, as that many cost little more than one; slow ones one
    per slot, so that none waits in a busy process while another is idle.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.largest = app_settings.BATCH_SIZE
        self.budget = app_settings.BATCH_SECONDS
        self.average: float | None = None

    def observe(self, run_time: float) -> None:
        """Take a run time into the average: quickly when tasks get slower, slowly when faster."""
        if self.average is None:
            self.average = run_time
        else:
            weight = 0.3 if run_time > self.average else 0.05
            self.average += (run_time - self.average) * weight

    @property
    def target(self) -> int:
        """How many tasks to hold: running and next."""
        if self.average is None:
            return self.slots
        per_slot = self.budget / max(self.average, 1e-6)
        ahead = min(math.ceil(self.slots * (per_slot - 1)), 2 * self.largest - self.slots)
        return max(self.slots, self.slots + ahead)

    @property
    def refill_level(self) -> int:
        """How many may be held for a claim to be worth a statement."""
        target = self.target
        return target - max(1, (target - self.slots) // 2)

    def room(self, held: int) -> int:
        """How many to claim while `held` are held; 0 until it is worth a statement."""
        if held > self.refill_level:
            return 0
        return min(self.target - held, self.largest)

    def is_in_a_rush(self, held: int) -> bool:
        """Whether outcomes come so fast that a wake-up for each would cost more than the tasks."""
        return self.average is not None and self.average < FLUSH_AFTER and held > self.slots

    def outcomes_to_wake_for(self, held: int, waiting: int) -> int:
        """How many outcomes shall end a sleep while `waiting` others are not written yet."""
        if not self.is_in_a_rush(held):
            return 1
        return max(1, min(FLUSH_AT - waiting, held - self.refill_level))


class PollPace:
    """
    When an idle process looks into the table again.

    With wake-ups: once soon after the last find, then every POLL_INTERVAL. Without: at growing
    intervals.
    """

    def __init__(self) -> None:
        self.longest = app_settings.POLL_INTERVAL
        self._delay = FIRST_POLL

    def found(self) -> None:
        """Start anew: there was work."""
        self._delay = FIRST_POLL

    def next_delay(self, *, is_listening: bool) -> float:
        """Return the seconds until the next look."""
        if is_listening:
            delay = TRAILING_LOOK if self._delay < TRAILING_LOOK else self.longest
            self._delay = self.longest
            return min(delay, self.longest)
        delay = min(self._delay, self.longest)
        self._delay = min(self._delay * 1.5, self.longest)
        return delay
