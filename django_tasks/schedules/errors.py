"""What is wrong with a schedule."""

from __future__ import annotations


class InvalidSchedule(ValueError):
    """A schedule that can never be due as it is written. `field`: the column that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class MissingLibrary(InvalidSchedule):
    """A schedule that this host cannot plan; one that has the library can."""
