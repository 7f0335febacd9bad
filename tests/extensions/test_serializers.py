"""A serializer of the settings: arguments and results that JSON does not have."""

import json
import unittest
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from shop.serializers import ShopSerializer

from django_tasks.beat.tick import tick
from django_tasks.conformance import SerializerConformance
from django_tasks.dep14.handler import task_backends
from django_tasks.management.commands.runworker import Command
from django_tasks.models import TaskRecord
from django_tasks.testing import run_pending_tasks
from tests import tasks
from tests.extensions.test_wrong import failure_of
from tests.schedules.steps import overdue

DAY, NOON = date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC)
PRICE = Decimal("12.30")


@pytest.fixture
def use(settings):
    """Return a function that gives the default backend a serializer."""

    def use(path):
        settings.TASKS = {
            "default": {
                "BACKEND": "django_tasks.backends.database.DatabaseBackend",
                "QUEUES": [],
                "OPTIONS": {"serializer": path},
            }
        }

    return use


@pytest.fixture
def shop(use):
    use("shop.serializers.ShopSerializer")


# --- enqueueing, running, reading ---------------------------------------------------------------


@pytest.mark.django_db
def test_values_travel_to_the_body_and_back(shop):
    """The body has them, the result too: before and after it is read again."""
    result = tasks.echo.enqueue(DAY, [PRICE], at={"noon": NOON}, plain=3)
    args, kwargs = [DAY, [PRICE]], {"at": {"noon": NOON}, "plain": 3}
    assert (result.args, result.kwargs) == (args, kwargs)

    run_pending_tasks()

    result = tasks.echo.get_result(result.id)
    assert (result.args, result.kwargs) == (args, kwargs)
    assert result.return_value == [args, kwargs]


@pytest.mark.django_db
def test_rows_have_plain_json_with_the_names_of_arguments(shop):
    """For masks, for the admin, and for whoever reads the table."""
    [result] = tasks.echo.enqueue_many([((), {"price": PRICE})])

    record = TaskRecord.objects.get(pk=result.id)

    assert json.loads(record.kwargs) == {"price": {"__kind__": "decimal", "text": "12.30"}}
    assert result.kwargs == {"price": PRICE}


@pytest.mark.django_db(transaction=True)
def test_tasks_of_schedules_have_plain_arguments(shop):
    """Nobody encodes what a form or the settings give."""
    overdue(task_path=tasks.echo.module_path, args='[1, "x"]')
    tick("default")

    [result] = run_pending_tasks()

    assert result.return_value == [[1, "x"], {}]


@pytest.mark.django_db
def test_what_it_does_not_encode_is_refused_as_ever(shop):
    """With the place of the value."""
    with pytest.raises(TypeError, match=r"args\[1\]' is of type builtins.complex"):
        tasks.echo.enqueue(DAY, 1j)


class CannotEncodeText(ShopSerializer):
    """Fails in a way of its own."""

    def encode(self, value):
        if value == "hello":
            raise LookupError("hunter2")
        return super().encode(value)


@pytest.mark.django_db
def test_result_that_cannot_be_encoded_fails_its_task(use):
    """The body has run: it is not run again, however many attempts it has."""
    use(f"{__name__}.CannotEncodeText")
    result = tasks.greet.using(max_attempts=5).enqueue(name="you", greeting="")
    TaskRecord.objects.update(task_path=tasks.send_mail.module_path, kwargs='{"to": "hello"}')

    run_pending_tasks()

    result.refresh()
    assert result.record_status == "FAILED"
    assert "The serializer cannot encode it: LookupError" in result.errors[0].traceback


# --- settings -----------------------------------------------------------------------------------


class OneWay:
    """Only encodes."""

    def encode(self, value): ...


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("shop.nowhere.Serializer", "which cannot be imported"),
        (f"{__name__}.OneWay", "which lacks decode()"),
        (f"{__name__}.use", "which is not a class"),
    ],
)
def test_wrong_path_is_told_in_one_sentence(use, path, said):
    """E015; enqueueing raises, and a worker does not start."""
    use(path)

    [error] = task_backends["default"].check()

    assert error.id == "django_tasks.E015"
    assert error.msg.startswith(f"TASKS['default']['OPTIONS']['serializer'] is {path!r}, ")
    assert said in error.msg
    with pytest.raises(ImproperlyConfigured):
        tasks.add.enqueue(1, 2)
    command = Command()
    with pytest.raises(CommandError, match="serializer"):
        command._config(vars(command.create_parser("manage.py", "runworker").parse_args([])))


def test_option_that_is_no_path_is_refused(use):
    """A class is not a path: settings are read before apps are."""
    use(ShopSerializer)

    with pytest.raises(ImproperlyConfigured, match="must be the dotted path of a class"):
        tasks.echo.enqueue()


# --- serializers that keep their contract, and such as do not -----------------------------------


class LosesTimes(ShopSerializer):
    def encode(self, value):
        return super().encode(value.date() if isinstance(value, datetime) else value)


class ForgetsTypes(ShopSerializer):
    def decode(self, plain):
        value = super().decode(plain)
        return float(value) if isinstance(value, Decimal) else value


class LooksNotInside(ShopSerializer):
    def decode(self, plain):
        return super().decode(plain) if isinstance(plain, dict) and "__kind__" in plain else plain


class LeavesTuples(ShopSerializer):
    def encode(self, value):
        return ("date", str(value)) if isinstance(value, date) else super().encode(value)


class WrapsAll:
    def encode(self, value):
        return {"value": ShopSerializer().encode(value)}

    def decode(self, plain):
        return ShopSerializer().decode(plain["value"])


class ChangesWhatItIsGiven(ShopSerializer):
    def encode(self, value):
        if isinstance(value, dict):
            for name in value:
                value[name] = super().encode(value[name])
            return dict(value)
        return super().encode(value)


@pytest.mark.parametrize(
    ("wrong", "test", "reason"),
    [
        ("LosesTimes", "values_come_back_equal_and_of_their_type", "datetime.datetime(2026"),
        ("ForgetsTypes", "values_come_back_equal_and_of_their_type", "12.3"),
        ("LooksNotInside", "values_come_back_equal_and_of_their_type", "__kind__"),
        ("LeavesTuples", "what_is_encoded_is_plain_json", "('date', '2026-03-01"),
        ("WrapsAll", "plain_json_comes_through_unchanged", "{'value': None} != None"),
        ("ChangesWhatItIsGiven", "what_was_given_is_not_changed", "__kind__"),
    ],
)
def test_wrong_serializer_fails(wrong, test, reason):
    """The serializer of the document passes them all."""
    said = failure_of(
        SerializerConformance,
        unittest.TestCase,
        f"test_{test}",
        serializer=f"{__name__}.{wrong}",
        values=[DAY, NOON, PRICE],
    )

    assert reason in said
