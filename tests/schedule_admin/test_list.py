"""The list of schedules: what it says and what it costs."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks.models import TaskRecord
from django_tasks.store.schedules import edits
from tests.schedule_admin.steps import LIST, change, saved, send_report, set_columns, text_of
from tests.test_admin import ATTACKS, Elements, make_worker

pytestmark = pytest.mark.django_db


def one_of_each():
    """Save a schedule per state, and return them by its name."""
    rows = {name: saved(name=name) for name in ("enabled", "paused", "disabled", "ended", "error")}
    edits.pause([rows["paused"].pk], datetime(2126, 1, 1, tzinfo=UTC), using="default")
    edits.set_enabled([rows["disabled"].pk], False, using="default")
    set_columns(rows["ended"], next_run_at=None)
    set_columns(rows["error"], error="No task 'a.b'.", enabled=True)
    rows["over"] = saved(name="over")
    set_columns(rows["over"], paused_until=datetime(2020, 1, 1, tzinfo=UTC))
    return rows


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("enabled", {"enabled", "over", "error"}),
        ("paused", {"paused"}),
        ("disabled", {"disabled"}),
        ("ended", {"ended"}),
        ("error", {"error"}),
    ],
)
def test_filter_by_state(root, state, names):
    one_of_each()

    found = root.get(LIST, {"state": state}).context["cl"].result_list

    assert {row.name for row in found} == names


def test_filters_by_kind_and_owner(root):
    saved(name="hourly")
    saved(name="daily", kind="CRONTAB", every=None, crontab="0 7 * * *")
    set_columns(saved(name="code"), owner="CODE")
    set_columns(saved(name="removed"), owner="CODE", is_declared=False)

    def names(**query):
        return {row.name for row in root.get(LIST, query).context["cl"].result_list}

    assert names(kind="CRONTAB") == {"daily"}
    assert names(owner="CODE") == {"code", "removed"}
    assert names(owner="REMOVED") == {"removed"}
    assert names(owner="ADMIN", kind="INTERVAL") == {"hourly"}
    assert names(q="dail") == {"daily"}
    assert names(q=send_report.module_path) == {"hourly", "daily", "code", "removed"}


@pytest.mark.parametrize("query", ["state=x", "owner=x", "kind=x", "kind=a%00b", "p=999", "o=9.-1"])
def test_odd_addresses_do_not_break_the_list(root, query):
    saved()
    assert root.get(f"{LIST}?{query}", follow=True).status_code == 200


def test_each_state_is_told_in_words(root):
    one_of_each()

    text = text_of(root.get(LIST))

    for words in ("Enabled", "Paused for", "Disabled", "Ended", "Failing No task 'a.b'."):
        assert words in text
    assert "Every 1 hour" in text


def test_the_last_run_has_its_outcome_and_a_link(root):
    row = saved()
    result = edits.run_now(row.pk, using="default")
    TaskRecord.objects.update(status="FAILED", finished_at=datetime.now(UTC))

    html = root.get(LIST).content.decode()

    assert (
        f'<a href="/admin/django_tasks/taskrecord/{result.id}/change/"><span class="task-badge'
        in html
    )
    assert ">Failed</span></a>" in html
    TaskRecord.objects.all().delete()
    assert "deleted since" in text_of(root.get(LIST))


def test_queries_do_not_grow_with_the_rows(root):
    """Nor does anything count the tasks."""
    saved()
    root.get(LIST)  # content types and the like are cached by now
    with CaptureQueriesContext(connection) as few:
        root.get(LIST)
    for _ in range(20):
        edits.run_now(saved().pk, using="default")

    with CaptureQueriesContext(connection) as many:
        root.get(LIST)

    assert len(many) == len(few)
    own = [q["sql"] for q in many if "django_tasks_" in q["sql"]]
    assert len(own) == 3, own  # a look for beats, the count of schedules, the schedules
    about_tasks = [sql for sql in own if "django_tasks_taskrecord" in sql]
    assert len(about_tasks) == 1 and "COUNT(" not in about_tasks[0]


def test_it_warns_when_no_beat_is_running(root):
    assert "No beat is running" not in text_of(root.get(LIST))  # and nothing to be enqueued
    saved()
    assert "No beat is running" in text_of(root.get(LIST))
    make_worker(pool="prefork")
    assert "No beat is running" in text_of(root.get(LIST))

    make_worker(pool="beat")

    assert "No beat is running" not in text_of(root.get(LIST))


def test_stored_text_never_becomes_markup(root):
    """Whatever a row holds, its pages have the same elements and attributes."""

    def pages(text):
        row = set_columns(saved(name=f"x{text}"), owner="CODE", declared='{"overlap": "SKIP"}')
        edits.run_now(row.pk, using="default")
        set_columns(
            row,
            task_path=text,
            args=text,
            kwargs=text,
            description=text,
            queue_name=text,
            backend=text,
            crontab=text,
            solar_event=text[:24],
            timezone=text,
            overlap=text[:16],
            error=text,
        )
        root.post(f"{LIST}{row.pk}/do/", {"deed": "disable"})
        urls = [LIST, change(row), *(f"{LIST}{row.pk}/{page}/" for page in ("runs", "history"))]
        responses = [root.get(url) for url in urls]
        responses.append(root.post(f"{LIST}{row.pk}/do/", {"deed": "run_now"}))
        assert {response.status_code for response in responses} == {200}
        row.delete()
        return [response.content.decode() for response in responses]

    plain = [Elements(html).found for html in pages("plain text")]
    for attack in ATTACKS:
        for html, expected in zip(pages(attack), plain, strict=True):
            assert Elements(html).found == expected


def test_pages_have_no_inline_scripts_or_styles(root):
    """They work under a strict Content-Security-Policy."""
    row = saved()
    answers = [root.get(url) for url in (LIST, change(row), f"{LIST}add/", f"{LIST}{row.pk}/runs/")]
    answers.append(root.post(f"{LIST}{row.pk}/do/", {"deed": "pause"}))

    for answer in answers:
        html = answer.content.decode()
        assert not re.search(
            r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", html
        )
        assert "<style" not in html
        assert not re.search(r"<[^>]+\s(style|on\w+)=", html)


def test_next_runs_sort(root):
    late, soon = saved(name="a", every=86400.0), saved(name="b", every=60.0)
    set_columns(late, next_run_at=datetime.now(UTC) + timedelta(days=1))

    columns = root.get(LIST).context["cl"].list_display
    order = str(columns.index("next"))

    assert list(root.get(LIST, {"o": order}).context["cl"].result_list) == [soon, late]
