"""The tables of the app."""

from .overview import Overview
from .queues import QueueState
from .rollups import Rollup, RollupMark
from .schedules import Schedule, ScheduleRun
from .tasks import TaskAttempt, TaskRecord, WorkerRecord
from .workflows import WorkflowEdge, WorkflowJoin, WorkflowRecord, WorkflowStep

__all__ = [
    "Overview",
    "QueueState",
    "Rollup",
    "RollupMark",
    "Schedule",
    "ScheduleRun",
    "TaskAttempt",
    "TaskRecord",
    "WorkerRecord",
    "WorkflowEdge",
    "WorkflowJoin",
    "WorkflowRecord",
    "WorkflowStep",
]
