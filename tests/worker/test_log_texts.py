"""The text of a traceback in a record: made fast, and only where nobody makes another one."""

import io
import logging
from logging.handlers import MemoryHandler

import pytest

from django_tasks.worker import logs
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
