"""The list of tasks: what its filters and its search find, and how far it looks."""

import json
import random
import re
from copy import copy
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_tasks import ids
from django_tasks.admin.tasks import window
from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from tests.rows_read import rows_read
from tests.test_admin import LIST, NOW, client_with, make

pytestmark = pytest.mark.django_db

#: Beside at most six by which a page limits its time: three for the view, three for its template.
MOST_QUERIES = 15 + 6


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def small_windows(monkeypatch):
    """Let a list look at five tasks only."""
    monkeypatch.setattr(window, "LOOKED_AT", 5)
    monkeypatch.setattr(window, "FIRST", 5)


def listed(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200, response
    return list(response.context["cl"].result_list)


def made(moment, **fields):
    """Store a task that was enqueued then."""
    task_id = UUID(int=ids.first_at(moment).int + random.getrandbits(60))
    return make(id=task_id, enqueued_at=moment, **fields)


def link_to_older(client, **query):
    html = client.get(LIST, query).content.decode()
    [link] = re.findall(r'class="task-window">[^<]*<a href="([^"]+)"', html)
    return link.replace("&amp;", "&")


# --- filters -------------------------------------------------------------------------------------


def test_tasks_are_found_by_when_they_were_enqueued(root):
    now = datetime.now(UTC)
    new = made(now - timedelta(minutes=5))
    older = made(now - timedelta(hours=2))
    oldest = made(now - timedelta(days=3))

    assert listed(root, enqueued="10m") == [new]
    assert listed(root, enqueued="24h") == [new, older]
    assert listed(root, enqueued="7d") == [new, older, oldest]
    assert listed(root, enqueued="nonsense") == [new, older, oldest]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tenant=acme", {"a", "c"}),
        (" tenant = acme ", {"a", "c"}),
        ("tenant=ac", set()),
        ("tenant=ACME", set()),
        ("size=1", {"a"}),
        ("size=12", {"b"}),
        ("paid=true", {"b"}),
        ("name=Zoë", {"c"}),
        ("urgent", {"a"}),
        ("tenant", {"a", "c"}),
        ("note=a=b", {"b"}),
        ("urgen", set()),
        ("%", set()),
        ('"', set()),
    ],
)
def test_tasks_are_found_by_metadata(root, text, expected):
    """Exactly: neither parts of values, nor what a text only looks like."""
    rows = {
        "a": {"tenant": "acme", "size": 1, "tags": ["urgent", "eu"]},
        "b": {"size": 12, "paid": True, "note": "a=b", "fake": '"tenant":"acme"'},
        "c": {"by": {"tenant": "acme", "name": "Zoë"}},
    }
    names = {
        make(metadata=json.dumps(value, separators=(",", ":"))).pk: name
        for name, value in rows.items()
    }
    make()

    assert {names[record.pk] for record in listed(root, metadata=text)} == expected


def test_metadata_is_no_filter_for_who_may_not_see_it():
    """The answers would tell what it is."""
    make(metadata='{"a":"b"}')
    client = client_with("view_taskrecord")

    assert client.get(LIST, {"metadata": "a=b"}).status_code == 400
    assert 'name="metadata"' not in client.get(LIST).content.decode()
    may_see = client_with("view_taskrecord", "view_payload")
    assert 'name="metadata"' in may_see.get(LIST).content.decode()


def test_metadata_filter_keeps_the_others(root):
    html = root.get(LIST, {"status": "FAILED", "metadata": "a=b", "p": "1"}).content.decode()

    form = re.search(r'<form method="get" class="task-filter">.*?</form>', html, re.DOTALL)[0]
    assert '<input type="hidden" name="status" value="FAILED">' in form
    assert 'value="a=b"' in form
    assert 'name="p"' not in form


# --- how far it looks ----------------------------------------------------------------------------


def test_list_without_filters_shows_all(root, small_windows):
    for _ in range(8):
        make()

    assert len(listed(root)) == 8
    assert len(listed(root, enqueued="1h")) == 8


