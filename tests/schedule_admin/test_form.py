"""The form of schedules: what it saves, and what it refuses at which field."""

import json
from datetime import UTC, datetime

import pytest
from django.test import override_settings

from django_tasks.models import Schedule
from tests.schedule_admin.steps import (
    LIST,
    change,
    client_with,
    cron,
    errors_of,
    filled_in,
    history_of,
    internal,
    pay,
    saved,
    send_report,
    set_columns,
)

pytestmark = pytest.mark.django_db


def add(client, data):
    return client.post(f"{LIST}add/", data)


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"every": "5", "every_unit": "60"}, {"kind": "INTERVAL", "every": 300.0}),
        ({"every": "0.5", "every_unit": "86400"}, {"every": 43200.0}),
        ({"kind": "CRONTAB", "crontab": "30  7 * * 1-5"}, {"kind": "CRONTAB"}),
        ({"kind": "CRONTAB", "crontab": "30 7 * January Monday-friday"}, {"kind": "CRONTAB"}),
        (
            {"kind": "SOLAR", "solar_event": "sunset", "latitude": "52.5", "longitude": "-13"},
            {"solar_event": "sunset", "latitude": 52.5, "longitude": -13.0},
        ),
        (
            {"kind": "CLOCKED", "clocked_at_0": "2126-01-02", "clocked_at_1": "03:04:05"},
            {"clocked_at": datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)},
        ),
    ],
)
def test_each_kind_is_saved(root, fields, columns):
    """By the store, which plans the next run."""
    response = add(root, filled_in(**fields))

    assert response.status_code == 302, errors_of(response)
    row = Schedule.objects.get()
    assert {name: getattr(row, name) for name in columns} == columns
    assert row.next_run_at is not None
    assert row.owner == "ADMIN"


