"""A page that takes the database too long says so; what people do with tasks has its time."""

import pytest
from django.db import connection
from django.db.models import TextField
from django.db.models.expressions import RawSQL

from django_tasks.admin import TaskRecordAdmin, time_limit
from django_tasks.models import TaskRecord
from tests.control_room.test_task_list import root  # noqa: F401
from tests.test_admin import LIST, make

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="no server that could give up"),
]

SLEEP, LIMIT = {
    "postgresql": ("pg_sleep(30)::text", "current_setting('statement_timeout')"),
    "mysql": ("SLEEP(30)", "@@max_statement_time"),
}.get(connection.vendor, ("", ""))


@pytest.fixture(autouse=True)
def limited(monkeypatch):
    monkeypatch.setattr(time_limit, "SECONDS", 1.0)


def limit():
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {LIMIT}")
        return cursor.fetchone()[0]


def slow(rows):
    return rows.annotate(slow=RawSQL(SLEEP, [], output_field=TextField()))


def test_page_that_takes_too_long_says_so(root, monkeypatch):  # noqa: F811
    """Where the rows are asked for while the page is rendered, as lists do."""
    make()
    before = limit()
    monkeypatch.setattr(TaskRecordAdmin, "get_queryset", lambda *_: slow(TaskRecord.objects.all()))

    response = root.get(LIST)

    assert response.status_code == 503
    assert "The database did not answer within 1 seconds." in response.content.decode()
    monkeypatch.undo()
    assert root.get(LIST).status_code == 200
    assert limit() == before


def test_view_that_takes_too_long_says_so(root, monkeypatch):  # noqa: F811
    """Where the view itself asks, as the page of a task does."""
    record = make()
    monkeypatch.setattr(TaskRecordAdmin, "get_queryset", lambda *_: slow(TaskRecord.objects.all()))

    assert root.get(f"{LIST}{record.pk}/change/").status_code == 503
