"""tasks_schedules: what there is to see and to do without a browser."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.schedules import clocked, crontab, every
from django_tasks.store.schedules import edits
from tests.schedules.steps import now, saved
from tests.schedules.test_sync import HOURLY, edit, synced

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def run(*arguments):
    out = io.StringIO()
    call_command("tasks_schedules", *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def document(*arguments):
    return json.loads(run(*arguments, "--json"))


def listed(name="mine"):
    [found] = [each for each in document("list")["schedules"] if each["name"] == name]
    return found


def row(name="mine"):
    return Schedule.objects.get(name=name)


def state(name="mine"):
    return listed(name)["state"]


# --- list ----------------------------------------------------------------------------------------


def test_list_shows_every_schedule():
    saved(name="mine", every=300.0, timezone="")
    saved(name="zone", kind="CRONTAB", crontab="0 7 * * *", timezone="Asia/Kolkata")

    printed = run("list")

    lines = [line.split() for line in printed.splitlines()]
    assert lines[1] == ["schedule", "when", "state", "next", "last", "status", "runs", "owner"]
    assert [line[0] for line in lines[2:4]] == ["mine", "zone"]
    assert "(Asia/Kolkata)" in lines[3]
    assert lines[2][-3:] == ["-", "0", "admin"]


def test_list_shows_the_last_run():
    saved(name="mine")
    result = edits.run_now(row().pk, using="default")

    found = listed()

    assert (found["last_task_id"], found["last_status"]) == (result.id, "READY")
    assert "READY" in run("list")
    TaskRecord.objects.all().delete()
    assert listed()["last_status"] is None


def test_list_tells_drift_and_owner():
    synced(mine=HOURLY)
    assert (listed()["owner"], listed()["drift"]) == ("CODE", [])

    edit(every=60.0)

    assert listed()["drift"] == ["every"]
    assert "code, changed" in run("list")


def test_every_state_has_a_word():
    synced(withdrawn=HOURLY)
    synced()
    for name in ("enabled", "paused", "disabled", "error"):
        saved(name=name)
    edits.set_enabled([row("disabled").pk], False, using="default")
    edits.pause([row("paused").pk], now() + timedelta(days=1), using="default")
    Schedule.objects.filter(name="error").update(error="args: too few")

    names = [each["name"] for each in document("list")["schedules"]]

    assert names == sorted(["enabled", "paused", "disabled", "error", "withdrawn"])
    assert all(state(name) == name for name in names)
    assert "error: args: too few" in run("list")


def test_a_broken_row_does_not_stop_the_list():
    saved(name="mine", kind="CRONTAB", crontab="0 7 * * *")
    Schedule.objects.update(crontab="61 * * * *")

    assert "61" in listed()["when"]


def test_the_list_does_not_show_arguments():
    saved(name="mine", args='["canary-4410", 2]')

    assert "canary" not in run("list") + run("list", "--json") + run("next")


def test_the_list_costs_three_queries(django_assert_num_queries):
    for _ in range(5):
        edits.run_now(saved().pk, using="default")

    with django_assert_num_queries(3):
        document("list")


# --- next ----------------------------------------------------------------------------------------


def test_next_merges_the_slots_of_all_schedules():
    saved(name="four", every=4 * 86400.0, anchor_at=ANCHOR)
    saved(name="six", every=6 * 86400.0, anchor_at=ANCHOR)
    found = document("next", 30)["slots"]

    moments = [datetime.fromisoformat(each["at"]) for each in found]
    assert moments == sorted(moments)
    assert {name: [e["name"] for e in found].count(name) for name in ("four", "six")} == {
        "four": 18, "six": 12,
    }  # fmt: skip
    for each, moment in zip(found, moments, strict=True):
        days = {"four": 4, "six": 6}[each["name"]]
        assert (moment - ANCHOR) % timedelta(days=days) == timedelta(0)


def test_next_of_one_schedule():
    saved(name="mine", every=1.0)
    saved(name="other", every=1.0)

    assert {each["name"] for each in document("next", "mine")["slots"]} == {"mine"}
    assert len(document("next", "mine")["slots"]) == 10
    assert len(document("next", 3, "mine", "other")["slots"]) == 3


def test_next_leaves_out_what_does_not_run():
    saved(name="off", enabled=False)
    saved(name="once", max_runs=1)

    assert [each["name"] for each in document("next")["slots"]] == ["once"]


def test_next_asks_only_for_rows_that_can_be_among_them(django_assert_num_queries):
    for _ in range(20):
        saved()

    with django_assert_num_queries(2):
        assert len(document("next", 3)["slots"]) == 3


def test_next_in_words():
    saved(name="mine", every=86400.0)

    head, columns, first, *_ = run("next", 2).splitlines()

    assert (head, columns.split()) == ("Next", ["at", "in", "schedule", "task"])
    assert first.split()[-2:] == ["mine", "tests.tasks.add"]


@pytest.mark.parametrize("count", [0, 1001])
def test_next_has_limits(count):
    with pytest.raises(CommandError) as error:
        run("next", count)

    assert error.value.returncode == 2


# --- what changes something ----------------------------------------------------------------------


def test_run_now():
    saved(name="mine", enabled=False)

    printed = run("run-now", "mine")

    run_ = ScheduleRun.objects.get()
    assert printed == f"Enqueued mine as {run_.task_id}.\n"
    assert TaskRecord.objects.get().pk == run_.task_id
    [made] = document("run-now", "mine")["enqueued"]
    assert TaskRecord.objects.filter(pk=made["task_id"]).exists()


def test_run_now_tells_what_does_not_fit():
    saved(name="mine")
    Schedule.objects.update(args="[1]")

    with pytest.raises(CommandError, match=r"mine: args: .*missing a required argument: 'b'"):
        run("run-now", "mine")


def test_run_now_does_all_or_none():
    """A wrong one is found before the first is enqueued."""
    saved(name="good")
    bad = saved(name="bad")
    Schedule.objects.filter(pk=bad.pk).update(args="[1]")

    with pytest.raises(CommandError, match="bad: args"):
        run("run-now", "good", "bad")

    assert not TaskRecord.objects.exists()


def test_run_now_tells_what_it_did_before_a_failure(monkeypatch):
    """A schedule that is deleted between the look and the run costs no other's id."""
    saved(name="good")
    gone = saved(name="gone")
    run_now = edits.run_now

    def run_and_delete(pk, *, using):
        try:
            return run_now(pk, using=using)
        finally:
            edits.delete([gone.pk], using=using)

    monkeypatch.setattr(edits, "run_now", run_and_delete)
    printed = io.StringIO()
    with pytest.raises(CommandError, match="gone: it was deleted"):
        call_command("tasks_schedules", "run-now", "good", "gone", stdout=printed)

    assert str(TaskRecord.objects.get().pk) in printed.getvalue()


