"""import_celery_beat reads the tables of django-celery-beat, as its versions made them."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_tasks.definitions.declared_schedules import drift_of
from django_tasks.models import Schedule
from django_tasks.models.schedules import Owner
from django_tasks.store.schedules import edits
from tests.schedules.test_sync import HOURLY, synced

PREFIX = "django_celery_beat_"
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

#: Columns as django-celery-beat 2.9 makes them, by Django's name of the type.
TABLES = {
    "intervalschedule": {"every": "IntegerField", "period": "CharField"},
    "crontabschedule": {
        "minute": "CharField",
        "hour": "CharField",
        "day_of_week": "CharField",
        "day_of_month": "CharField",
        "month_of_year": "CharField",
        "timezone": "CharField",
    },
    "solarschedule": {
        "event": "CharField",
        "latitude": "DecimalField",
        "longitude": "DecimalField",
    },
    "clockedschedule": {"clocked_time": "DateTimeField"},
    "periodictask": {
        "name": "CharField",
        "task": "CharField",
        "args": "TextField",
        "kwargs": "TextField",
        "queue": "CharField",
        "exchange": "CharField",
        "routing_key": "CharField",
        "expires": "DateTimeField",
        "enabled": "BooleanField",
        "last_run_at": "DateTimeField",
        "total_run_count": "PositiveIntegerField",
        "date_changed": "DateTimeField",
        "description": "TextField",
        "crontab_id": "IntegerField",
        "interval_id": "IntegerField",
        "solar_id": "IntegerField",
        "one_off": "BooleanField",
        "start_time": "DateTimeField",
        "priority": "PositiveIntegerField",
        "headers": "TextField",
        "clocked_id": "IntegerField",
        "expire_seconds": "PositiveIntegerField",
    },
}
#: Version 1.1, the first that many projects had.
OLD_TABLES = {
    "intervalschedule": TABLES["intervalschedule"],
    "crontabschedule": {k: v for k, v in TABLES["crontabschedule"].items() if k != "timezone"},
    "periodictask": {
        name: kind
        for name, kind in TABLES["periodictask"].items()
        if name
        not in (
            "one_off", "start_time", "priority", "headers", "clocked_id", "solar_id",
            "expire_seconds",
        )
    },
}  # fmt: skip
DAILY = {"minute": "0", "hour": "7", "day_of_week": "*", "day_of_month": "*", "month_of_year": "*"}
PERIODIC_TASK = {
    "args": "[]",
    "kwargs": "{}",
    "enabled": True,
    "total_run_count": 0,
    "date_changed": MOMENT,
    "description": "",
    "one_off": False,
    "headers": "{}",
}


class Tables:
    """django-celery-beat's tables in the test database."""

    def __init__(self, columns):
        self.columns = columns
        self.next_id = 0
        for table, kinds in columns.items():
            parts = [f"{connection.ops.quote_name(n)} {self.type(k)}" for n, k in kinds.items()]
            self.execute(
                f"CREATE TABLE {PREFIX}{table} (id integer PRIMARY KEY, {', '.join(parts)})"
            )

    def type(self, kind):
        sizes = {"max_length": 200, "max_digits": 9, "decimal_places": 6}
        data_type = connection.data_types[kind]
        return (data_type(sizes) if callable(data_type) else data_type % sizes) + " NULL"

    def drop(self):
        for table in self.columns:
            self.execute(f"DROP TABLE {PREFIX}{table}")

    def execute(self, sql, values=()):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)

    def insert(self, table, **values):
        self.next_id += 1
        values = {"id": self.next_id} | values
        names = ", ".join(map(connection.ops.quote_name, values))
        marks = ", ".join(["%s"] * len(values))
        adapted = [self.adapt(value) for value in values.values()]
        self.execute(f"INSERT INTO {PREFIX}{table} ({names}) VALUES ({marks})", adapted)
        return self.next_id

    def adapt(self, value):
        is_moment = isinstance(value, datetime)
        return connection.ops.adapt_datetimefield_value(value) if is_moment else value

    def add(self, name="mine", kind="crontab", **columns):
        """Add a periodic task with a schedule of its own; return its id."""
        known = self.columns[f"{kind}schedule"]
        schedule = {k: columns.pop(k) for k in list(columns) if k in known and k != "enabled"}
        if kind == "crontab":
            schedule = DAILY | ({"timezone": "UTC"} if "timezone" in known else {}) | schedule
        pk = self.insert(f"{kind}schedule", **schedule)
        values = PERIODIC_TASK | {"name": name, "task": "tests.tasks.echo", f"{kind}_id": pk}
        values = {k: v for k, v in (values | columns).items() if k in self.columns["periodictask"]}
        return self.insert("periodictask", **values)

    def change(self, name, **columns):
        for column, value in columns.items():
            name_of_column = connection.ops.quote_name(column)
            sql = f"UPDATE {PREFIX}periodictask SET {name_of_column} = %s WHERE name = %s"
            self.execute(sql, [self.adapt(value), name])


