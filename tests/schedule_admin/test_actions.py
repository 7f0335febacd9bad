"""What people do to schedules: run, pause, enable, delete, reset; and what the history keeps."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.test import override_settings

from django_tasks.definitions.declared_schedules import to_json
from django_tasks.definitions.schedule_options import COLUMNS
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.store.schedules import edits
from tests.schedule_admin.steps import (
    LIST,
    act,
    change,
    history_of,
    messages_of,
    press,
    saved,
    send_report,
    set_columns,
    text_of,
)

pytestmark = pytest.mark.django_db

TOMORROW = {"until_0": "2126-05-01", "until_1": "12:00:00", "confirmed": "yes"}


def declared_in_code(row):
    """Make it a schedule of the code's that is as the code says."""
    columns = {name: getattr(row, name) for name in COLUMNS}
    return set_columns(row, owner="CODE", declared=to_json(columns))


# --- run now -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do", [press, lambda client, row, deed, **more: act(client, deed, row, **more)]
)
def test_run_now_asks_first(root, do):
    row = saved()
    planned = row.next_run_at

    asked = do(root, row, "run_now")

    assert "Enqueue the task of this schedule now?" in text_of(asked)
    assert not TaskRecord.objects.exists()
    answered = do(root, row, "run_now", confirmed="yes")
    record = TaskRecord.objects.get()
    assert (record.task_path, record.args) == (row.task_path, "[1]")
    assert "1 task was enqueued." in messages_of(answered)
    assert str(record.pk) in messages_of(answered)
    row.refresh_from_db()
    assert (row.next_run_at, row.last_task_id, row.runs) == (planned, record.pk, 0)
    assert ScheduleRun.objects.get().outcome == "MANUAL"
    assert history_of(row) == [f"Run by hand: task {record.pk}."]


def test_run_now_names_what_cannot_run_and_runs_the_others(root):
    good, other = saved(name="good"), saved(name="other")
    broken = set_columns(saved(name="broken"), task_path="gone.tasks.f")

    response = act(root, "run_now", good, broken, other, confirmed="yes")

    assert "2 tasks were enqueued." in messages_of(response)
    assert "broken was not run: There is no task 'gone.tasks.f'" in messages_of(response)
    assert TaskRecord.objects.count() == 2
    assert len(history_of(good)) == len(history_of(other)) == 1
    assert history_of(broken) == []


def test_a_schedule_deleted_before_it_runs_is_told(root, monkeypatch):
    row = saved(name="gone")
    run_now = edits.run_now

    def deleted_first(pk, using):
        edits.delete([pk], using=using)
        return run_now(pk, using=using)

    monkeypatch.setattr("django_tasks.admin.schedules.actions.store.run_now", deleted_first)

    response = act(root, "run_now", row, confirmed="yes")

    assert "gone was not run: It was deleted meanwhile." in messages_of(response)


def test_a_name_in_a_message_is_no_markup(root):
    row = set_columns(saved(name="<script>alert(1)</script>"), task_path="gone.tasks.f")

    response = press(root, row, "run_now", confirmed="yes")

    assert "<script>alert" not in response.content.decode()


# --- pause, resume, enable, disable --------------------------------------------------------------


@pytest.mark.parametrize(
    "do", [press, lambda client, row, deed, **more: act(client, deed, row, **more)]
)
def test_pause_asks_until_when(root, do):
    row = saved()

    assert "Until when?" in text_of(do(root, row, "pause"))
    do(root, row, "pause", **TOMORROW)

    row.refresh_from_db()
    assert row.paused_until == datetime(2126, 5, 1, 12, tzinfo=UTC)
    assert row.next_run_at > row.paused_until
    assert history_of(row) == ["Changed: paused until none → 2126-05-01 12:00:00 UTC."]


@pytest.mark.parametrize("until", ["2000-01-01", "", "soon"])
def test_pause_needs_a_moment_ahead(root, until):
    row = saved()

    response = press(root, row, "pause", confirmed="yes", until_0=until, until_1="12:00")

    assert response.context["form"].errors["until"]
    row.refresh_from_db()
    assert row.paused_until is None


