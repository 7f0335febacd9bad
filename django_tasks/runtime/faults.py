"""What a database says when it is gone, and when transactions get in each other's way."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError

from ..redaction.refused_values import is_refusal, number_of

#: What a lost, read-only, full or deadlocked database raises. The same statement may succeed later.
CONNECTION_ERRORS = (OperationalError, InterfaceError, InternalError)

#: Codes of PostgreSQL and numbers of MySQL: somebody else has the lock, the server is well.
_LOCK_TIMEOUTS = {"55P03", 1205, 3572}
#: Deadlocks, and what changed since the transaction began.
_CONFLICTS = {"40P01", "40001", 1020, 1213}


def is_outage(error: BaseException) -> bool:
    """Tell whether the same statement may succeed later, rather than one of its values be wrong."""
    return isinstance(error, CONNECTION_ERRORS) and not is_refusal(error)


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether somebody else had locked what the statement needed, for as long as it waited."""
    return isinstance(error, DatabaseError) and not _LOCK_TIMEOUTS.isdisjoint(_codes(error))


def is_conflict(error: BaseException) -> bool:
    """Tell whether the database gave a transaction up for another one: do it again."""
    if not isinstance(error, DatabaseError):
        return False
    is_busy = isinstance(error.__cause__, sqlite3.OperationalError) and "locked" in str(error)
    return is_busy or not _CONFLICTS.isdisjoint(_codes(error))


def _codes(error: DatabaseError) -> set[str | int]:
    """Return PostgreSQL's SQLSTATE and the number of MySQL and MariaDB, as far as there are any."""
    state = getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None)
    return {code for code in (state, number_of(error)) if code is not None}
