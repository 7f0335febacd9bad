"""Recognise the errors of a database that is gone."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError

from ..redaction.refused_values import is_refusal

#: What a lost, read-only, full or deadlocked database raises. The same statement may succeed later.
CONNECTION_ERRORS = (OperationalError, InterfaceError, InternalError)


def is_outage(error: BaseException) -> bool:
    """Tell whether the same statement may succeed later, rather than one of its values be wrong."""
    return isinstance(error, CONNECTION_ERRORS) and not is_refusal(error)