def test_policies_and_limits_are_saved(root):
    data = filled_in(
        kwargs='{"to": "Zürich"}',
        start_at_0="2030-01-01",
        start_at_1="00:00",
        end_at_0="2031-01-01",
        end_at_1="00:00",
        max_runs="7",
        jitter="2",
        jitter_unit="60",
        expires="1",
        expires_unit="3600",
        overlap="QUEUE_ONE",
        catch_up="ALL",
        catch_up_limit="3",
        catch_up_deadline="1",
        catch_up_deadline_unit="86400",
        queue_name="mail",
        priority="-5",
        backend="default",
        timezone="Asia/Kolkata",
    )

    assert add(root, data).status_code == 302

    row = Schedule.objects.get()
    assert json.loads(row.kwargs) == {"to": "Zürich"}
    assert (row.start_at.year, row.end_at.year, row.max_runs) == (2030, 2031, 7)
    assert (row.jitter, row.expires, row.catch_up_deadline) == (120.0, 3600.0, 86400.0)
    assert (row.overlap, row.catch_up, row.catch_up_limit) == ("QUEUE_ONE", "ALL", 3)
    assert (row.queue_name, row.priority, row.backend) == ("mail", -5, "default")
    assert row.timezone == "Asia/Kolkata"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"kind": "CRONTAB", "crontab": "61 * * * *"}, "crontab", "minute"),
        ({"kind": "CRONTAB", "crontab": "0 0 31 2 *"}, "crontab", "never"),
        ({"kind": "CRONTAB", "crontab": ""}, "crontab", "five fields"),
        ({"kind": "CRONTAB", "crontab": "0 0 * * *", "timezone": "Mars/Base"}, "timezone", "Mars"),
        ({"timezone": "../../etc/passwd"}, "timezone", "time zone"),
        ({"every": ""}, "every", ""),
        ({"every": "0"}, "every", ""),
        ({"every": "-1"}, "every", ""),
        ({"every": "nan"}, "every", "number"),
        ({"every": "1e300"}, "every", "100 years"),
        ({"every": "5", "every_unit": "7"}, "every", ""),
        ({"kind": "SOLAR", "solar_event": "noon", "latitude": "91"}, "latitude", ""),
        ({"kind": "SOLAR", "latitude": "1", "longitude": "1"}, "solar_event", ""),
        ({"kind": "CLOCKED"}, "clocked_at", ""),
        ({"kind": "HOURLY"}, "kind", ""),
        ({"task_path": "os.system"}, "task_path", "Choose one"),
        ({"task_path": internal.module_path}, "task_path", "may not be scheduled"),
        ({"args": "[1, 2, 3]"}, "args", "too many positional"),
        ({"args": "[]"}, "args", "'month'"),
        ({"kwargs": '{"too": "all"}'}, "kwargs", "'too'"),
        ({"args": "[1", "kwargs": "{}"}, "args", "no valid JSON"),
        ({"args": '{"month": 1}'}, "args", "JSON list"),
        ({"kwargs": "[1]"}, "kwargs", "JSON object"),
        ({"args": "[NaN]"}, "args", "JSON does not have"),
        ({"args": "[" * 3000}, "args", ""),
        ({"kwargs": '{"to": "\\u0000"}'}, "kwargs", "NUL"),
        ({"priority": "101"}, "priority", ""),
        ({"queue_name": "a b"}, "queue_name", "spaces"),
        ({"backend": "elsewhere"}, "backend", "elsewhere"),
        ({"start_at_0": "2031-01-01", "start_at_1": "00:00", "end_at_0": "2030-01-01",
          "end_at_1": "00:00"}, "end_at", "before it starts"),
        ({"start_at_0": "0001-01-01", "start_at_1": "00:00"}, "start_at", "from 1900 to 2999"),
        ({"kind": "CLOCKED", "clocked_at_0": "9999-12-31", "clocked_at_1": "23:59",
          "timezone": "Asia/Tokyo"}, "clocked_at", "from 1900 to 2999"),
        ({"name": ""}, "name", ""),
        ({"max_runs": "-1"}, "max_runs", ""),
        ({"expires": "0"}, "expires", "more than 0"),
        ({"catch_up_deadline": "0"}, "catch_up_deadline", "more than 0"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_at_their_field(root, fields, field, said):
    """Nothing is saved, and the field that is wrong is the one that says so."""
    errors = errors_of(add(root, filled_in(**fields)))

    assert set(errors) == {field}
    assert said in " ".join(errors[field])
    assert not Schedule.objects.exists()


def test_names_are_unique(root):
    row = saved()

    assert errors_of(add(root, filled_in(name=row.name))) == {
        "name": ["There is a schedule of this name already."]
    }
    assert root.post(change(row), filled_in(name=row.name)).status_code == 302


def test_a_name_taken_meanwhile_is_told(root, monkeypatch):
    """The store looks again: two people may save at the same time."""
    from django_tasks.admin.schedules.form import ScheduleForm

    row = saved()
    monkeypatch.setattr(ScheduleForm, "clean_name", lambda form: form.cleaned_data["name"])

    response = root.post(f"{LIST}add/", filled_in(name=row.name), follow=True)

    assert "There is a schedule of this name" in " ".join(map(str, response.context["messages"]))
    assert Schedule.objects.count() == 1


def test_a_schedule_deleted_meanwhile_is_told(root, monkeypatch):
    """It does not come back to life by being saved."""
    from django_tasks.store.schedules import edits

    row = saved()
    save = edits.save

    def deleted_first(form_row, using):
        edits.delete([row.pk], using=using)
        save(form_row, using=using)

    monkeypatch.setattr("django_tasks.admin.schedules.screen.store.save", deleted_first)

    response = root.post(change(row), filled_in(), follow=True)

    assert "It was deleted meanwhile." in " ".join(map(str, response.context["messages"]))
    assert not Schedule.objects.exclude(pk=row.pk).exists()


def test_fields_of_other_kinds_are_forgotten(root):
    """Right or wrong: what the page hides can neither be saved nor be an obstacle."""
    row = saved()

    response = root.post(
        change(row), cron("0 7 * * *", latitude="x", clocked_at_0="nonsense", every_unit="7")
    )

    assert response.status_code == 302, errors_of(response)
    row.refresh_from_db()
    assert (row.kind, row.every, row.anchor_at, row.crontab) == ("CRONTAB", None, None, "0 7 * * *")


def test_other_fields_leave_the_next_run_alone(root):
    row = saved()
    planned = row.next_run_at

    data = filled_in(description="Ask Ada", overlap="SKIP", anchor_at_0="", anchor_at_1="")
    assert root.post(change(row), data).status_code == 302

    row.refresh_from_db()
    assert (row.description, row.overlap, row.next_run_at) == ("Ask Ada", "SKIP", planned)


def test_saving_keeps_what_beats_wrote(root):
    row = set_columns(saved(), runs=12, last_run_at=datetime(2026, 1, 1, tzinfo=UTC))

    root.post(change(row), filled_in())

    row.refresh_from_db()
    assert (row.runs, row.last_run_at.year, row.owner) == (12, 2026, "ADMIN")


def test_only_schedulable_tasks_are_offered(root):
    html = root.get(f"{LIST}add/").content.decode()

    assert (
        f'<option value="{send_report.module_path}" label="Mail the numbers of a month.">' in html
    )
    assert internal.module_path not in html


def test_the_setting_offers_all_tasks(root):
    with override_settings(DJANGO_TASKS={"SCHEDULABLE_BY_DEFAULT": True}):
        assert internal.module_path in root.get(f"{LIST}add/").content.decode()
        assert add(root, filled_in(task_path=internal.module_path)).status_code == 302


def test_the_task_that_it_has_may_stay(root):
    """Even if it may not be scheduled (any more); another such task may not be put in its place."""
    row = saved(task_path=internal.module_path)

    stays = root.post(change(row), filled_in(task_path=internal.module_path, every="2"))
    other = root.post(change(row), filled_in(task_path="tests.tasks.subtract"))

    assert stays.status_code == 302
    assert set(errors_of(other)) == {"task_path"}
    row.refresh_from_db()
    assert (row.task_path, row.every) == (internal.module_path, 7200.0)


def test_durations_are_shown_in_their_largest_whole_unit(root):
    row = saved(every=5400.0, expires=1209600.0, jitter=0.25)

    form = root.get(change(row)).context["adminform"].form

    html = str(form["every"]) + str(form["expires"]) + str(form["jitter"])
    assert 'name="every" value="90"' in html and 'value="60" selected' in html
    assert 'name="expires" value="2"' in html and 'value="604800" selected' in html
    assert 'name="jitter" value="0.25"' in html and 'value="1" selected' in html


def test_each_policy_is_explained(root):
    html = root.get(f"{LIST}add/").content.decode()

    for sentence in (
        "<strong>Skip</strong>: leave this slot out, and wait for the next.",
        "<strong>Cancel previous</strong>: cancel the earlier task, and enqueue this one.",
        "<strong>None</strong>: leave out whatever is more than a minute late.",
        "<strong>Latest</strong>: enqueue only the newest of the missed slots.",
    ):
        assert sentence in html


# --- the history ---------------------------------------------------------------------------------


def test_the_history_says_what_was_and_what_is(root):
    row = saved(name="Report")

    root.post(change(row), filled_in(every="2", overlap="SKIP", priority="3", args="[2]"))

    [message] = history_of(row)
    assert message == (
        "Changed: arguments changed (0); every 1 h 0 min → 2 h 0 min; overlap “Allow” → “Skip”;"
        " priority none → “3”."
    )


def test_the_history_of_a_new_one_says_what_it_is(root):
    add(root, cron("0 7 * * *", timezone="Europe/Berlin"))

    [message] = history_of(Schedule.objects.get())
    assert "crontab none → “0 7 * * *”; time zone none → “Europe/Berlin”" in message


# --- secrets -------------------------------------------------------------------------------------


def make_payment(**columns):
    values = {
        "task_path": pay.module_path,
        "args": '[5,"DE-secret"]',
        "kwargs": '{"note":"canary"}',
    }
    return saved(**values | columns)


def paid(**fields):
    values = {
        "task_path": pay.module_path,
        "args": '[5, "********"]',
        "kwargs": '{"note": "canary"}',
    }
    return filled_in(**values | fields)


def test_secrets_are_not_in_the_form_and_stay_when_it_is_saved(root):
    row = make_payment()

    html = root.get(change(row)).content.decode()
    response = root.post(change(row), paid(args='[6, "********"]', every="2"))

    assert "DE-secret" not in html and "********" in html
    assert response.status_code == 302, errors_of(response)
    row.refresh_from_db()
    assert (json.loads(row.args), row.every) == ([6, "DE-secret"], 7200.0)
    assert "secret" not in " ".join(history_of(row))


def test_a_secret_can_be_replaced(root):
    row = make_payment()

    root.post(change(row), paid(args='[5, "DE-new"]'))

    row.refresh_from_db()
    assert json.loads(row.args) == [5, "DE-new"]
    assert history_of(row) == [
        f"Changed: name “{row_name(row)}” → “Report”; arguments changed (1)."
    ]


def row_name(row):
    from django.contrib.admin.models import LogEntry

    return LogEntry.objects.get(object_id=str(row.pk)).change_message.split("“")[1].split("”")[0]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"args": '["********", 5]'}, "args"),
        ({"args": '[5, "x", "********"]'}, "args"),
        ({"kwargs": '{"note": "********"}'}, "kwargs"),
        ({"kwargs": '{"note": ["********"]}'}, "kwargs"),
        ({"task_path": send_report.module_path, "args": '[1, "********"]'}, "args"),
    ],
)
def test_a_mask_elsewhere_is_refused(root, fields, field):
    """A mask cannot carry a secret to another argument, nor to a task that would show it."""
    row = make_payment()

    errors = errors_of(root.post(change(row), paid(**fields)))

    assert "nothing stored behind it" in " ".join(errors[field])
    row.refresh_from_db()
    assert json.loads(row.args) == [5, "DE-secret"]


