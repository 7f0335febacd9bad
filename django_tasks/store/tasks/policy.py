"""
The policy that a task's row carries: whoever sweeps may run other code, or none.

The code of a task speaks when the task is enqueued, and its words travel on the row (`COLUMNS`).
Whoever finishes the task makes a moment of its `result_ttl`, `prune_after`, and who prunes goes by
that. Rows that say nothing are kept as the settings of who prunes say.
"""

from __future__ import annotations

from typing import Any

from ...definitions.protocols import AnyTask
from .retention import seconds

#: Columns that only rows of tasks that say something have set.
COLUMNS = ("result_ttl", "on_lost")


def of(task: AnyTask) -> dict[str, Any]:
    """Return the columns that carry the policy of `task`; nothing where it has the defaults."""
    columns: dict[str, Any] = {}
    if task.result_ttl is not None:
        columns["result_ttl"] = seconds(task.result_ttl)
    if task.on_lost != "retry":
        columns["on_lost"] = task.on_lost
    return columns


def restored(known: AnyTask, result_ttl: float | None, on_lost: str | None) -> dict[str, Any]:
    """Return the options of a stored task that its columns say, in the words of `known` code."""
    is_same = known.result_ttl is not None and seconds(known.result_ttl) == result_ttl
    return {
        "result_ttl": known.result_ttl if is_same else result_ttl,
        "on_lost": on_lost or "retry",
    }
