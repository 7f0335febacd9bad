"""System checks: each id with a cause, and silence without one; masking; the backport's names."""

import importlib
import json
import random
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

import django_tasks
from django_tasks import checks as our_checks
from django_tasks import task
from django_tasks.dep14 import mixed_install
from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.redaction import arguments

ROOT = Path(__file__).resolve().parent.parent
DATABASE = {"BACKEND": "django_tasks.backends.database.DatabaseBackend"}
IMMEDIATE = {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}
DUMMY = {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}


def found(**options):
    """Run all checks as `manage.py check` does; return this package's messages by id."""
    messages = checks.run_checks(**options)
    return {m.id: m for m in messages if (m.id or "").startswith("django_tasks.")}


def ids(messages):
    return {m.id for m in messages}


# --- checks without a database -------------------------------------------------------------------


def test_a_right_project_has_no_messages():
    assert found(include_deployment_checks=True) == {}


def test_e001_another_distribution_under_the_import_name(monkeypatch):
    monkeypatch.setattr(mixed_install, "other_version", lambda: "0.12.0")

    [error] = our_checks.check_installation()

    assert error.id == "django_tasks.E001" and error.level == checks.ERROR
    assert "'django-tasks' 0.12.0" in error.msg
    assert "pip uninstall -y django-tasks && pip install --force-reinstall" in error.hint
    assert "django_tasks.E001" in found()


def test_the_other_distribution_is_found_by_its_metadata(tmp_path, monkeypatch):
    info = tmp_path / "django_tasks-0.12.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: django-tasks\nVersion: 0.12.0\n")
    assert mixed_install.other_version() is None

    monkeypatch.syspath_prepend(str(tmp_path))

    assert mixed_install.other_version() == "0.12.0"


def test_nothing_starts_on_the_files_of_the_other_one():
    """Web process or command: the last line says whose file it is, and what to type."""
    code = "import django, django_tasks; del django_tasks.__distribution__; django.setup()"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    last = process.stderr.strip().splitlines()[-1]
    assert process.returncode == 1
    assert "ImproperlyConfigured: " in last
    assert "django_tasks/__init__.py belongs to the distribution" in last
    assert "pip install --force-reinstall --no-deps django-tasks-engine" in last


def test_our_own_files_are_recognised():
    assert mixed_install.overwritten() is None
    assert django_tasks.__distribution__ == mixed_install.DISTRIBUTION


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"LAESE": 20.0}, "unknown setting 'LAESE', did you mean 'LEASE'?"),
        ({"LEASE": "20"}, "must be a number of seconds above 0"),
        ([], "must be a dict"),
    ],
)
def test_e003_mistakes_in_the_settings(settings, part):
    with override_settings(DJANGO_TASKS=settings):
        [error] = our_checks.check_settings()

    assert error.id == "django_tasks.E003" and part in error.msg


def test_w001_nothing_uses_the_tables():
    with override_settings(TASKS={"default": IMMEDIATE}):
        [warning] = our_checks.check_backends()
        assert "django_tasks.W001" in found()

    assert 'TASKS = {"default": {"BACKEND": "django_tasks.backends.database' in warning.hint


@override_settings(TASKS={"default": IMMEDIATE, "stored": DATABASE})
def test_w001_is_content_with_one_alias():
    assert our_checks.check_backends() == []


def test_w003_backends_that_are_not_for_production():
    with override_settings(TASKS={"default": DATABASE, "now": IMMEDIATE, "never": DUMMY}):
        messages = our_checks.check_backends_for_production()
        assert "django_tasks.W003" not in found()
        assert "django_tasks.W003" in found(include_deployment_checks=True)

    assert [re.search(r"TASKS\['(\w+)'\]", m.msg)[1] for m in messages] == ["now", "never"]


