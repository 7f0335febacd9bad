"""The view: what it tells, to whom, and what it costs."""

from datetime import timedelta
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_tasks.conf import read
from django_tasks.models import Rollup, RollupMark, Schedule
from django_tasks.models.rollups import EVER
from django_tasks.monitoring import measures
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import Status
from django_tasks.store.rollups import counting
from django_tasks.store.workers import leases
from tests.conformance.steps import DATABASE, make
from tests.control_room.overview_rows import make_schedule, make_shop, make_worker
from tests.control_room.test_monitoring import let_expire, pause
from tests.control_room.test_rollups import count_all, finish, minutes_ago
from tests.metrics.steps import BEARER, TOKEN, Scrape, prometheus_client
from tests.schedule_admin.steps import client_with

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.metrics.urls"),
    pytest.mark.usefixtures("token"),
]

URL = "/metrics/"
DEFAULT = {"backend": "default", "queue": "default"}


@pytest.fixture
def token():
    with override_settings(DJANGO_TASKS={"METRICS_TOKEN": TOKEN}):
        yield


def scrape():
    answer = Client().get(URL, headers=BEARER)
    assert answer.status_code == 200
    return Scrape(answer.content.decode())


# --- who may --------------------------------------------------------------------------------------


def test_token_opens_the_view():
    answer = Client().get(URL, headers=BEARER)

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer something-else-in-here"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer tökén"},
    ],
)
def test_strangers_are_told_one_sentence(headers):
    answer = Client().get(URL, headers=headers)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer ")
    [line] = answer.content.decode().splitlines()
    assert "METRICS_TOKEN" in line and TOKEN not in line


@override_settings(DJANGO_TASKS={})
@pytest.mark.parametrize("given", ["None", "", TOKEN])
def test_no_token_opens_it_while_none_is_set(given):
    answer = Client().get(URL, headers={"Authorization": f"Bearer {given}"})

    assert answer.status_code == 401
    assert answer.content.startswith(b"Set METRICS_TOKEN in DJANGO_TASKS")


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        ([], 403),
        (["view_schedule"], 403),
        (["change_taskrecord"], 403),
        (["view_taskrecord"], 200),
    ],
)
def test_people_need_the_permission(permissions, status):
    assert client_with(*permissions).get(URL).status_code == status


def test_root_may(root):
    assert root.get(URL).status_code == 200


def test_nothing_but_reading_is_offered():
    assert Client().post(URL, headers=BEARER).status_code == 405
    assert Client().head(URL, headers=BEARER).status_code == 200


@pytest.mark.parametrize("value", ["", "short", 7, b"bytes-bytes-bytes-bytes", "ünïcode" * 9])
def test_bad_tokens_are_refused_without_their_text(value):
    _, [error] = read({"METRICS_TOKEN": value})

    assert "METRICS_TOKEN" in error and "16" in error
    assert not value or str(value) not in error


# --- what it tells --------------------------------------------------------------------------------


def test_depth_and_age_of_a_queue():
    now = database_now(DATABASE)
    worker = make_worker()
    make(3, enqueued_at=now - timedelta(seconds=90))
    make(2, status=Status.SCHEDULED)
    make(status=Status.SCHEDULED, run_after=now - timedelta(seconds=5))
    make(status=Status.RUNNING, worker_id=worker.pk, last_attempted_at=now - timedelta(seconds=40))
    make(status=Status.RUNNING, last_attempted_at=now - timedelta(seconds=70))

    told = scrape()

    assert told("queue_tasks", **DEFAULT, status="ready") == 3
    assert told("queue_tasks", **DEFAULT, status="scheduled") == 3
    assert told("queue_tasks", **DEFAULT, status="running") == 2
    assert 90 <= told("queue_oldest_age_seconds", **DEFAULT, status="ready") < 150
    assert 70 <= told("queue_oldest_age_seconds", **DEFAULT, status="running") < 130
    assert told("queue_due_tasks", **DEFAULT) == 1
    assert told("queue_orphaned_tasks", **DEFAULT) == 1
    assert told("queue_unserved", **DEFAULT) == 0
    assert told("queue_paused", **DEFAULT) == 0
    assert told("slots", backend="default") == 4
    assert told("slots_used", backend="default") == 1


def test_queue_that_is_paused_and_one_that_nobody_serves():
    make_worker(queues="default")
    make(queue_name="mail")
    make(queue_name="reports")
    pause("reports")

    told = scrape()

    assert told("queue_unserved", backend="default", queue="mail") == 1
    assert told("queue_unserved", backend="default", queue="reports") == 0
    assert told("queue_paused", backend="default", queue="reports") == 1


def test_workers_and_beats_by_state():
    make_worker()
    let_expire(make_worker())
    make_worker(pool=leases.BEAT, queues="", concurrency=0)

    told = scrape()

    states = {state: told("workers", backend="default", state=state) for state in _STATES}
    assert states == {"alive": 1, "stopping": 0, "late": 1}
    assert told("beats", backend="default", state="alive") == 1
    assert told("slots", backend="default") == 4  # the late one's tasks are others' soon
    assert 0 <= told("beat_heartbeat_age_seconds", database=DATABASE) < 60


_STATES = ("alive", "stopping", "late")


