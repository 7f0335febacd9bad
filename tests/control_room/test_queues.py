"""The screen of queues: what is in them, and pausing, resuming and purging them."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse

from django_tasks.admin import QueueStateAdmin
from django_tasks.admin.control_characters import visible
from django_tasks.admin.queues import screen
from django_tasks.models import QueueState, TaskRecord, WorkerRecord
from django_tasks.monitoring import queue_list
from django_tasks.monitoring.queue_list import QueueKey, Queues
from django_tasks.statuses import Status
from django_tasks.store.workers import queues
from tests.test_admin import client_with, make, make_worker, messages_of, page, statuses

pytestmark = pytest.mark.django_db

second_site = admin.AdminSite(name="second")
second_site.register(QueueState, QueueStateAdmin)
urlpatterns = [path("", include("tests.urls")), path("second/", second_site.urls)]

LIST = "/admin/django_tasks/queuestate/"
MANAGER = ("view_queuestate", "manage_queues")
PURGER = (*MANAGER, "delete_taskrecord")


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def post(client, deed, *names, backend="default", **more):
    values = [f"{backend} {name}" for name in names]
    return client.post(LIST, {"deed": deed, "queue": values} | more, follow=True)


def paused():
    return set(queues.paused_names("default", "default"))


def boxes(response):
    """Return the attributes of the inputs that name queues, as a browser reads them."""

    class Inputs(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "input" and ("name", "queue") in attrs:
                self.found.append(attrs)

    parser = Inputs()
    parser.found = []
    parser.feed(response.content.decode())
    return parser.found


def row_of(client, name):
    [row] = [r for r in client.get(LIST).context["rows"] if r.key.name == name]
    return row


# --- what is shown -------------------------------------------------------------------------------


def test_queues_are_those_that_anybody_names(root):
    """Settings and code, tasks, pauses and workers, also without a row of their own."""
    make(queue_name="ready")
    make(Status.SCHEDULED, queue_name="scheduled")
    make(Status.RUNNING, queue_name="running")
    make(Status.SUCCESSFUL, queue_name="long-ago")
    make_worker(queues="served,prefix*")
    queues.pause("default", "default", "paused")

    names = {row.key.name for row in root.get(LIST).context["rows"]}

    assert names >= {"default", "mail", "ready", "scheduled", "running", "served", "paused"}
    assert names.isdisjoint({"long-ago", "prefix*"})
    assert not QueueState.objects.exclude(queue_name="paused").exists()


def test_queue_is_shown_at_a_glance(root):
    now = datetime.now(UTC)
    for priority, age in ((0, 600), (5, 60), (5, 30)):
        enqueued_at = now - timedelta(seconds=age)
        make(queue_name="mail", priority=priority, enqueued_at=enqueued_at)
    make(Status.SCHEDULED, queue_name="mail")
    make(Status.RUNNING, queue_name="mail")
    make(queue_name="mail", backend="other")
    make_worker(queues="mail")
    make_worker(queues="*", lease=-5.0)

    queue = row_of(root, "mail").queue

    assert (queue.ready, queue.running, queue.scheduled, queue.workers) == (3, 1, 1, 1)
    assert queue.priorities == [(5, 2), (0, 1)]
    assert 599 < queue.oldest < 1200
    html = page(root, LIST)
    assert "5: 2, 0: 1" in html
    assert "/admin/django_tasks/taskrecord/?queue_name=mail&amp;status=READY" in html


def test_counts_stop_at_the_cap(root, monkeypatch):
    monkeypatch.setattr(queue_list, "CAP", 3)
    monkeypatch.setattr(queue_list, "AHEAD", 2)
    for _ in range(5):
        make(queue_name="mail", priority=1)

    assert str(row_of(root, "mail").queue.ready) == "3+"
    assert row_of(root, "mail").priorities == "1: 2, …"


def test_pause_is_shown_with_who_and_who_has_not_applied_it(root):
    applying = make_worker()
    make_worker(pid=2)
    WorkerRecord.objects.filter(pk=applying.pk).update(paused_queues="fax,mail")
    queues.pause("default", "default", "mail", "<b>anna</b>")

    html = page(root, LIST)

    assert ">Paused</span>" in html
    assert "by &lt;b&gt;anna&lt;/b&gt;" in html
    assert "1 worker has not left it out yet." in html


def test_queue_without_a_worker_is_told(root):
    make(queue_name="mail")
    assert row_of(root, "mail").warning == "No worker serves it."
    make_worker(queues="mail")
    assert row_of(root, "mail").warning == ""


def test_long_lists_have_pages_and_a_search(root):
    for number in range(screen.PAGE + 5):
        queues.pause("default", "default", f"queue-{number:02}")

    first = root.get(LIST, {"q": "QUEUE-"})
    second = root.get(LIST, {"q": "QUEUE-", "p": "2"})

    assert (len(first.context["rows"]), len(second.context["rows"])) == (screen.PAGE, 5)
    assert "p=2&amp;q=QUEUE-" in first.content.decode()
    assert root.get(LIST, {"q": "nothing<", "p": "x"}).context["rows"] == []


def test_page_costs_the_same_however_many_queues(root):
    """At most 15 queries, beside those by which it limits its time."""

    def count():
        with CaptureQueriesContext(connection) as captured:
            root.get(LIST)
        return len(captured)

    few = count()
    for number in range(screen.PAGE):
        make(queue_name=f"queue-{number}")
        make(Status.RUNNING, queue_name=f"queue-{number}")
        queues.pause("default", "default", f"queue-{number}")
        make_worker(pid=number)

    assert count() <= few + 1 <= 15 + 6


# --- pause and resume ----------------------------------------------------------------------------


def test_queues_are_paused_and_resumed(root):
    response = post(root, "pause", "default", "mail")

    assert messages_of(response) == (
        "Paused: default, mail. Workers start no more of their tasks within 1 s."
    )
    assert paused() == {"default", "mail"}
    assert set(QueueState.objects.values_list("paused_by", flat=True)) == {"root"}
    response = post(root, "pause", "default")
    assert messages_of(response) == "Paused already: default."
    response = post(root, "resume", "default", "mail")
    assert messages_of(response) == "Resumed: default, mail."
    assert messages_of(post(root, "resume", "mail")) == "Not paused: mail."
    assert paused() == set()


def test_history_tells_who_did_it(root):
    post(root, "pause", "mail")
    post(root, "resume", "mail")
    post(root, "resume", "mail")

    told = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(told) == [("mail", "Paused."), ("mail", "Resumed.")]
    entry = LogEntry.objects.first()
    assert entry.user.username == "root"
    assert root.get(entry.get_admin_url(), follow=True).redirect_chain[-1][0] == LIST


@pytest.mark.parametrize("queue", ["default unknown", "other mail", "mail", "x y z", ""])
def test_unknown_queues_get_no_row(root, queue):
    response = root.post(LIST, {"deed": "pause", "queue": queue}, follow=True)

    assert messages_of(response) == "Choose at least one queue."
    assert not QueueState.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "\x9b31mC1",
        "\x85next",
        "\u202eevil",
        "\x1b[2J",
        "two\r\nlines\n",
        " spaces  ",
        "100%41",
        "\"'><b>",
        "тест",
        "x" * 100,
    ],
)
def test_queues_of_any_name_are_acted_on(root, name):
    """A row may hold what no code would choose. The box says what comes back as it was sent."""
    record = make(queue_name=name)
    [box] = [
        dict(attrs)["value"]
        for attrs in boxes(root.get(LIST))
        if dict(attrs)["aria-label"] == visible(name)
    ]
    assert box.isascii() and box.isprintable()

    root.post(LIST, {"deed": "pause", "queue": box})
    assert paused() == {name}
    root.post(LIST, {"deed": "resume", "queue": box})
    assert paused() == set()
    asked = root.post(LIST, {"deed": "purge", "queue": box})
    assert statuses(record) == [Status.READY]
    [value] = [dict(attrs)["value"] for attrs in boxes(asked)]
    root.post(LIST, {"deed": "purge", "queue": value, "confirmed": "yes"})
    assert statuses(record) == [None]


# --- purge ---------------------------------------------------------------------------------------


def test_purge_asks_and_deletes_what_has_not_started(root):
    """WAITING stays: nothing makes it yet, and no index finds it among all that finished."""
    records = [make(status, queue_name="mail") for status in Status]
    others = [make(), make(queue_name="mail", backend="other")]

    asked = post(root, "purge", "mail")
    assert "Delete 2 tasks of queue “mail” that have not started?" in asked.content.decode()
    assert None not in statuses(*records)
    response = post(root, "purge", "mail", confirmed="yes")

    assert messages_of(response) == ("2 tasks of queue “mail” were deleted. Running tasks stay: 1.")
    left = TaskRecord.objects.filter(queue_name="mail", backend="default")
    assert set(left.values_list("status", flat=True)) == set(Status) - {
        Status.SCHEDULED,
        Status.READY,
    }
    assert None not in statuses(*others)
    [entry] = LogEntry.objects.all()
    assert (entry.object_repr, entry.change_message) == ("mail", "Purged: 2 tasks deleted.")


def test_purge_that_takes_too_long_says_that_there_is_a_rest(root, monkeypatch):
    monkeypatch.setattr("django_tasks.store.tasks.deletions.CHUNK", 2)
    monkeypatch.setattr("django_tasks.store.locking.CHUNK", 2)
    monkeypatch.setattr(screen, "MOST_SECONDS", 0.0)
    for _ in range(5):
        make(queue_name="mail")

    response = post(root, "purge", "mail", confirmed="yes")

    assert "Time was up before all were deleted" in messages_of(response)
    assert TaskRecord.objects.exists()


def test_several_queues_are_purged_after_one_question(root):
    """It names the count of each."""
    records = [make(queue_name="mail"), make(Status.SCHEDULED, queue_name="mail"), make()]
    other = make(queue_name="fax")

    asked = post(root, "purge", "mail", "default").content.decode()
    assert "Delete the tasks of these 2 queues that have not started?" in asked
    assert "<li>mail: 2 tasks</li>" in asked
    assert "<li>default: 1 task</li>" in asked
    assert None not in statuses(*records)
    response = post(root, "purge", "mail", "default", confirmed="yes")

    for text in ("2 tasks of queue “mail” were", "1 task of queue “default” was"):
        assert f"{text} deleted." in messages_of(response)
    assert statuses(*records, other) == [None, None, None, Status.READY]
    assert LogEntry.objects.count() == 2


# --- who may -------------------------------------------------------------------------------------

ROLES = {
    "nobody": ((), set()),
    "viewer": (("view_queuestate",), {"view"}),
    "blind manager": (("manage_queues",), set()),
    "manager": (MANAGER, {"view", "pause", "resume"}),
    "deleter": (("view_queuestate", "delete_taskrecord"), {"view"}),
    "purger": (PURGER, {"view", "pause", "resume", "purge"}),
}


@pytest.mark.parametrize("role", ROLES)
def test_each_permission_allows_just_what_it_says(role):
    permissions, allowed = ROLES[role]
    client = client_with(*permissions)
    queues.pause("default", "default", "fax")

    assert client.get(LIST).status_code == (200 if "view" in allowed else 403)
    for deed, queue in (("pause", "mail"), ("resume", "fax"), ("purge", "mail")):
        record = make(queue_name="mail")
        response = post(client, deed, queue, confirmed="yes")
        assert response.status_code == (200 if deed in allowed else 403)
        assert (statuses(record) == [None]) == (deed == "purge" and deed in allowed)
    assert ("mail" in paused()) == ("pause" in allowed)
    assert ("fax" in paused()) == ("resume" not in allowed)


@pytest.mark.parametrize("role", ["viewer", "manager", "purger"])
def test_buttons_are_shown_to_those_who_may(role):
    permissions, allowed = ROLES[role]
    html = page(client_with(*permissions), LIST)

    for deed in ("pause", "resume", "purge"):
        assert (f'value="{deed}"' in html) == (deed in allowed)


def test_strangers_are_sent_to_the_login():
    for response in (Client().get(LIST, follow=True), post(Client(), "pause", "mail")):
        assert "/login/" in response.redirect_chain[0][0]
    assert paused() == set()


@pytest.mark.parametrize("deed", ["pause", "resume", "purge"])
def test_posts_need_the_csrf_token(deed):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    record = make(queue_name="mail")

    response = post(client, deed, "mail", confirmed="yes")

    assert response.status_code == 403
    assert (paused(), statuses(record)) == (set(), [Status.READY])


def test_get_changes_nothing(root):
    root.get(LIST, {"deed": "pause", "queue": "default mail"})
    assert root.post(LIST, {"deed": "delete", "queue": "default mail"}).status_code == 403
    assert root.get(f"{LIST}add/").status_code == 302
    assert paused() == set()


# --- elsewhere -----------------------------------------------------------------------------------


@override_settings(ROOT_URLCONF="tests.control_room.test_queues")
def test_second_admin_site_links_to_itself(root):
    """It has no tasks, so their counts lead nowhere."""
    make(queue_name="mail")

    html = page(root, reverse("second:django_tasks_queuestate_changelist"))
    url = reverse("second:django_tasks_queuestate_changelist")
    asked = root.post(url, {"deed": "purge", "queue": "default mail"}).content.decode()

    assert "/second/" in html
    for text in (html, asked):
        assert "/admin/django_tasks" not in text


def test_queues_of_another_backend_are_told_apart(root, settings):
    """Each alias in TASKS that keeps its tasks in this database has queues of its own."""
    backend = {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": []}
    settings.TASKS = {"default": backend, "reports": backend}
    make(queue_name="mail", backend="reports")

    found = Queues.of("default")
    [queue] = found.look_at([QueueKey("reports", "mail")])
    post(root, "pause", "mail", backend="reports")

    assert queue.ready == 1
    assert queues.paused_names("default", "reports") == {"mail"}
    assert paused() == set()
    assert '<th scope="col">backend</th>' in page(root, LIST)
