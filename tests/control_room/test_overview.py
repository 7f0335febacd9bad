"""The overview: what its banner says, and what its parts show."""

import re
from datetime import timedelta

import pytest

from django_tasks.admin.overview import sections as overview_sections
from django_tasks.models import QueueState
from django_tasks.monitoring import queues
from django_tasks.monitoring.reading import CappedCount, database_now
from django_tasks.statuses import Status
from django_tasks.store.workers import leases
from tests.conformance.steps import DATABASE, make
from tests.control_room.overview_rows import (
    make_rollup,
    make_schedule,
    make_shop,
    make_worker,
)
from tests.schedule_admin.steps import text_of

pytestmark = pytest.mark.django_db

PAGE = "/admin/django_tasks/overview/"
FIGURES = f"{PAGE}figures/"
SECTIONS = {"state", "summary", "queues", "charts", "workers", "schedules"}


def sections_of(client, **query):
    response = client.get(FIGURES, query)
    assert response.status_code == 200, response
    return response.json()["sections"]


def words(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


# --- the banner ----------------------------------------------------------------------------------


def test_banner_says_that_nothing_is_to_do(root):
    make_worker()

    state = words(sections_of(root)["state"])

    assert state == "Idle: nothing to do"


def test_banner_says_that_no_worker_runs(root):
    state = words(sections_of(root)["state"])

    assert "Idle: nothing to do" in state
    assert state.endswith("python manage.py runworker")


def test_banner_says_that_tasks_run(root):
    worker = make_worker()
    make(status=Status.RUNNING, worker_id=worker.pk)

    assert words(sections_of(root)["state"]) == "Working"


def test_banner_names_queues_that_nobody_serves(root):
    """With the command that serves them, one for each backend."""
    make(queue_name="mail")
    make(queue_name="letters")
    make_worker(queues="other")

    state = words(sections_of(root)["state"])

    assert "Tasks are waiting, and nobody serves the queues letters, mail" in state
    assert "python manage.py runworker --queues letters,mail" in state


@pytest.mark.parametrize(
    ("queues", "commands"),
    [
        ([("default", "a"), ("default", "b")], ["python manage.py runworker --queues a,b"]),
        ([("slow", "a")], ["python manage.py runworker --backend slow --queues a"]),
        (
            [("default", "a"), ("slow", "a")],
            [
                "python manage.py runworker --queues a",
                "python manage.py runworker --backend slow --queues a",
            ],
        ),
        ([("default", "a;rm$x")], ["python manage.py runworker --queues 'a;rm$x'"]),
    ],
)
def test_commands_can_be_pasted_into_a_shell(queues, commands):
    assert overview_sections.worker_commands(queues) == commands


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "Schedules are due, and no beat is running"), (500, "No beat is running")],
)
def test_banner_misses_the_beat(root, seconds, expected):
    make_schedule("hourly", seconds)

    assert expected in words(sections_of(root)["state"])
    assert "python manage.py runbeat" in words(sections_of(root)["state"])
    make_worker(pool=leases.BEAT)
    assert "beat" not in words(sections_of(root)["state"])


def test_many_unserved_queues_are_not_all_named(root):
    for n in range(12):
        make(queue_name=f"q{n:02}")

    state = words(sections_of(root)["state"])

    assert "q09, …" in state.split("Start")[0]
    assert "q11" in state  # in the command


# --- the other parts -----------------------------------------------------------------------------


def test_page_shows_all_parts(root):
    make_shop()

    text = text_of(root.get(PAGE))

    for expected in ("Working", "mail", "web-1:4711", "3 of 4", "Nightly report", "Over time"):
        assert expected in text
    assert "send_mail × 3" in text


def test_figures_are_the_parts_of_the_page(root):
    """There is one rendering: what a page is renewed with is what it began with."""
    make_shop()
    html = root.get(PAGE, {"span": "day"}).content.decode()
    figures = sections_of(root, span="day")

    assert figures.keys() == SECTIONS
    for name in ("queues", "charts", "schedules"):
        still = re.compile(r"<time.*?</time>|[\d.,]+ (ms|s)\b")
        assert still.sub("", figures[name]) in still.sub("", html), name


@pytest.mark.parametrize(
    ("span", "title"),
    [
        ("hour", "Finished per minute"),
        ("day", "Finished per hour"),
        ("week", "Finished per 6 hours"),
        ("nonsense", "Finished per minute"),
    ],
)
def test_charts_are_those_of_the_span(root, span, title):
    html = root.get(PAGE, {"span": span}).content.decode()

    assert f"<strong>{title}</strong>" in html
    chosen = re.search(r'<a href="\?span=(\w+)" aria-current="true">', html)[1]
    assert chosen == (span if span != "nonsense" else "hour")
    assert f'data-url="{FIGURES}?span={chosen}"' in html


def test_charts_have_names_and_a_table(root):
    """For those who do not see them: a title, a sentence, and all numbers."""
    now = database_now(DATABASE)
    make_rollup(
        now.replace(second=0, microsecond=0) - timedelta(minutes=2), successful=1234, failed=5
    )

    charts = sections_of(root)["charts"]

    assert charts.count('role="img"') == 3
    assert "<title id=" in charts and "<desc id=" in charts
    assert "1,234 successful, 5 failed" in charts
    table = charts[charts.index("<details") :]
    assert table.count("<tr>") == 61
    assert '<td class="overview-number">1,234</td>' in table


def test_positions_are_numbers_in_every_language(root, settings):
    """A comma in an SVG would break it; counts for people have the language's own marks."""
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    make_shop()

    charts = sections_of(root, span="week")["charts"]

    for value in re.findall(r' (?:x|y|width|height|cx|cy|y1|y2)="([^"]*)"', charts):
        assert re.fullmatch(r"\d+(\.\d+)?", value), value
    for points in re.findall(r'points="([^"]*)"', charts):
        assert re.fullmatch(r"(\d+\.\d,\d+\.\d ?)+", points), points
    assert re.search(r"\d\.\d{3} erfolgreich", charts)


def test_capped_counts_say_so(root, monkeypatch):
    monkeypatch.setattr(queues, "CAP", 3)
    make(5, queue_name="mail")

    assert re.search(r"mail No worker 3\+ ", words(sections_of(root)["queues"]))
    assert "3+ ready" in words(sections_of(root)["summary"])
    assert str(CappedCount(3)) == "3+"


def test_counts_lead_to_the_tasks(root):
    make(2, queue_name="mail")

    html = sections_of(root)["queues"]

    link = re.search(r'<a href="([^"]+)">2</a>', html)[1].replace("&amp;", "&")
    listed = root.get(link)
    assert len(listed.context["cl"].result_list) == 2


def test_quiet_queues_are_the_first_to_be_left_out(root, monkeypatch):
    monkeypatch.setattr(overview_sections, "SHOWN", 1)
    make(queue_name="zebras")

    queues = words(sections_of(root)["queues"])

    assert "zebras No worker 1 " in queues
    assert re.search(r"\d+ more queues are not shown", queues)
    assert "default" not in queues


def test_paused_queue_is_marked(root):
    moment = database_now(DATABASE)
    make(queue_name="mail")
    QueueState.objects.create(
        backend="default",
        queue_name="mail",
        paused_at=moment,
        created_at=moment,
        changed_at=moment,
    )

    sections = sections_of(root)

    assert "mail Paused 1" in words(sections["queues"])
    assert "Tasks wait because the queue mail is paused." in words(sections["state"])
