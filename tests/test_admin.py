"""The admin's screens: what they show to whom, what they let people do, what they cost."""

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse

from django_tasks import task
from django_tasks.admin import TaskRecordAdmin, WorkerRecordAdmin
from django_tasks.admin.tasks.timeline import SHOWN
from django_tasks.models import TaskAttempt, TaskRecord, WorkerRecord
from django_tasks.monitoring import reading
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.tasks import interventions
from django_tasks.store.tasks.interventions import Intervention
from django_tasks.store.workers import leases

pytestmark = pytest.mark.django_db

second_site = admin.AdminSite(name="second")
second_site.register(TaskRecord, TaskRecordAdmin)
second_site.register(WorkerRecord, WorkerRecordAdmin)

urlpatterns = [path("", include("tests.urls")), path("second/", second_site.urls)]

LIST = "/admin/django_tasks/taskrecord/"
NOW = datetime.now(UTC)
CANARY = "canary-7731"


@task(sensitive=("iban",), max_attempts=3)
def pay(amount, iban, note=""):
    """Do nothing: only its name and signature matter here."""


@task(queue_name="mail")
def send(to):
    """Do nothing."""


def make(status=Status.READY, **fields):
    """Store a task record in this status."""
    values = {
        "task_path": pay.module_path,
        "queue_name": "default",
        "backend": "default",
        "args": "[]",
        "kwargs": "{}",
        "enqueued_at": NOW,
    }
    if status in (Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED):
        values |= {"finished_at": NOW, "run_time": 0.25, "attempts": 1, "claims": 1}
    if status == Status.RUNNING:
        values |= {"worker_id": uuid4(), "process": 1, "last_attempted_at": NOW, "claims": 1}
    if status == Status.SCHEDULED:
        values["run_after"] = NOW + timedelta(days=1)
    return TaskRecord.objects.create(status=status, **values | fields)


def make_worker(**fields):
    """Store a worker whose lease is good for a minute."""
    values = {
        "id": uuid4(),
        "host": "host1",
        "pid": 4711,
        "backend": "default",
        "queues": "*",
        "pool": "prefork",
        "concurrency": 4,
        "lease": 60.0,
    }
    info = leases.WorkerInfo(**values | fields)
    leases.register("default", info)
    return WorkerRecord.objects.get(pk=info.id)


def client_with(*permissions):
    """Return a client of a staff user who has just these permissions."""
    user = User.objects.create_user(f"user-{uuid4().hex[:8]}", is_staff=True)
    for codename in permissions:
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label="django_tasks", codename=codename)
        )
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="root"))
    return client


def change(record):
    return f"{LIST}{record.pk}/change/"


def page(client, url):
    response = client.get(url)
    assert response.status_code == 200, response
    return response.content.decode()


def act(client, name, *records, **more):
    ids = [str(record.pk) for record in records]
    return client.post(LIST, {"action": name, "_selected_action": ids} | more, follow=True)


def messages_of(response):
    return " ".join(str(message) for message in response.context["messages"])


# --- the list ------------------------------------------------------------------------------------


def test_list_shows_each_status_in_words(root):
    """A status is never told by its colour alone."""
    for status in Status:
        make(status)

    html = page(root, LIST)

    for status in Status:
        assert f'<span class="task-badge task-{status.lower()}">{status.label}</span>' in html


def test_list_neither_loads_nor_shows_the_payload(root):
    """The list costs the same with large arguments, and prints none of them."""
    for _ in range(3):
        make(Status.SUCCESSFUL, args=json.dumps([CANARY]), return_value=json.dumps(CANARY))

    with CaptureQueriesContext(connection) as queries:
        html = page(root, LIST)

    assert CANARY not in html
    loads = [q["sql"] for q in queries if "django_tasks_taskrecord" in q["sql"]]
    assert len(loads) == 2, loads  # the count, and the rows
    for column in ("args", "kwargs", "return_value", "metadata", "log", "meta", "progress"):
        assert not any(re.search(rf"\b{column}\b", sql) for sql in loads)
    assert not any("DISTINCT" in q["sql"] for q in queries)


