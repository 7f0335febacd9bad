"""
For how long workers that do not know a task have put it back: a mark on the row.

The sum of the pauses counts, not the time since it was enqueued: a row that waited for days for any
worker is looked at for the first time when one comes, perhaps one of an older release.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ...models import TaskRecord
from ...statuses import UNKNOWN_MARK, Status
from ..dialects import status_is
from ..values import Claim, Ending


def mark(claim: Claim, seconds: float) -> str:
    """Return the custom state of a task that was put back for so many seconds in all."""
    return f"{UNKNOWN_MARK}{claim.attempts} {seconds:.0f}"


def is_put_back(ending: Ending) -> bool:
    """Tell whether a task is snoozed because its worker did not know it."""
    return str(ending.fields.get("custom_state")).startswith(UNKNOWN_MARK)


def waited(database: str, claims: Sequence[Claim]) -> dict[UUID, float]:
    """Return for how many seconds each of these tasks was put back before this claim."""
    rows = TaskRecord.objects.using(database).filter(pk__in=[claim.id for claim in claims])
    states = dict(rows.values_list("pk", "custom_state"))
    return {claim.id: _seconds(claim, states.get(claim.id) or "") for claim in claims}


def _seconds(claim: Claim, state: str) -> float:
    """Read a mark. That of an attempt before, which has run meanwhile, does not count."""
    start = f"{UNKNOWN_MARK}{claim.attempts} "
    return float(state.removeprefix(start)) if state.startswith(start) else 0.0


def paths_among_next(database: str, most: int) -> list[str]:
    """Return the path of each task that is marked, among the `most` that are scheduled next."""
    scheduled = TaskRecord.objects.using(database).filter(status_is(Status.SCHEDULED))
    rows = scheduled.order_by("run_after").values_list("task_path", "custom_state")[:most]
    return [path for path, state in rows if state and state.startswith(UNKNOWN_MARK)]