def test_resume_ends_the_pause(root):
    row = saved()
    edits.pause([row.pk], datetime(2126, 5, 1, tzinfo=UTC), using="default")

    response = press(root, row, "resume")

    row.refresh_from_db()
    assert row.paused_until is None
    assert row.next_run_at < datetime.now(UTC) + timedelta(hours=1)
    assert messages_of(response) == "1 schedule was changed."


def test_disable_and_enable(root):
    on, off = saved(name="on"), saved(name="off", enabled=False)

    response = act(root, "disable", on, off)

    assert messages_of(response) == "1 schedule was changed. 1 schedule stayed as it was."
    on.refresh_from_db()
    assert (on.enabled, on.next_run_at) == (False, None)
    assert history_of(on) == ["Changed: enabled yes → no."]
    assert history_of(off) == []
    act(root, "enable", on, off)
    for row in (on, off):
        row.refresh_from_db()
        assert row.enabled and row.next_run_at is not None


def test_enabling_a_broken_one_shows_its_error(root):
    row = set_columns(
        saved(enabled=False, kind="CRONTAB", crontab="0 7 * * *"), crontab="61 * * * *"
    )

    response = press(root, row, "enable")

    assert messages_of(response) == "1 schedule stayed as it was."
    assert "'61' is no minute" in text_of(response)
    row.refresh_from_db()
    assert not row.enabled


def test_actions_take_a_limited_number(root, monkeypatch):
    monkeypatch.setattr("django_tasks.admin.schedules.actions.MOST", 2)
    rows = [saved() for _ in range(3)]

    response = act(root, "disable", rows[0], select_across="1")

    assert "Select up to 2 schedules at a time." in messages_of(response)
    assert Schedule.objects.filter(enabled=True).count() == 3


def test_an_action_that_asks_keeps_the_selection_across_pages(root):
    rows = [saved() for _ in range(3)]

    asked = act(root, "run_now", rows[0], select_across="1").content.decode()
    assert '<input type="hidden" name="select_across" value="1">' in asked
    act(root, "run_now", rows[0], select_across="1", confirmed="yes")

    assert TaskRecord.objects.count() == 3


def test_buttons_fit_the_state(root):
    def buttons(row):
        return [name for name, _title in root.get(change(row)).context["buttons"]]

    assert buttons(saved()) == ["run_now", "pause", "disable"]
    assert buttons(saved(enabled=False)) == ["run_now", "enable"]
    paused = saved(paused_until=datetime(2126, 1, 1, tzinfo=UTC))
    assert buttons(paused) == ["run_now", "pause", "resume", "disable"]
    drifted = declared_in_code(saved())
    set_columns(drifted, every=1.0)
    assert buttons(drifted) == ["run_now", "pause", "disable", "reset"]


def test_unknown_deeds_are_refused(root):
    row = saved()

    for deed in ("", "delete_model", "get_queryset", "__class__"):
        assert root.post(f"{LIST}{row.pk}/do/", {"deed": deed}).status_code == 403
    assert root.post(f"{LIST}999999/do/", {"deed": "enable"}).status_code == 404
    assert root.get(f"{LIST}{row.pk}/do/", {"deed": "disable"}).status_code == 405
    row.refresh_from_db()
    assert row.enabled


# --- schedules of the code -----------------------------------------------------------------------


def test_drift_is_shown_and_can_be_undone(root):
    row = declared_in_code(saved(overlap="SKIP"))
    assert "changed here" not in text_of(root.get(LIST))
    set_columns(row, overlap="ALLOW", every=60.0, args="[7]")

    page = text_of(root.get(change(row)))
    assert "changed here" in page and "changed here" in text_of(root.get(LIST))
    assert "Field Here In the code" in page
    assert "every 1 min 0 s 1 h 0 min" in page
    assert "overlap “Allow” “Skip”" in page
    assert "arguments changed" in page

    press(root, row, "reset")

    row.refresh_from_db()
    assert (row.overlap, row.every, row.args) == ("SKIP", 3600.0, "[1]")
    [message] = history_of(row)
    assert "every 1 min 0 s → 1 h 0 min" in message and "overlap “Allow” → “Skip”" in message
    assert "changed here" not in text_of(root.get(change(row)))


