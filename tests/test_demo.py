"""The example project: `manage.py demo` with real processes, and the facts that it ships."""

import csv
import os
import signal
import socket
from datetime import date
from urllib.request import urlopen

import pytest
from django.db import connection

from example_project.demo.data import make_calendar
from tests.demo_process import READY, Demo, descendants, is_running, run, still_running

needs_posix = pytest.mark.skipif(os.name != "posix", reason="uses POSIX signals and ps")

KINDS = ["schedule", "flaky e-mail", "thumbnail", "CSV import", "async task", "crash", "batch"]


@pytest.fixture
def database_url(django_db_blocker):
    """Yield the URL of an empty database on the server of this test run; "" on SQLite."""
    url = os.environ.get("TEST_DATABASE_URL") or "sqlite"
    if url.startswith("sqlite"):
        yield ""
        return
    name = f"django_tasks_demo_{os.getpid()}"
    with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield url.partition("?")[0].rpartition("/")[0] + f"/{name}"
    with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def demo(tmp_path, free_port):
    """Yield a running demo whose page answers."""
    demo = Demo(tmp_path, free_port)
    try:
        demo.wait_for_line(READY)
        yield demo
    finally:
        demo.kill()


def verdicts(output):
    """Return the last column of the table by the first."""
    lines = [line.partition("│ ")[2] for line in output.splitlines()]
    found = {}
    for kind in KINDS:
        rows = [line for line in lines if line.startswith(f"{kind}  ")]
        found[kind] = rows[0].rsplit("  ", 1)[1].strip() if rows else "missing"
    return found


def test_once_does_everything(tmp_path, database_url):
    """demo --once runs every kind of task, says that all is well, and leaves the real files."""
    completed = run("demo", "--once", var=tmp_path, DATABASE_URL=database_url)

    assert verdicts(completed.stdout) == dict.fromkeys(KINDS, "ok"), completed.stdout
    assert completed.returncode == 0, completed.stdout
    assert len(list((tmp_path / "mail").glob("*.log"))) == 1
    assert len(list((tmp_path / "media" / "thumbnails").glob("*.webp"))) == 1
    assert (tmp_path / "demo.sqlite3").exists() == (not database_url)


def test_once_tells_a_failure(tmp_path):
    """demo --once exits with 1 and names the task that did not do what it should."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "thumbnails").write_text("A file where the task wants its folder.")

    completed = run("demo", "--once", var=tmp_path)

    expected = dict.fromkeys(KINDS, "ok") | {"thumbnail": "NOT AS EXPECTED"}
    assert verdicts(completed.stdout) == expected, completed.stdout
    assert "Not as expected: thumbnail." in completed.stdout
    assert completed.returncode == 1


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(demo, number):
    """Ctrl+C or SIGTERM ends the demo with exit code 0 and leaves no process."""
    pids = descendants(demo.popen.pid)
    assert len(pids) >= 3, demo.output

    os.killpg(demo.popen.pid, number)

    assert demo.wait_for_exit() == 0, demo.output
    assert still_running(pids) == []
    assert "Everything has stopped." in demo.output
    assert "killed" not in demo.output
    assert "Traceback" not in demo.output


@needs_posix
def test_a_dead_worker_ends_the_demo(demo):
    """When the worker dies the demo says so, stops the web server and exits with 1."""
    worker = demo.wait_for_process("runworker")
    pids = descendants(demo.popen.pid)

    os.kill(worker, signal.SIGKILL)

    assert demo.wait_for_exit() == 1, demo.output
    assert "The worker process ended by itself (exit code -9)." in demo.output
    assert still_running(pids) == []


def test_a_busy_port_is_left_alone(tmp_path):
    """The demo takes the next free port, says so, and the page answers there."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        demo = Demo(tmp_path, port)
        try:
            line = demo.wait_for_line(f"Port {port} is in use")
            demo.wait_for_line(READY)
            taken = int(line.rpartition(" ")[2].rstrip("."))
            with urlopen(f"http://127.0.0.1:{taken}/", timeout=10) as response:
                page = response.read().decode()
        finally:
            demo.kill()

    assert taken > port
    assert "example_project.demo.tasks.make_thumbnail" in page
    assert not is_running(demo.popen.pid)


def test_refused_without_debug(tmp_path):
    """Without DEBUG the demo does nothing: no database, no user with a known password."""
    completed = run("demo", var=tmp_path, DEBUG="0")

    assert completed.returncode == 1
    assert completed.stdout.startswith("CommandError: The demo creates an administrator")
    assert list(tmp_path.iterdir()) == []


def test_calendar_is_reproducible(tmp_path):
    """The shipped CSV file is what its script writes."""
    make_calendar.write(tmp_path / "calendar.csv")

    assert (tmp_path / "calendar.csv").read_bytes() == make_calendar.CSV_PATH.read_bytes()


@pytest.mark.parametrize(
    ("year", "easter", "orthodox_easter"),
    [
        (1818, "1818-03-22", "1818-04-26"),
        (1943, "1943-04-25", "1943-04-25"),
        (2000, "2000-04-23", "2000-04-30"),
        (2008, "2008-03-23", "2008-04-27"),
        (2024, "2024-03-31", "2024-05-05"),
        (2025, "2025-04-20", "2025-04-20"),
    ],
)
def test_calendar_facts(year, easter, orthodox_easter):
    """The dates of Easter are those that almanacs give."""
    with make_calendar.CSV_PATH.open(newline="", encoding="ascii") as file:
        rows = {int(row["year"]): row for row in csv.DictReader(file)}

    assert (rows[year]["easter"], rows[year]["orthodox_easter"]) == (easter, orthodox_easter)
    assert all(date.fromisoformat(row["easter"]).weekday() == 6 for row in rows.values())


def test_database_url(tmp_path, monkeypatch):
    """DATABASE_URL is read with its escapes; an unknown scheme is refused by name."""
    monkeypatch.setenv("DEMO_VAR", str(tmp_path))
    from example_project.settings import database_from_url

    entry = database_from_url("postgresql://me:p%40ss@db.example:5433/my_db")

    assert entry == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "my_db",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "5433",
    }
    with pytest.raises(ValueError, match="'oracle'; use one of: postgres"):
        database_from_url("oracle://db/name")
