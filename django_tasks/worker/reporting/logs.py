"""One log line per transition, with the same keys on each."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime
from types import FunctionType
from typing import Any, NamedTuple, TextIO

from ...redaction.exceptions import loggable
from ...redaction.tracebacks import text_of
from ...runtime.printing import printable
from ...store.tasks import unknown
from ...store.values import Claim, EndingKind, Success
from ..config import WorkerConfig
from .outcomes import OUTCOME_TEXTS, Ended

logger = logging.getLogger("django_tasks.worker")


def _extra(
    claim: Claim, config: WorkerConfig, outcome: str, duration: float | None = None
) -> dict[str, Any]:
    """Return the keys of a line about a task. `duration`: seconds; None: it did not run."""
    return {
        "task_id": str(claim.id),
        "path": printable(claim.task_path),
        "queue": claim.queue_name,
        "attempt": claim.attempts,
        "worker": str(config.worker_id),
        "outcome": outcome,
        "duration": duration,
    }


class LineFormatter(logging.Formatter):
    """Writes a record to one line, and its traceback indented below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))

    def formatException(self, exc_info: Any) -> str:  # noqa: N802 - logging's name
        return _indented(traceback_of(exc_info))


def _indented(text: str) -> str:
    if not text.replace("\n", "").isprintable():
        text = "\n".join(map(printable, text.split("\n")))
    return "    " + text.replace("\n", "\n    ")


class Line(NamedTuple):
    """What the log says of an ending: `shown` is the exception whose traceback follows."""

    level: int
    claim: Claim
    what: str
    shown: BaseException | None
    outcome: str
    #: Seconds that the body ran; None: it did not.
    duration: float | None


class WorkerHandler(logging.StreamHandler[TextIO]):
    """
    The handler of runworker's own output.

    It writes what became of a batch at once: a record for each task, with its stack frame and
    lock, takes longer than a short task. The text is the one that the formatter would make.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))

    def write_successes(self, batch: Iterable[tuple[Claim, Success]]) -> None:
        """Write a line per success."""
        start = f"{_time()} INFO "
        self._write(
            f"{start}{claim.task_path} {claim.id} succeeded in {success.run_time * 1000:.1f} ms\n"
            for claim, success in batch
        )

    def write_lines(self, lines: Iterable[Line]) -> None:
        """Write lines with their tracebacks: all, or none if a hostile exception raises."""
        time = _time()
        self._write([_text(time, line) for line in lines])

    def _write(self, texts: Iterable[str]) -> None:
        text = "".join(texts)
        with self.lock or nullcontext():
            try:
                self.stream.write(text)
                self.flush()
            except (OSError, ValueError):
                return  # a closed terminal or a full disk: a log line is not worth the tasks


class DetailedHandler(logging.StreamHandler[TextIO]):
    """Says with each line when to the millisecond, by which logger and which process."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        text = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s[%(process)d] %(message)s"
        self.setFormatter(LineFormatter(text, "%H:%M:%S"))


def _time() -> str:
    return f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005 - local, as logging's asctime


def _text(time: str, line: Line) -> str:
    level, claim, what, shown, *_ = line
    head = printable(f"{time} {logging.getLevelName(level)} {claim.task_path} {claim.id} {what}")
    if shown is None:
        return f"{head}\n"
    return f"{head}\n{_indented(traceback_of((type(shown), shown, shown.__traceback__)))}\n"


class RootHandler(logging.Handler):
    """Tells the root logger's handlers what they would be told without runworker's own handler."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().callHandlers(record)


def give_traceback(record: logging.LogRecord) -> bool:
    """
    Give a record the text of its traceback, fast, if all that hear of it would make the same.

    A filter that lets everything pass. `exc_text` is where logging.Formatter keeps that text for
    the next handler; formatters that make another one must not find it there.
    """
    if (
        record.exc_info
        and not record.exc_text
        and all(map(_makes_plain_texts, _handlers_of(record)))
    ):
        with suppress(Exception):  # of a hostile exception: the handler meets it, too, and tells
            record.exc_text = traceback_of(record.exc_info)
    return True


def _handlers_of(record: logging.LogRecord) -> Iterator[logging.Handler]:
    """Yield the handlers that a record of our logger goes to."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from (handler for handler in current.handlers if handler.level <= record.levelno)
        current = current.parent if current.propagate else None


