"""What Django does not document and this package uses, and in which versions it was seen."""

import re
import subprocess
import sys
from pathlib import Path

import django
import pytest
from asgiref.local import Local
from django.core.signals import setting_changed
from django.db import ProgrammingError, connection, connections, transaction
from django.dispatch import Signal

import django_tasks
from django_tasks.dep14 import private
from django_tasks.dep14.handler import task_backends
from django_tasks.models import Schedule, ScheduleRun
from tests.schedules.steps import saved

#: Each test below passed with these. Run it with another one before adding that here.
SEEN_IN = {(5, 2), (6, 0), (6, 1)}
ROOT = Path(django_tasks.__file__).parent


def test_this_django_was_looked_at():
    """A new version may have changed any of it."""
    assert django.VERSION[:2] in SEEN_IN


def test_it_is_all_in_one_file():
    """No other module uses these names."""
    names = "run_on_commit|savepoint_ids|needs_rollback|closed_in_transaction =|_live_receivers"
    names += "|_raw_delete|_settings|_connection_pools"
    private_use = re.compile(rf"(?<!self)\.(?:{names})|\bconnections\._connections\b")
    found = [
        f"{path.relative_to(ROOT)}: {use[0]}"
        for path in ROOT.rglob("*.py")
        if path != Path(private.__file__) and "_django52" not in path.parts
        for use in private_use.finditer(path.read_text())
    ]
    assert found == []


def test_live_receivers_are_plain_and_async_ones():
    """Those of another sender are left out."""
    signal = Signal()

    def hears(**kwargs):
        """Hear."""

    async def hears_too(**kwargs):
        """Hear."""

    signal.connect(hears, sender=str)
    signal.connect(hears_too)

    assert [list(each) for each in private.live_receivers(signal, str)] == [[hears], [hears_too]]
    assert [list(each) for each in private.live_receivers(signal, int)] == [[], [hears_too]]


@pytest.mark.django_db
def test_raw_delete_is_one_statement(django_assert_num_queries):
    """Nothing is read, be it the rows or what points to them."""
    row = saved()
    with django_assert_num_queries(1):
        private.raw_delete(Schedule.objects.filter(pk=row.pk), connection.alias)

    assert not Schedule.objects.filter(pk=row.pk).exists()
    assert ScheduleRun.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_last_on_commit_is_of_the_same_savepoint():
    """What an inner block waits with is dropped by another rollback than the outer block's."""
    outer, inner = object, str
    assert private.last_on_commit(connection) is None
    with transaction.atomic():
        assert private.last_on_commit(connection) is None
        transaction.on_commit(outer)
        assert private.last_on_commit(connection) is outer
        with transaction.atomic():
            assert private.last_on_commit(connection) is None
            transaction.on_commit(inner)
            assert private.last_on_commit(connection) is inner
        assert private.last_on_commit(connection) is None


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_forgotten():
    """The next statement is on a new connection, outside of any block, and nothing waits."""
    own = connections.create_connection(connection.alias)
    committed = []
    own.ensure_connection()
    own.set_autocommit(False)
    own.in_atomic_block, own.needs_rollback, own.closed_in_transaction = True, True, True
    own.savepoint_ids.append("a")
    own.run_on_commit.append((set(), lambda: committed.append(1), False))
    raw = private.forget_transaction(own)
    raw.close()
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        assert own.get_autocommit() and not own.in_atomic_block
        own.run_and_clear_commit_hooks()
        assert committed == []
    finally:
        own.close()


@pytest.mark.django_db(transaction=True)
def test_a_broken_transaction_refuses_to_go_on():
    """As after a close(); when the block has ended there is a new connection."""
    own = connections.create_connection(connection.alias)
    own.ensure_connection()
    raw, own.in_atomic_block = own.connection, True
    private.break_transaction(own)
    raw.close()

    with pytest.raises(ProgrammingError, match="in an atomic block"):
        own.cursor()
    assert own.needs_rollback
    own.in_atomic_block = False
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    finally:
        own.close()


def test_the_pool_is_taken():
    """Where Django has made one; the next connection has another."""
    if not hasattr(connection, "_connection_pools"):
        assert private.take_pool(connection) is None
        return
    own = connections.create_connection(connection.alias)
    own.alias = "pooled"
    pool = own._connection_pools["pooled"] = object()

    assert private.take_pool(own) is pool
    assert private.take_pool(own) is None


def test_connections_are_kept_where_they_are_looked_for(monkeypatch):
    """A storage of one's own has none, so that another one is made."""
    monkeypatch.setattr(connections, "_connections", connections._connections)
    there = connections["default"]
    private.keep_connections_in(Local(connections.thread_critical))

    assert connections["default"] is not there


def test_tasks_setting_is_read_again(settings):
    """`task_backends` keeps what it has read otherwise."""
    before = task_backends.settings
    tasks = {"fresh": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}
    receivers, setting_changed.receivers = setting_changed.receivers, []
    setting_changed.sender_receivers_cache.clear()
    try:
        settings.TASKS = tasks
        assert task_backends.settings == before
        private.read_tasks_setting_again()
        assert list(task_backends.settings) == ["fresh"]
    finally:
        setting_changed.receivers = receivers
        setting_changed.sender_receivers_cache.clear()


def test_schedules_can_be_used_by_an_app_that_is_ready_before(tmp_path):
    """`AppConfig.import_models` hands the store over: no app is ready by then."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "__init__.py").write_text("")
    (tmp_path / "early" / "apps.py").write_text(
        "from datetime import UTC, datetime\n"
        "from django.apps import AppConfig\n"
        "class Early(AppConfig):\n"
        "    name = 'early'\n"
        "    def ready(self):\n"
        "        from django_tasks.models import Schedule\n"
        "        noon = datetime(2030, 1, 1, 12, tzinfo=UTC)\n"
        "        row = Schedule(kind='INTERVAL', every=60.0, anchor_at=noon)\n"
        "        print(row.next_slots(after=noon)[0].isoformat())\n"
    )
    program = (
        "import django; from django.conf import settings;"
        "settings.configure(USE_TZ=True, INSTALLED_APPS=['early', 'django_tasks'],"
        "DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}});"
        "django.setup()"
    )
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT.parent}:{Path(django.__file__).parents[1]}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=path, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("2030-01-01T12:01:00+00:00\n", 0), done.stderr