def test_without_the_permission_arguments_are_neither_shown_nor_changed():
    row = make_payment()
    client = client_with("change_schedule", "view_schedule", "pause_schedule")

    html = client.get(change(row)).content.decode()
    forged = paid(args="[0, 1]", kwargs='{"note": "x"}', task_path=send_report.module_path)
    response = client.post(change(row), forged | {"every": "2"})

    assert "canary" not in html and "Hidden. Seeing arguments" in html
    assert response.status_code == 302, errors_of(response)
    row.refresh_from_db()
    assert (row.task_path, row.every) == (pay.module_path, 7200.0)
    assert json.loads(row.args) == [5, "DE-secret"]
    assert json.loads(row.kwargs) == {"note": "canary"}


def test_arguments_of_unknown_tasks_are_hidden(root):
    row = set_columns(make_payment(), task_path="gone.tasks.f")

    html = root.get(change(row)).content.decode()

    assert "DE-secret" not in html and "canary" not in html
    assert set(errors_of(root.post(change(row), paid(task_path="gone.tasks.f")))) == {"task_path"}


def test_broken_rows_do_not_break_their_page(root):
    row = make_payment()
    for columns in (
        {"args": "{broken", "kwargs": "["},
        {"kind": "CRONTAB", "crontab": "61 * * * *"},
        {"kind": "SOLAR", "solar_event": "eclipse"},
        {"kind": "CLOCKED", "clocked_at": None},
        {"kind": "INTERVAL", "every": None},
        {"kind": "INTERVAL", "every": 60.0, "timezone": "Mars/Base"},
        {"kind": "CRONTAB", "crontab": "0 7 * * *"},
        {"overlap": "LATER", "catch_up": "NEVER"},
    ):
        set_columns(row, **columns)
        assert root.get(change(row)).status_code == 200, columns
        assert root.get(LIST).status_code == 200, columns
        assert client_with("view_schedule").get(change(row)).status_code == 200, columns


