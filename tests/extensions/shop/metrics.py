"""Counts how attempts end, and the seconds that tasks wait and run."""

from collections import Counter

from django_tasks.instrumentation import Event

ended = Counter()
waited = Counter()
ran = Counter()


def count(batch):
    if batch.event is Event.CLAIMED:
        for task in batch.tasks:
            if task.attempt == 1 and task.enqueued_at is not None:
                waited[task.queue_name] += (task.claimed_at - task.enqueued_at).total_seconds()
    elif batch.event is Event.ENDED:
        for task in batch.tasks:
            ended[task.task_path, task.outcome] += 1
            ran[task.task_path] += task.run_time or 0.0
