"""Exceptions of other processes, made anew of what their attempts have stored."""

from __future__ import annotations

import builtins
import re
import sys
from contextlib import suppress
from typing import Any


def exception_of(error: Any) -> BaseException:
    """
    Return the exception of an attempt again, as far as its class and its message tell.

    Of a class that is not loaded here, or that takes other arguments, one of the same name.
    """
    module, _, name = error.exception_class_path.rpartition(".")
    message = _message_in(error.traceback, error.exception_class_path)
    found = getattr(sys.modules.get(module), name, None) or getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, Exception):
        with suppress(Exception):  # its arguments are its own: show its name all the same
            return found(message) if message else found()
    made: BaseException = type(name or "Exception", (Exception,), {"__module__": module})(message)
    return made


#: What stands between the exceptions of a traceback.
_BETWEEN = re.compile("\n\n(?:The above exception was|During handling of)")


def _message_in(traceback: str, path: str) -> str:
    """Return what the exception at the end of a traceback says."""
    names = (path, path.removeprefix("builtins."), path.rpartition(".")[2])
    lines = traceback.rstrip().split("\n")
    for start in range(len(lines) - 1, -1, -1):
        for name in names:
            if lines[start].startswith(f"{name}: "):
                said = "\n".join([lines[start][len(name) + 2 :], *lines[start + 1 :]])
                return _BETWEEN.split(said)[0]
    return ""