def _makes_plain_texts(handler: logging.Handler) -> bool:
    """Tell whether a handler formats as logging does. Wrappers may have any formatter behind."""
    formatter = handler.formatter or _STANDARD
    return isinstance(handler, logging.StreamHandler) and all(
        getattr(getattr(formatter, name, None), "__func__", None)
        is getattr(logging.Formatter, name)
        for name in ("format", "formatException")
    )


def traceback_of(exc_info: Any) -> str:
    """Return what logging.Formatter makes of exc_info."""
    _, exception, tb = exc_info
    if exception is None or exception.__traceback__ is not tb:
        return _STANDARD.formatException(exc_info)
    return text_of(exception).removesuffix("\n")


_STANDARD = logging.Formatter()
logger.addFilter(give_traceback)


def _only_handler(level: int) -> WorkerHandler | None:
    """Return runworker's handler if no other handler or filter is told of a record."""
    parent = logger.parent
    if logger.handlers or logger.filters != [give_traceback] or not logger.propagate:
        return None
    if parent is None or parent.propagate:
        return None
    told = [handler for handler in parent.handlers if handler.level <= level]
    return told[0] if len(told) == 1 and isinstance(told[0], WorkerHandler) else None


def _is_overheard() -> bool:
    """Tell whether somebody has replaced a method of the logger, as Sentry does to find errors."""
    methods = type(logger).handle, type(logger).callHandlers
    return any(
        type(method) is not FunctionType or method.__globals__ is not vars(logging)
        for method in methods
    )


def log_successes(batch: Iterable[tuple[Claim, Success]], config: WorkerConfig) -> None:
    """Log RUNNING to SUCCESSFUL for each task of a batch."""
    if not logger.isEnabledFor(logging.INFO):
        return
    if (handler := _only_handler(logging.INFO)) is not None:
        handler.write_successes(batch)
        return
    for claim, success in batch:
        logger.info(
            "%s %s succeeded in %.1f ms", claim.task_path, claim.id,
            success.run_time * 1000,
            extra=_extra(claim, config, "succeed", success.run_time),
        )  # fmt: skip


def log_claims(claims: Iterable[Claim], config: WorkerConfig) -> None:
    """Log READY to RUNNING for each task of a batch, at the level of details."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for claim in claims:
        logger.debug(
            "%s %s claimed from queue %s, attempt %d", printable(claim.task_path), claim.id,
            printable(claim.queue_name), claim.attempts, extra=_extra(claim, config, "claim"),
        )  # fmt: skip


def log_endings(batch: Iterable[Ended], config: WorkerConfig) -> None:
    """
    Log what became of tasks that did not succeed; failures with their tracebacks.

    Not with what the exceptions say, unless LOG_EXCEPTION_TEXT allows it.
    """
    if not (lines := list(_lines(batch))):
        return
    handler = _only_handler(max(line.level for line in lines))
    if handler is not None and not _is_overheard():
        with suppress(Exception):  # of a hostile exception: logging tells of it
            handler.write_lines(lines)
            return
    for level, claim, what, shown, outcome, duration in lines:
        logger.log(
            level, "%s %s %s", printable(claim.task_path), claim.id, what,
            exc_info=shown, extra=_extra(claim, config, outcome, duration),
        )  # fmt: skip


def _lines(batch: Iterable[Ended]) -> Iterator[Line]:
    for claim, ending, exception in batch:
        if ending.kind is EndingKind.RELEASE and ending.attempt is None:
            continue  # never started: nothing happened
        if ending.kind is EndingKind.SNOOZE and unknown.is_put_back(ending):
            continue  # told by path, not by task
        verb, level, _ = OUTCOME_TEXTS[ending.kind]
        if not logger.isEnabledFor(level):
            continue
        what, shown = verb.format(delay=ending.delay), None
        if exception is not None and level >= logging.WARNING:
            what = f"{what} ({type(exception).__name__})"
            if level >= logging.ERROR:
                shown = loggable(exception)
        duration = ending.attempt.run_time if ending.attempt is not None else None
        yield Line(level, claim, what, shown, ending.kind.value, duration)


def log_late(claim: Claim, config: WorkerConfig) -> None:
    """Log a result that was refused: this process no longer owned the task."""
    logger.warning(
        "%s %s: %s", printable(claim.task_path), claim.id, OUTCOME_TEXTS[EndingKind.LATE].verb,
        extra=_extra(claim, config, EndingKind.LATE.value),
    )  # fmt: skip
