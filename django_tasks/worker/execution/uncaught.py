"""Log uncaught exceptions of bodies' threads, and redact what other loggers write of exceptions."""

from __future__ import annotations

import logging
import sys
import threading

from ...redaction.exceptions import OF_OTHERS, are_logged, loggable

logger = logging.getLogger("django_tasks.worker")

#: They are handed a body's exception, or one that was raised beside it: by an asyncio task that
#: nobody awaits, by a receiver that fails, by a task that ends.
_LOGGERS = ("asyncio", "concurrent.futures", "django.dispatch", "django.tasks")
#: asyncio's line goes on with the callback and its arguments.
_IN_CALLBACK = "Exception in callback"


def keep_texts_out_of_logs() -> None:
    """From now on this process writes no texts of such exceptions, unless they are allowed."""
    if are_logged():
        return
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_texts)
    if threading.excepthook is threading.__excepthook__:  # the project has none of its own
        threading.excepthook = _log_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable


def log_uncaught(where: str, exception: BaseException | None) -> None:
    """Log what nobody caught."""
    shown = None if exception is None else loggable(exception, OF_OTHERS)
    logger.error("Nobody caught what was raised in %s.", where, exc_info=shown)


def _without_texts(record: logging.LogRecord) -> bool:
    """Take the texts of exceptions out of a record, and let it pass."""
    if record.exc_info and record.exc_info[1] is not None:
        shown = loggable(record.exc_info[1], OF_OTHERS)
        record.exc_info = type(shown), shown, shown.__traceback__
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(value).__name__ if isinstance(value, BaseException) else value
            for value in record.args
        )
    if record.name == "asyncio":
        # The lines after the first show futures, which show what they raised.
        text = str(record.msg).partition("\n")[0]
        record.msg = _IN_CALLBACK if text.startswith(_IN_CALLBACK) else text
    return True


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    if not issubclass(failed.exc_type, SystemExit):  # as Python's own hook
        name = "a thread" if failed.thread is None else f"thread {failed.thread.name}"
        log_uncaught(name, failed.exc_value)


def _log_unraisable(failed: sys.UnraisableHookArgs) -> None:
    where = getattr(failed.object, "__qualname__", type(failed.object).__qualname__)
    log_uncaught(str(where), failed.exc_value)
