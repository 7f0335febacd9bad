"""What people do to tasks from the list: for a selection, and for all that match."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from django_tasks.admin.tasks import actions
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import FINAL_STATUSES, PENDING_STATUSES, AttemptOutcome, Status
from django_tasks.store.tasks import interventions
from tests.test_admin import LIST, act, client_with, make, messages_of, statuses

pytestmark = pytest.mark.django_db

#: Actions, and the permission that each needs.
ACTIONS = {
    "run_again": "requeue_taskrecord",
    "run_now": "requeue_taskrecord",
    "cancel": "cancel_taskrecord",
    "move": "change_taskrecord",
    "delete_selected": "delete_taskrecord",
}
MOVE = {"queue_name": "mail", "priority": "7"}


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(interventions, "CHUNK", 7)


def for_all(client, action, *, query="", **more):
    """Choose an action for all tasks that match."""
    some = TaskRecord.objects.values_list("pk", flat=True)[:1]
    fields = {"action": action, "_selected_action": list(some), "select_across": "1"}
    return client.post(f"{LIST}{query}", fields | more, follow=True)


def one_of_each():
    return {status: make(status) for status in Status}


def status_of_each(records):
    found = dict(TaskRecord.objects.values_list("pk", "status"))
    return {status: found.get(record.pk) for status, record in records.items()}


# --- each action, and its transactions -----------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["cancel", "run_again", "run_now", "delete_selected"])
def test_actions_commit_in_chunks_whatever_atomic_requests_says(
    root, small_chunks, monkeypatch, action
):
    """A request for thousands of tasks would keep each of them locked to its very end."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    commits = []
    done = {"delete_selected": Status.FAILED, "run_again": Status.FAILED}.get(action)
    for _ in range(20):
        make(done or (Status.SCHEDULED if action == "run_now" else Status.READY))
    write = actions.AuditLog.write

    def note(audit_log, tasks):
        commits.append(not connection.in_atomic_block)
        return write(audit_log, tasks)

    monkeypatch.setattr(actions.AuditLog, "write", note)
    for_all(root, action, confirmed="yes")

    assert len(commits) == 3
    assert all(commits)


def test_run_again_enqueues_successful_tasks_as_new_ones(root):
    """The old record keeps its result and history."""
    done = make(
        Status.SUCCESSFUL,
        args="[1]",
        kwargs='{"note":"x"}',
        metadata='{"tenant":"acme"}',
        queue_name="mail",
        priority=5,
        max_attempts=9,
        return_value="3",
        log="line",
    )

    response = act(root, "run_again", done)

    assert messages_of(response) == "1 successful task was enqueued once more, as a new one."
    old, new = TaskRecord.objects.order_by("pk")
    assert (old.pk, old.status, old.return_value) == (done.pk, Status.SUCCESSFUL, "3")
    same = ("task_path", "args", "kwargs", "metadata", "queue_name", "priority", "max_attempts")
    assert [getattr(new, name) for name in same] == [getattr(old, name) for name in same]
    assert (new.status, new.attempts, new.claims, new.return_value) == (Status.READY, 0, 0, None)
    assert (new.log, new.finished_at, new.started_at) == (None, None, None)
    assert abs(new.enqueued_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_run_again_of_all_does_not_follow_its_own_copies(root, small_chunks):
    for _ in range(10):
        make(Status.SUCCESSFUL)

    response = for_all(root, "run_again", confirmed="yes")

    assert "10 successful tasks were enqueued once more" in messages_of(response)
    assert TaskRecord.objects.count() == 20


def test_run_now_makes_scheduled_tasks_ready(root):
    records = one_of_each()

    response = act(root, "run_now", *records.values())

    assert messages_of(response).startswith(
        "1 task is ready to run now. 6 tasks were skipped: 1 cancelled, 1 failed, 1 ready,"
    )
    changed = records.pop(Status.SCHEDULED)
    changed.refresh_from_db()
    assert (changed.status, changed.run_after) == (Status.READY, None)
    assert status_of_each(records) == {status: status for status in records}


def test_move_gives_waiting_tasks_another_queue_and_priority(root):
    records = one_of_each()

    asked = act(root, "move", *records.values())
    assert "7 tasks are chosen." in asked.content.decode()
    assert set(TaskRecord.objects.values_list("queue_name", "priority")) == {("default", 0)}
    response = act(root, "move", *records.values(), confirmed="yes", **MOVE)

    assert messages_of(response).startswith("3 tasks moved. 4 tasks were skipped:")
    moved = TaskRecord.objects.filter(queue_name="mail", priority=7)
    assert set(moved.values_list("status", flat=True)) == set(PENDING_STATUSES)
    [entry] = LogEntry.objects.filter(object_id=str(records[Status.READY].pk))
    assert entry.change_message == "Moved: queue “mail”, priority 7."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"queue_name": "mail", "priority": ""}, ("mail", 3)),
        ({"queue_name": "", "priority": "0"}, ("default", 0)),
        ({"queue_name": "", "priority": "-100"}, ("default", -100)),
    ],
)
def test_move_leaves_what_was_left_empty(root, fields, expected):
    record = make(priority=3)

    act(root, "move", record, confirmed="yes", **fields)

    record.refresh_from_db()
    assert (record.queue_name, record.priority) == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"queue_name": "", "priority": ""}, "Enter a queue, a priority or both."),
        ({"queue_name": "a b", "priority": ""}, "no space, comma"),
        ({"queue_name": "*", "priority": ""}, "no space, comma"),
        ({"queue_name": "", "priority": "101"}, "less than or equal to 100"),
        ({"queue_name": "", "priority": "x"}, "Enter a whole number."),
    ],
)
def test_move_refuses_what_cannot_be(root, fields, error):
    record = make()

    response = act(root, "move", record, confirmed="yes", **fields)

    assert error in response.content.decode()
    record.refresh_from_db()
    assert (record.queue_name, record.priority) == ("default", 0)


