"""Hostile text and secrets in every column: all of it stays text, and what is hidden is hidden."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from django_tasks.admin.control_characters import visible
from django_tasks.admin.queues.rows import value_of
from django_tasks.models import (
    ScheduleRun,
    WorkerRecord,
    WorkflowEdge,
    WorkflowJoin,
    WorkflowRecord,
    WorkflowStep,
)
from django_tasks.models.schedules import RunOutcome
from django_tasks.models.workflows import JoinKind
from django_tasks.monitoring.queue_list import QueueKey
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import Status
from django_tasks.store.values import Hook
from django_tasks.store.workers import queues
from tests.control_room.overview_rows import make_rollup
from tests.control_room.test_roles import EVERYTHING, client_with
from tests.schedule_admin.steps import saved, set_columns
from tests.test_admin import attempt, make, make_worker, send

pytestmark = pytest.mark.django_db

CANARY = "canary-9027"
ATTACKS = {
    "script": "<script>evil()</script>",
    "elements": "</pre></textarea></title></script><evil onclick=evil()>",
    "attributes": '"\'`><evil x=\'" onfocus=evil() style=x evil="',
    "address": "javascript:evil()//<evil>",
    "comment": "<!--<evil onload=evil()>-->]]>",
    "entities": "&lt;script&gt;&#60;evil&#62;&quot; onclick=&quot;",
    "formats": "{{ 7|add:7 }}{% now 'Y' %}%(count)s %s {0}",
    "controls": "\x00\x01\x08\x0b\x0c\x1b[2J\x1b]0;x\x07\x7f\x9b31m",
    "directions": "\u202eevil\u202d\u2066\u200f\u2028\u2029\ufeff",
}
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e]")

#: What JSON columns hold. A lone surrogate is text that JSON can name and a page cannot have.
JSON = {
    "args": lambda text: [text, "\ud800"],
    "kwargs": lambda text: {text: text},
    "metadata": lambda text: {text: [text, "\udfff"]},
    "meta": lambda text: {text: text},
    "return_value": lambda text: {text: text},
    "progress": lambda text: [1, 2, text],
    "declared": lambda text: {"description": text, "args": json.dumps([text])},
    "wait_times": lambda text: [],
    "run_times": lambda text: [],
    "value": lambda text: {text: text},
}
#: The same with no text in the names of keys: people may be told that an argument is unknown.
VALUES = JSON | {
    "kwargs": lambda text: {"to": text},
    "metadata": lambda text: {"note": text},
    "meta": lambda text: {"note": text},
    "return_value": lambda text: {"note": text},
    "value": lambda text: {"note": text},
    "declared": lambda text: {"args": json.dumps([text]), "kwargs": json.dumps({"to": text})},
}
BROKEN = {}
#: The columns whose text people see only with the permission to see payload.
HIDDEN = {*JSON, "log", "traceback"} - {"wait_times", "run_times"}


def text_columns(row):
    """Return the columns of a row that hold any text: those that a list of choices rules do not."""
    kinds = (models.CharField, models.TextField)
    return {f.name: f for f in row._meta.fields if isinstance(f, kinds) and not f.choices}


def fill(row, text, columns, contents):
    """Write `text` to these columns, behind the store's back."""
    values = {}
    for name in columns:
        content = json.dumps(contents[name](text)) if name in contents else text
        if connection.vendor == "postgresql":
            content = content.replace("\x00", "")  # It has no NUL.
        values[name] = content[: text_columns(row)[name].max_length]
    type(row).objects.filter(pk=row.pk).update(**values)


