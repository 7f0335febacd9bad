"""A task's page: its attempts told in words, its data, what can be done, and what it costs."""

import json
import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_tasks import task
from django_tasks.admin import formats
from django_tasks.admin.tasks import timeline
from django_tasks.admin.tasks.timeline import LEAST, SHOWN, WIDTH, Step, bars_of, steps_of
from django_tasks.models import Schedule, ScheduleRun, TaskAttempt, TaskRecord
from django_tasks.models.schedules import RunOutcome
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.schedules import edits
from tests import tasks
from tests.test_admin import CANARY, LIST, NOW, change, client_with, make, make_worker, messages_of

pytestmark = pytest.mark.django_db

#: Beside at most six by which a page limits its time: three for the view, three for its template.
MOST_QUERIES = 15 + 6


@task(on_lost="fail", max_attempts=3)
def fragile():
    """Do nothing: only its options matter here."""


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def live(record):
    return f"{LIST}{record.pk}/live/"


def html_of(client, url):
    response = client.get(url)
    assert response.status_code == 200, response
    return response.content.decode()


def text_of(client, record):
    """Return what the page says, without its markup."""
    html = html_of(client, change(record))
    main = html[html.index('id="task-page"') :]
    return unescape(re.sub(r"(<[^>]+>|\s)+", " ", main))


def attempt(record, outcome=AttemptOutcome.ERROR, **fields):
    """Store an attempt; it began and ended these seconds after the task was enqueued."""
    begin, end = fields.pop("begin", None), fields.pop("end", 0)
    values = {
        "number": 1,
        "claim": 1,
        "worker_id": uuid4(),
        "finished_at": NOW + timedelta(seconds=end),
        "exception_path": "builtins.ValueError",
    }
    if begin is not None:
        values |= {"started_at": NOW + timedelta(seconds=begin), "run_time": end - begin}
    return TaskAttempt.objects.create(task=record, outcome=outcome, **values | fields)


def rows_of(record):
    return timeline.newest_attempts(record)


def eventful(status=Status.RUNNING, **fields):
    """Store a task with attempts on several workers, made by a schedule."""
    workers = [make_worker(host=f"web{n}") for n in range(3)]
    owner = {"worker_id": workers[0].pk} if status == Status.RUNNING else {}
    record = make(
        status, **{"progress": '[1,2,"half"]', "log": "line", "attempts": 4, **owner, **fields}
    )
    for number, worker in enumerate(workers, start=1):
        attempt(record, number=number, claim=number, worker_id=worker.pk, traceback="Traceback")
    schedule = schedule_of(record)
    return record, schedule


def schedule_of(record, outcome=RunOutcome.ENQUEUED):
    row = Schedule(name="nightly", task_path=tasks.add.module_path, kind="INTERVAL", every=3600.0)
    row.args = "[1, 2]"
    edits.save(row, using="default")
    ScheduleRun.objects.create(
        schedule=row,
        slot_at=NOW - timedelta(minutes=1),
        outcome=outcome,
        task_id=record.pk,
        created_at=record.enqueued_at,
    )
    return row


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("view", [change, live])
def test_queries_of_the_page_are_bounded(status, view):
    """For people with permissions of their own, which cost two queries more than a superuser's."""
    for _ in range(10):
        make_worker()
        make()
    record, _schedule = eventful(status)
    client = client_with("view_taskrecord", "view_payload", "cancel_taskrecord")
    client.get(view(record))  # content types are cached by now

    with CaptureQueriesContext(connection) as queries:
        html = html_of(client, view(record))

    assert "Attempt 3" in html
    assert len(queries) <= MOST_QUERIES, [query["sql"] for query in queries]


# --- the timeline --------------------------------------------------------------------------------


def test_steps_know_how_long_they_waited_and_ran():
    record = make(
        Status.SUCCESSFUL, attempts=2, run_time=4.0, finished_at=NOW + timedelta(seconds=60)
    )
    attempt(record, begin=2, end=7)

    first, last = steps_of(record, rows_of(record), NOW)

    assert (first.number, first.waited, first.took) == (1, 2.0, 5.0)
    assert (last.number, last.outcome, last.waited, last.took) == (2, "SUCCESSFUL", 49.0, 4.0)