def test_queries_of_the_list_do_not_grow_with_its_rows(root):
    make()
    page(root, LIST)  # content types and the like are cached by now
    with CaptureQueriesContext(connection) as few:
        page(root, LIST)
    for _ in range(30):
        make(Status.RUNNING)

    with CaptureQueriesContext(connection) as many:
        page(root, LIST)

    assert len(many) == len(few)


@pytest.mark.parametrize(("grouping", "expected"), [(False, "1,000+"), (True, "&gt;1,000")])
def test_count_stops_at_its_cap(root, monkeypatch, grouping, expected):
    """More rows than the cap are "cap+", and all pages up to the cap can be opened."""
    monkeypatch.setattr(reading.capped_count, "__defaults__", (1000,))
    TaskRecord.objects.bulk_create([_unsaved() for _ in range(1005)])

    with override_settings(USE_THOUSAND_SEPARATOR=grouping):
        html = page(root, LIST)

    assert f"{expected} tasks" in re.sub(r"\s+", " ", html).replace(" >", " &gt;")
    assert root.get(LIST, {"p": 10}).status_code == 200


def _unsaved():
    return TaskRecord(
        task_path="a.b",
        queue_name="default",
        backend="default",
        args="[]",
        kwargs="{}",
        enqueued_at=NOW,
        status=Status.READY,
        priority=0,
        attempts=0,
        claims=0,
        lost=0,
        cancel_requested=False,
    )


def test_filters_narrow_the_list(root):
    make(Status.FAILED, task_path=send.module_path, queue_name="mail")
    make(Status.READY)

    for query in ({"status": "FAILED"}, {"queue_name": "mail"}, {"task_path": send.module_path}):
        response = root.get(LIST, query)
        assert [r.status for r in response.context["cl"].result_list] == ["FAILED"]


def test_filters_offer_known_queues_and_tasks(root):
    """Choices come from the code and the settings, not from the table."""
    make(queue_name="from-a-row")

    html = page(root, LIST)

    assert "?queue_name=mail" in html
    assert f"?task_path={send.module_path}" in html
    assert "?queue_name=from-a-row" not in html
    assert "?queue_name=from-a-row" in page(root, f"{LIST}?queue_name=from-a-row")


@pytest.mark.parametrize(
    "query",
    [
        "args__contains=canary",
        "args__startswith=%5B",
        "kwargs__regex=c",
        "return_value=1",
        "metadata__isnull=0",
        "log__contains=x",
    ],
)
def test_addresses_cannot_ask_for_hidden_columns(query):
    """Without this, ?args__startswith= would read the arguments letter by letter."""
    make(args=json.dumps([CANARY]))

    response = client_with("view_taskrecord").get(f"{LIST}?{query}")

    assert response.status_code == 400


@pytest.mark.parametrize("query", ["queue_name=a%00b", "worker_id__exact=x", "p=999", "o=1.2.-3"])
def test_odd_addresses_do_not_break_the_list(root, query):
    make()
    assert root.get(f"{LIST}?{query}", follow=True).status_code == 200


def test_search_finds_ids_and_parts_of_paths(root):
    wanted = make(task_path="shop.tasks.bill")
    make(task_path="blog.tasks.shop", id=UUID("01900000-0000-7000-8000-000000000000"))

    for term in (str(wanted.pk), str(wanted.pk)[:13], wanted.pk.hex, "shop.", "bill", "S.Bill"):
        found = root.get(LIST, {"q": f"  {term} "}).context["cl"].result_list
        assert [record.pk for record in found] == [wanted.pk]
    assert not root.get(LIST, {"q": "0190000a"}).context["cl"].result_list


# --- a task's page -------------------------------------------------------------------------------