class Rows:
    """A row of every table, and a task and a schedule of a known function beside unknown ones."""

    def __init__(self, text, *, only=None, contents=JSON):
        now = database_now("default")
        self.worker = make_worker()
        WorkerRecord.objects.update(stop_requested_at=now, wanted_concurrency=2)
        queues.pause("default", "default", "paused", "somebody")
        self.unknown = make(Status.RUNNING, worker_id=self.worker.pk)
        self.known = make(Status.SUCCESSFUL, task_path=send.module_path)
        self.failed = make(Status.FAILED, task_path=send.module_path)
        self.attempts = [attempt(self.unknown), attempt(self.failed)]
        self.schedule, self.other = set_columns(saved(), owner="CODE"), saved()
        self.run = ScheduleRun.objects.create(
            schedule=self.schedule,
            slot_at=timezone.now(),
            outcome=RunOutcome.ENQUEUED,
            task_id=self.unknown.pk,
            created_at=self.unknown.enqueued_at,
        )
        self.rollup = make_rollup(now.replace(second=0, microsecond=0), failed=1)
        self.queue = apps.get_model("django_tasks", "QueueState").objects.get()
        self.workflow, self.steps = workflow_of(Status.SUCCESSFUL, self.known, self.failed)
        self.open, further = workflow_of(Status.RUNNING, self.unknown)
        self.steps += further
        own = {self.known: {"task_path", "backend"}, self.failed: {"task_path", "backend"}}
        own[self.schedule] = {"task_path", "backend", "name"}
        for row in self.all():
            columns = text_columns(row).keys() - own.get(row, set())
            fill(row, text, columns if only is None else columns & only, contents)

    def all(self):
        tasks = [self.unknown, self.known, self.failed, *self.attempts]
        flows = [self.workflow, self.open, *self.steps, *WorkflowJoin.objects.order_by("pk")]
        rest = [self.worker, self.queue, self.schedule, self.other, self.run, self.rollup]
        return [*tasks, *flows, *rest]


def workflow_of(status, *records):
    """Store a workflow of these tasks, each of which waits for the one before it."""
    is_over = status == Status.SUCCESSFUL
    workflow = WorkflowRecord.objects.create(
        name="x",
        backend="default",
        status=status,
        size=len(records),
        enqueued_at=timezone.now(),
        finished_at=timezone.now() if is_over else None,
    )
    steps, join = [], None
    for position, record in enumerate(records):
        type(record).objects.filter(pk=record.pk).update(hooks=Hook.STEP)
        values = {"workflow": workflow, "position": position, "waits_for": join}
        steps.append(WorkflowStep.objects.create(task=record, name="x", **values))
        values = {"kind": JoinKind.SUCCESS, "needed": 1, "shared": "x"}
        join = WorkflowJoin.objects.create(workflow=workflow, **values)
        WorkflowEdge.objects.create(step=steps[-1], join=join)
    return workflow, steps


def test_every_table_has_a_hostile_row():
    """Also those that are added later."""
    tables = {m for m in apps.get_app_config("django_tasks").get_models() if not m._meta.proxy}
    with_text = {model for model in tables if text_columns(model)}

    assert with_text <= {type(row) for row in Rows("x").all()}


def addresses(rows, text):
    """Return what can be looked at, with `text` in the addresses where a list searches for it."""
    app, record, known = "/admin/django_tasks", rows.unknown.pk, rows.known.pk
    tasks, schedules = f"{app}/taskrecord/", f"{app}/schedule/"
    found = [(f"{app}/overview/", {}), (f"{app}/overview/figures/", {"span": "week"}), (tasks, {})]
    found += [(tasks, {name: text}) for name in ("q", "queue_name", "task_path", "upto")]
    for pk in (record, known, rows.failed.pk):
        found += [(f"{tasks}{pk}/{page}/", {}) for page in ("change", "live", "history")]
    found.append((f"{tasks}{known}/delete/", {}))
    found += [(schedules, {}), (schedules, {"q": text}), (f"{schedules}add/", {"name": text})]
    for pk in (rows.schedule.pk, rows.other.pk):
        found += [(f"{schedules}{pk}/{page}/", {}) for page in ("change", "runs", "history")]
    found.append((f"{schedules}{rows.other.pk}/delete/", {}))
    flows = f"{app}/workflowrecord/"
    found += [(flows, {}), (flows, {"q": text}), (flows, {"status": text})]
    for pk in (rows.workflow.pk, rows.open.pk):
        found += [(f"{flows}{pk}/{page}/", {}) for page in ("change", "live", "history")]
        found.append((f"{flows}{pk}/change/", {"box": text, "status": text, "level": text}))
    workers, listed = f"{app}/workerrecord/", f"{app}/queuestate/"
    found += [(workers, {}), (f"{workers}{rows.worker.pk}/change/", {})]
    return [
        *found,
        (f"{workers}{rows.worker.pk}/history/", {}),
        (listed, {}),
        (listed, {"q": text}),
    ]


