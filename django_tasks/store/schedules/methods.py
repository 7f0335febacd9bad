"""What the methods of schedules do, as `models.schedules.ScheduleStore` has it."""

from __future__ import annotations

from ..databases import task_database
from .dynamic import edit, enable, schedule
from .edits import delete, next_slots, pause, run_now, save, set_enabled

__all__ = [
    "delete",
    "edit",
    "enable",
    "next_slots",
    "pause",
    "run_now",
    "save",
    "schedule",
    "set_enabled",
    "task_database",
]