def test_filtered_list_looks_at_the_newest_and_leads_on(root, small_windows):
    """What is beyond the window is not lost: a link goes on there."""
    now = datetime.now(UTC)
    mail = [
        made(now - timedelta(minutes=n), queue_name="default" if n % 3 else "mail")
        for n in range(12)
    ]

    assert listed(root, queue_name="mail") == [mail[0], mail[3]]
    second = link_to_older(root, queue_name="mail")
    assert list(root.get(LIST + second).context["cl"].result_list) == [mail[6], mail[9]]
    third = re.search(r'class="task-window">[^<]*<a href="([^"]+)"', _html(root, second))[1]
    last = root.get(LIST + third.replace("&amp;", "&"))
    assert list(last.context["cl"].result_list) == []
    assert "task-window" not in last.content.decode()


def _html(client, query):
    return client.get(LIST + query).content.decode()


def test_failed_tasks_are_found_however_old_they_are(root, small_windows):
    """Their window counts failed and cancelled ones only."""
    now = datetime.now(UTC)
    old = made(now - timedelta(days=30), status=Status.FAILED)
    cancelled = made(now - timedelta(days=31), status=Status.CANCELLED)
    for _ in range(8):
        make(Status.SUCCESSFUL)

    assert listed(root, status="FAILED") == [old]
    assert listed(root, status="CANCELLED", queue_name="default") == [cancelled]


@pytest.mark.parametrize("status", [Status.READY, Status.SCHEDULED, Status.RUNNING])
def test_unfinished_tasks_are_found_however_old_they_are(root, small_windows, status):
    old = made(datetime.now(UTC) - timedelta(days=30), status=status)
    for _ in range(8):
        make(Status.SUCCESSFUL)

    assert listed(root, status=status) == [old]


def test_scheduled_tasks_beyond_the_window_are_those_due_last(root, small_windows):
    due = [make(Status.SCHEDULED) for _ in range(7)]
    for hours, record in enumerate(due):
        moment = datetime.now(UTC) + timedelta(hours=10 - hours)
        TaskRecord.objects.filter(pk=record.pk).update(run_after=moment)

    response = root.get(LIST, {"status": "SCHEDULED"})

    assert set(response.context["cl"].result_list) == set(due[2:])
    assert "looks at the 5 tasks that come first" in response.content.decode()


def test_ids_are_found_beyond_the_window(root, small_windows):
    old = made(datetime.now(UTC) - timedelta(days=300))
    for _ in range(8):
        make()

    assert listed(root, q=str(old.pk)) == [old]
    assert listed(root, q=str(old.pk)[:12], queue_name="default") == [old]


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "FAILED", "queue_name": "default", "enqueued": "7d", "metadata": "a=b"},
        {"status": "READY", "q": "pay"},
        {"q": "01900000"},
    ],
)
def test_queries_of_the_list(root, query):
    for _ in range(3):
        make()
    root.get(LIST)

    with CaptureQueriesContext(connection) as queries:
        assert root.get(LIST, query).status_code == 200

    assert len(queries) <= MOST_QUERIES
    assert not any("DISTINCT" in query["sql"] for query in queries)


@pytest.mark.parametrize("status", ["READY", "SCHEDULED", "RUNNING", "FAILED"])
def test_statistics_of_yesterday_do_not_make_a_list_of_a_status_slow(root, status):
    """As of all that were enqueued since: a few rows per task that the list looks at."""
    many = 2000
    store(make(Status.SUCCESSFUL), many)
    analyze()
    store(make(status, run_after=NOW, worker_id=uuid4()), many)
    root.get(LIST)

    with rows_read() as read:
        assert len(listed(root, status=status, enqueued="1h")) == 100

    steps = 5 if connection.vendor == "sqlite" else 1
    assert read.rows < 10 * steps * many


def store(record, count):
    """Store `count` rows like this one."""
    for row in (rows := [copy(record) for _ in range(count)]):
        row.pk = ids.uuid7()
    TaskRecord.objects.bulk_create(rows)


def analyze():
    """Let the planner know; MySQL and MariaDB commit by it, and look into indexes themselves."""
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="plans of SQLite")
@pytest.mark.parametrize("status", ["READY", "SCHEDULED", "RUNNING", "FAILED", "CANCELLED"])
def test_lists_of_a_status_use_its_index(root, status):
    """A scan of the table would take seconds with a million finished tasks."""
    make(Status(status))

    with CaptureQueriesContext(connection) as queries:
        root.get(LIST, {"status": status})

    for query in queries:
        if "django_tasks_taskrecord" in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"), [])
                plan = [row[3] for row in cursor.fetchall()]
            assert "SCAN django_tasks_taskrecord" not in plan
            assert any("django_tasks_" in step and "INDEX" in step for step in plan)
