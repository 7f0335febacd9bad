"""What a database says when it is gone."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError

#: What a lost, read-only, full or deadlocked database raises. The same statement may succeed later.
CONNECTION_ERRORS = (OperationalError, InterfaceError, InternalError)

#: MySQL's "incorrect string value", which its driver files under lost connections.
_REFUSED_VALUE = 1366


def is_outage(error: BaseException) -> bool:
    """Tell whether the same statement may succeed later, rather than one of its values be wrong."""
    return isinstance(error, CONNECTION_ERRORS) and error.args[:1] != (_REFUSED_VALUE,)
