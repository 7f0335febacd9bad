"""Control requests to workers: written to their rows, read by their keepers."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db.models import CharField, IntegerField, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from ...models import QueueState, WorkerRecord
from ..dialects import DatabaseNow
from .leases import BEAT
from .queues import notify_keepers


class RequestRefused(Exception):
    """A worker cannot do what was asked of it; the text says why."""


class ControlRequests(NamedTuple):
    """What is asked of one worker now."""

    #: The queues of its backend that are paused.
    paused: frozenset[str] = frozenset()
    is_to_stop: bool = False
    #: The slots that it is to have; None: as many as it has.
    concurrency: int | None = None
    #: Who asked for the stop, and for the slots.
    stop_by: str = ""
    concurrency_by: str = ""


_NO_TEXT = Value("", CharField())
_NO_NUMBER = Value(None, IntegerField())


def read(database: str, backend: str, worker_id: UUID) -> ControlRequests:
    """Return what is asked of a worker of this backend, by one statement."""
    # Without an order: parts of a union may have none.
    own = WorkerRecord.objects.using(database).filter(pk=worker_id).order_by()
    paused = QueueState.objects.using(database).paused().filter(backend=backend).order_by()
    rows = own.values_list(
        _NO_TEXT, "stop_requested_at", "wanted_concurrency", "stop_requested_by", "wanted_by"
    ).union(
        paused.values_list("queue_name", "paused_at", _NO_NUMBER, _NO_TEXT, _NO_TEXT),
        all=True,
    )
    requested, names = ControlRequests(), set()
    for queue_name, moment, concurrency, stop_by, concurrency_by in rows.order_by():
        if queue_name:
            names.add(queue_name)
        else:  # the worker's own row
            is_to_stop = moment is not None
            requested = ControlRequests(
                frozenset(), is_to_stop, concurrency, stop_by, concurrency_by
            )
    return requested._replace(paused=frozenset(names))


def ask_to_stop(database: str, worker_id: UUID, by: str = "") -> bool:
    """
    Ask a worker to stop gently, as SIGTERM does; return False when it stops already.

    Raise RequestRefused when it is not there any more, or is a beat.
    """
    able = _alive(database, worker_id).filter(is_stopping=False, stop_requested_at=None)
    if able.update(stop_requested_at=DatabaseNow(), stop_requested_by=by[:255]):
        notify_keepers(database)
        return True
    _check_alive(database, worker_id)
    return False


def ask_for_concurrency(database: str, worker_id: UUID, concurrency: int, by: str = "") -> bool:
    """
    Ask a worker to have so many slots; return False when it has them, or was asked before.

    Raise RequestRefused when it is not there any more, is stopping, or cannot have so many.
    """
    able = _alive(database, worker_id).filter(
        is_stopping=False, stop_requested_at=None, max_concurrency__gte=concurrency
    )
    # An applied request stays in the row, so the slots count only where there is none.
    others = able.annotate(aim=Coalesce("wanted_concurrency", "concurrency")).exclude(
        aim=concurrency
    )
    if concurrency >= 1 and others.update(wanted_concurrency=concurrency, wanted_by=by[:255]):
        notify_keepers(database)
        return True
    _check_scalable(_check_alive(database, worker_id), concurrency)
    return False


def _alive(database: str, worker_id: UUID) -> QuerySet[WorkerRecord]:
    rows = WorkerRecord.objects.using(database).filter(pk=worker_id, expires_at__gt=DatabaseNow())
    return rows.exclude(pool=BEAT)


def _check_alive(database: str, worker_id: UUID) -> WorkerRecord:
    """Return the worker's row. Raise RequestRefused without one that can be asked."""
    worker = WorkerRecord.objects.using(database).filter(pk=worker_id).first()
    if worker is None:
        raise RequestRefused(_("Worker %s is not there any more.") % worker_id)
    if worker.pool == BEAT:
        raise RequestRefused(_("%s is a beat, which cannot be asked from afar.") % worker)
    if not _alive(database, worker_id).exists():
        raise RequestRefused(
            _("%s is dead: its last heartbeat is too long ago, and its tasks are rescued.") % worker
        )
    return worker


def _check_scalable(worker: WorkerRecord, concurrency: int) -> None:
    if worker.is_stopping or worker.stop_requested_at is not None:
        raise RequestRefused(_("%s is stopping.") % worker)
    most = worker.max_concurrency
    if most is None and worker.pool == "solo":
        raise RequestRefused(_("%s has the pool solo, which runs one task at a time.") % worker)
    if most is None:
        raise RequestRefused(
            _("%s scales itself (--autoscale): restart it to change that.") % worker
        )
    if not 1 <= concurrency <= most:
        words = {"worker": worker, "most": most, "wanted": concurrency}
        raise RequestRefused(
            _("%(worker)s can have 1 to %(most)d slots while it runs, not %(wanted)d.") % words
        )
