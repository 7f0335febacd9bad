"""Steps of tests that pause queues under real workers."""

from django_tasks.models import WorkerRecord
from django_tasks.store.workers import queues
from tests.worker.ledger import until

DATABASE = "default"


def row_of(worker):
    """Return the row of a worker, once it has one and knows what is paused."""
    rows = WorkerRecord.objects.filter(pid=worker.pid, paused_queues__isnull=False)
    return until(rows.first, f"the row of worker {worker.pid}")


def pause(*names):
    """Pause queues, and wait until all workers say that they leave them out."""
    for name in names:
        queues.pause(DATABASE, "default", name, "someone")
    _await_pauses()


def resume(*names):
    for name in names:
        queues.resume(DATABASE, "default", name)
    _await_pauses()


def _await_pauses():
    expected = ",".join(sorted(queues.paused_names(DATABASE, "default")))
    others = WorkerRecord.objects.exclude(paused_queues=expected)
    until(lambda: not others.exists(), f"all workers to leave out {expected!r}")
