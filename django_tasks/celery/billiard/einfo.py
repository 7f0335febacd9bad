"""What hooks and signals are told of an exception."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import Any

__all__ = ["ExceptionInfo", "ExceptionWithTraceback"]


class ExceptionInfo:
    """
    An exception and its traceback as text.

    `exc_info`: as of sys.exc_info(); None: the exception that is being handled.
    """

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        kind, exception, tb = exc_info or sys.exc_info()
        self.type: type[BaseException] | None = kind
        self.exception: BaseException | None = exception
        self.tb: TracebackType | None = tb
        self.internal = internal
        self.traceback = "".join(traceback.format_exception(kind, exception, tb))

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


class ExceptionWithTraceback(Exception):
    """Kept for isinstance(): exceptions are handed on as they are."""
