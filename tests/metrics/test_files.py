"""The dashboard and the alert rules name metrics and labels that exist."""

import json
import re
import shutil
import subprocess
from importlib.resources import as_file, files
from itertools import chain
from pathlib import Path
from unittest import mock

import pytest

from django_tasks.models.rollups import EVER
from django_tasks.monitoring.reading import database_now
from django_tasks.worker.status import Tally, WorkerStatus
from tests.conformance.steps import DATABASE
from tests.control_room.overview_rows import histogram, make_rollup, make_schedule, make_shop
from tests.metrics.steps import prometheus_client

pytestmark = pytest.mark.django_db

FILES = files("django_tasks.contrib.prometheus")
STATUS = WorkerStatus(
    backend="default", pool="prefork", queues="*", processes=2, slots=2, used=1, lease_left=15.0,
    silence=0.1, is_stopping=False, is_broker_up=True, tally=Tally(),
)  # fmt: skip
NAME = re.compile(r"\bdjango_tasks_\w+")
#: What PromQL says of labels: `by (a, b)`, and in braces.
GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
MATCHED = re.compile(r"(django_tasks_\w+)\{([^}]*)\}")


@pytest.fixture
def told():
    """Return the labels of all samples by their name."""
    from django_tasks.contrib.prometheus import collector, worker

    make_shop()
    make_schedule("late", -30)
    make_rollup(database_now(DATABASE), span=EVER, run_times=histogram(0.2, 3.0))
    with mock.patch.object(collector, "is_broker_up", return_value=True):
        collectors = collector.QueueCollector(), worker.WorkerCollector(lambda: STATUS)
        families = chain(*(each.collect() for each in collectors))
        samples = list(chain.from_iterable(family.samples for family in families))
    return {sample.name: set(sample.labels) for sample in samples}


def rules():
    """Return the rules by name, as their expressions."""
    text = FILES.joinpath("alerts.yml").read_text(encoding="utf-8")
    blocks = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        name, _, rest = block.partition("\n")
        expression = re.search(r"expr: (\|\n(?: {10}.*\n)+|.*\n)", rest)[1]
        found[name] = " ".join(expression.removeprefix("|").split())
    return found


def dashboard():
    return json.loads(FILES.joinpath("dashboard.json").read_text(encoding="utf-8"))


def queries():
    """Return the dashboard's queries by their panels."""
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    }
    variables = dashboard()["templating"]["list"]
    return panels | {each["name"]: each["definition"] for each in variables if "definition" in each}


EXPRESSIONS = {**rules(), **queries()}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_names_what_is_told(told, name):
    expression = EXPRESSIONS[name]
    named = set(NAME.findall(expression))

    assert named and named <= told.keys()
    labels = set().union(*(told[each] for each in named))
    for group in GROUPED.findall(expression):
        assert set(group.replace(" ", "").split(",")) <= labels
    for metric, matchers in MATCHED.findall(expression):
        assert set(re.findall(r"(\w+)(?:=~|!=|=)", matchers)) <= told[metric]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_is_right_where_the_queues_are_scraped_twice(name):
    """What is of the queue is not added up over those that tell it."""
    for match in re.finditer(r"sum(?: by \([^)]*\))?\s?\((\w+)", EXPRESSIONS[name]):
        following = EXPRESSIONS[name][match.start() :]
        is_of_workers = NAME.search(following)[0].startswith("django_tasks_worker_")
        is_compared_with_nothing = following.endswith("> 0")
        assert match[1] == "max" or is_of_workers or is_compared_with_nothing, following


def test_rules_and_panels_are_told_apart():
    assert len(rules()) == FILES.joinpath("alerts.yml").read_text().count("alert:")
    panels = dashboard()["panels"]
    assert len({panel["title"] for panel in panels}) == len(panels) > 10
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(x + w <= 24 for x, _, w, _ in places)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules_and_the_metrics(told):
    """`promtool check metrics` also lints names and help texts by Prometheus' conventions."""
    from django_tasks.contrib.prometheus import collector, worker

    with as_file(FILES.joinpath("alerts.yml")) as path:
        done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector.QueueCollector())
    registry.register(worker.WorkerCollector(lambda: STATUS))
    text = prometheus_client.generate_latest(registry)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_reference_has_what_is_told(told):
    """Each name and its labels, and no other."""
    text = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text(encoding="utf-8")
    documented = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(django_tasks_\w+)` \|([^|]*)\|", text, re.MULTILINE)
    }
    families = {}
    for name, labels in told.items():
        family = re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name)
        families.setdefault(family, set()).update(labels - {"le"})

    assert documented == families
