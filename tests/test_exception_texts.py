"""Stand-ins for exceptions: what they keep, what they leave out, and what cannot disturb them."""

import logging
import traceback

import pytest
from django.db import DataError, IntegrityError, OperationalError
from django.test import override_settings

from django_tasks.redaction.exceptions import (
    MOST,
    OF_OTHERS,
    OF_TASK,
    loggable,
    loggable_fault,
    summary,
)

CANARY = "".join(["can", "ary"])


class Custom(Exception):
    """As hostile as an exception can be that Python still lets through."""

    @property
    def __cause__(self):
        raise RuntimeError(CANARY)

    @property
    def args(self):
        raise RuntimeError(CANARY)

    def __str__(self):
        raise RuntimeError(CANARY)

    def __setattr__(self, name, value):
        raise RuntimeError(CANARY)


def raised(exception, cause=None):
    """Return an exception with a traceback."""
    try:
        raise exception from cause
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error


def text(exception):
    return "".join(traceback.format_exception(exception))


def test_types_places_and_chain_are_kept():
    """Only the last line of each exception changes."""
    real = raised(RuntimeError("one"), raised(KeyError("two"), raised(Custom("three"))))
    real.add_note(CANARY)

    shown = loggable(real)

    assert type(shown).__qualname__ == "RuntimeError"
    assert type(shown).__module__ == "builtins"
    assert shown.__traceback__ is real.__traceback__
    assert shown.__cause__.__cause__.__traceback__ is not None
    lines = text(shown)
    assert lines.count("in raised") == 3
    assert lines.count("direct cause") == 2
    for line in (f"RuntimeError: {OF_TASK}", f"KeyError: {OF_TASK}"):
        assert line in lines
    assert f"{__name__}.Custom: {OF_TASK}" in lines
    for said in ("one", "two", "three", CANARY):
        assert f": {said}" not in lines and f"'{said}'" not in lines


def test_context_is_kept_unless_it_is_suppressed():
    def fail(*, suppressed):
        try:
            raise ValueError(CANARY)
        except ValueError:
            if suppressed:
                raise TypeError(CANARY) from None
            raise TypeError(CANARY)  # noqa: B904

    for suppressed in (True, False):
        with pytest.raises(TypeError) as caught:
            fail(suppressed=suppressed)
        lines = text(loggable(caught.value))
        assert ("ValueError" in lines) is not suppressed
        assert f": {CANARY}" not in lines


@pytest.mark.parametrize("kind", [ExceptionGroup, BaseExceptionGroup])
def test_groups_keep_their_members(kind):
    strange = KeyboardInterrupt if kind is BaseExceptionGroup else OSError
    real = raised(kind(CANARY, [raised(strange(CANARY)), ExceptionGroup(CANARY, [KeyError()])]))

    shown = loggable(real)

    assert isinstance(shown, kind)
    assert isinstance(shown, ExceptionGroup) == (kind is ExceptionGroup)
    assert [type(e).__name__ for e in shown.exceptions] == [strange.__name__, "ExceptionGroup"]
    assert text(shown).count(OF_TASK) == 4
    assert f": {CANARY}" not in text(shown)


def test_details_of_syntax_errors_are_left_out():
    with pytest.raises(SyntaxError) as caught:
        compile(f"{CANARY} = = 1", CANARY, "exec")

    assert CANARY not in text(loggable(caught.value))


def test_cycles_end():
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    group = ExceptionGroup("", [first])
    second.__cause__ = group

    assert text(loggable(group)).count(OF_TASK) == 3


def test_long_chains_end():
    error = ValueError("first")
    for _ in range(3 * MOST):
        following = ValueError()
        following.__context__ = error
        error = following

    assert text(loggable(error)).count(OF_TASK) == MOST


def test_only_exceptions_are_exceptions():
    """A stand-in is caught where the real one was."""
    assert isinstance(loggable(ValueError()), Exception)
    assert not isinstance(loggable(SystemExit()), Exception)


def test_same_types_are_the_same():
    assert type(loggable(ValueError(1))) is type(loggable(ValueError(2)))


@pytest.mark.parametrize(
    ("setting", "debug", "is_logged"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_setting_decides(setting, debug, is_logged):
    """None: while DEBUG is true."""
    error = IntegrityError(CANARY)
    with override_settings(DJANGO_TASKS={"LOG_EXCEPTION_TEXT": setting}, DEBUG=debug):
        assert (loggable(error) is error) is is_logged
        assert (loggable_fault(error) is error) is is_logged
        assert (summary(error) == CANARY) is is_logged


def test_faults_keep_their_text_unless_a_database_quotes_values():
    harmless = raised(RuntimeError("of the worker's own"))
    assert loggable_fault(harmless) is harmless
    for quoting in (IntegrityError(CANARY), DataError(CANARY), OperationalError(1366, CANARY)):
        lines = text(loggable_fault(raised(RuntimeError("of the worker's own"), quoting)))
        assert "RuntimeError: of the worker's own" in lines
        assert OF_OTHERS in lines
        assert CANARY not in lines.replace("CANARY", "")


def test_databases_are_quoted_by_their_codes():
    of_driver = DataError(CANARY)
    of_driver.sqlstate = "22001"
    assert summary(raised(DataError(CANARY), of_driver)) == "DataError 22001"
    assert summary(DataError(1406, CANARY)) == "DataError 1406"
    assert summary(DataError(CANARY)) == "DataError"
    assert summary(OperationalError("server closed the connection")).startswith("server")


def test_odd_arguments_of_exceptions_are_not_compared():
    class Array:
        def __eq__(self, other):
            raise ValueError

    assert text(loggable(ValueError(Array()))).endswith(f"ValueError: {OF_TASK}\n")
    assert loggable_fault(error := ValueError(Array())) is error


def test_loggers_take_stand_ins_as_exceptions(caplog):
    """With the traceback, by a formatter that knows nothing of them."""
    real = raised(ValueError(CANARY))

    logging.getLogger("tests").error("failed", exc_info=loggable(real))

    assert "in raised" in caplog.text
    assert f"ValueError: {OF_TASK}" in caplog.text
    kind, value, tb = caplog.records[0].exc_info
    assert (kind.__name__, tb) == ("ValueError", real.__traceback__)
    assert isinstance(value, kind)