def test_a_running_attempt_counts_up_to_now():
    started = NOW + timedelta(seconds=3)
    record = make(Status.RUNNING, last_attempted_at=started, attempts=1)

    [step] = steps_of(record, [], started + timedelta(seconds=10))

    assert (step.waited, step.took, step.finished_at) == (3.0, 10.0, None)


def test_a_late_result_does_not_begin_the_next_wait():
    record = make(Status.RUNNING, last_attempted_at=NOW + timedelta(seconds=9), attempts=2)
    attempt(record, begin=1, end=5)
    attempt(record, AttemptOutcome.LATE, end=8, number=0)

    *_, late, last = steps_of(record, rows_of(record), NOW + timedelta(seconds=20))

    assert (late.title, last.waited) == ("A late result", 4.0)


def test_of_very_many_attempts_the_newest_are_shown(root):
    """The wait of the first one that is shown is that since the one before it."""
    record = make(Status.FAILED)
    for number in range(1, SHOWN + 3):
        attempt(record, number=number, begin=number * 10 + 4, end=number * 10 + 10)

    steps = steps_of(record, rows_of(record), NOW)

    assert [step.number for step in steps] == list(range(3, SHOWN + 3))
    assert {step.waited for step in steps} == {4.0}
    assert f"The newest {SHOWN}; there were more." in text_of(root, record)


@pytest.mark.parametrize("times", [(0.0, 0.0), (1e-9, 5), (5, 1e-9), (None, 3.0), (3e9, 7)])
def test_bars_fit_and_can_be_seen(times):
    waited, took = times
    steps = [Step(number=1, outcome="ERROR", waited=w, took=t) for w, t in ((waited, took), (1, 1))]

    bars = bars_of(steps)

    assert all(0 <= bar.wait + bar.run <= WIDTH for bar in bars)
    assert all(bar.wait >= LEAST and bar.run >= LEAST for bar in bars[1:])
    assert (bars[0].wait > 0, bars[0].run > 0) == (bool(waited), bool(took))


def test_errors_say_what_followed(root):
    record = make(Status.FAILED, task_path=fragile.module_path, attempts=3)
    attempt(record, number=1, begin=1, end=2)
    attempt(record, AttemptOutcome.TIMEOUT, number=2, begin=7, end=9)
    attempt(record, number=3, begin=20, end=21)

    text = text_of(root, record)

    assert "Attempt 1 Error builtins.ValueError It was tried again after 5.0 s." in text
    assert "It ran for longer than its time limit. It was tried again after 11.0 s." in text
    assert "It was the last of the 3 attempts that the task may have." in text
    assert "It failed on" in text and "after 3 attempts." in text


def test_an_error_that_ends_the_task_early_is_told(root):
    record = make(Status.FAILED, attempts=1, max_attempts=5)
    attempt(record, begin=1, end=2)

    assert "After this error the task is not tried again." in text_of(root, record)


def test_a_retry_to_come_says_when(root):
    record = make(Status.SCHEDULED, attempts=1)
    attempt(record, begin=1, end=2)

    assert re.search(r"It is tried again on .+ \(in 23 h 5\d min\)", text_of(root, record))


def test_a_run_by_hand_is_no_retry(root):
    """Attempts count anew then, and their history stays."""
    again = make(Status.READY, attempts=0)
    attempt(again, number=3, begin=1, end=2)
    done = make(Status.SUCCESSFUL, attempts=1)
    attempt(done, number=3, begin=1, end=2)

    assert "Somebody has it run again." in text_of(root, again)
    assert "Somebody had it run again." in text_of(root, done)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"signal": 9}, "Its process was killed by SIGKILL, perhaps for want of memory."),
        ({"signal": 11}, "Its process was killed by SIGSEGV."),
        ({"signal": 99}, "Its process was killed by signal 99."),
        ({"exit_code": 3}, "Its process ended with exit code 3."),
        ({}, "Its worker was not heard of any more: it was killed, cut off"),
    ],
)
def test_losses_are_told_plainly(root, fields, words):
    record = make(Status.SCHEDULED, lost=1)
    attempt(record, AttemptOutcome.LOST, host="web7", **fields)

    text = text_of(root, record)

    assert "Attempt 1 Worker lost" in text and "web7" in text
    assert words in text
    assert "It does not count as an attempt: the task runs again." in text