def test_page_shows_arguments_and_results_masked(root):
    record = make(
        Status.SUCCESSFUL,
        args=json.dumps([12, "DE-secret"]),
        kwargs=json.dumps({"note": "lunch", "options": {"api_key": "k-secret", "size": 3}}),
        return_value=json.dumps({"token": "t-secret", "sum": 99}),
        metadata=json.dumps({"password": "p-secret", "tenant": "acme"}),
    )

    html = page(root, change(record))

    for shown in ("12", "lunch", "&quot;size&quot;: 3", "99", "acme", "********"):
        assert shown in html
    assert "secret" not in re.sub(r"api_key|token|password", "", html)


def test_page_without_the_permission_says_that_something_is_hidden():
    record = make(
        Status.SUCCESSFUL,
        args=json.dumps([CANARY]),
        kwargs=json.dumps({"note": CANARY}),
        return_value=json.dumps(CANARY),
        metadata=json.dumps({"a": CANARY}),
        meta=json.dumps(CANARY),
    )

    html = page(client_with("view_taskrecord"), change(record))

    assert CANARY not in html
    assert "Hidden. Seeing arguments, results and metadata needs the permission" in html
    assert CANARY in page(client_with("view_taskrecord", "view_payload"), change(record))


def test_page_shows_attempts_progress_and_log(root):
    record = make(
        Status.FAILED,
        progress=json.dumps([3, 10, "Resizing"]),
        log="2026-01-01T00:00:00Z one line\n2026-01-01T00:00:01Z another",
    )
    attempt(record, traceback="Traceback\n  ZeroDivisionError: division by zero")
    attempt(record, outcome=AttemptOutcome.LOST, signal=9)

    html = page(root, change(record))

    assert "30 %" in html and "Resizing" in html
    assert "one line\n2026-01-01" in html
    assert "Traceback\n  ZeroDivisionError" in html
    assert "SIGKILL" in html


def attempt(record, **fields):
    values = {
        "number": 1,
        "claim": 1,
        "outcome": AttemptOutcome.ERROR,
        "finished_at": NOW,
        "exception_path": "builtins.ZeroDivisionError",
    }
    return TaskAttempt.objects.create(task=record, **values | fields)


def test_page_leaves_out_what_says_nothing(root):
    """No empty log, progress, times or attempts."""
    record = make(Status.SUCCESSFUL)

    html = page(root, change(record))

    parts = ('id="task-log"', "<progress", "<dt>Runs after</dt>", "State’s data", "<details")
    for part in parts:
        assert part not in html
    full = make(Status.SCHEDULED, log="x", progress="[1,2,null]", meta="1")
    attempt(full, traceback="x")
    html = page(root, change(full))
    for part in parts:
        assert part in html


def test_filter_names_tasks_by_their_function_unless_two_share_it():
    from django_tasks.admin.tasks.filters import TaskFilter

    class Filter(TaskFilter):
        def known(self):
            return ["shop.tasks.sync", "blog.tasks.sync", "shop.tasks.bill"]

    filter_ = Filter.__new__(Filter)

    labels = [filter_.label(path) for path in filter_.known()]
    assert labels == ["shop.tasks.sync", "blog.tasks.sync", "bill"]
    assert filter_.label("gone.tasks.old") == "gone.tasks.old"


def test_page_shows_the_newest_attempts_only(root):
    """A task that snoozed for days has thousands of them."""
    record = make(Status.FAILED)
    for number in range(1, SHOWN + 6):
        attempt(record, number=number, traceback=f"Traceback number {number}.")

    html = page(root, change(record))

    shown = [int(n) for n in re.findall(r"Traceback number (\d+)\.", html)]
    assert shown == list(range(6, SHOWN + 6))


