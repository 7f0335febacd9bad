"""The HTTP probes."""

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
        patches={"django_tasks.worker.health.LONGEST_SILENCE": 1.5},
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