def test_the_last_loss_says_why_there_is_no_further_run(root):
    poison = make(Status.FAILED, lost=3)
    attempt(poison, AttemptOutcome.LOST)
    once = make(Status.FAILED, lost=1, on_lost="fail")
    attempt(once, AttemptOutcome.LOST)

    assert "The task lost its worker 3 times, and fails at 3" in text_of(root, poison)
    assert "The task is not to run again after a loss." in text_of(root, once)


@pytest.mark.parametrize(
    ("outcome", "has_started", "words"),
    [
        (AttemptOutcome.INTERRUPTED, True, "The worker had to stop, and gave the task back."),
        (AttemptOutcome.EXPIRED, False, "Never started Expired"),
        (AttemptOutcome.CANCELLED, False, "It was cancelled while it waited."),
        (AttemptOutcome.CANCELLED, True, "Attempt 1 Cancelled"),
        (AttemptOutcome.LATE, True, "this result was refused"),
    ],
)
def test_other_outcomes_are_told(root, outcome, has_started, words):
    record = make(Status.CANCELLED)
    attempt(record, outcome, worker_id=uuid4() if has_started else None)

    assert words in text_of(root, record)


def test_each_traceback_is_there_and_the_last_one_is_open(root):
    record = make(Status.FAILED, attempts=2)
    attempts = [attempt(record, number=n, traceback=f"Traceback number {n}") for n in (1, 2)]

    html = html_of(root, change(record))

    assert [f"Traceback number {n}" in html for n in (1, 2)] == [True, True]
    opened = re.findall(r'<details id="attempt-(\d+)"( open)?>', html)
    assert opened == [(str(attempts[0].pk), ""), (str(attempts[1].pk), " open")]


# --- data ----------------------------------------------------------------------------------------


def test_big_values_are_cut_with_a_note(root):
    record = make(Status.SUCCESSFUL, return_value=json.dumps(["x" * 30, *range(50_000)]))

    html = html_of(root, change(record))

    assert len(html) < formats.MAX_SHOWN + 60_000
    assert re.search(r"… [\d,]+ characters are not shown …", html)


def test_what_may_quote_arguments_needs_the_permission_too():
    """The text of an error, the log and the progress' message are written by the task."""
    record = make(
        Status.RUNNING,
        args=json.dumps([CANARY]),
        metadata=json.dumps({"a": CANARY}),
        progress=json.dumps([1, 2, CANARY]),
        log=CANARY,
    )
    attempt(record, traceback=f"ValueError: {CANARY}")
    client = client_with("view_taskrecord")

    for view in (change, live):
        html = html_of(client, view(record))
        assert CANARY not in html
        assert "1 / 2 (50 %)" in html and "builtins.ValueError" in html
    assert html_of(client_with("view_taskrecord", "view_payload"), live(record)).count(CANARY) == 5


def test_the_schedule_that_made_it_is_linked_for_those_who_may_see_it(root):
    record, schedule = eventful()
    link = f'href="/admin/django_tasks/schedule/{schedule.pk}/change/"'

    assert link in html_of(root, change(record))
    html = html_of(client_with("view_taskrecord"), change(record))
    assert "nightly" in html and link not in html
    by_hand = make(enqueued_at=NOW - timedelta(hours=1))
    ScheduleRun.objects.update(
        task_id=by_hand.pk, created_at=by_hand.enqueued_at, outcome=RunOutcome.MANUAL
    )
    assert "nightly by hand" in text_of(root, by_hand)


# --- why, and what can be done -------------------------------------------------------------------


def test_it_says_why_it_is_not_running_and_what_helps(root):
    text = text_of(root, make(queue_name="mail"))

    assert "Why is it not running?" in text
    assert "No worker serves its queue “mail”. Start a worker that serves it." in text
    assert "manage.py runworker --queues mail" in text
    assert "It has not been started." in text