@pytest.mark.parametrize(
    "fields",
    [
        {"args": "{broken", "kwargs": "[", "return_value": "nul", "metadata": "{", "meta": "]"},
        {"progress": "[1"},
        {"progress": '{"a": 1}'},
        {"progress": '["x", "y", 3]'},
        {"progress": "[1, 2]"},
        {"progress": "[null, null, null]"},
        {"progress": "[NaN, 1e999, 5]"},
        {"progress": f"[{'9' * 400}, 1, 5]"},
        {"args": "[" * 100_000, "return_value": "[" * 5_000 + "]" * 5_000},
        {"args": '{"a": 1}', "kwargs": "[1]"},
        {"return_value": "9" * 5000},
        {"return_value": "NaN"},
        {"return_value": json.dumps("x" * 300_000)},
        {"return_value": '"\\ud800"', "kwargs": '{"\\ud800": "\\u0000"}'},
        {"task_path": "", "queue_name": "", "backend": "gone"},
        {"task_path": "gone.tasks.f", "args": '["hello"]'},
    ],
)
def test_broken_rows_do_not_break_the_pages(root, fields):
    record = make(Status.SUCCESSFUL, **fields)

    assert len(page(root, change(record))) < 400_000
    page(root, LIST)


def test_unknown_statuses_and_outcomes_are_shown_as_they_are():
    """A row of a newer version must not break the page; the database would refuse it here."""
    from django_tasks.admin import formats

    assert "PAUSED" in formats.status_badge("PAUSED")
    assert "VANISHED" in formats.outcome_badge("VANISHED")


def test_arguments_of_unknown_tasks_are_hidden(root):
    """Nobody can say which of them are secret."""
    record = make(
        Status.SUCCESSFUL,
        task_path="gone.tasks.f",
        args=json.dumps([CANARY]),
        kwargs='{"x": "y-value"}',
        return_value=json.dumps(CANARY),
        metadata=json.dumps({"note": [CANARY]}),
        meta=json.dumps([{"note": CANARY}]),
    )

    html = page(root, change(record))

    assert CANARY not in html and "y-value" not in html
    assert html.count("********") == 5


@pytest.mark.parametrize("name", ["args", "kwargs", "return_value", "metadata", "meta"])
def test_page_says_why_values_are_hidden(root, name):
    """Whatever it has: a task without arguments has a result."""
    values = {"args": '["a"]', "kwargs": '{"a": 1}', "metadata": '{"a": 1}'}
    record = make(Status.SUCCESSFUL, task_path="gone.tasks.f", **{name: values.get(name, '"a"')})

    assert "cannot tell which values are secret: all are hidden" in page(root, change(record))


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</pre><svg onload=alert(1)>",
    "{{ 7|add:7 }}{% now 'Y' %}",
    "%(count)s {0} %s",
]


class Elements(HTMLParser):
    """Collects tags with their attributes' names."""

    def __init__(self, html):
        super().__init__()
        self.found = set()
        self.links = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action")}


def test_stored_text_never_becomes_markup(root):
    """Whatever a row holds, its pages have the same elements and attributes."""
    worker = make_worker()

    def pages(text):
        record = make(
            Status.RUNNING,
            task_path=text,
            queue_name=text,
            backend=text,
            args=json.dumps([text]),
            kwargs=json.dumps({text: text}),
            metadata=json.dumps({text: text}),
            return_value=json.dumps(text),
            meta=json.dumps({text: text}),
            custom_state=text,
            progress=json.dumps([1, 2, text]),
            log=text,
            worker_id=worker.pk,
        )
        attempt(record, host=text, exception_path=text, traceback=text)
        WorkerRecord.objects.filter(pk=worker.pk).update(host=text, pool=text[:20], queues=text)
        urls = [LIST, change(record), f"{LIST}{record.pk}/history/"]
        workers_list = "/admin/django_tasks/workerrecord/"
        urls += [workers_list, f"{workers_list}{worker.pk}/change/"]
        act(root, "cancel", record)
        shown = [page(root, url) for url in urls]
        attempts = record.attempt_set.all()
        attempts.delete()
        record.delete()
        LogEntry.objects.all().delete()
        return shown

    plain = [Elements(html).found for html in pages("plain text")]
    for attack in ATTACKS:
        for html, expected in zip(pages(attack), plain, strict=True):
            elements = Elements(html)
            assert elements.found == expected
            assert not any(link.lower().startswith("javascript:") for link in elements.links)
            assert "14" + str(datetime.now().year) not in html