@pytest.fixture
def other_app(tmp_path, monkeypatch):
    """Put an app with a runworker command, as Channels has, on the path."""
    commands = tmp_path / "channels_like" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (tmp_path / "channels_like", commands.parent, commands):
        (folder / "__init__.py").touch()
    (commands / "runworker.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "channels_like"
    sys.modules.pop("channels_like", None)


def test_w004_another_runworker_comes_first(other_app, settings):
    before = [other_app, *settings.INSTALLED_APPS]
    after = [*settings.INSTALLED_APPS, other_app]

    with override_settings(INSTALLED_APPS=before):
        [warning] = our_checks.check_commands()
    with override_settings(INSTALLED_APPS=after):
        assert our_checks.check_commands() == []

    assert warning.id == "django_tasks.W004"
    assert "'channels_like'" in warning.msg and "before 'channels_like'" in warning.hint


@override_settings(USE_TZ=False)
def test_e006_local_times():
    """They are refused on every database: in one night of the year they come twice."""
    [error] = our_checks.check_time_zones()

    assert (error.id, error.hint) == ("django_tasks.E006", "Set USE_TZ = True.")


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Africa/Abidjan"])
def test_e006_database_with_a_time_zone_of_its_own(zone, monkeypatch):
    """Where moments are stored without their zone they would be off by hours."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", zone)
    messages = our_checks.check_time_zones()

    if connection.vendor == "postgresql":
        assert messages == []
    else:
        [error] = messages
        assert error.id == "django_tasks.E006" and zone in error.msg
        assert "DATABASES['default']['TIME_ZONE']" in error.msg and "Remove TIME_ZONE" in error.hint


@pytest.mark.parametrize("zone", [None, "UTC", "Etc/UTC", "Etc/GMT+0", "Zulu"])
def test_database_in_utc_is_right(zone, monkeypatch):
    """Whatever its name, it is what the database's clock shows."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", zone)
    with override_settings(TIME_ZONE="Asia/Kathmandu"):
        assert our_checks.check_time_zones() == []


def test_the_checks_of_the_backend_are_registered():
    """E004 and E005 are found through Django's own check of TASKS, on every Django."""
    bad = DATABASE | {"QUEUES": ["a b"], "OPTIONS": {"database": "defualt"}}

    with override_settings(TASKS={"default": bad}):
        messages = found()

    assert "did you mean 'default'?" in messages["django_tasks.E004"].msg
    assert "'a b'" in messages["django_tasks.E005"].msg


@pytest.mark.parametrize(
    ("path", "part"), [("no.such.backoff", "cannot be imported"), ("os.sep", "backoff must be")]
)
def test_e008_a_backoff_that_its_path_does_not_lead_to(path, part):
    """The path is followed by the check, not when a task fails for the first time."""
    with override_settings(TASKS={"default": DATABASE | {"OPTIONS": {"backoff": path}}}):
        message = found()["django_tasks.E008"].msg

    assert f"TASKS['default']['OPTIONS']['backoff'] is {path!r}" in message
    assert part in message


def test_a_backend_that_cannot_be_imported_is_left_to_e016():
    with override_settings(TASKS={"default": {"BACKEND": "no.such.Backend"}, "x": DATABASE}):
        assert our_checks.check_backends() == []
        assert our_checks.check_backends_for_production() == []


def test_checks_without_the_database_tag_ask_nothing():
    """pytest-django refuses a query here."""
    found(include_deployment_checks=True)


# --- checks that ask the database ----------------------------------------------------------------


@pytest.mark.django_db
def test_the_test_database_is_set_up_well():
    assert found(databases=["default"]) == {}


@pytest.mark.django_db
def test_databases_are_asked_only_when_they_are_named(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert our_checks.check_databases(databases=None) == []
        assert our_checks.check_databases(databases=[]) == []
        assert our_checks.check_databases(databases=["other"]) == []


@pytest.mark.parametrize(
    ("journal", "mode", "part"),
    [
        ("delete", "IMMEDIATE", "journal_mode is not WAL"),
        ("wal", None, "transaction_mode is not IMMEDIATE"),
        ("delete", None, "journal_mode is not WAL and transaction_mode is not IMMEDIATE"),
    ],
)
def test_w002_sqlite_that_locks(monkeypatch, journal, mode, part):
    monkeypatch.setattr(our_checks, "_value", lambda *_: journal)
    fake = type("SQLite", (), {"transaction_mode": mode})()

    [warning] = our_checks._check_sqlite("default", fake)

    assert warning.id == "django_tasks.W002" and part in warning.msg
    assert "PRAGMA journal_mode=WAL" in warning.hint


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="asks a real SQLite")
def test_w002_with_real_files(tmp_path):
    """The pragma is read from the file, the mode from the settings."""
    from django.db.utils import ConnectionHandler

    def messages(**options):
        name = str(tmp_path / f"{len(options)}.sqlite3")
        databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": name}}
        databases["default"]["OPTIONS"] = options
        fresh = ConnectionHandler(databases)["default"]
        try:
            return ids(our_checks._check_sqlite("default", fresh))
        finally:
            fresh.close()

    good = {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"}
    assert messages(**good) == set()
    assert messages() == {"django_tasks.W002"}
    assert messages(transaction_mode="IMMEDIATE") == {"django_tasks.W002"}


@pytest.mark.parametrize(("skips", "expected"), [(True, set()), (False, {"django_tasks.W005"})])
def test_w005_without_skip_locked(skips, expected):
    features = type("Features", (), {"has_select_for_update_skip_locked": skips})()
    fake = type("MySQL", (), {"features": features})()

    assert ids(our_checks._check_skip_locked("default", fake)) == expected


@pytest.mark.parametrize(
    ("charset", "expected"), [("utf8mb4", set()), (None, set()), ("latin1", {"django_tasks.W007"})]
)
def test_w007_tables_that_cannot_hold_all_text(monkeypatch, charset, expected):
    monkeypatch.setattr(our_checks, "_value", lambda *_: charset)
    assert ids(our_checks._check_charset("default", connection)) == expected


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks a real MariaDB or MySQL")
def test_w007_asks_for_the_tables_own_character_set():
    assert our_checks._value(connection, our_checks._CHARSET) == "utf8mb4"


@pytest.mark.parametrize(
    ("version", "is_right"),
    [
        *[((10, 6, 18), True), ((10, 7, 0), False), ((10, 9, 8), False), ((10, 10, 6), False)],
        *[((10, 10, 7), True), ((10, 11, 5), False), ((10, 11, 6), True), ((11, 0, 3), False)],
        *[((11, 1, 3), True), ((11, 2, 1), False), ((11, 4, 2), True), ((12, 0, 0), True)],
    ],
)
def test_w012_a_mariadb_that_sorts_ids_by_their_random_end(version, is_right):
    mariadb = SimpleNamespace(mysql_version=version, mysql_is_mariadb=True)
    mysql = SimpleNamespace(mysql_version=version, mysql_is_mariadb=False)

    messages = list(our_checks._check_order_of_ids("default", mariadb))

    assert ids(messages) == (set() if is_right else {"django_tasks.W012"})
    assert not list(our_checks._check_order_of_ids("default", mysql))


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks a real MariaDB or MySQL")
def test_w012_is_silent_where_ids_are_in_the_order_of_their_making():
    made = [uuid7() for _ in range(1000)]
    TaskRecord.objects.bulk_create(
        TaskRecord(
            id=task_id, task_path="x", queue_name="x", status="READY", backend="x", args="[]",
            kwargs="{}", enqueued_at=datetime.now(UTC),
        )
        for task_id in random.sample(made, len(made))
    )  # fmt: skip

    in_order = list(TaskRecord.objects.order_by("pk").values_list("pk", flat=True)) == made
    after = TaskRecord.objects.filter(pk__gt=made[499]).count() == 500

    messages = list(our_checks._check_order_of_ids("default", connection))
    assert (in_order and after) == (not messages)


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="asks a real PostgreSQL")
def test_w008_commits_that_a_crash_forgets():
    assert found(databases=["default"]) == {}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")

    messages = found(databases=["default"])

    assert set(messages) == {"django_tasks.W008"}


def test_w013_nobody_commits(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)

    assert ids(our_checks.check_autocommit()) == {"django_tasks.W013"}
    assert "django_tasks.W013" in found()


def test_i001_a_database_that_cannot_be_reached_is_told(monkeypatch):
    """`manage.py check` of Django 6.1 asks every database: without one it must not break."""
    from django.db import OperationalError

    def refuse(*args):
        raise OperationalError("connection refused")

    monkeypatch.setattr(our_checks, "_value", refuse)
    monkeypatch.setitem(
        our_checks._DATABASE_CHECKS, connection.vendor, (our_checks._check_durability,)
    )

    [message] = our_checks.check_databases(databases=["default"])

    assert message.id == "django_tasks.I001" and message.level == checks.INFO
    assert "connection refused" in message.msg


def test_every_id_is_documented():
    app = ROOT / "django_tasks"
    sources = [app / "checks.py", app / "backends/database.py", *app.glob("brokers/**/*.py")]
    used = {i for s in sources for i in re.findall(r"django_tasks\.([EWI]\d{3})", s.read_text())}
    page = (ROOT / "docs" / "reference" / "checks.md").read_text()

    documented = re.findall(r"^## ([EWI]\d{3})", page, re.MULTILINE)

    assert set(documented) == used
    assert documented == sorted(documented)


def test_check_command_prints_ids(capsys):
    with override_settings(TASKS={"default": IMMEDIATE}):
        call_command("check")
    assert "(django_tasks.W001)" in capsys.readouterr().err


# --- masking -------------------------------------------------------------------------------------

HIDDEN = arguments.MASK


@task(sensitive=("iban", "owner"))
def pay(amount, iban, *rest, api_key=None, note=""):
    """Do nothing: only the signature matters."""


@task(takes_context=True, sensitive=("names",))
def greet(context, *names):
    """Do nothing."""


def masked(task_, *args, **kwargs):
    return arguments.mask(json.dumps(args), json.dumps(kwargs), task_)


def test_masking_by_the_names_of_positional_arguments():
    assert masked(pay, 12, "DE12", "x", "y").args == [12, HIDDEN, "x", "y"]
    assert masked(greet, "Ann", "Bob").args == [HIDDEN, HIDDEN]


def test_masking_by_keys_at_any_depth():
    call = masked(
        pay,
        {"owner": "Ann", "size": 3, "list": [{"Password": "x"}, {"ok": 1}]},
        api_key="k",
        note={"a": {"auth_token": "t", "iban": "i", "b": [1]}},
    )

    assert call.args == [{"owner": HIDDEN, "size": 3, "list": [{"Password": HIDDEN}, {"ok": 1}]}]
    assert call.kwargs == {
        "api_key": HIDDEN,
        "note": {"a": {"auth_token": HIDDEN, "iban": HIDDEN, "b": [1]}},
    }


def test_masking_hides_everything_of_an_unknown_task():
    assert masked(None, 1, [2], a={"b": 3}) == ([HIDDEN, HIDDEN], {"a": HIDDEN})


def test_masking_of_values():
    assert arguments.mask_value('{"token": 1, "sum": 2}', pay) == {"token": HIDDEN, "sum": 2}
    assert arguments.mask_value('{"secret": 1, "iban": 2}', None) == HIDDEN
    assert arguments.mask_value("no JSON", None) == arguments.UNREADABLE
    assert arguments.mask_value(None, pay) is None


@pytest.mark.parametrize("text", ["", "{", "nul", "9" * 5000, "[" * 100_000, '"x"', "3", "null"])
def test_masking_raises_nothing(text):
    call = arguments.mask(text, text, pay)
    assert call == (arguments.UNREADABLE, arguments.UNREADABLE)
    json.dumps(arguments.mask_value(text, pay))


def test_masking_stops_at_a_depth():
    deep = "[" * 150 + "]" * 150
    assert arguments.TOO_DEEP in json.dumps(arguments.mask_value(deep, pay))


class OwnFilter(SafeExceptionReporterFilter):
    """Hides what this project calls secret, and nothing else."""

    hidden_settings = re.compile("wish", re.IGNORECASE)


def test_masking_follows_the_projects_own_filter(settings):
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.OwnFilter"
    get_default_exception_reporter_filter.cache_clear()
    try:
        value = arguments.mask_value('{"wishes": 1, "token": 2}', pay)
    finally:
        get_default_exception_reporter_filter.cache_clear()

    assert value == {"wishes": HIDDEN, "token": 2}


# --- the names of the backport -------------------------------------------------------------------

NAMES = {
    "django_tasks": [
        "DEFAULT_TASK_BACKEND_ALIAS",
        "DEFAULT_TASK_QUEUE_NAME",
        "Task",
        "TaskContext",
        "TaskResult",
        "TaskResultStatus",
        "default_task_backend",
        "task",
        "task_backends",
    ],
    "django_tasks.base": [
        "DEFAULT_TASK_BACKEND_ALIAS",
        "DEFAULT_TASK_PRIORITY",
        "DEFAULT_TASK_QUEUE_NAME",
        "TASK_MAX_PRIORITY",
        "TASK_MIN_PRIORITY",
        "Task",
        "TaskContext",
        "TaskError",
        "TaskResult",
        "TaskResultStatus",
        "task",
    ],
    "django_tasks.exceptions": [
        "InvalidTask",
        "InvalidTaskBackend",
        "InvalidTaskBackendError",
        "InvalidTaskError",
        "ResultDoesNotExist",
        "TaskException",
        "TaskResultDoesNotExist",
        "TaskResultMismatch",
    ],
    "django_tasks.signals": ["task_enqueued", "task_finished", "task_started"],
    "django_tasks.checks": ["check_tasks"],
    "django_tasks.utils": [
        "get_exception_traceback",
        "get_module_path",
        "get_random_id",
        "is_module_level_function",
        "json_normalize",
        "normalize_json",
        "retry",
    ],
    "django_tasks.backends.base": ["BaseTaskBackend"],
    "django_tasks.backends.dummy": ["DummyBackend"],
    "django_tasks.backends.immediate": ["ImmediateBackend"],
    "django_tasks.backends.database": ["DatabaseBackend"],
}
OLD_NAMES = [
    "DEFAULT_PRIORITY",
    "DEFAULT_QUEUE_NAME",
    "MAX_PRIORITY",
    "MIN_PRIORITY",
    "ResultStatus",
    "TASK_DEFAULT_PRIORITY",
    "tasks",
]


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in NAMES.items() for n in names])
def test_names_of_the_backport_can_be_imported(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("name", OLD_NAMES)
def test_names_of_its_older_versions_warn(name):
    with pytest.warns(DeprecationWarning, match=f"django_tasks.{name} is a name of the old"):
        assert getattr(django_tasks, name) is not None


def test_app_label_is_its_own():
    """Not `django_tasks_database`: django-tasks-db has that one, and may be installed beside."""
    assert apps.get_app_config("django_tasks").label == "django_tasks"


def test_utils_do_what_they_did():
    from django_tasks import utils

    assert utils.get_module_path(found) == "tests.test_checks.found"
    assert len({utils.get_random_id() for _ in range(100)}) == 100
    assert utils.is_module_level_function(found) and not utils.is_module_level_function(lambda: 0)
    assert utils.normalize_json({"a": (1, b"x")}) == {"a": [1, "x"]}
    try:
        raise ValueError("odd")
    except ValueError as error:
        assert utils.get_exception_traceback(error).endswith("ValueError: odd\n")


def test_retry_calls_again_until_it_works():
    from django_tasks.utils import retry

    calls = []

    @retry(retries=3, backoff_delay=0)
    def works_at(number):
        calls.append(number)
        if len(calls) < number:
            raise ValueError(len(calls))
        return len(calls)

    assert works_at(3) == 3
    calls.clear()
    with pytest.raises(ValueError, match="3"):
        works_at(4)
    assert len(calls) == 3
