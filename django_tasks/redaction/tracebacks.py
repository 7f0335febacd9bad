"""
Tracebacks as text, fast where the same failure comes again.

Most of what the standard library spends on a traceback goes to the source line of each frame and
the carets below it. They are the same whenever the same instruction fails, so they are kept.
"""

from __future__ import annotations

import sys
import traceback
from types import CodeType, TracebackType
from typing import Any

#: Frames whose text is kept. Then all are forgotten: no failure needs so many.
MOST_FRAMES = 2048

_HEAD = "Traceback (most recent call last):\n"
#: What has lines or suggestions of its own.
_WITH_OWN_TEXT = (BaseExceptionGroup, SyntaxError, ImportError, NameError, AttributeError)

_Place = tuple[int, int, int]
_frames: dict[_Place, _Frame] = {}


class _Frame(traceback.FrameSummary):
    """
    A frame with its text.

    It holds its code: equal code may come from another file, so the key of a frame has the id of
    the code, which stays its own for as long as the code lives.
    """

    __slots__ = ("code", "text")

    code: CodeType
    text: str


class _Stack(traceback.StackSummary):
    def format_frame_summary(self, frame_summary: Any, **kwargs: Any) -> str:
        return frame_summary.text  # type: ignore[no-any-return]


def text_of(exception: BaseException) -> str:
    """
    Return what `traceback.format_exception` makes of an exception, as one string.

    The source lines are those of the first time that a place failed. Raises what a hostile
    exception raises.
    """
    if hasattr(sys, "tracebacklimit"):
        return "".join(traceback.format_exception(exception))
    if (last_line := _last_line(exception)) is not None:
        stack = _stack_of(exception.__traceback__)
        return "".join([*([_HEAD, *stack.format()] if stack else []), last_line])
    # With no frames: all but the stacks is for the standard library to read.
    formatted = traceback.TracebackException(
        type(exception), exception, exception.__traceback__, limit=0, compact=True
    )
    _fill_stacks(formatted, exception)
    return "".join(formatted.format())


def _last_line(exception: BaseException) -> str | None:
    """Return all that is said behind the stack; None if the standard library may say more."""
    kind = type(exception)
    is_chained = exception.__cause__ is not None or not (
        exception.__context__ is None or exception.__suppress_context__
    )
    if (
        is_chained
        or issubclass(kind, _WITH_OWN_TEXT)
        or getattr(exception, "__notes__", None) is not None
    ):
        return None
    try:
        said = str(exception)
    except BaseException:  # noqa: BLE001 - of whatever kind, the standard library tells of it
        return None
    if type(said) is not str or not isinstance(kind.__module__, str):
        return None
    is_known = kind.__module__ in ("__main__", "builtins")
    name = kind.__qualname__ if is_known else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {said}\n" if said else f"{name}\n"


def _fill_stacks(formatted: traceback.TracebackException, exception: BaseException) -> None:
    """Give the stacks of an exception, and of all behind it, their frames."""
    pending: list[tuple[traceback.TracebackException, Any]] = [(formatted, exception)]
    while pending:
        formatted, error = pending.pop()
        formatted.stack = _stack_of(error.__traceback__)
        if formatted.__cause__ is not None:
            pending.append((formatted.__cause__, error.__cause__))
        if formatted.__context__ is not None:
            pending.append((formatted.__context__, error.__context__))
        if formatted.exceptions is not None:
            pending += zip(formatted.exceptions, error.exceptions, strict=True)


def _stack_of(tb: TracebackType | None) -> _Stack:
    stack = _Stack()
    while tb is not None:
        stack.append(_frame_of(tb))
        tb = tb.tb_next
    return stack


def _frame_of(tb: TracebackType) -> _Frame:
    code = tb.tb_frame.f_code
    place = id(code), tb.tb_lasti, tb.tb_lineno
    frame = _frames.get(place)
    if frame is None:
        if len(_frames) >= MOST_FRAMES:
            _frames.clear()
        frame = _frames[place] = _new_frame(tb)
    return frame


def _new_frame(tb: TracebackType) -> _Frame:
    extracted = traceback.extract_tb(tb, limit=1)
    (summary,) = extracted
    frame = _Frame(summary.filename, summary.lineno, summary.name, lookup_line=False)
    frame.code = tb.tb_frame.f_code
    frame.text = "".join(extracted.format())
    return frame