def test_pages_have_no_inline_scripts_or_styles(root):
    """They work under a strict Content-Security-Policy."""
    record = make(Status.FAILED, progress="[1, 2, null]")
    attempt(record, traceback="x")
    worker = make_worker()

    for url in (LIST, change(record), f"/admin/django_tasks/workerrecord/{worker.pk}/change/"):
        html = page(root, url)
        assert not re.search(
            r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", html
        )
        assert "<style" not in html
        assert not re.search(r"<[^>]+\s(style|on\w+)=", html)


# --- permissions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("permission", [None, "view_workerrecord", "cancel_taskrecord"])
def test_tasks_are_closed_without_the_view_permission(permission):
    record = make(Status.FAILED)
    client = client_with(*filter(None, [permission]))

    for url in (LIST, change(record), f"{LIST}{record.pk}/history/", f"{LIST}{record.pk}/delete/"):
        assert client.get(url).status_code == 403
    assert (
        client.post(LIST, {"action": "cancel", "_selected_action": [record.pk]}).status_code == 403
    )
    assert client.post(change(record), {"_cancel": "1"}).status_code == 403


def test_nobody_can_add_or_change_by_form(root):
    record = make(Status.FAILED)

    assert root.get(f"{LIST}add/").status_code == 403
    assert root.post(f"{LIST}add/", {"task_path": "x"}).status_code == 403
    assert root.post(change(record), {"status": "SUCCESSFUL", "_save": "1"}).status_code == 403
    record.refresh_from_db()
    assert record.status == Status.FAILED


@pytest.mark.parametrize("action", ["run_again", "cancel", "delete_selected"])
def test_actions_need_their_permission(action):
    """Forged POSTs of a user who may only look change nothing."""
    failed, ready = make(Status.FAILED), make(Status.READY)
    client = client_with("view_taskrecord")

    assert f'value="{action}"' not in page(client, LIST)
    act(client, action, failed, ready, post="yes")

    assert statuses(failed, ready) == [Status.FAILED, Status.READY]


def test_buttons_need_their_permission():
    failed, ready = make(Status.FAILED), make(Status.READY)
    client = client_with("view_taskrecord")

    assert client.post(change(failed), {"_requeue": "1"}).status_code == 403
    assert client.post(change(ready), {"_cancel": "1"}).status_code == 403

    assert 'name="_requeue"' not in page(client, change(failed))
    assert statuses(failed, ready) == [Status.FAILED, Status.READY]


def test_get_changes_nothing(root):
    failed, ready = make(Status.FAILED), make(Status.READY)

    root.get(change(failed), {"_requeue": "1"})
    root.get(change(ready), {"_cancel": "1"})
    root.get(LIST, {"action": "cancel", "_selected_action": str(ready.pk)})

    assert statuses(failed, ready) == [Status.FAILED, Status.READY]


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
)
def test_posts_need_the_csrf_token(root):
    """Even in a project that left the middleware out."""
    failed = make(Status.FAILED)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="root"))

    assert client.post(change(failed), {"_requeue": "1"}).status_code == 403
    assert act(client, "run_again", failed).status_code == 403
    assert statuses(failed) == [Status.FAILED]


def statuses(*records):
    found = dict(TaskRecord.objects.values_list("pk", "status"))
    return [found.get(record.pk) for record in records]


# --- actions -------------------------------------------------------------------------------------


