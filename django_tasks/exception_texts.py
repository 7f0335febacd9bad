"""
Exceptions as a log may have them: with their types and places, without what they say.

What a body raises quotes what it worked on: arguments, rows, addresses. With LOG_EXCEPTION_TEXT off
the log gets a stand-in for the exception, and for each one behind it: of a type with the same name,
with the real traceback. So every formatter and Sentry find what they know, and group by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings

from .conf import app_settings
from .refusals import is_refusal, number_of

#: What stands for the text of what a body raised, and of what others did.
OF_TASK = "(text not logged: see the task in the admin)"
OF_OTHERS = "(text not logged: LOG_EXCEPTION_TEXT is off)"

#: Exceptions of one chain or group that get a stand-in; those behind them are left out.
MOST = 100

# The slots of BaseException itself: no code of a subclass runs.
_cause = vars(BaseException)["__cause__"].__get__
_context = vars(BaseException)["__context__"].__get__
_suppresses_context = vars(BaseException)["__suppress_context__"].__get__
_traceback = vars(BaseException)["__traceback__"].__get__
_members = vars(BaseExceptionGroup)["exceptions"].__get__

#: PEP 249's names, which drivers and Django share, of errors whose text quotes values of rows.
_QUOTING = {"DataError", "IntegrityError"}


def are_logged() -> bool:
    """Tell whether texts of exceptions go to the log."""
    chosen = app_settings.LOG_EXCEPTION_TEXT
    return settings.DEBUG if chosen is None else chosen


def loggable(exception: BaseException, instead: str = OF_TASK) -> BaseException:
    """Return `exception`, or its stand-in with `instead` in the place of each text."""
    return exception if are_logged() else _Chain(lambda _: instead).stand_in(exception)


def loggable_fault(exception: BaseException) -> BaseException:
    """
    Return an exception of the worker's own code as the log may have it.

    It is needed to find the fault, and quotes nothing, unless a database said what it refused.
    """
    if are_logged():
        return exception
    quoting: list[BaseException] = []

    def text_of(error: BaseException) -> str:
        if not _quotes(error):
            return str(error)
        quoting.append(error)
        return OF_OTHERS

    stand_in = _Chain(text_of).stand_in(exception)
    return stand_in if quoting else exception


def summary(error: BaseException) -> str:
    """Return what a database said; its code alone where the text may quote values."""
    if are_logged() or not _quotes(error):
        return str(error)
    return f"{type(error).__name__} {_code_of(error)}".rstrip()


def _quotes(error: BaseException) -> bool:
    is_named_so = any(base.__name__ in _QUOTING for base in type(error).__mro__)
    return is_named_so or is_refusal(error)


def _code_of(error: BaseException) -> str:
    """Return the code by which the documentation of the database tells what was wrong."""
    of_driver = error.__cause__ or error
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        if code := getattr(of_driver, name, None):
            return str(code)
    return str(number_of(error) or "")


class _Chain:
    """Makes the stand-ins of an exception and of all that it came from."""

    def __init__(self, text_of: Callable[[BaseException], str]) -> None:
        self._text_of = text_of
        self._made: dict[int, BaseException | None] = {}

    def stand_in(self, exception: BaseException) -> BaseException:
        """Return the stand-in; whatever is wrong with the chain, at least of the last exception."""
        return self._made_of(exception) or _bare(exception, OF_OTHERS)

    def _made_of(self, exception: BaseException | None) -> BaseException | None:
        """Return the stand-in. None ends a cycle, and a chain that is too long."""
        if exception is None:
            return None
        key = id(exception)
        if key in self._made or len(self._made) >= MOST:
            return self._made.get(key)
        self._made[key] = None  # until it is ready
        made = self._with_members(exception)
        is_suppressed = _suppresses_context(exception)
        made.__cause__ = self._made_of(_cause(exception))
        made.__context__ = None if is_suppressed else self._made_of(_context(exception))
        made.__suppress_context__ = is_suppressed
        self._made[key] = made
        return made

    def _with_members(self, exception: BaseException) -> BaseException:
        kind, text = type(exception), self._text(exception)
        if issubclass(kind, BaseExceptionGroup):
            found = [self._made_of(member) for member in _members(exception)]
            members = [member for member in found if member is not None]
            if members:
                base = ExceptionGroup if issubclass(kind, Exception) else BaseExceptionGroup
                group = _type_like(kind.__name__, kind.__qualname__, kind.__module__, base)
                made: BaseException = group(text, members)
                return made.with_traceback(_traceback(exception))
        return _bare(exception, text)

    def _text(self, exception: BaseException) -> str:
        try:
            return self._text_of(exception)
        except Exception as error:  # noqa: BLE001 - a __str__ may raise anything
            return f"(its text cannot be read: {type(error).__name__})"


def _bare(exception: BaseException, text: str) -> BaseException:
    """Return an exception of the same name, place and kind that says `text`."""
    kind = type(exception)
    base = Exception if issubclass(kind, Exception) else BaseException
    made: BaseException = _type_like(kind.__name__, kind.__qualname__, kind.__module__, base)(text)
    return made.with_traceback(_traceback(exception))


@lru_cache(maxsize=256)
def _type_like(name: str, qualname: str, module: str, base: type[BaseException]) -> Any:
    return type(name, (base,), {"__module__": module, "__qualname__": qualname})