def test_delete_asks_and_leaves_unfinished_tasks(root):
    records = one_of_each()
    for record in records.values():
        TaskAttempt.objects.create(
            task=record,
            number=1,
            claim=1,
            outcome=AttemptOutcome.ERROR,
            finished_at=record.enqueued_at,
        )

    asked = act(root, "delete_selected", *records.values())
    assert "There is no way back." in asked.content.decode()
    assert TaskRecord.objects.count() == 7
    response = act(root, "delete_selected", *records.values(), confirmed="yes")

    assert messages_of(response) == (
        "3 tasks were deleted. 4 tasks were skipped: 1 ready, 1 running, 1 scheduled, 1 waiting."
    )
    assert set(TaskRecord.objects.values_list("status", flat=True)).isdisjoint(FINAL_STATUSES)
    assert TaskAttempt.objects.count() == 4


# --- all that match ------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_on_all_that_match_ask_first(root, action):
    records = one_of_each()

    response = for_all(root, action)

    html = re.sub(r"\s+", " ", response.content.decode())
    assert "7 tasks match the filters of the list." in html
    assert 'name="confirmed"' in html and "csrfmiddlewaretoken" in html
    assert status_of_each(records) == {status: status for status in records}


def test_actions_on_all_that_match_act_on_those_only(root, small_chunks):
    """In chunks, and on what the filters match, also beyond what the list looks at."""
    failed = [make(Status.FAILED) for _ in range(20)]
    other = make(Status.FAILED, queue_name="mail")

    query = "?queue_name=default&status=FAILED"
    response = for_all(root, "run_again", query=query, confirmed="yes")

    assert "20 tasks will run again." in messages_of(response)
    assert set(statuses(*failed)) == {Status.READY}
    assert statuses(other) == [Status.FAILED]
    assert LogEntry.objects.count() == 20


def test_history_has_an_entry_for_the_many(root, small_chunks, monkeypatch):
    """A million entries would take longer than the action; one says how many and which."""
    monkeypatch.setattr(actions, "MOST_LOGGED", 5)
    for _ in range(20):
        make(Status.FAILED, metadata='{"iban":"secret"}')

    query = "?status=FAILED&metadata=iban%3Dsecret"
    for_all(root, "run_again", query=query, confirmed="yes")

    entries = LogEntry.objects.order_by("pk")
    assert entries.filter(object_id__isnull=False).count() == 5
    [summary] = entries.filter(object_id__isnull=True)
    assert summary.object_repr == "20 tasks"
    assert summary.change_message == "Run again. Filters: status=FAILED&metadata=%E2%80%A6."


def test_one_conflict_does_not_stop_the_others(root, small_chunks, monkeypatch):
    records = [make(Status.FAILED) for _ in range(10)]
    chunks = interventions._chunks

    def overtaken(tasks):
        for chunk in chunks(tasks):
            TaskRecord.objects.filter(pk=chunk[0].pk).update(status=Status.READY, finished_at=None)
            yield chunk

    monkeypatch.setattr(interventions, "_chunks", overtaken)

    response = act(root, "run_again", *records)

    assert messages_of(response) == (
        "8 tasks will run again. 2 tasks were skipped: 2 changed meanwhile."
    )
    assert set(statuses(*records)) == {Status.READY}


def test_an_action_ends_in_time_and_says_so(root, small_chunks, monkeypatch):
    """What was done stays done; the rest is left for the next click."""
    monkeypatch.setattr(actions, "MOST_SECONDS", -1.0)
    make(Status.FAILED)

    response = for_all(root, "run_again", confirmed="yes")

    assert messages_of(response) == (
        "Time was up before all had been looked at: do it again for the rest."
    )


# --- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_has_its_permission(action):
    """Offered to, and obeyed for, those who have it and no others."""
    records = one_of_each()
    without = set(ACTIONS.values()) - {ACTIONS[action]}
    client = client_with("view_taskrecord", "view_payload", *without)

    assert f'value="{action}"' not in client.get(LIST).content.decode()
    act(client, action, *records.values(), confirmed="yes", **MOVE)
    for_all(client, action, confirmed="yes", **MOVE)
    assert status_of_each(records) == {status: status for status in records}
    assert not TaskRecord.objects.filter(queue_name="mail").exists()

    client = client_with("view_taskrecord", ACTIONS[action])
    assert f'value="{action}"' in client.get(LIST).content.decode()
    response = act(client, action, *records.values(), confirmed="yes", **MOVE)
    assert "skipped" in messages_of(response)
    assert LogEntry.objects.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_need_the_csrf_token(action):
    records = one_of_each()
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))

    response = act(client, action, *records.values(), confirmed="yes", **MOVE)

    assert response.status_code == 403
    assert status_of_each(records) == {status: status for status in records}


def test_pages_that_ask_show_no_arguments(root):
    """They name tasks by path and id alone."""
    make(args=json.dumps(["canary-1"]), metadata='{"a":"canary-2"}')

    assert "canary" not in for_all(root, "delete_selected").content.decode()