def test_run_again_requeues_what_failed_and_says_what_it_skipped(root):
    failed, cancelled = make(Status.FAILED), make(Status.CANCELLED)
    others = [make(Status.RUNNING), make(Status.SCHEDULED), make(Status.READY)]

    response = act(root, "run_again", failed, cancelled, *others)

    assert messages_of(response) == (
        "2 tasks will run again. 3 tasks were skipped: 1 ready, 1 running, 1 scheduled."
    )
    assert statuses(failed, cancelled) == [Status.READY, Status.READY]
    assert statuses(*others) == [Status.RUNNING, Status.SCHEDULED, Status.READY]
    entries = LogEntry.objects.filter(change_message="Run again.")
    assert {e.object_id for e in entries} == {str(failed.pk), str(cancelled.pk)}
    assert {e.user.username for e in entries} == {"root"}


def test_cancel_ends_waiting_tasks_and_tells_running_ones(root):
    ready, scheduled, running = make(), make(Status.SCHEDULED), make(Status.RUNNING)
    done = make(Status.SUCCESSFUL)

    response = act(root, "cancel", ready, scheduled, running, done)

    assert messages_of(response) == (
        "2 tasks were cancelled. 1 running task was told to stop. 1 task was skipped: 1 successful."
    )
    assert statuses(ready, scheduled, running, done) == [
        Status.CANCELLED,
        Status.CANCELLED,
        Status.RUNNING,
        Status.SUCCESSFUL,
    ]
    running.refresh_from_db()
    assert running.cancel_requested
    assert "told to stop" in page(root, LIST)


def test_a_task_that_changes_meanwhile_is_told(monkeypatch):
    """The statement is guarded by the status: what was overtaken is neither changed nor counted."""
    record = make(Status.FAILED)
    chunks = interventions._chunks

    def overtaken(tasks):
        for chunk in chunks(tasks):
            TaskRecord.objects.filter(pk=record.pk).update(status=Status.READY, finished_at=None)
            yield chunk

    monkeypatch.setattr(interventions, "_chunks", overtaken)

    report = Intervention(tasks=TaskRecord.objects.using("default").all()).requeue()

    assert (report.done, report.overtaken) == (0, 1)
    assert report.skipped_text == "1 task was skipped: 1 changed meanwhile."


def test_buttons_on_the_page_do_the_same(root):
    failed, ready = make(Status.FAILED), make(Status.READY)
    html = page(root, change(failed))
    assert 'name="_requeue"' in html and 'name="_cancel"' not in html
    html = page(root, change(ready))
    assert 'name="_cancel"' in html and 'name="_requeue"' not in html

    response = root.post(change(failed), {"_requeue": "Run again"}, follow=True)
    assert messages_of(response) == "1 task will run again."
    assert response.redirect_chain[-1][0] == change(failed)
    response = root.post(change(ready), {"_cancel": "Cancel task"}, follow=True)
    assert messages_of(response) == "1 task was cancelled."

    assert statuses(failed, ready) == [Status.READY, Status.CANCELLED]
    assert "Run again." in page(root, f"{LIST}{failed.pk}/history/")


@pytest.mark.parametrize("key", [uuid4(), "nonsense"])
def test_buttons_of_a_task_that_is_gone_say_so(root, key):
    response = root.post(f"{LIST}{key}/change/", {"_requeue": "1"}, follow=True)

    assert "no such task" in messages_of(response) or "doesn’t exist" in messages_of(response)


# --- deleting ------------------------------------------------------------------------------------


def test_only_finished_tasks_can_be_deleted(root):
    done = make(Status.SUCCESSFUL)
    attempt(done)
    running, ready = make(Status.RUNNING), make()

    for record in (running, ready):
        assert root.post(f"{LIST}{record.pk}/delete/", {"post": "yes"}).status_code == 403
        assert f"{record.pk}/delete/" not in page(root, change(record))
    assert f"{done.pk}/delete/" in page(root, change(done))
    assert str(done.pk) in page(root, f"{LIST}{done.pk}/delete/")
    root.post(f"{LIST}{done.pk}/delete/", {"post": "yes"})

    assert statuses(done, running, ready) == [None, Status.RUNNING, Status.READY]
    assert not TaskAttempt.objects.exists()