def test_an_edit_of_a_schedule_of_the_code_is_kept_as_drift(root):
    from tests.schedule_admin.steps import filled_in

    row = declared_in_code(saved())

    assert root.post(change(row), filled_in(name=row.name, every="2")).status_code == 302

    row.refresh_from_db()
    assert (row.owner, row.every) == ("CODE", 7200.0)
    assert "changed here" in text_of(root.get(LIST))


def test_declared_schedules_cannot_be_deleted(root):
    declared, removed, own = (saved(name=name) for name in ("declared", "removed", "own"))
    declared_in_code(declared)
    set_columns(declared_in_code(removed), is_declared=False)

    assert root.post(f"{LIST}{declared.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "deletelink" not in root.get(change(declared)).content.decode()
    assert "removed from the code" in text_of(root.get(change(removed)))
    asked = act(root, "delete_selected", declared, removed, own)
    assert "1 schedule stays: it is in the code." in messages_of(asked)
    act(root, "delete_selected", declared, removed, own, post="yes")

    assert list(Schedule.objects.values_list("name", flat=True)) == ["declared"]


def test_deleting_takes_the_runs_and_leaves_the_tasks(root):
    row = saved(name="own")
    edits.run_now(row.pk, using="default")

    page = text_of(root.get(f"{LIST}{row.pk}/delete/"))
    root.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})

    assert "Are you sure" in page
    assert not Schedule.objects.exists() and not ScheduleRun.objects.exists()
    assert TaskRecord.objects.count() == 1
    entry = LogEntry.objects.get(action_flag=DELETION)
    assert entry.object_repr == "own"
    assert entry.change_message == f"{send_report.module_path}: Every 1 hour"


# --- the runs ------------------------------------------------------------------------------------


def test_the_runs_are_shown_with_their_tasks(root):
    row = saved()
    now = datetime.now(UTC)
    task_id = edits.run_now(row.pk, using="default").id
    for minutes, outcome, left_out in ((3, "ENQUEUED", 0), (2, "SKIPPED", 0), (1, "MISSED", 4)):
        slot = now - timedelta(minutes=minutes)
        ScheduleRun.objects.create(
            schedule=row,
            slot_at=slot,
            outcome=outcome,
            left_out=left_out,
            created_at=slot + timedelta(seconds=0.25),
            task_id=uuid4() if outcome == "ENQUEUED" else None,
        )

    response = root.get(f"{LIST}{row.pk}/runs/")

    text = text_of(response)
    assert "Run by hand Ready" in text
    assert f"/taskrecord/{task_id}/change/" in response.content.decode()
    assert "Missed and 4 slots before it" in text
    assert "Skipped: still running" in text
    assert "Enqueued 250 ms after its slot deleted since" in text


def test_the_page_of_runs_shows_the_newest(root, django_assert_max_num_queries):
    row = saved()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ScheduleRun.objects.bulk_create(
        ScheduleRun(
            schedule=row,
            slot_at=start + timedelta(minutes=minute),
            outcome="SKIPPED",
            created_at=start,
        )
        for minute in range(60)
    )

    with django_assert_max_num_queries(6 + 6):  # those that limit its time
        response = root.get(f"{LIST}{row.pk}/runs/")

    html = response.content.decode()
    assert html.count("task-cancelled") == 50
    assert "00:59:00" in html and "00:09:00" not in html


@override_settings(ROOT_URLCONF="tests.schedule_admin.two_sites")
def test_links_stay_on_their_site(root):
    row = saved()
    edits.run_now(row.pk, using="default")

    for url in (LIST, change(row), f"{LIST}{row.pk}/runs/"):
        html = root.get(url.replace("/admin/", "/second/")).content.decode()
        assert 'href="/admin/' not in html and 'action="/admin/' not in html
        assert 'data-url="/admin/' not in html
