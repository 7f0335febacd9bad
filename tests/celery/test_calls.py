"""Calling tasks, and what their bodies are told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from django_tasks.celery import states
from django_tasks.models import TaskRecord
from django_tasks.testing import run_pending_tasks
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def run():
    run_pending_tasks(include_scheduled=True)


def row(result):
    return TaskRecord.objects.get(pk=result.native_id)


def test_delay():
    result = tasks.add.delay(1, y=2)
    assert result.state == states.PENDING
    assert not result.ready()
    run()
    assert result.state == "SUCCESS"
    assert result.get() == 3
    assert result.successful() and not result.failed()
    assert row(result).task_path == "tests.celery.tasks.add"


def test_request():
    result = tasks.about.apply_async((1,), {"x": 2}, queue="mail", headers={"user": "ada"})
    run()
    told = result.get()
    assert told == {
        "id": result.id,
        "args": [1],
        "kwargs": {"x": 2},
        "retries": 0,
        "called_directly": False,
        "is_eager": False,
        "headers": {"user": "ada"},
        "queue": "mail",
        "parent_id": None,
        "root_id": result.id,
        "hostname": told["hostname"],
        "task": "tests.celery.tasks.about",
    }


def test_an_argument_named_context():
    result = tasks.takes_context.delay(context=1, other=2)
    run()
    assert result.get() == [1, 2]


def test_hooks():
    tasks.Hooked.calls.clear()
    result = tasks.hooked.delay(1)
    run()
    assert result.get() == 1
    assert [call[0] for call in tasks.Hooked.calls] == [
        "before_start", "on_retry", "after_return", "before_start", "on_success", "after_return",
    ]  # fmt: skip
    tasks.Hooked.calls.clear()
    result = tasks.hooked.delay(9)
    run()
    assert result.state == "FAILURE"
    assert repr(result.result) == repr(tasks.Gone("gone"))
    assert [call[0] for call in tasks.Hooked.calls][-2:] == ["on_failure", "after_return"]
    assert row(result).attempts == 3


def test_retry_with_other_arguments():
    result = tasks.other_arguments.delay("a", b=1)
    run()
    assert result.get() == [[1, 2], {"x": 3}]


VALUES = [
    datetime(2026, 1, 2, 3, tzinfo=UTC), Decimal("1.10"), UUID(int=7), timedelta(hours=1), {1, 2},
    b"\xff", b"text", [1, {"a": datetime(2026, 1, 1).date()}],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_values(value):
    result = tasks.echo.delay(value)
    run()
    assert result.get() == value
