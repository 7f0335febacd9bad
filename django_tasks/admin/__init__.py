"""The admin: one module per screen. For another AdminSite, register these classes there."""

from .overview.screen import OverviewAdmin
from .queues.screen import QueueStateAdmin
from .schedules.screen import ScheduleAdmin
from .tasks.screen import TaskRecordAdmin
from .workers.screen import WorkerRecordAdmin
from .workflows.screen import WorkflowRecordAdmin

__all__ = [
    "OverviewAdmin",
    "QueueStateAdmin",
    "ScheduleAdmin",
    "TaskRecordAdmin",
    "WorkerRecordAdmin",
    "WorkflowRecordAdmin",
]
