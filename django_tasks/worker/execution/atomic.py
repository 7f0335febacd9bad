"""The transaction that a body and its success share (atomic=True), and what its end means."""

from __future__ import annotations

import logging
import time
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction

from ...conf import app_settings
from ...exceptions import SoftTimeLimitExceeded, TaskControl, TransactionLost
from ...redaction.exceptions import OF_OTHERS, loggable
from ...runtime.faults import is_outage
from ...store.tasks import attempts, transitions
from ...store.values import Claim, Ending
from .context_io import DatabaseProxy
from .failures import exception_path, give_back
from .limits import FROM_OUTSIDE

logger = logging.getLogger("django_tasks.worker")

#: How many seconds a task waits before it runs again, for each time that an outage rolls it back.
#: After so many times the attempt counts, as that of a body that ends its own connection must.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
#: Seconds between two looks at a row while a commit is under way of which nobody hears.
LOOK_INTERVAL = 0.05


class Stage(Enum):
    """How far a transaction has come."""

    BEGINNING = auto()
    RUNNING = auto()
    FINISHING = auto()
    COMMITTING = auto()


class OwnTransaction:
    """The transaction of one run. Use in a `with`, and set its `stage`."""

    def __init__(self, database: str, claim: Claim, proxy: DatabaseProxy) -> None:
        self.database = database
        self.claim = claim
        self.proxy = proxy
        self.stage = Stage.BEGINNING
        self._raw: Any = None
        self._atomic = transaction.atomic(using=database)

    def __enter__(self) -> OwnTransaction:
        connection = connections[self.database]
        if not connection.in_atomic_block and not connection.get_autocommit():
            connection.set_autocommit(True)  # else atomic() would leave the commit to others
        self._atomic.__enter__()
        self._raw = connection.connection
        self.stage = Stage.RUNNING
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._atomic.__exit__(kind, error, tb)

    def is_committed(self, error: BaseException) -> bool:
        """
        Tell whether the commit took effect although it raised `error`.

        Its answer may be lost, or a callback of the body's on_commit() has raised, or somebody
        stopped the thread at that moment.
        """
        if self.stage is not Stage.COMMITTING or not self._is_success_there():
            return False
        if not is_outage(error) and not isinstance(error, FROM_OUTSIDE):
            logger.error(
                "A callback of transaction.on_commit() of task %s failed, after its commit.",
                self.claim.id, exc_info=loggable(error, OF_OTHERS),
                extra={"task_id": str(self.claim.id)},
            )  # fmt: skip
        return True

    def _is_success_there(self) -> bool:
        look = partial(transitions.has_succeeded, self.database, self.claim.id, self.claim.claims)
        until = time.monotonic() + app_settings.LEASE
        while time.monotonic() < until:
            try:
                answer: bool | None = self.proxy.ask(look, wait=True)
            except (DatabaseError, InterfaceError, TimeoutError):
                break
            if answer is not None:
                return answer
            time.sleep(LOOK_INTERVAL)
        return False  # whoever writes the ending learns what is true

    def ending_if_lost(self, error: BaseException, run_time: float) -> Ending | None:
        """
        Return the ending of a task whose transaction was lost by no fault of its body, else None.

        All that the body wrote is rolled back then, so it is given back as if it had not run.
        """
        if not self._is_lost(error):
            return None
        times = self._times_lost()
        if times >= len(PAUSES):
            return None
        lost = TransactionLost(
            "The connection to the tasks' database was lost, or it refused to go on; all that the"
            " body had written there is rolled back. It runs again, free of charge."
        )
        lost.__cause__ = error
        return give_back(self.claim, lost, run_time, PAUSES[times])

    def _is_lost(self, error: BaseException) -> bool:
        connection = connections[self.database]
        if connection.closed_in_transaction:
            return False  # by the body itself
        if isinstance(error, (TaskControl, SoftTimeLimitExceeded, *FROM_OUTSIDE)):
            return False  # says itself what becomes of the task
        if self.stage is not Stage.RUNNING and is_outage(error):
            return True  # in a statement around the body
        # Whatever the error was made into: rolling back has failed, and Django has let go of it.
        return self.stage is not Stage.BEGINNING and connection.connection is not self._raw

    def _times_lost(self) -> int:
        path = exception_path(TransactionLost())
        count = partial(attempts.count, self.database, self.claim.id, self.claim.attempts, path)
        try:
            times: int = self.proxy.ask(count, wait=True)
        except (DatabaseError, InterfaceError, TimeoutError):
            return 0
        return times