#: Buttons, the permission that each needs, and the statuses in which it makes sense.
BUTTONS = {
    "_run_now": ("requeue_taskrecord", {Status.SCHEDULED}),
    "_requeue": ("requeue_taskrecord", {Status.FAILED, Status.CANCELLED, Status.SUCCESSFUL}),
    "_cancel": (
        "cancel_taskrecord",
        {Status.WAITING, Status.SCHEDULED, Status.READY, Status.RUNNING},
    ),
}


@pytest.mark.parametrize("button", BUTTONS)
def test_buttons_are_there_when_they_make_sense_and_are_allowed(button):
    permission, statuses = BUTTONS[button]
    allowed = client_with("view_taskrecord", permission)
    others = {name for name, _ in BUTTONS.values()} - {permission}
    refused = client_with("view_taskrecord", "view_payload", "change_taskrecord", *others)
    for status in Status:
        record = make(status)
        assert (f'name="{button}"' in html_of(allowed, change(record))) == (status in statuses)
        assert f'name="{button}"' not in html_of(refused, change(record))
        assert refused.post(change(record), {button: "1"}).status_code == 403
        record.refresh_from_db()
        assert (record.status, record.cancel_requested) == (status, False)


def test_buttons_do_what_the_list_does(root):
    scheduled, done, running = make(Status.SCHEDULED), make(Status.SUCCESSFUL), make(Status.RUNNING)

    def press(record, button):
        response = root.post(change(record), {button: "1"}, follow=True)
        assert response.redirect_chain[-1][0] == change(record)
        return messages_of(response)

    assert press(scheduled, "_run_now") == "1 task is ready to run now."
    assert "was enqueued once more, as a new one" in press(done, "_requeue")
    assert press(running, "_cancel") == "1 running task was told to stop."
    assert TaskRecord.objects.filter(status=Status.READY).count() == 2
    assert 'name="_cancel"' not in html_of(root, change(running))


def test_tools_are_for_those_who_may_use_them(root):
    done, ready = make(Status.SUCCESSFUL), make()

    assert f"{LIST}{done.pk}/delete/" in html_of(root, change(done))
    assert f"{LIST}{ready.pk}/delete/" not in html_of(root, change(ready))
    html = html_of(client_with("view_taskrecord"), change(done))
    assert f"{LIST}{done.pk}/delete/" not in html and f"{LIST}{done.pk}/history/" in html


# --- the part that renews itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"status": Status.READY}, "2"),
        ({"status": Status.RUNNING}, "2"),
        ({"status": Status.SCHEDULED}, "30"),
        ({"status": Status.FAILED}, None),
        ({"status": Status.SUCCESSFUL}, None),
    ],
)
def test_it_says_when_to_ask_again(root, fields, seconds):
    record = make(**fields)

    response = root.get(live(record))

    assert response.headers.get("Retry-After") == seconds
    assert "no-store" in response.headers["Cache-Control"]
    assert f'data-pause="{seconds or ""}"' in html_of(root, change(record))


def test_a_task_that_is_nearly_due_is_asked_for_then(root):
    due = database_now("default") + timedelta(seconds=9)

    response = root.get(live(make(Status.SCHEDULED, run_after=due)))

    assert 2 <= int(response.headers["Retry-After"]) <= 9


def test_the_page_and_what_renews_it_are_the_same_markup(root):
    """The script compares them node by node."""
    record, _schedule = eventful(Status.FAILED)

    page, part = html_of(root, change(record)), html_of(root, live(record))

    begin = page.index(">", page.index('id="task-page"')) + 1

    def stable(html):
        return re.sub(r"[\d.]+ (s|min|ms)( \d+ s)? ago", "", html)

    assert stable(page[begin:]).startswith(stable(part) + "</div>")


def test_it_is_closed_without_the_permission(root):
    record = make()

    assert client_with("view_workerrecord").get(live(record)).status_code == 403
    assert Client().get(live(record)).status_code == 302  # to the login
    assert root.get(f"{LIST}{uuid4()}/live/").status_code == 404
    assert root.get(f"{LIST}nonsense/live/").status_code == 404
    assert root.post(live(record), {"_cancel": "1"}).status_code == 405


