"""What real workers tell on their health ports, and a server for the view, over HTTP."""

import asyncio
import sys
import threading
from datetime import timedelta
from unittest import mock

import pytest
from django.db import transaction
from django.db.models import F
from django.test import override_settings

from django_tasks.management.commands import runworker
from django_tasks.models import RollupMark, TaskRecord
from django_tasks.runtime.health import Answer, HTTPStatus, SlowPage
from tests.control_room.test_rollups import minutes_ago
from tests.metrics.steps import TOKEN, get
from tests.worker import tasks
from tests.worker.conftest import book, clean, gate, start, tables  # noqa: F401
from tests.worker.ledger import await_lines, until
from tests.worker.test_health import port, probe

pytestmark = [
    pytest.mark.django_db(transaction=True, available_apps=["tests"]),
    pytest.mark.urls("tests.metrics.urls"),
    pytest.mark.usefixtures("forgotten_counts"),
]

other_port = port
DEFAULT = {"backend": "default", "queue": "default"}


@pytest.fixture
def view(live_server):
    """The URL of the view, served by this process."""
    with override_settings(DJANGO_TASKS={"METRICS_TOKEN": TOKEN}):
        yield f"{live_server.url}/metrics/"


def of_worker(port, path="/metrics"):
    """Return what a worker tells; None while it is not there."""
    return get(f"http://127.0.0.1:{port}{path}") if probe(port, "/readyz") else None


def let_be_counted():
    """Let what has finished have done so in a minute that is over, and not counted yet."""
    with transaction.atomic():
        RollupMark.objects.update(counted_until=minutes_ago(9))
        TaskRecord.objects.filter(finished_at__isnull=False).update(
            finished_at=F("finished_at") - timedelta(minutes=3)
        )


def test_nothing_is_told_twice_by_two_workers_and_the_view(start, port, other_port, view):  # noqa: F811
    """Workers tell of themselves; of the queues the view, and each worker at another path."""
    for each, concurrency in ((port, 1), (other_port, 3)):
        start("-c", concurrency, "--health-port", each)
        until(lambda each=each: of_worker(each), "metrics")
    for number in range(6):
        assert tasks.add.enqueue(number, 1).wait(60) == number + 1
    before = get(view)("finished_total", **DEFAULT, status="successful") or 0
    let_be_counted()

    def is_counted():
        told = get(view)
        return told("finished_total", **DEFAULT, status="successful") == before + 6 and told

    told = until(is_counted, "the count", 90)
    workers = [of_worker(each) for each in (port, other_port)]
    assert [worker("worker_slots") for worker in workers] == [1, 3]
    assert told("slots", backend="default") == 4
    assert told("workers", backend="default", state="alive") == 2
    assert not told.names & (workers[0].names | workers[1].names)
    anywhere = [of_worker(each, "/metrics/queues") for each in (port, other_port)]
    for other in anywhere:
        assert other.names == told.names
        assert other("finished_total", **DEFAULT, status="successful") == before + 6


def test_running_tasks_take_slots(start, port, gate, book):  # noqa: F811
    worker = start("--pool", "threads", "-c", 3, "--processes", 2, "--health-port", port)
    until(lambda: of_worker(port), "metrics")
    for _ in range(4):
        tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 4)

    told = of_worker(port)
    assert told("worker_processes") == 2
    assert told("worker_slots") == 6
    assert told("worker_slots_used") == 4
    assert told("worker_stopping") == 0
    assert told("worker_broker_up") is None
    assert 0 < told("worker_lease_left_seconds") <= 20
    queues = of_worker(port, "/metrics/queues")
    assert queues("queue_tasks", **DEFAULT, status="running") == 4
    assert queues("slots_used", backend="default") == 4
    gate.touch()
    until(lambda: of_worker(port)("worker_slots_used") == 0, "free slots")
    assert worker.stop() == 0


def test_dead_processes_are_counted(start, port, book):  # noqa: F811
    start("-c", 1, "--health-port", port)
    until(lambda: of_worker(port), "metrics")
    assert of_worker(port)("worker_lost_tasks_total", outcome="failed") == 0

    tasks.die.enqueue(book)

    def lost(outcome):
        return of_worker(port)("worker_lost_tasks_total", outcome=outcome)

    until(lambda: lost("failed") == 1, "the lost task")
    assert lost("retried") == 0


def test_page_that_hangs_holds_one_thread_and_no_probe():
    """The next request is told so; when it is done, it is made again."""
    release = threading.Event()

    def make():
        assert release.wait(60)
        return Answer(HTTPStatus.OK, "made")

    async def ask():
        page = SlowPage(make)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await page.answer()
        busy = await page.answer()
        release.set()
        while (answer := await page.answer()).status != HTTPStatus.OK:
            await asyncio.sleep(0)
        return busy, answer

    busy, answer = asyncio.run(ask())
    assert busy.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.text == "made"


def test_page_that_fails_is_an_error_and_logged(caplog):
    page = SlowPage(mock.Mock(side_effect=ValueError("secret")))

    answer = asyncio.run(page.answer())

    assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "secret" not in answer.text
    assert "A page of the health port fails." in caplog.text


def without_package():
    """Leave prometheus-client and what is built on it out of the imported modules."""
    ours = {name: None for name in sys.modules if name.startswith("prometheus_client")}
    modules = mock.patch.dict(sys.modules, ours | {"prometheus_client": None})
    modules.start()
    for name in [n for n in sys.modules if n.startswith("django_tasks.contrib.prometheus.")]:
        del sys.modules[name]
    return modules


def test_without_its_package_the_port_says_what_to_install():
    modules = without_package()
    try:
        pages = runworker._pages()(mock.Mock())
    finally:
        modules.stop()

    answer = pages["/metrics"]()
    assert answer.status == HTTPStatus.NOT_FOUND
    assert "pip install django-tasks-engine[metrics]" in answer.text


def test_without_its_package_the_urls_say_what_to_install():
    modules = without_package()
    try:
        with pytest.raises(Exception, match=r"pip install django-tasks-engine\[metrics\]"):
            __import__("django_tasks.contrib.prometheus.urls")
    finally:
        modules.stop()