def test_schedules_and_their_lateness():
    make_schedule("soon", 60)
    make_schedule("late", -30)
    make_schedule("off", -90)
    Schedule.objects.filter(name="off").update(next_run_at=None)

    told = scrape()

    assert told("schedules", database=DATABASE) == 2
    assert told("schedules_overdue", database=DATABASE) == 1
    assert 30 <= told("schedule_lateness_seconds", database=DATABASE) < 90
    assert told("beat_heartbeat_age_seconds", database=DATABASE) is None


def test_finished_tasks_are_counted_by_status():
    moment = minutes_ago(3)
    for seconds in (0.0005, 0.003, 1.5):
        finish(moment, run=seconds, wait=0.25)
    finish(moment, Status.FAILED, attempts=3)
    finish(moment, Status.CANCELLED, run_time=None, last_attempted_at=None, queue_name="mail")
    count_all()

    told = scrape()

    assert told("finished_total", **DEFAULT, status="successful") == 3
    assert told("finished_total", **DEFAULT, status="failed") == 1
    assert told("retries_total", **DEFAULT) == 2
    mail = {"backend": "default", "queue": "mail"}
    assert told("finished_total", **mail, status="cancelled") == 1
    assert told("run_seconds_count", **mail) == 0
    assert told("run_seconds_count", **DEFAULT) == 4
    below = {le: told("run_seconds_bucket", **DEFAULT, le=le) for le in ("0.001", "0.004", "2.048")}
    assert below == {"0.001": 1, "0.004": 2, "2.048": 4}
    assert told("run_seconds_sum", **DEFAULT) == pytest.approx(1.5 + 0.05, rel=0.1)
    assert told("wait_seconds_count", **DEFAULT) == 3  # of those that ran once
    until = told("counted_until_timestamp_seconds", database=DATABASE)
    assert until >= (moment + timedelta(minutes=1)).timestamp()


@pytest.mark.parametrize("seconds", [1e-6, 0.0009, 0.0011, 0.9, 7.0, 4000.0, 1e5, 1e9])
def test_durations_are_in_a_bucket_that_ends_after_them(seconds):
    finish(minutes_ago(3), run=0.01, run_time=seconds)
    count_all()
    told = scrape()

    ends = {
        dict(labels)["le"]: value
        for (name, labels), value in told.samples.items()
        if name == "django_tasks_run_seconds_bucket"
    }
    first = min(float(le) for le, value in ends.items() if value)
    assert first >= seconds > (first / 2.3 if first not in (0.001, float("inf")) else 0)
    assert list(ends.values()) == sorted(ends.values())
    assert len(ends) == 26


def test_counters_go_on_when_tasks_and_old_rollups_are_deleted():
    """What is gone was counted: a counter that fell would look like a restart."""
    finish(minutes_ago(3))
    count_all()
    long_after = database_now(DATABASE) + timedelta(days=90)
    counting.prune(DATABASE, long_after)
    assert not Rollup.objects.exclude(span=EVER).exists()
    RollupMark.objects.update(counted_until=minutes_ago(2))
    finish(minutes_ago(2, seconds=5))
    count_all()

    assert scrape()("finished_total", **DEFAULT, status="successful") == 2


def test_a_database_that_does_not_answer_is_told(caplog):
    error = OperationalError("no route to host")
    with mock.patch("django_tasks.contrib.prometheus.collector.measure", side_effect=error):
        told = scrape()

    assert told("database_up", database=DATABASE) == 0
    assert told("workers", backend="default", state="alive") is None
    assert "Metrics of database default cannot be read" in caplog.text
    assert scrape()("database_up", database=DATABASE) == 1


# --- how it is told -------------------------------------------------------------------------------


def test_names_follow_the_conventions():
    make_shop()
    finish(minutes_ago(3))
    count_all()
    registry = prometheus_client.CollectorRegistry()
    from django_tasks.contrib.prometheus.collector import QueueCollector

    registry.register(QueueCollector())
    families = list(registry.collect())

    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith("django_tasks_")
        assert family.documentation.endswith(".")
        assert "milli" not in family.name and "minutes" not in family.name
        is_time = "age" in family.name or "lateness" in family.name
        assert not is_time or family.name.endswith("_seconds")
        labels = {name for sample in family.samples for name in sample.labels}
        assert labels <= {"backend", "queue", "status", "state", "database", "le"}


def test_openmetrics_is_spoken_when_it_is_asked_for():
    answer = Client().get(URL, headers={**BEARER, "Accept": "application/openmetrics-text"})

    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert answer.content.endswith(b"# EOF\n")


def test_queries_are_as_many_with_much_as_with_little():
    make()
    scrape()
    with CaptureQueriesContext(connection) as little:
        scrape()
    make_shop()
    make(300, queue_name="other")
    with CaptureQueriesContext(connection) as much:
        scrape()

    assert len(much) <= len(little) <= 15, [query["sql"] for query in much]


def test_there_are_only_so_many_queues():
    for number in range(7):
        make(queue_name=f"tenant-{number}")
        Rollup.objects.create(
            span=EVER, starts_at=counting._floor(database_now(DATABASE), EVER), successful=1,
            backend="default", queue_name=f"tenant-{number}", run_times="[]",
        )  # fmt: skip
    with mock.patch.object(measures, "MOST_QUEUES", 5):
        told = scrape()

    for name in ("django_tasks_queue_paused", "django_tasks_retries_total"):
        queues = {dict(labels)["queue"] for key, labels in told.samples if key == name}
        assert len(queues) == 5
    assert told("queues_left_out", database=DATABASE) >= 2