def questions_and_messages(client, rows):
    """Return the pages that ask, and after actions those that tell what was done."""
    app = "/admin/django_tasks"
    rows.queue.refresh_from_db()
    queue = value_of(QueueKey(rows.queue.backend, rows.queue.queue_name))
    tasks = [rows.unknown.pk, rows.known.pk, rows.failed.pk]
    chosen = {
        "taskrecord": {"_selected_action": tasks},
        "schedule": {"_selected_action": [rows.schedule.pk, rows.other.pk]},
        "workerrecord": {"_selected_action": [rows.worker.pk]},
        "queuestate": {"queue": queue},
    }
    until = {"until_0": "2126-01-01", "until_1": "12:00"}
    done = {"confirmed": "yes", "queue_name": "mail"} | until
    for model_name, name, fields in (
        ("taskrecord", "cancel", {"select_across": "1"}),
        ("taskrecord", "move", {}),
        ("taskrecord", "delete_selected", {}),
        ("taskrecord", "run_again", done),
        ("taskrecord", "cancel", done),
        ("schedule", "run_now", {}),
        ("schedule", "delete_selected", {}),
        ("schedule", "run_now", done),
        ("schedule", "pause", done),
        ("schedule", "disable", {}),
        ("workerrecord", "stop", {}),
        ("workerrecord", "scale", done | {"concurrency": "3"}),
        ("queuestate", "purge", {}),
        ("queuestate", "resume", {}),
        ("queuestate", "pause", {}),
    ):
        fields = {"action": name, "deed": name} | chosen[model_name] | fields
        yield client.post(f"{app}/{model_name}/", fields, follow=True)
    for pk, name in ((rows.open.pk, "_cancel"), (rows.workflow.pk, "_retry")):
        yield client.post(f"{app}/workflowrecord/{pk}/change/", {name: "1"}, follow=True)


def everything_shown(client, rows, text):
    """Return all responses: of what asks and tells, and then of what lists that in histories."""
    responses = list(questions_and_messages(client, rows))
    return responses + [client.get(*address, follow=True) for address in addresses(rows, text)]


