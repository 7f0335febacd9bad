"""The screen of workers: what they run, stopping and scaling them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse

from django_tasks.admin import WorkerRecordAdmin
from django_tasks.models import WorkerRecord
from django_tasks.statuses import Status
from django_tasks.store.workers.leases import VERSIONS
from tests.test_admin import client_with, make, make_worker, messages_of, page

pytestmark = pytest.mark.django_db

second_site = admin.AdminSite(name="second")
second_site.register(WorkerRecord, WorkerRecordAdmin)
urlpatterns = [path("", include("tests.urls")), path("second/", second_site.urls)]

LIST = "/admin/django_tasks/workerrecord/"
MANAGER = ("view_workerrecord", "manage_workers")


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def act(client, action, *workers, confirmed=True, **more):
    fields = {"action": action, "_selected_action": [str(worker.pk) for worker in workers]}
    fields |= {"confirmed": "yes"} if confirmed else {}
    return client.post(LIST, fields | more, follow=True)


def requested():
    rows = WorkerRecord.objects.order_by("pid")
    return [(row.stop_requested_at is not None, row.wanted_concurrency) for row in rows]


# --- what is shown -------------------------------------------------------------------------------


def test_page_of_a_worker_names_what_it_runs(root):
    """With links to the tasks, those that have run longest first."""
    worker = make_worker()
    now = datetime.now(UTC)
    started = [now - timedelta(minutes=minutes) for minutes in (1, 9)]
    young, old = (
        make(Status.RUNNING, worker_id=worker.pk, last_attempted_at=moment) for moment in started
    )
    other = make(Status.RUNNING)

    html = page(root, f"{LIST}{worker.pk}/change/")

    shown = re.findall(r"/taskrecord/([0-9a-f-]{36})/change/", html)
    assert shown == [str(old.pk), str(young.pk)]
    assert str(other.pk) not in html


def test_versions_are_shown(root):
    """Also of a worker that is older than the column, and has none."""
    new, old = make_worker(), make_worker(pid=2)
    WorkerRecord.objects.filter(pk=old.pk).update(versions="")

    for address in (LIST, f"{LIST}{new.pk}/change/"):
        assert page(root, address).count(VERSIONS) == 1
    assert VERSIONS not in page(root, f"{LIST}{old.pk}/change/")


def test_requests_are_shown_with_who_asked(root):
    worker = make_worker(max_concurrency=16)
    act(root, "scale", worker, concurrency="8")
    WorkerRecord.objects.update(paused_queues="fax,mail", wanted_by="<i>anna</i>")

    listed, shown = page(root, LIST), page(root, f"{LIST}{worker.pk}/change/")

    assert "4, 8 wanted" in listed
    assert "to have 8 slots by &lt;i&gt;anna&lt;/i&gt;" in shown
    assert "fax, mail" in shown
    act(root, "stop", worker)
    assert ">Stopping</span>" in page(root, LIST)


def test_pages_cost_the_same_however_many_workers(root):
    """At most 15 queries."""

    def count(url):
        with CaptureQueriesContext(connection) as captured:
            page(root, url)
        return len(captured)

    worker = make_worker()
    urls = (LIST, f"{LIST}{worker.pk}/change/")
    few = [count(url) for url in urls]
    for number in range(30):
        make_worker(pid=number)
        make(Status.RUNNING, worker_id=worker.pk)

    assert [count(url) for url in urls] == few
    assert max(few) <= 15


# --- actions -------------------------------------------------------------------------------------


def test_stop_asks_and_then_asks_the_workers(root):
    one, other = make_worker(pid=1), make_worker(pid=2)

    asked = act(root, "stop", one, confirmed=False)
    assert "Stop these workers?" in asked.content.decode()
    assert "host1:1" in asked.content.decode()
    assert requested() == [(False, None), (False, None)]
    response = act(root, "stop", one)

    assert messages_of(response) == "1 worker was asked to stop."
    assert requested() == [(True, None), (False, None)]
    assert WorkerRecord.objects.get(pk=one.pk).stop_requested_by == "root"
    response = act(root, "stop", one, other)
    assert messages_of(response) == ("1 worker was asked to stop. 1 worker is stopping already.")
    told = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(told) == [("host1:1", "Asked to stop."), ("host1:2", "Asked to stop.")]


def test_slots_are_asked_for_by_a_form(root):
    worker = make_worker(max_concurrency=16)

    asked = act(root, "scale", worker, confirmed=False).content.decode()
    assert re.search(r'<input type="number" name="concurrency" value="4"', asked)
    response = act(root, "scale", worker, concurrency="8")

    assert messages_of(response) == "1 worker was asked to change its slots."
    assert requested() == [(False, 8)]
    assert "or was asked before" in messages_of(act(root, "scale", worker, concurrency="8"))
    [entry] = LogEntry.objects.all()
    assert entry.change_message == "Asked to have 8 slots."


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "1e9"])
def test_impossible_size_is_asked_for_again(root, value):
    worker = make_worker(max_concurrency=16)

    response = act(root, "scale", worker, concurrency=value)

    assert "errorlist" in response.content.decode()
    assert requested() == [(False, None)]


def test_refusals_are_told_and_the_others_are_asked(root):
    """Each with its own words."""
    rows = [
        make_worker(pid=1, max_concurrency=16),
        make_worker(pid=2, max_concurrency=16, lease=-5.0),
        make_worker(pid=3, pool="solo", concurrency=1),
        make_worker(pid=4, pool="beat", concurrency=0),
        make_worker(pid=5, max_concurrency=6),
    ]

    text = messages_of(act(root, "scale", *rows, concurrency="8"))

    assert text.startswith("1 worker was asked to change its slots. ")
    for words in (
        "host1:2 is dead", "host1:3 has the pool solo", "host1:4 is a beat",
        "host1:5 can have 1 to 6 slots",
    ):  # fmt: skip
        assert words in text
    assert requested() == [(False, 8)] + [(False, None)] * 4


# --- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["stop", "scale"])
def test_actions_need_their_permission(action):
    worker = make_worker(max_concurrency=16)
    for permissions in ((), ("view_workerrecord",), ("manage_workers",), ("view_queuestate",)):
        act(client_with(*permissions), action, worker, concurrency="8")
        assert requested() == [(False, None)]

    act(client_with(*MANAGER), action, worker, concurrency="8")

    assert requested() != [(False, None)]


def test_buttons_are_shown_to_those_who_may():
    worker = make_worker()
    url = f"{LIST}{worker.pk}/change/"

    assert 'value="stop"' in page(client_with(*MANAGER), url)
    assert 'value="stop"' not in page(client_with("view_workerrecord"), url)


def test_buttons_of_a_page_lead_to_the_question(root):
    worker = make_worker()

    response = root.post(LIST, {"action": "stop", "_selected_action": str(worker.pk)})

    assert "Stop these workers?" in response.content.decode()


@pytest.mark.parametrize("action", ["stop", "scale"])
def test_posts_need_the_csrf_token(action):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    worker = make_worker(max_concurrency=16)

    assert act(client, action, worker, concurrency="8").status_code == 403
    assert requested() == [(False, None)]


@override_settings(ROOT_URLCONF="tests.control_room.test_workers")
def test_second_admin_site_links_to_itself(root):
    worker = make_worker()
    make(Status.RUNNING, worker_id=worker.pk)
    url = reverse("second:django_tasks_workerrecord_changelist")

    shown = page(root, reverse("second:django_tasks_workerrecord_change", args=[worker.pk]))
    asked = root.post(url, {"action": "stop", "_selected_action": str(worker.pk)}).content.decode()

    assert f'action="{url}"' in shown
    for html in (shown, asked):
        assert "/admin/django_tasks" not in html
