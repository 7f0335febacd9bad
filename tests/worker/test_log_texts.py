"""The text of a traceback in a record: made fast, and only where nobody makes another one."""

import io
import logging
from logging.handlers import MemoryHandler
from uuid import uuid4

import pytest

from django_tasks.statuses import AttemptOutcome
from django_tasks.store.values import Attempt, Claim, Ending, EndingKind
from django_tasks.worker.reporting import logs
from tests.test_tracebacks import in_context, raised_by


class OneLine(logging.Formatter):
    def formatException(self, exc_info):
        return repr(super().formatException(exc_info))


class Marked(logging.Formatter):
    def format(self, record):
        return f"{record.exc_text} {super().format(record)}"


class Unformatted:
    def format(self, record):
        return f"unformatted {record.exc_text}"


def handler(formatter=None):
    made = logging.StreamHandler(io.StringIO())
    made.setFormatter(formatter)
    return made


def logged(handlers, exc_info, parents=None):
    """Log with these handlers; return the text in the record before the first formats it."""
    seen = []
    handlers[0].addFilter(lambda record: not seen.append(record.exc_text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs.logger, "handlers", handlers)
        patch.setattr(logs.logger, "propagate", parents is not None)
        patch.setattr(logs.logger.parent, "handlers", parents or [])
        patch.setattr(logs.logger.parent, "propagate", False)
        logs.logger.error("failed", exc_info=exc_info)
    (text,) = seen
    return text


def standard(exception):
    return logging.Formatter().formatException(
        (type(exception), exception, exception.__traceback__)
    )


@pytest.mark.parametrize("formatter", [None, logging.Formatter("%(levelname)s %(message)s")])
def test_plain_formatters_find_the_text_that_they_would_make(formatter):
    plain, error = handler(formatter), raised_by(in_context)

    text = logged([plain], error)

    assert text == standard(error)
    assert plain.stream.getvalue().endswith(f"failed\n{text}\n")


@pytest.mark.parametrize("formatter", [OneLine(), Marked(), Unformatted(), logs.LineFormatter()])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_other_formatters_make_their_own(formatter, is_wrapped):
    other, error = handler(formatter), raised_by(in_context)
    exc_info = type(error), error, error.__traceback__
    record = logging.LogRecord("tests", logging.ERROR, __file__, 1, "failed", (), exc_info)

    text = logged([MemoryHandler(1, target=other) if is_wrapped else other, handler()], error)

    assert text is None
    assert other.stream.getvalue() == f"{formatter.format(record)}\n"


def test_handlers_of_higher_levels_are_not_asked():
    deaf = handler(OneLine())
    deaf.setLevel(logging.CRITICAL)

    assert logged([handler(), deaf], raised_by(in_context)) is not None


def test_handlers_of_parents_are_asked():
    error = raised_by(in_context)

    assert logged([handler()], error, parents=[handler()]) is not None
    assert logged([handler()], error, parents=[handler(OneLine())]) is None


def test_text_of_the_line_formatter_is_the_standard_one_indented():
    error = raised_by(in_context)
    made = logs.LineFormatter().formatException((type(error), error, error.__traceback__))

    assert made == "\n".join(f"    {line}" for line in standard(error).split("\n"))


def test_exceptions_that_are_not_there_do_not_matter():
    assert logged([handler()], (None, None, None)) == "NoneType: None"


def test_tracebacks_of_others_are_shown():
    """exc_info may come with another traceback than its exception has."""
    error, other = raised_by(in_context), raised_by(lambda: 1 / 0)
    exc_info = type(error), error, other.__traceback__

    assert logged([handler()], exc_info) == logging.Formatter().formatException(exc_info)


def test_hostile_exceptions_are_left_to_the_handler():
    class Hostile(Exception):
        @property
        def __cause__(self):
            raise RuntimeError

    told, plain = [], handler()
    plain.handleError = told.append

    assert logged([plain], Hostile()) is None
    assert len(told) == 1


class Config:
    worker_id = uuid4()


CLAIM = Claim(uuid4(), "app.tasks.pay", "[]", "{}", "default", 0, 1, None, 0, 0, 1, False)
BODY = Attempt(outcome=AttemptOutcome.ERROR)


class Hostile(Exception):
    @property
    def __cause__(self):
        raise RuntimeError


def endings():
    """Return an ending of each kind, with exceptions that are alone, chained and said badly."""
    errors = [raised_by(in_context), raised_by(lambda: 1 / 0), ValueError("a\nb\x1b[2J\r"), None]
    return [
        (
            CLAIM._replace(id=uuid4(), task_path="app.pay\n" * (n % 2) + "é"),
            Ending.of(CLAIM, kind, BODY, delay=n),
            error,
        )
        for kind in EndingKind
        for n, error in enumerate(errors)
    ] + [(CLAIM, Ending.of(CLAIM, EndingKind.RELEASE), None)]


def only_handler(monkeypatch):
    """
    Set the loggers up as runworker does where the project's LOGGING says nothing.

    Not a fixture: pytest adds handlers of its own between those and the test.
    """
    own = logs.WorkerHandler()
    own.stream = io.StringIO()
    parent = logging.getLogger("django_tasks")
    monkeypatch.setattr(logs.logger, "handlers", [])
    monkeypatch.setattr(logs.logger, "_cache", {})
    monkeypatch.setattr(parent, "handlers", [own])
    monkeypatch.setattr(parent, "propagate", False)
    monkeypatch.setattr(parent, "level", logging.INFO)
    monkeypatch.setattr(logs, "_time", lambda: "12:00:00")
    monkeypatch.setattr(own.formatter, "formatTime", lambda *args: "12:00:00")
    return own


@pytest.mark.parametrize("are_shown", [False, True])
def test_batch_of_endings_is_the_text_of_the_formatter(monkeypatch, settings, are_shown):
    """Byte for byte, whatever the exceptions say, and with their texts only if they may be said."""
    own = only_handler(monkeypatch)
    settings.DJANGO_TASKS = {"LOG_EXCEPTION_TEXT": are_shown}
    batch = endings()
    logs.log_endings(batch, Config)
    at_once = own.stream.getvalue()
    own.stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_only_handler", lambda level: None)
        logs.log_endings(batch, Config)

    assert at_once == own.stream.getvalue()
    assert at_once.count("12:00:00 ") == len(batch) - 1
    assert ("division by zero" in at_once) == are_shown
    assert "\x1b" not in at_once


def test_batch_makes_no_records(monkeypatch):
    own = only_handler(monkeypatch)
    monkeypatch.setattr(logging.Logger, "makeRecord", None)

    logs.log_endings(endings(), Config)

    assert "failed" in own.stream.getvalue()


def other_handler(patch, heard):
    other = handler()
    other.emit = heard.append
    patch.setattr(logs.logger.parent, "handlers", [*logs.logger.parent.handlers, other])


def added_filter(patch, heard):
    patch.setattr(logs.logger, "filters", [*logs.logger.filters, heard.append])


def patched_logger(patch, heard):
    told = logging.Logger.callHandlers

    def overheard(self, record):
        heard.append(record)
        return told(self, record)

    patch.setattr(logging.Logger, "callHandlers", overheard)


@pytest.mark.parametrize("listening", [other_handler, added_filter, patched_logger])
def test_others_that_listen_get_records(monkeypatch, listening):
    """Handlers and filters of the project, and Sentry, which replaces a method of Logger."""
    only_handler(monkeypatch)
    heard = []
    listening(monkeypatch, heard)
    batch = endings()

    logs.log_endings(batch, Config)

    assert [record.task_id for record in heard] == [str(claim.id) for claim, _, _ in batch[:-1]]


def test_hostile_exception_takes_no_line_with_it(monkeypatch):
    own, told = only_handler(monkeypatch), []
    monkeypatch.setattr(own, "handleError", told.append)
    failed = Ending.of(CLAIM, EndingKind.FAIL, BODY)
    monkeypatch.setattr(logs, "loggable", lambda exception: exception)

    logs.log_endings([(CLAIM, failed, Hostile()), (CLAIM, failed, ValueError())], Config)

    assert len(told) == 1
    assert own.stream.getvalue().count("app.tasks.pay") == 1