def test_delete_of_a_task_that_was_run_again_meanwhile_is_refused():
    record = make(Status.FAILED)
    rows = TaskRecord.objects.using("default").filter(pk=record.pk)
    TaskRecord.objects.filter(pk=record.pk).update(status=Status.READY, finished_at=None)

    assert Intervention(tasks=rows).delete().done == 0
    assert statuses(record) == [Status.READY]


# --- workers -------------------------------------------------------------------------------------

WORKERS = "/admin/django_tasks/workerrecord/"


def test_workers_show_whether_they_are_alive(root):
    """By the database's clock, in words."""
    alive = make_worker()
    make_worker(host="host2", lease=-5.0)
    make_worker(host="host3")
    WorkerRecord.objects.filter(host="host3").update(is_stopping=True)
    for _ in range(2):
        make(Status.RUNNING, worker_id=alive.pk)
    make(Status.SUCCESSFUL, worker_id=alive.pk)

    html = page(root, WORKERS)

    for word in ("Alive", "Late", "Stopping"):
        assert f">{word}</span>" in html
    assert f"worker_id__exact={alive.pk}" in html
    rows = root.get(f"{LIST}?status=RUNNING&worker_id__exact={alive.pk}").context["cl"].result_list
    assert len(rows) == 2


def test_workers_are_read_only(root):
    worker = make_worker()
    url = f"{WORKERS}{worker.pk}/"

    assert "host1:4711" in page(root, f"{url}change/")
    assert root.get(f"{WORKERS}add/").status_code == 403
    assert root.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    assert root.post(f"{url}change/", {"host": "x"}).status_code == 403
    assert client_with("view_taskrecord").get(WORKERS).status_code == 403
    assert client_with("view_workerrecord").get(WORKERS).status_code == 200


def test_task_page_links_to_its_worker(root):
    worker = make_worker()
    record = make(Status.RUNNING, worker_id=worker.pk)
    gone = make(Status.RUNNING)

    assert f'href="{WORKERS}{worker.pk}/change/"' in page(root, change(record))
    assert "no longer running" in page(root, change(gone))


# --- other sites and databases -------------------------------------------------------------------


@override_settings(ROOT_URLCONF="tests.test_admin")
def test_second_admin_site_links_to_itself(root):
    worker = make_worker()
    record = make(Status.RUNNING, worker_id=worker.pk)

    listed = page(root, reverse("second:django_tasks_taskrecord_changelist"))
    shown = page(root, reverse("second:django_tasks_taskrecord_change", args=[record.pk]))
    listed_workers = page(root, reverse("second:django_tasks_workerrecord_changelist"))

    assert f"/second/django_tasks/taskrecord/{record.pk}/change/" in listed
    assert f"/second/django_tasks/workerrecord/{worker.pk}/change/" in shown
    assert "/second/django_tasks/taskrecord/?status=RUNNING" in listed_workers
    for html in (listed, shown, listed_workers):
        assert "/admin/django_tasks" not in html


def test_admin_reads_the_database_that_the_backend_names(rf):
    """Not the router's choice: OPTIONS may name another one."""
    tasks = {
        "default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"},
        "stored": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": {"database": "elsewhere"},
        },
    }
    request = rf.get("/")
    request.user = User(is_superuser=True, is_active=True)
    screens = [admin.site.get_model_admin(model) for model in (TaskRecord, WorkerRecord)]

    with override_settings(TASKS=tasks):
        assert {screen.get_queryset(request).db for screen in screens} == {"elsewhere"}
    assert {screen.get_queryset(request).db for screen in screens} == {"default"}


def test_page_of_a_second_admin_without_workers_has_no_broken_link(rf):
    site = admin.AdminSite(name="tasks_only")
    site.register(TaskRecord, TaskRecordAdmin)
    worker = make_worker()

    place = site.get_model_admin(TaskRecord).place(worker.pk, 1, "", {worker.pk: worker})

    assert place == "host1:4711, process 1"