@pytest.fixture
def tables():
    tables = Tables(TABLES)
    yield tables
    tables.drop()


@pytest.fixture
def old_tables():
    tables = Tables(OLD_TABLES)
    yield tables
    tables.drop()


def run(*arguments):
    out = io.StringIO()
    call_command("import_celery_beat", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def outcomes(*arguments):
    """Return the outcome and notes of each periodic task."""
    document = json.loads(run("--json", *arguments))
    return {each["name"]: (each["outcome"], each["notes"]) for each in document["schedules"]}


def outcome(*arguments):
    [(word, notes)] = outcomes(*arguments).values()
    return word, " ".join(notes)


def row(name="mine"):
    return Schedule.objects.get(name=name)


# --- each kind -----------------------------------------------------------------------------------


def test_a_crontab(tables):
    tables.add(
        minute="*/15",
        hour="7-19",
        day_of_week="mon,fri",
        day_of_month="1-7",
        timezone="Europe/Berlin",
    )

    assert outcome() == ("imported", "")

    found = row()
    assert (found.kind, found.crontab) == ("CRONTAB", "*/15 7-19 1-7 * mon,fri")
    assert (found.day_match, found.timezone, found.owner) == ("ALL", "Europe/Berlin", Owner.ADMIN)
    assert found.next_run_at is not None


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("seconds", 3), ("minutes", 180), ("hours", 10800), ("days", 259200)],
)
def test_an_interval_keeps_the_moments_of_its_slots(tables, period, seconds):
    tables.add(kind="interval", every=3, period=period, last_run_at=MOMENT)

    assert outcome() == ("imported", "")

    assert (row().every, row().anchor_at) == (seconds, MOMENT)


def test_an_interval_that_never_ran_is_counted_from_its_start(tables):
    tables.add(kind="interval", every=3, period="days", start_time=MOMENT + timedelta(days=1))

    assert outcome() == ("imported", "")

    assert row().next_run_at == row().start_at == MOMENT + timedelta(days=1)


@pytest.mark.parametrize(
    ("event", "ours"), [("sunset", "sunset"), ("dawn_civil", "dawn"), ("solar_noon", "noon")]
)
def test_the_sun(tables, event, ours):
    tables.add(kind="solar", event=event, latitude="52.520000", longitude="13.400000")

    assert outcome() == ("imported", "")

    assert (row().solar_event, row().latitude, row().longitude) == (ours, 52.52, 13.4)


def test_a_moment(tables):
    tables.add(kind="clocked", clocked_time=MOMENT, one_off=True)

    assert outcome() == ("imported", "")

    assert (row().kind, row().clocked_at, row().max_runs) == ("CLOCKED", MOMENT, 1)
    assert row().next_run_at == MOMENT


def test_everything_else(tables):
    tables.add(
        args='[1, "ü"]',
        kwargs='{"x": null}',
        queue="mail",
        priority=9,
        expire_seconds=60,
        one_off=True,
        start_time=MOMENT,
        description="why",
        enabled=False,
    )

    assert outcome() == ("imported", "")

    found = row()
    assert (json.loads(found.args), found.kwargs) == ([1, "ü"], '{"x":null}')
    assert (found.queue_name, found.priority, found.expires) == ("mail", 9, 60.0)
    assert (found.max_runs, found.start_at, found.description) == (1, MOMENT, "why")
    assert (found.enabled, found.next_run_at) == (False, None)


def test_a_moment_of_expiry_ends_the_schedule(tables):
    tables.add(expires=MOMENT)

    assert outcome() == ("imported", "")

    assert (row().end_at, row().expires) == (MOMENT, None)


def test_an_old_version_without_the_newer_columns(old_tables, settings):
    settings.CELERY_TIMEZONE = "Asia/Kolkata"
    old_tables.add("cron")
    old_tables.add("often", kind="interval", every=30, period="seconds", last_run_at=MOMENT)

    found = outcomes()

    assert {word for word, _ in found.values()} == {"imported"}
    assert (row("cron").timezone, row("cron").max_runs) == ("Asia/Kolkata", None)
    assert row("often").every == 30.0


# --- what is changed or skipped ------------------------------------------------------------------


