"""Records of the tasks that schedules enqueue, and the rows of `ScheduleRun` beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from ... import instrumentation
from ...definitions import propagation
from ...ids import uuid7
from ...instrumentation import Batch, Event, TaskEvent
from ...models import TaskRecord
from ...signals import has_listeners, task_enqueued
from ...statuses import Status
from ..tasks import enqueue, policy, publishing
from ..tasks.ready import wake
from .calls import ScheduledCall


def record_of(
    call: ScheduledCall,
    now: datetime,
    *,
    run_after: datetime | None = None,
    expires_at: datetime | None = None,
) -> TaskRecord:
    """
    Build the record of one call: READY, or SCHEDULED when `run_after` is ahead of `now`.

    `now` is the database's: it makes the id, too, so that tasks of a machine whose clock is wrong
    run in their turn. `expires_at` None: the task's own, counted from `now`. Nothing is captured:
    it runs the same whoever enqueues it, a beat or somebody in the admin.
    """
    task = call.task
    is_due = run_after is None or run_after <= now
    return TaskRecord(
        id=uuid7(now),
        task_path=task.module_path,
        queue_name=task.queue_name,
        priority=task.priority,
        status=Status.READY if is_due else Status.SCHEDULED,
        backend=call.backend.alias,
        args=call.args,
        kwargs=call.kwargs,
        metadata=propagation.metadata_text(task.metadata, {}),
        max_attempts=task.max_attempts,
        **policy.of(task),
        run_after=run_after,
        expires_at=expires_at or _own_expiry(call, now),
        enqueued_at=now,
        attempts=0,
        claims=0,
        lost=0,
        cancel_requested=False,
    )


def _own_expiry(call: ScheduledCall, now: datetime) -> datetime | None:
    expires = call.task.expires
    if expires is None or isinstance(expires, datetime):
        return expires
    return now + (expires if isinstance(expires, timedelta) else timedelta(seconds=expires))


def hand_out(database: str, made: Iterable[tuple[ScheduledCall, TaskRecord]]) -> None:
    """Wake the workers of these tasks' queues, or point to the tasks, when they are committed."""
    ready, later = [], False
    for call, record in made:
        if record.status == Status.READY:
            ready.append((call.backend.broker, record))
        else:
            later = True
    queues = {(broker, record.queue_name) for broker, record in ready}
    wake(database, {queue_name for broker, queue_name in queues if broker.wakes(queue_name)})
    publishing.publish_again(database, [record.pk for _, record in ready])
    if later:
        publishing.expect(database)


def tell_subscribers(made: Sequence[tuple[ScheduledCall, TaskRecord]]) -> None:
    """Tell the subscribers of `instrumentation` of tasks that are stored and committed."""
    if not instrumentation.subscribers():
        return
    for backend in {call.backend for call, _ in made}:
        events = [
            TaskEvent(
                record.pk,
                record.task_path,
                record.queue_name,
                record.priority,
                enqueued_at=record.enqueued_at,
                run_after=record.run_after,
            )
            for call, record in made
            if call.backend is backend
        ]
        instrumentation.tell(Batch(Event.ENQUEUED, backend.alias, events))


def send_enqueued(database: str, made: Sequence[tuple[ScheduledCall, UUID]]) -> None:
    """Send task_enqueued for tasks that were stored, if somebody listens."""
    for backend in {call.backend for call, _ in made}:
        if has_listeners(task_enqueued, type(backend)):
            ids = [task_id for call, task_id in made if call.backend is backend]
            backend.send_enqueued(enqueue.load_many(database, ids))