class Page(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_is_harmless(html):
    assert not CONTROLS.search(html)
    for tag, attrs in Page(html).elements:
        assert tag != "evil" and tag != "style"
        assert tag != "script" or attrs.get("src") or attrs.get("type") == "application/json"
        assert not [n for n in attrs if n.startswith("on") or n in ("style", "evil")], attrs
        for name in ("href", "src", "action"):
            assert not (attrs.get(name) or "").lower().strip().startswith("javascript:")


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "contents"),
    [(text, JSON) for text in ATTACKS.values()]
    + [(ATTACKS[name], BROKEN) for name in ("elements", "controls")],
    ids=[*ATTACKS, "elements, broken JSON", "controls, broken JSON"],
)
def test_hostile_text_stays_text(text, contents):
    """On every page, whatever columns hold: no element, attribute or control character is made."""
    rows = Rows(text, contents=contents)
    client = client_with(EVERYTHING)

    for response in everything_shown(client, rows, text):
        assert response.status_code == 200, response.request["PATH_INFO"]
        if response.headers["Content-Type"] == "application/json":
            assert response.content.isascii()
            for markup in response.json()["sections"].values():
                assert_is_harmless(markup)
        else:
            assert_is_harmless(response.content.decode())


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_hostile_names_of_steps_stay_text_for_readers_without_links(text):
    """They see no pages of tasks: names are no links, and are shown all the same."""
    rows = Rows(text)
    client = client_with(frozenset({"view_workflowrecord"}))

    for url in ("", f"{rows.workflow.pk}/change/", f"{rows.open.pk}/change/"):
        html = client.get(f"/admin/django_tasks/workflowrecord/{url}").content.decode()
        assert_is_harmless(html)
        name = WorkflowRecord.objects.get(pk=rows.open.pk).name
        assert visible(name) in Page(html).text


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_hostile_text_is_shown_as_it_is(text):
    """Nothing is left out; control characters are shown as JSON names them."""
    rows = Rows(text)
    html = client_with(EVERYTHING).get(f"/admin/django_tasks/taskrecord/{rows.unknown.pk}/change/")

    rows.unknown.refresh_from_db()
    assert visible(rows.unknown.task_path) in Page(html.content.decode()).text


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_progress_api_tells_hostile_text_as_json(text):
    rows = Rows(text)
    result = send.get_result(str(rows.known.pk))

    response = Client().get(result.progress_url(allows="result"))

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.content.isascii() and not CONTROLS.search(response.content.decode())
    assert response.json()["result"] == {text: text}


# --- commands ------------------------------------------------------------------------------------


def printed(rows):
    """Return what commands that list rows print."""
    texts = []
    for command, *arguments in (
        ("tasks_inspect",),
        ("tasks_inspect", "--json"),
        *[("tasks_inspect", str(pk)) for pk in (rows.unknown.pk, rows.failed.pk)],
        ("tasks_inspect", str(rows.failed.pk), "--json"),
        ("tasks_schedules", "list"),
        ("tasks_schedules", "list", "--json"),
        ("tasks_schedules", "next"),
        ("tasks_workflow", "list"),
        ("tasks_workflow", "list", "--json"),
        ("tasks_workflow", "show", str(rows.workflow.pk)),
        ("tasks_workflow", "show", str(rows.open.pk)),
        ("tasks_workflow", "show", str(rows.open.pk), "--json"),
    ):
        out = io.StringIO()
        call_command(command, *arguments, stdout=out, no_color=True)
        texts.append(out.getvalue())
    return texts


@pytest.mark.parametrize("name", ["controls", "directions"])
def test_commands_print_no_control_characters(name):
    """A name can neither move the cursor of a terminal nor begin a line."""
    rows = Rows(f"{ATTACKS[name]}\nforged")

    for text in printed(rows):
        assert not CONTROLS.search(text)
        assert "forged" not in [line.strip() for line in text.splitlines()]


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_are_hidden_from_people_without_the_permission():
    """No list, page, message, history or JSON tells arguments, results, logs or tracebacks."""
    rows = Rows(CANARY, only=HIDDEN, contents=VALUES)
    client = client_with(EVERYTHING - {"view_payload"})

    for response in everything_shown(client, rows, "x"):
        assert response.status_code == 200, response.request["PATH_INFO"]
        assert CANARY not in response.content.decode(), response.request["PATH_INFO"]
    copied = client.get("/admin/django_tasks/schedule/add/", {"copy": rows.schedule.pk})
    assert copied.status_code == 403


def test_secrets_are_in_those_columns():
    """Otherwise their absence would prove nothing."""
    rows = Rows(CANARY, only=HIDDEN, contents=VALUES)
    client = client_with(EVERYTHING)
    url = "/admin/django_tasks/taskrecord/{}/change/"

    pages = [client.get(url.format(row.pk)).content.decode() for row in (rows.known, rows.failed)]

    assert pages[0].count(CANARY) >= 6
    assert pages[1].count(CANARY) >= 7


def test_commands_tell_no_secrets():
    for text in printed(Rows(CANARY, only=HIDDEN, contents=VALUES)):
        assert CANARY not in text
