"""How long finished tasks, and the runs of schedules, are kept, as far as the settings say."""

from __future__ import annotations

from datetime import timedelta

from ...conf import app_settings
from ...definitions.options import LONGEST
from ...statuses import FINAL_STATUSES, Status


def seconds_kept(status: Status) -> float | None:
    """
    Return for how many seconds a task that ended in `status` is kept if it says nothing itself.

    None: for ever. A century at most, so that it stays a date that every database knows. Raise
    ValueError for a status that is not final.
    """
    if status not in FINAL_STATUSES:
        raise ValueError(f"Only finished tasks have a retention, not {status!r}.")
    is_success = status == Status.SUCCESSFUL
    kept = app_settings.RETENTION_SUCCESSFUL if is_success else app_settings.RETENTION_FAILED
    return None if kept is None else min(seconds(kept), LONGEST)


def runs_age() -> float | None:
    """Return the age at which runs of schedules go, in seconds: that of successful tasks."""
    return seconds_kept(Status.SUCCESSFUL)


def seconds(duration: float | timedelta) -> float:
    """Return a duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