def test_pause_and_resume():
    saved(name="mine", every=60.0)

    assert run("pause", "mine", "--until", "2h").startswith("Paused 1 schedule until ")

    assert state() == "paused"
    assert timedelta(hours=1.9) < row().paused_until - now() < timedelta(hours=2.1)
    assert row().next_run_at > row().paused_until
    assert run("resume", "mine") == "Ended 1 pause, enabled 0 schedules.\n"
    assert state() == "enabled"
    assert row().next_run_at < now() + timedelta(minutes=2)


def test_pause_until_a_moment(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    saved(name="mine")

    assert document("pause", "mine", "--until", "2099-12-24 18:00")["changed"] == 1

    assert row().paused_until == datetime(2099, 12, 24, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "text"),
    [
        ("2001-01-01 00:00", "has passed"),
        ("soon", "'soon' is no age"),
        ("2026-13-01 00:00", "month"),
    ],
)
def test_pause_until_nonsense(until, text):
    saved(name="mine")

    with pytest.raises(CommandError, match=text):
        run("pause", "mine", "--until", until)

    assert row().paused_until is None


def test_a_pause_without_an_end_is_ended_by_resume():
    saved(name="mine")

    run("pause", "mine")
    assert (state(), row().next_run_at) == ("disabled", None)

    assert run("resume", "mine") == "Ended 0 pauses, enabled 1 schedule.\n"
    assert state() == "enabled"


def test_enable_and_disable_several():
    saved(name="a")
    saved(name="b", enabled=False)

    assert run("disable", "a", "b") == "Disabled 1 schedule.\n"
    assert document("enable", "a", "b") == {"changed": 2}
    assert (state("a"), state("b")) == ("enabled", "enabled")


def test_what_cannot_be_enabled_is_told():
    saved(name="mine", kind="CRONTAB", crontab="0 7 * * *", enabled=False)
    Schedule.objects.update(crontab="61 * * * *")

    with pytest.raises(CommandError, match="mine stays disabled: crontab: "):
        run("enable", "mine")


@pytest.mark.parametrize("action", ["next", "run-now", "pause", "resume", "enable", "disable"])
def test_an_unknown_name_changes_nothing(action):
    saved(name="mine")
    before = Schedule.objects.values().get()

    with pytest.raises(CommandError, match="No schedule is called 'mien', did you mean 'mine'"):
        run(action, "mine", "mien")

    assert Schedule.objects.values().get() == before
    assert not TaskRecord.objects.exists()


def test_kinds_in_words():
    synced(
        a={"schedule": every(hours=1)},
        b={"schedule": crontab("0 7 * * *")},
        c={"schedule": clocked(datetime(2199, 1, 1, tzinfo=UTC))},
    )

    texts = [each["when"] for each in document("list")["schedules"]]

    assert texts[0] == "Every 1 hour"
    assert all(texts) and len(set(texts)) == 3
