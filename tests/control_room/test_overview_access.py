"""The overview: who may see it, on which site, that it is text, and what it costs."""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from django_tasks.admin import (
    OverviewAdmin,
    ScheduleAdmin,
    TaskRecordAdmin,
    WorkerRecordAdmin,
)
from django_tasks.models import Overview, RollupMark, Schedule, TaskRecord, WorkerRecord
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import Status
from tests.conformance.steps import DATABASE, make
from tests.control_room.overview_rows import (
    make_rollup,
    make_schedule,
    make_shop,
    make_worker,
)
from tests.control_room.test_overview import FIGURES, PAGE, SECTIONS, sections_of, words
from tests.schedule_admin.steps import client_with
from tests.test_admin import send

pytestmark = pytest.mark.django_db

#: Beside at most six by which a page limits its time: three for the view, three for its template.
MOST_QUERIES = 15 + 6
HOSTILE = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)>\x1b[31m"

second_site = admin.AdminSite(name="second")
second_site.register(Overview, OverviewAdmin)
second_site.register(Schedule, ScheduleAdmin)
second_site.register(TaskRecord, TaskRecordAdmin)
second_site.register(WorkerRecord, WorkerRecordAdmin)
bare_site = admin.AdminSite(name="bare")
bare_site.register(Overview, OverviewAdmin)

urlpatterns = [
    path("", include("tests.urls")),
    path("second/", second_site.urls),
    path("bare/", bare_site.urls),
]


class Elements(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# --- who may see it ------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PAGE, FIGURES])
def test_page_needs_the_permission_to_see_tasks(url):
    anonymous = Client().get(url)
    assert anonymous.status_code == 302 and "/login/" in anonymous["Location"]
    assert client_with().get(url).status_code == 403
    assert client_with("view_workerrecord", "view_schedule").get(url).status_code == 403
    assert client_with("view_taskrecord").get(url).status_code == 200


def test_index_begins_with_the_overview_for_those_who_may():
    seeing = client_with("view_taskrecord", "view_schedule").get("/admin/").content.decode()
    blind = client_with("view_schedule").get("/admin/").content.decode()

    assert seeing.index(PAGE) < seeing.index("/admin/django_tasks/schedule/")
    assert seeing.index(PAGE) < seeing.index("/admin/django_tasks/taskrecord/")
    assert PAGE not in blind


def test_workers_and_schedules_are_shown_to_those_who_may():
    make_worker()
    make_schedule("hourly", -5)

    plain = sections_of(client_with("view_taskrecord"))
    assert plain.keys() == SECTIONS - {"workers", "schedules"}
    assert "worker" not in plain["summary"] and "beat" not in plain["state"]
    with_workers = sections_of(client_with("view_taskrecord", "view_workerrecord"))
    assert with_workers.keys() == SECTIONS - {"schedules"}
    with_schedules = sections_of(client_with("view_taskrecord", "view_schedule"))
    assert with_schedules.keys() == SECTIONS - {"workers"}


@pytest.mark.parametrize("url", [PAGE, FIGURES])
def test_page_only_shows(root, url):
    """There is nothing to post, to add, to change or to delete."""
    assert root.post(url).status_code == 405
    task_id = make()[0]
    for rest in ("add/", f"{task_id}/change/", f"{task_id}/delete/", f"{task_id}/history/"):
        assert root.get(f"{PAGE}{rest}").status_code == 404


# --- text, sites and price -----------------------------------------------------------------------


def test_hostile_texts_stay_text(root):
    """Names of queues, hosts, tasks and schedules are shown as they are written."""
    worker = make_worker(host=HOSTILE[:200], queues="*")
    make(2, queue_name=HOSTILE[:100])
    make(queue_name=HOSTILE[:100], status=Status.RUNNING, worker_id=worker.pk, task_path=HOSTILE)
    make_schedule(HOSTILE, -5, task_path=HOSTILE)
    make_rollup(database_now(DATABASE) - timedelta(minutes=5), queue_name=HOSTILE[:100], failed=1)

    html = root.get(PAGE).content.decode()
    sections = sections_of(root)

    for markup in (html, *sections.values()):
        elements = Elements(markup).found
        assert not any("onerror" in attrs or "style" in attrs for _tag, attrs in elements)
        assert not any(tag == "img" for tag, _attrs in elements)
        assert all("src" in attrs for tag, attrs in elements if tag == "script")
        assert "alert(1)</script>" not in markup
    assert "&lt;script&gt;alert(1)" in sections["queues"]
    assert "&lt;script&gt;alert(1)" in sections["workers"]
    assert "&lt;script&gt;alert(1)" in sections["schedules"]


def test_page_has_nothing_inline(root):
    """No script, style or handler that a Content-Security-Policy would refuse."""
    make_shop()

    for tag, attrs in Elements(root.get(PAGE).content.decode()).found:
        assert "style" not in attrs, (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert tag != "style"
        assert tag != "script" or "src" in attrs


@override_settings(ROOT_URLCONF="tests.control_room.test_overview_access")
def test_links_stay_on_their_site(root):
    make_shop()

    for url in (PAGE, FIGURES):
        response = root.get(url.replace("/admin/", "/second/"))
        text = response.content.decode().replace('\\"', '"')
        assert response.status_code == 200
        assert "/second/django_tasks/schedule/" in text
        assert '"/admin/' not in text


@override_settings(ROOT_URLCONF="tests.control_room.test_overview_access")
def test_site_without_the_other_pages_has_no_links_to_them(root):
    make_shop()

    html = root.get(PAGE.replace("/admin/", "/bare/")).content.decode()

    assert "Nightly report" in html and "web-1:4711" in html
    assert not re.search(r'href="[^"]*/(schedule|taskrecord|workerrecord)/', html)


@pytest.mark.parametrize("url", [PAGE, f"{PAGE}?span=week", FIGURES])
def test_queries_of_the_page(url):
    """For somebody with permissions of their own, which two of the queries are for."""
    make_shop()
    for n in range(20):
        make(queue_name=f"queue-{n}")
        make_worker(queues=f"queue-{n}")
        make_schedule(f"schedule {n}", 60 + n)
    client = client_with("view_taskrecord", "view_workerrecord", "view_schedule")

    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200

    assert len(captured) <= MOST_QUERIES
    assert not any("DISTINCT" in query["sql"] for query in captured)


def test_page_in_a_new_project_says_what_is_missing(root):
    """Without a single row it neither fails nor pretends."""
    TaskRecord.objects.all().delete()
    RollupMark.objects.all().delete()

    sections = sections_of(root)

    assert "none has counted yet" in words(sections["queues"])
    assert "No worker runs." in words(sections["workers"])
    assert "No schedule has a next run." in words(sections["schedules"])
    assert send.queue_name in words(sections["queues"])
    json.dumps(sections)
