"""Remember how far a process has claimed in a queue, so that no claim walks over it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from ...runtime.time_share import pause_after
from ..values import Claim

#: Seconds after which a claim looks at a queue from its front again.
RESCAN_INTERVAL = 0.5

#: A place in a queue's order: a task's negative priority, and its id.
Place = tuple[int, UUID]


class Range(NamedTuple):
    """
    A part of a queue's order.

    `beyond`: the place behind which it begins; None: at the front. `until`: the last negative
    priority in it; None: it goes on to the end.
    """

    beyond: Place | None = None
    until: int | None = None


class QueueCursor:
    """
    Where the next claim in a queue begins.

    It goes on behind the last task that was claimed. Every RESCAN_INTERVAL it begins at the front
    again, in one of two ways. A whole look finds whatever is ready, and walks over all that was
    claimed as long as somebody holds a snapshot open: so it must not take more than its SHARE. In
    between, looks leave out what was passed in each priority. They find newcomers, whose ids are
    larger, and priorities not seen before, but not what comes back (retried, promoted) with the id
    that it had. Times are those of time.monotonic().
    """

    def __init__(self) -> None:
        #: Per negative priority, the largest id that was claimed.
        self._passed: dict[int, UUID] = {}
        self._place: Place | None = None
        self._is_over = False
        self._rescan_at = 0.0
        self._whole_look_at = 0.0
        #: Whether nothing is left out of the present look.
        self.is_whole = True

    @property
    def range(self) -> Range | None:
        """What to look at next; None: it came to the end."""
        if self._is_over:
            return None
        following = self._following
        return Range(self._place, None if following is None else following - 1)

    @property
    def leaves_out(self) -> bool:
        """Whether a look that is not whole leaves anything out."""
        return bool(self._passed)

    @property
    def _following(self) -> int | None:
        """The next negative priority of which something is left out."""
        if self.is_whole:
            return None
        turns = (turn for turn in self._passed if self._place is None or turn > self._place[0])
        return min(turns, default=None)

    def advance(self, taken: Sequence[Claim], *, is_full: bool) -> None:
        """Note what was `taken` in the present range, in order; `is_full`: more may be in it."""
        following = self._following
        for claim in taken:
            turn = -claim.priority
            self._passed[turn] = max(claim.id, self._passed.get(turn, claim.id))
            self._place = turn, claim.id
        if is_full:
            return
        if following is None:
            self._is_over = True
        else:
            self._place = following, self._passed[following]

    def may_look_at_all(self, now: float) -> bool:
        """Tell whether a whole look would keep to its share."""
        return now >= self._whole_look_at

    def begin(self, now: float) -> bool:
        """Go on, or begin at the front if it is time to; return whether it does."""
        self._is_over = False
        if now < self._rescan_at:
            return False
        self.start_over(whole=self.may_look_at_all(now))
        return True

    def start_over(self, *, whole: bool) -> None:
        """Begin at the front, leaving out what was passed unless the look is to be `whole`."""
        self.is_whole = whole
        self._is_over = False
        self._place = None

    def looked(self, now: float, cost: float, *, is_rescan: bool, queues: int) -> None:
        """
        Plan the next looks after one that ended `now`; `is_rescan`: it began at the front.

        `cost`: the seconds that it took longer than usual. `queues`: so many share what whole
        looks may take.
        """
        pause = pause_after(cost)
        if is_rescan:
            self._rescan_at = now + RESCAN_INTERVAL
        if self.is_whole:
            self._whole_look_at = max(now, self._whole_look_at) + pause * queues
        elif is_rescan:
            self._rescan_at = now + max(RESCAN_INTERVAL, pause)