# --- copies --------------------------------------------------------------------------------------


def test_a_copy_begins_as_the_original(root):
    row = make_payment(name="Rent", overlap="SKIP", every=7200.0)
    url = f"{LIST}add/?copy={row.pk}"

    page = root.get(url)
    assert "DE-secret" not in page.content.decode()
    initial = page.context["adminform"].form.initial
    assert (initial["name"], initial["overlap"], initial["every"]) == ("Copy of Rent", "SKIP", 7200)

    assert root.post(url, paid(name="Copy of Rent")).status_code == 302
    copy = Schedule.objects.get(name="Copy of Rent")
    assert json.loads(copy.args) == [5, "DE-secret"]
    assert (copy.runs, copy.last_run_at, copy.owner) == (0, None, "ADMIN")


def test_a_copy_needs_the_permission_to_see_arguments():
    client = client_with("add_schedule", "view_schedule")

    assert client.get(f"{LIST}add/?copy={make_payment().pk}").status_code == 403
    plain = saved(args="[]", kwargs="{}", task_path="tests.tasks.urgent")
    assert client.get(f"{LIST}add/?copy={plain.pk}").status_code == 200
    assert client.get(f"{LIST}add/?copy=999999").status_code == 404
    assert client.get(f"{LIST}add/?copy=x").status_code == 404
