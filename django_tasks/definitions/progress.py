"""How far a task is, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass

from .. import serializers


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task is. `total` may be unknown (None)."""

    done: float
    total: float | None = None
    message: str = ""

    @property
    def percent(self) -> float | None:
        """0 to 100, or None while the total is unknown."""
        if not self.total:
            return None
        return round(min(max(100 * self.done / self.total, 0), 100), 1)

    @classmethod
    def from_json(cls, text: str | None) -> Progress | None:
        """Read what `ProgressReporter.set` wrote."""
        if not text:
            return None
        done, total, message = serializers.loads(text)
        return cls(done=done, total=total, message=message)
