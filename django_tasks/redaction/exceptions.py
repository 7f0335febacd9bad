"""
Exceptions as a log may have them: with their types and places, without what they say.

What a body raises quotes what it worked on: arguments, rows, addresses. With LOG_EXCEPTION_TEXT off
the log gets a stand-in for the exception, and for each one behind it: of a type with the same name,
with the real traceback. So every formatter and Sentry find what they know, and group by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from django.conf import settings

from ..conf import app_settings
from .refused_values import is_refusal, number_of

#: What stands for the text of what a body raised, and of what others did.
OF_TASK = "(text not logged: see the task in the admin)"
OF_OTHERS = "(text not logged: LOG_EXCEPTION_TEXT is off)"
#: What stands for a value of a row that a database quotes.
HIDDEN = "(hidden)"

#: Exceptions of one chain or group that get a stand-in; those behind them are left out.
MOST = 100

# The slots of BaseException itself: no code of a subclass runs.
_cause = vars(BaseException)["__cause__"].__get__
_context = vars(BaseException)["__context__"].__get__
_suppresses_context = vars(BaseException)["__suppress_context__"].__get__
_traceback = vars(BaseException)["__traceback__"].__get__
_members = vars(BaseExceptionGroup)["exceptions"].__get__
_message = vars(BaseExceptionGroup)["message"].__get__

#: PEP 249's names, which drivers and Django share, of errors whose text quotes values of rows.
_QUOTING = {"DataError", "IntegrityError"}
#: Where databases quote values of rows behind a text of their own. A value may have lines.
_QUOTED = re.compile(
    r"""
    (?P<before>^DETAIL:[ ]+).*?(?=\n(?:HINT|QUERY|CONTEXT|LINE\ [0-9]+):|\Z)  # PostgreSQL
    | (?P<entry>Duplicate\ entry\ ).*(?=\ for\ key\ )  # MySQL and MariaDB
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def are_logged() -> bool:
    """Tell whether texts of exceptions go to the log."""
    chosen = app_settings.LOG_EXCEPTION_TEXT
    return settings.DEBUG if chosen is None else chosen


def loggable(exception: BaseException, instead: str = OF_TASK) -> BaseException:
    """Return `exception`, or its stand-in with `instead` in the place of each text."""
    if are_logged():
        return exception
    if _is_alone(exception):
        made = _bare(exception, instead)
        made.__suppress_context__ = _suppresses_context(exception)
        return made
    return _Chain(lambda _: instead).stand_in(exception)


def loggable_fault(exception: BaseException) -> BaseException:
    """
    Return an exception of the worker's own code as the log may have it.

    It is needed to find the fault, and quotes nothing, unless a database said what it refused.
    """
    if are_logged():
        return exception
    hider, _, _ = _hider_of(exception)
    chain = _Chain(lambda error: OF_OTHERS if _quotes(error) else hider.text_of(error))
    stand_in = chain.stand_in(exception)
    is_same = not (hider.has_hidden or chain.is_cut or any(map(_quotes, chain.seen)))
    return exception if is_same else stand_in


def without_values(exception: BaseException) -> BaseException:
    """
    Return `exception`, or its stand-in without the values of rows that a database quotes.

    They are hidden in all that it came from, in groups and in notes, and in the texts of those that
    repeat what a database said; nothing else is.
    """
    hider, behind, is_cut = _hider_of(exception)
    chain = _Chain(hider.text_of, hider.notes_of)
    for error in behind:
        chain.read(error)
    return chain.stand_in(exception) if hider.has_hidden or is_cut else exception


def summary(error: BaseException) -> str:
    """Return what a database said; its code alone where the text may quote values."""
    if are_logged():
        return str(error)
    if not _quotes(error):
        return _Hider().text_of(error)
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


class _Hider:
    """
    Hides the values of rows in texts, and remembers whether there were any.

    `details`: what PostgreSQL said of them, in whatever language the word before it is.
    """

    def __init__(self, details: Iterable[str] = ()) -> None:
        self._details = list(details)
        self.has_hidden = False

    def text_of(self, error: BaseException) -> str:
        """Return what `error` says, without the values."""
        is_group = isinstance(error, BaseExceptionGroup)
        return self._hidden(_message(error) if is_group else str(error))

    def notes_of(self, error: BaseException) -> Iterable[str]:
        """Return its notes, without the values."""
        notes = getattr(error, "__notes__", ())
        return [self._hidden(str(note)) for note in notes] if isinstance(notes, list) else []

    def _hidden(self, text: str) -> str:
        hidden = text
        for detail in self._details:
            hidden = hidden.replace(detail, HIDDEN)
        hidden = _QUOTED.sub(lambda found: f"{found['before'] or found['entry']}{HIDDEN}", hidden)
        self.has_hidden |= hidden != text
        return hidden


def _hider_of(exception: BaseException) -> tuple[_Hider, list[BaseException], bool]:
    """Return what hides all that is behind `exception`, that, and whether there is more of it."""
    if _is_alone(exception):
        return _Hider(filter(None, [_detail_of(exception)])), [exception], False
    behind = _Chain(lambda _: "")
    behind.stand_in(exception)
    return _Hider(filter(None, map(_detail_of, behind.seen))), behind.seen, behind.is_cut


def _is_alone(exception: BaseException) -> bool:
    """Tell whether nothing is behind an exception, as of most."""
    if issubclass(type(exception), BaseExceptionGroup) or _cause(exception) is not None:
        return False
    return _context(exception) is None or _suppresses_context(exception)


def _detail_of(error: BaseException) -> str:
    """Return the detail that PostgreSQL gave: its drivers have it with their own exceptions."""
    try:
        diag = getattr(error, "diag", None)  # whose lack costs less this way than as an error
        detail = None if diag is None else diag.message_detail
    except Exception:  # noqa: BLE001 - other exceptions have none, and may raise anything
        return ""
    return detail if isinstance(detail, str) else ""


class _Chain:
    """Makes the stand-ins of an exception and of all that it came from."""

    def __init__(
        self,
        text_of: Callable[[BaseException], str],
        notes_of: Callable[[BaseException], Iterable[str]] = lambda error: (),
    ) -> None:
        self._text_of = text_of
        self._notes_of = notes_of
        self._made: dict[int, BaseException | None] = {}
        #: Those that have a stand-in, and whether some were left out.
        self.seen: list[BaseException] = []
        self.is_cut = False

    def stand_in(self, exception: BaseException) -> BaseException:
        """Return the stand-in; whatever is wrong with the chain, at least of the last exception."""
        return self._made_of(exception) or _bare(exception, OF_OTHERS)

    def read(self, exception: BaseException) -> None:
        """Read an exception's text and notes, for what `text_of` and `notes_of` find in them."""
        self._text(exception)
        self._notes(exception)

    def _made_of(self, exception: BaseException | None) -> BaseException | None:
        """Return the stand-in. None ends a cycle, and a chain that is too long."""
        if exception is None:
            return None
        key = id(exception)
        if key in self._made:
            return self._made[key]
        if len(self._made) >= MOST:
            self.is_cut = True
            return None
        self._made[key] = None  # until it is ready
        self.seen.append(exception)
        made = self._with_members(exception)
        for note in self._notes(exception):
            made.add_note(note)
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

    def _notes(self, exception: BaseException) -> Iterable[str]:
        try:
            return self._notes_of(exception)
        except Exception:  # noqa: BLE001 - attributes of an exception may be anything
            return ()

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
