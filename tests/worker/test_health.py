"""The HTTP probes."""

import contextlib
import os
import signal
import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest
from django.db import transaction

from django_tasks.models import WorkerRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, until
from tests.worker.processes import children_of


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def probe(port, path, method="GET"):
    """Return status and body, or None while nobody answers."""
    http = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        http.request(method, path)
        response = http.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return None
    finally:
        http.close()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_well_worker_answers(start, port, pool):
    """200 on both once it works; nothing else is served, and nothing can be changed."""
    worker = start("--pool", pool, "-c", 1, "--health-port", port)
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    until(lambda: probe(port, "/livez") == (200, "ok\n"), "liveness")
    assert probe(port, "/")[0] == 404
    assert probe(port, "/livez/../etc/passwd")[0] == 404
    assert probe(port, "/livez", "POST")[0] == 501
    assert probe(port, "/livez?x=1")[0] == 200
    assert worker.stop() == 0
    assert "GET" not in worker.output


def test_frozen_process_is_not_live(start, port):
    """503 on /livez when a process has shown no sign of life for too long; 200 when it is back."""
    start(
        "-c", 1, "--health-port", port,
        patches={"django_tasks.runtime.health.LONGEST_SILENCE": 1.5},
    )  # fmt: skip
    pid = tasks.process_id.enqueue().wait(PATIENCE)
    until(lambda: probe(port, "/livez") == (200, "ok\n"), "liveness")

    os.kill(pid, signal.SIGSTOP)
    until(lambda: probe(port, "/livez") == (503, "not ok\n"), "503")
    os.kill(pid, signal.SIGCONT)

    until(lambda: probe(port, "/livez") == (200, "ok\n"), "liveness again")


def test_worker_without_lease_is_not_ready(start, port):
    """503 on /readyz while the lease cannot be renewed; /livez does not depend on the database."""
    start("-c", 1, "--health-port", port, settings={"DJANGO_TASKS": {"LEASE": 1.0}})
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    with transaction.atomic():
        list(WorkerRecord.objects.select_for_update())  # SQLite: the transaction is the lock
        until(lambda: probe(port, "/readyz") == (503, "not ok\n"), "503")
        assert probe(port, "/livez") == (200, "ok\n")

    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness again")


def threads_of(pids):
    """Return how many threads these processes have."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


@contextlib.contextmanager
def silent_connections(port, count):
    """Connect often, and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(count)
        ]


def is_closed(connection):
    """Wait for the server to close a connection to which it has sent nothing."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silent_connections_take_no_threads_and_hold_nothing_up(start, port):
    """Many that say nothing: probes are answered as before, and no thread is there for them."""
    worker = start("-c", 1, "--health-port", port)
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")
    pids = [worker.pid, *children_of(worker.pid)]
    before = threads_of(pids)

    with silent_connections(port, 200) as connections:
        assert probe(port, "/livez") == (200, "ok\n")
        assert threads_of(pids) == before
        assert is_closed(connections[0])  # to make room


def test_connection_has_its_time(start, port):
    """One that sends a request without an end is closed."""
    start("-c", 1, "--health-port", port, patches={"django_tasks.runtime.health.TIMEOUT": 0.3})
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    with silent_connections(port, 2) as connections:
        connections[0].sendall(b"GET /livez HTTP/1.1\r\nHost: ")
        assert all(map(is_closed, connections))


def test_endless_request_is_not_read(start, port):
    """Nobody fills the memory of the process that renews the lease."""
    start("-c", 1, "--health-port", port)
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    with silent_connections(port, 1) as [connection], contextlib.suppress(OSError):
        for _ in range(1000):
            connection.sendall(b"x" * 65536)
        pytest.fail("65 MB were taken")


def test_words_that_are_no_request_are_refused(start, port):
    start("-c", 1, "--health-port", port)
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    with silent_connections(port, 1) as [connection]:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_nothing_listens_by_default(start):
    """Without --health-port no process of the worker listens."""
    worker = start("-c", 1)
    tasks.add.enqueue(1, 2).wait(PATIENCE)

    inodes = set()
    for pid in (worker.pid, *children_of(worker.pid)):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if fields[3] == "0A"
    }
    assert not inodes & listening
