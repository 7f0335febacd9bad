"""Pause and resume queues. The only writer of their states."""

from __future__ import annotations

from ...models import QueueState
from ..dialects import CONTROL_REQUEST, DatabaseNow
from ..tasks import publishing
from ..tasks.ready import wake


def pause(database: str, backend: str, queue_name: str, by: str = "") -> bool:
    """Pause a queue; return False when it was paused already: it stays as it was."""
    pausing = {"paused_at": DatabaseNow(), "paused_by": by[:255], "changed_at": DatabaseNow()}
    rows = QueueState.objects.using(database)
    row, is_new = rows.get_or_create(
        backend=backend,
        queue_name=queue_name,
        defaults={**pausing, "created_at": DatabaseNow()},
    )
    is_changed = is_new or bool(rows.filter(pk=row.pk, paused_at=None).update(**pausing))
    return _notified(database, is_changed)


def resume(database: str, backend: str, queue_name: str) -> bool:
    """Let a queue run again; return False when it was not paused."""
    paused = QueueState.objects.using(database).paused()
    rows = paused.filter(backend=backend, queue_name=queue_name)
    is_changed = bool(rows.update(paused_at=None, paused_by="", changed_at=DatabaseNow()))
    return _notified(database, is_changed)


def paused_names(database: str, backend: str) -> frozenset[str]:
    """Return the queues of a backend that are paused."""
    rows = QueueState.objects.using(database).paused().filter(backend=backend)
    return frozenset(rows.values_list("queue_name", flat=True))


def _notified(database: str, is_changed: bool) -> bool:
    if is_changed:
        notify_keepers(database)
    return is_changed


def notify_keepers(database: str) -> None:
    """Have keepers read control requests soon: at once where something can wake them."""
    wake(database, [CONTROL_REQUEST])
    publishing.expect(database)
