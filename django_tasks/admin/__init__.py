"""The admin: one module per screen. For another AdminSite, register these classes there."""

from .overview import OverviewAdmin
from .queues import QueueStateAdmin
from .schedules import ScheduleAdmin
from .tasks import TaskRecordAdmin
from .workers import WorkerRecordAdmin

__all__ = [
    "OverviewAdmin",
    "QueueStateAdmin",
    "ScheduleAdmin",
    "TaskRecordAdmin",
    "WorkerRecordAdmin",
]