def test_what_is_not_as_it_was_is_told(tables):
    tables.add(priority=200, exchange="x", headers='{"a": 1}')
    tables.add("spent", one_off=True, total_run_count=1)

    found = outcomes()

    assert found["mine"] == (
        "imported",
        ["ignored: exchange, headers", "priority 200 became 100, the highest"],
    )
    assert found["spent"] == ("imported", ["disabled, as it was to run once and has"])
    assert (row().priority, row("spent").enabled) == (100, False)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"task": "celery.backend_cleanup"}, "workers delete old results by themselves."),
        ({"task": "tests.tasks.ech"}, "did you mean 'tests.tasks.echo'"),
        ({"task": "os.system", "args": '["true"]'}, "no task is registered as 'os.system'"),
        ({"task": "tests.tasks.add"}, "missing a required argument: 'a'"),
        ({"args": "[1"}, "its args are not JSON"),
        ({"kwargs": "[]"}, "kwargs must be a dict"),
        ({"queue": "a b"}, "queue_name must be"),
        ({"hour": "25"}, "crontab: "),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"crontab_id": None}, "it has no schedule."),
        ({"crontab_id": 99}, "it has no schedule."),
        ({"kind": "solar", "event": "eclipse", "latitude": 1, "longitude": 1}, "'eclipse' is not"),
        ({"kind": "interval", "every": 1, "period": "microseconds"}, "interval: "),
        ({"kind": "interval", "every": 1, "period": "fortnights"}, "interval: "),
        ({"kind": "interval", "every": 2**31 - 1, "period": "days"}, "interval: "),
    ],
)
def test_what_cannot_be_had_is_skipped_with_the_reason(tables, columns, reason):
    """One bad row stops neither the others nor the command."""
    tables.add("bad", **columns)
    tables.add("good")

    found = outcomes()

    assert found["good"] == ("imported", [])
    assert found["bad"][0] == "skipped"
    assert reason in found["bad"][1][0]
    assert [each.name for each in Schedule.objects.all()] == ["good"]


def test_tasks_that_have_another_path_here(tables):
    tables.add(task="echo")

    assert outcome()[0] == "skipped"
    assert outcome("--task", "echo=tests.tasks.echo") == ("imported", "")
    assert row().task_path == "tests.tasks.echo"


# --- again ---------------------------------------------------------------------------------------


def test_a_second_time_nothing_changes(tables):
    tables.add("cron")
    tables.add("often", kind="interval", every=30, period="seconds", last_run_at=MOMENT)
    outcomes()
    before = list(Schedule.objects.values())
    # Celery's beat went on meanwhile.
    tables.change("often", last_run_at=MOMENT + timedelta(seconds=31), total_run_count=5)

    assert {word for word, _ in outcomes().values()} == {"unchanged"}
    assert list(Schedule.objects.values()) == before


def test_what_changed_there_is_changed_here(tables):
    tables.add(queue="mail")
    outcomes()
    tables.change("mine", queue=None, args="[2]")

    assert outcome() == ("updated", "")
    assert (row().queue_name, row().args) == ("", "[2]")
    assert outcome()[0] == "unchanged"


def test_what_was_edited_here_is_left_alone(tables):
    tables.add()
    outcomes()
    edited = row()
    edited.crontab, edited.queue_name = "0 8 * * *", "mail"
    edits.save(edited, using="default")
    tables.change("mine", args="[2]")

    assert outcome() == (
        "skipped",
        "it was edited here since it was imported: crontab, queue_name.",
    )
    assert row().args == "[]"
    assert drift_of(row()) == {}  # that is a word for what departs from code


def test_enabled_is_taken_over_once(tables):
    """Somebody switches the old system off and the new one on; importing again undoes neither."""
    tables.add(enabled=False)
    outcomes()
    edits.set_enabled([row().pk], True, using="default")

    assert outcome()[0] == "unchanged"
    tables.change("mine", args="[2]")
    assert outcome()[0] == "updated"
    assert row().enabled


def test_schedules_of_the_code_and_of_the_admin_are_left_alone(tables):
    synced(code=HOURLY)
    own = Schedule(name="own", task_path="tests.tasks.echo", kind="INTERVAL", every=60.0)
    edits.save(own, using="default")
    tables.add("code")
    tables.add("own")

    assert outcomes() == {
        "code": ("skipped", ["a schedule of this name is declared in code."]),
        "own": ("skipped", ["a schedule of this name was made here."]),
    }


def test_the_code_takes_over_what_was_imported(tables):
    tables.add("mine", hour="7")
    outcomes()

    synced(mine=HOURLY)

    assert row().owner == Owner.CODE
    assert outcome()[0] == "skipped"


# --- the command ---------------------------------------------------------------------------------


def test_a_dry_run_tells_the_same_and_writes_nothing(tables):
    tables.add("good")
    tables.add("bad", hour="25")

    printed = run("--dry-run")

    assert "1 imported, 0 updated, 0 unchanged, 1 skipped." in printed
    assert "nothing was written" in printed
    assert not Schedule.objects.exists()
    assert "1 imported" in run()


def test_what_is_printed(tables):
    tables.add("good", exchange="x")
    tables.add("bad", task="celery.backend_cleanup")

    assert run() == (
        "Imported\n"
        "  good  tests.tasks.echo\n"
        "    ignored: exchange\n"
        "Skipped\n"
        "  bad  celery.backend_cleanup\n"
        "    workers delete old results by themselves.\n"
        "1 imported, 0 updated, 0 unchanged, 1 skipped.\n"
    )


def test_without_the_tables():
    with pytest.raises(CommandError, match="no table django_celery_beat_periodictask"):
        run()


def test_an_unknown_database():
    with pytest.raises(CommandError, match="doesn't exist"):
        run("--source", "elsewhere")


def test_a_wrong_renaming():
    with pytest.raises(CommandError, match="'echo' is not OLD=NEW"):
        run("--task", "echo")