# --- a second AdminSite --------------------------------------------------------------------------


@pytest.fixture
def ops(settings, root):
    """Return a function that opens a page of the second site; no link may lead to the first."""
    settings.ROOT_URLCONF = "tests.control_room.ops_site"

    def shown(response):
        assert response.status_code == 200, response
        html = response.content.decode()
        assert "/operations/" in html
        assert not re.search(r'"/admin/', html), re.findall(r'"/admin/[^"]*', html)
        return html

    return shown


def address(view, *args):
    return reverse(f"ops:django_tasks_{view}", args=args)


def test_pages_of_tasks_stay_on_their_site(ops, root):
    record, schedule = eventful()
    page = ops(root.get(address("taskrecord_change", record.pk)))

    assert f"/operations/django_tasks/schedule/{schedule.pk}/change/" in page
    assert f"/operations/django_tasks/workerrecord/{record.worker_id}/change/" in page
    assert f"/operations/django_tasks/taskrecord/{record.pk}/live/" in page
    ops(root.get(address("taskrecord_live", record.pk)))
    assert str(record.pk) in ops(root.get(address("taskrecord_changelist")))
    ops(root.get(address("taskrecord_history", record.pk)))
    ops(root.get(address("taskrecord_delete", make(Status.FAILED).pk)))
    for name in ("taskrecord_change", "schedule_change", "workerrecord_change"):
        gone = root.get(address(name, uuid4() if name != "schedule_change" else 999), follow=True)
        assert gone.redirect_chain[-1][0] == "/operations/"


@pytest.mark.parametrize("action", ["move", "delete_selected", "cancel", "run_again", "run_now"])
def test_actions_on_tasks_stay_on_their_site(ops, root, action):
    record = make(Status.READY)
    choice = {"action": action, "_selected_action": [record.pk], "select_across": "1"}

    page = ops(root.post(address("taskrecord_changelist"), choice))
    assert 'name="confirmed"' in page
    done = {"confirmed": "yes", "queue_name": "mail"}
    response = root.post(address("taskrecord_changelist"), choice | done, follow=True)

    assert messages_of(response)
    ops(response)


def test_buttons_of_tasks_stay_on_their_site(ops, root):
    record = make(Status.FAILED)

    response = root.post(address("taskrecord_change", record.pk), {"_requeue": "1"}, follow=True)

    assert response.redirect_chain[-1][0] == address("taskrecord_change", record.pk)
    ops(response)


def test_pages_of_schedules_stay_on_their_site(ops, root):
    record = make(Status.SUCCESSFUL)
    row = schedule_of(record)
    Schedule.objects.filter(pk=row.pk).update(last_task_id=record.pk, last_run_at=NOW)

    link = f"/operations/django_tasks/taskrecord/{record.pk}/change/"
    assert link in ops(root.get(address("schedule_changelist")))
    assert link in ops(root.get(address("schedule_runs", row.pk)))
    assert link in ops(root.get(address("schedule_change", row.pk)))
    for view in ("history", "delete"):
        ops(root.get(address(f"schedule_{view}", row.pk)))
    ops(root.get(address("schedule_add")))


@pytest.mark.parametrize("action", ["run_now", "pause", "delete_selected"])
def test_actions_on_schedules_stay_on_their_site(ops, root, action):
    row = schedule_of(make())

    ops(root.post(address("schedule_changelist"), {"action": action, "_selected_action": [row.pk]}))
    if action != "delete_selected":
        ops(root.post(address("schedule_do", row.pk), {"deed": action}))


def test_a_schedule_that_is_run_links_to_its_task_on_the_same_site(ops, root):
    row = schedule_of(make())

    done = {"deed": "run_now", "confirmed": "yes"}
    page = ops(root.post(address("schedule_do", row.pk), done, follow=True))

    new = TaskRecord.objects.get(task_path=tasks.add.module_path)
    assert f"/operations/django_tasks/taskrecord/{new.pk}/change/" in page
