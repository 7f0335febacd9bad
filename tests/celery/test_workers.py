"""Façade tasks on real workers: in a process of their own, with limits and kills."""

import socket

import pytest

from django_tasks.celery import current_app
from django_tasks.celery.exceptions import TaskRevokedError
from django_tasks.models import TaskRecord
from tests.celery import tasks
from tests.worker.ledger import PATIENCE, until

pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.django_db(transaction=True, available_apps=["tests"]),
]


def test_calls():
    assert tasks.add.delay(1, 2).get(timeout=PATIENCE) == 3
    assert tasks.hooked.delay(2).get(timeout=PATIENCE) == 2
    assert tasks.other_arguments.delay("a").get(timeout=PATIENCE) == [[1, 2], {"x": 3}]


def test_request():
    result = tasks.about.apply_async((1,), {"x": 2}, headers={"user": "ada"}, task_id="by-me")
    told = result.get(timeout=PATIENCE)
    assert [told["id"], told["headers"], told["queue"]] == ["by-me", {"user": "ada"}, "default"]
    assert told["hostname"] == f"celery@{socket.gethostname()}"


def test_soft_time_limit():
    assert tasks.too_slow.delay().get(timeout=PATIENCE) == "cleaned up"


def test_failures():
    result = tasks.hooked.delay(9, "at last")
    with pytest.raises(tasks.Gone, match="at last"):
        result.get(timeout=PATIENCE)
    assert result.state == "FAILURE"


def test_ignored_with_a_state():
    result = tasks.ignores.delay("HIDDEN")
    assert result.get(timeout=PATIENCE) == {"why": "done elsewhere"}
    assert result.state == "HIDDEN"


def test_inspect_and_revoke(worker):
    result = tasks.sleeps.delay(60)
    until(lambda: result.state == "STARTED", "its start")
    later = tasks.add.apply_async((1,), countdown=600, queue="mail")

    inspect = current_app.control.inspect()
    [name] = inspect.ping()
    assert name == f"celery@{socket.gethostname()}:{worker.pid}"
    assert current_app.control.ping() == [{name: {"ok": "pong"}}]
    [active] = inspect.active()[name]
    assert active["id"] == result.id
    assert (active["name"], active["args"]) == ("tests.celery.tasks.sleeps", [60])
    assert active["delivery_info"]["routing_key"] == "default"
    [scheduled] = inspect.scheduled()[name]
    assert scheduled["request"]["id"] == later.id
    assert inspect.reserved() == {name: []}
    assert inspect.stats()[name]["pool"]["max-concurrency"] == 2
    assert "sync" in inspect.registered()[name]
    assert inspect.query_task(result.id)[name][result.id][0] == "active"
    assert current_app.control.inspect(["celery@nobody"]).active() is None

    current_app.control.revoke(result.id)  # without terminate, what runs goes on
    assert not TaskRecord.objects.get(pk=result.id).cancel_requested
    current_app.control.revoke([result.id], terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE)
    assert current_app.control.purge() == 1
    assert not later.exists()


@pytest.mark.parametrize("name", ["rate_limit", "autoscale", "broadcast"])
def test_what_control_does_not_offer(name):
    with pytest.raises(NotImplementedError, match=rf"control\.{name}\(\) is not offered: "):
        getattr(current_app.control, name)


def test_signals(worker):
    result = tasks.add.delay(1)
    result.get(timeout=PATIENCE)
    line = f"task_postrun tests.celery.tasks.add {result.id} SUCCESS True"
    until(lambda: line in worker.book.read_text(), line)
    lines = worker.book.read_text().splitlines()
    assert lines.count("worker_process_init") == 2
    assert lines.count(f"worker_ready celery@{socket.gethostname()}") == 2
    assert lines[0] == "after_setup_logger True"


@pytest.mark.parametrize(("task", "ends"), [("dies", "FAILURE"), ("dies_late", "SUCCESS")])
def test_a_killed_worker(task, ends, tmp_path):
    """As in Celery, a task runs again after its worker was killed with acks_late only."""
    result = getattr(tasks, task).delay(str(tmp_path / "once"))
    until(result.ready, "its end")
    assert result.state == ends
