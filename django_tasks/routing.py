"""Which queues a worker serves: names, prefixes and ``*``, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_QUEUE = re.compile(r"[^\s,*\x00-\x1f\x7f\ud800-\udfff]{1,100}")


def is_queue_name(name: object) -> bool:
    """Tell whether `name` may name a queue: up to 100 characters, no space, comma or ``*``."""
    return isinstance(name, str) and _QUEUE.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class QueueSelection:
    """
    An ordered choice of queues, as ``--queues a,mail*,*`` gives it.

    Queues are served in this order: while an earlier one has ready tasks, later ones wait.
    Queues of one pattern are served in the order of their names, turn by turn.
    """

    patterns: tuple[str, ...] = ("*",)

    @classmethod
    def parse(cls, text: str) -> QueueSelection:
        """Read a comma-separated list. Raise ValueError for what can be no queue name."""
        patterns = tuple(part.strip() for part in text.split(",") if part.strip())
        for pattern in patterns:
            name = pattern.removesuffix("*")
            if name and not is_queue_name(name):
                raise ValueError(
                    f"{pattern!r} is no queue name: up to 100 characters without spaces, commas"
                    " or '*' (which may stand alone, or last as in 'mail*')."
                )
        if not patterns:
            raise ValueError("name at least one queue, or '*' for all.")
        return cls(patterns)

    def not_among(self, queue_names: Iterable[str]) -> list[str]:
        """Return the names and prefixes that fit none of `queue_names`."""
        known = list(queue_names)
        return [
            pattern
            for pattern in self.patterns
            if pattern != "*" and not any(self._fits(pattern, name) for name in known)
        ]

    @property
    def only_queue(self) -> str | None:
        """The queue's name when there is just one and no pattern."""
        [first, *rest] = self.patterns
        return first if not rest and not first.endswith("*") else None

    def matches(self, queue_name: str) -> bool:
        """Tell whether this choice serves the queue."""
        return any(self._fits(pattern, queue_name) for pattern in self.patterns)

    def ordered(self, queue_names: list[str], turn: int = 0) -> list[str]:
        """Return those of `queue_names` that are served, in serving order."""
        chosen: list[str] = []
        for pattern in self.patterns:
            fits = sorted(q for q in queue_names if q not in chosen and self._fits(pattern, q))
            start = turn % len(fits) if fits else 0
            chosen += fits[start:] + fits[:start]
        return chosen

    @staticmethod
    def _fits(pattern: str, queue_name: str) -> bool:
        if pattern.endswith("*"):
            return queue_name.startswith(pattern[:-1])
        return queue_name == pattern

    def __str__(self) -> str:
        return ",".join(self.patterns)
