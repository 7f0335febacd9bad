"""What a database quotes of rows is in no stored traceback, however an exception is wrapped."""

import pytest
from django.contrib.auth.models import Group
from django.db import DataError, IntegrityError, connection, transaction

from django_tasks.redaction.exceptions import MOST, loggable_fault, summary, without_values
from django_tasks.worker.execution.failures import traceback_text

IBAN = "DE89 3704 0044"
#: Names that a table refuses: on one line, on several, and as a field of PostgreSQL's own.
VALUES = [IBAN, f"first\n{IBAN}\nlast", f"a\nHINT:  {IBAN}", f"it's {IBAN} for key 'b'", f'"{IBAN}']
PLAIN = "could not store the customer"


class Renamed(IntegrityError):
    """A project's own error, as libraries derive them."""


def refused(value):
    """Have the database refuse a row; return its exception, Django's."""
    Group.objects.create(name=value)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Group.objects.create(name=value)
    return caught.value


def raised(exception, cause=None):
    try:
        raise exception from cause
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error


def in_context(error):
    try:
        try:
            raise error
        except IntegrityError:
            raise RuntimeError(PLAIN)  # noqa: B904
    except RuntimeError as wrapped:
        return wrapped


def noted(error):
    wrapped = RuntimeError(PLAIN)
    wrapped.add_note(f"The database said: {error}")
    wrapped.add_note("a note of one's own")
    return wrapped


SHAPES = {
    "as it is": lambda error: error,
    "the driver's own": lambda error: raised(error.__cause__),
    "raised from": lambda error: raised(RuntimeError(PLAIN), error),
    "raised from the driver's": lambda error: raised(KeyError(PLAIN), error.__cause__),
    "raised meanwhile": in_context,
    "three deep": lambda error: raised(OSError(PLAIN), raised(ValueError(PLAIN), error)),
    "in a group": lambda error: raised(ExceptionGroup(PLAIN, [ValueError(PLAIN), error])),
    "in a group in a group": lambda error: raised(
        BaseExceptionGroup(PLAIN, [ExceptionGroup(PLAIN, [error]), KeyboardInterrupt()])
    ),
    "behind a group": lambda error: raised(ExceptionGroup(PLAIN, [raised(OSError(), error)])),
    "repeated": lambda error: raised(RuntimeError(f"{PLAIN}: {error}"), error),
    "repeated by a group": lambda error: raised(ExceptionGroup(f"{PLAIN}: {error}", [error])),
    "renamed": lambda error: raised(Renamed(*error.args), error),
    "in a note": noted,
    "suppressed": lambda error: raised(Renamed(*error.args)),
    "behind very many": lambda error: raised(
        ExceptionGroup(PLAIN, [ValueError(str(i)) for i in range(MOST)] + [error])
    ),
}
#: Without the driver's exception nobody can tell where a value ends in which there is a HINT.
GUESSED = {"in a note", "suppressed"}


@pytest.mark.django_db
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_value_is_in_a_traceback(shape, value):
    """The types, the places and what else was said are."""
    if shape in GUESSED and "HINT" in value:
        pytest.skip("nobody can tell")
    error = refused(value)
    if connection.vendor != "sqlite":
        assert IBAN in str(error).replace("\\", ""), "the database quotes nothing any more"

    text = traceback_text(SHAPES[shape](error))

    assert IBAN not in text
    assert connection.vendor == "sqlite" or shape == "behind very many" or "(hidden)" in text
    if shape not in ("as it is", "the driver's own", "renamed", "suppressed"):
        assert PLAIN in text
    if shape == "in a note":
        assert "a note of one's own" in text
    assert text.count("sub-exception)") == text.count(" (1 sub-exception)")


@pytest.mark.django_db
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_value_is_in_a_fault_that_is_logged(shape, value, settings):
    """Of the worker's own errors, too."""
    settings.DJANGO_TASKS = {"LOG_EXCEPTION_TEXT": False}
    if shape in GUESSED and "HINT" in value:
        pytest.skip("nobody can tell")
    error = refused(value)

    assert IBAN not in traceback_text(loggable_fault(SHAPES[shape](error)))
    assert IBAN not in summary(error)


POSTGRESQL = 'duplicate key value violates "u"\nDETAIL:  Key (name)=(%s) already exists.\n'
MYSQL = "(1062, \"Duplicate entry '%s' for key 'name'\")"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (POSTGRESQL % IBAN, 'duplicate key value violates "u"\nDETAIL:  (hidden)'),
        (
            POSTGRESQL % f"a\n{IBAN}" + "HINT:  Try another.\nLINE 1: x",
            'duplicate key value violates "u"\nDETAIL:  (hidden)\nHINT:  Try another.\nLINE 1: x',
        ),
        (MYSQL % IBAN, "(1062, \"Duplicate entry (hidden) for key 'name'\")"),
        (MYSQL % f"a\n{IBAN} for key 'b", "(1062, \"Duplicate entry (hidden) for key 'name'\")"),
        (MYSQL % 'x"y', "(1062, \"Duplicate entry (hidden) for key 'name'\")"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)  # fmt: skip
def test_what_the_databases_say(said, expected):
    """As both write it, on whichever database this runs."""
    assert str(without_values(IntegrityError(said))) == expected


def test_detail_is_known_in_any_language():
    """The driver knows which part it is; the word before it is the server's."""

    class Diagnosis:
        message_detail = f"Schlüssel »(name)=({IBAN})« existiert bereits."

    of_driver = DataError(f"doppelter Schlüsselwert\nDÉTAIL:  {Diagnosis.message_detail}")
    of_driver.diag = Diagnosis
    by_django = raised(DataError(str(of_driver)), of_driver)
    error = raised(RuntimeError(f"{PLAIN}: {of_driver}"), by_django)

    text = traceback_text(error)

    assert IBAN not in text
    assert text.count("(hidden)") == 3


def test_what_quotes_nothing_is_untouched():
    """No stand-in: notes and the line of a SyntaxError are those of the exception."""
    with pytest.raises(SyntaxError) as caught:
        compile("a = = 1", "file", "exec")
    error = raised(RuntimeError(PLAIN), caught.value)
    error.add_note("why")

    assert without_values(error) is error
    assert "a = = 1" in traceback_text(error)
