"""A real Prometheus server scrapes workers and the view, and its alerts fire and end."""

import json
import os
import re
import shutil
import signal
import subprocess
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest
from django.test import override_settings

from tests.metrics.steps import TOKEN
from tests.worker import tasks
from tests.worker.conftest import clean, start, tables  # noqa: F401
from tests.worker.ledger import until
from tests.worker.processes import session_members
from tests.worker.test_health import port

pytestmark = [
    pytest.mark.django_db(transaction=True, available_apps=["tests"]),
    pytest.mark.urls("tests.metrics.urls"),
    pytest.mark.usefixtures("forgotten_counts"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="no Prometheus server is installed (Debian's package prometheus)",
    ),
]

other_port = prometheus_port = port


def configuration(view, workers, token=TOKEN):
    """Return what prometheus.yml has in the docs, with seconds in the place of minutes."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "django_tasks",
                "metrics_path": "/metrics/",
                "authorization": {"credentials": token},
                "static_configs": [{"targets": [urlsplit(view).netloc]}],
            },
            {
                "job_name": "django_tasks_workers",
                "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in workers]}],
            },
        ],
    }


class Prometheus:
    """A server with the package's rules, which fire at once."""

    def __init__(self, directory: Path, config, port):
        rules = files("django_tasks.contrib.prometheus").joinpath("alerts.yml").read_text()
        (directory / "alerts.yml").write_text(re.sub(r"\n +for: \w+", "", rules))
        (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path, **arguments):
        """Return the data of an answer; None while nobody answers."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(arguments)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def values(self, query):
        """Return the values of a query."""
        data = self.ask("query", query=query)
        return [float(each["value"][1]) for each in data["result"]] if data else []

    def firing(self):
        """Return the names of the alerts that fire."""
        data = self.ask("alerts") or {"alerts": []}
        return {a["labels"]["alertname"] for a in data["alerts"] if a["state"] == "firing"}


@pytest.fixture
def scraped(tmp_path, live_server, prometheus_port):
    """Return a function that starts a server for the view and some workers."""
    servers = []

    def serve(*workers):
        config = configuration(live_server.url, workers)
        servers.append(Prometheus(tmp_path, config, prometheus_port))
        return servers[-1]

    with override_settings(DJANGO_TASKS={"METRICS_TOKEN": TOKEN}):
        yield serve
        for server in servers:
            server.process.terminate()
            server.process.wait(30)


def serve_mail(start, port):  # noqa: F811
    quick = {"DJANGO_TASKS": {"LEASE": 2.0, "SWEEP_INTERVAL": 0.5}}
    return start("-c", 1, "--queues", "mail", "--health-port", port, settings=quick)


def test_alert_fires_when_a_worker_is_killed_and_ends_when_it_is_back(
    start,  # noqa: F811
    scraped,
    port,
    other_port,
):
    start("-c", 2, "--queues", "default", "--health-port", port)
    mail = serve_mail(start, other_port)
    server = scraped(port, other_port)
    until(lambda: server.values("up") == [1.0, 1.0, 1.0], "three targets")
    alive = 'sum(django_tasks_workers{state="alive"})'
    until(lambda: server.values(alive) == [2.0], "two workers")
    until(lambda: server.values("sum(django_tasks_worker_slots)") == [3.0], "their slots")
    assert server.values("sum(django_tasks_slots)") == [3.0]
    unserved = "DjangoTasksQueueUnserved"
    assert unserved not in server.firing()

    for pid in session_members(mail.pid):
        os.kill(pid, signal.SIGKILL)
    result = tasks.add.using(queue_name="mail").enqueue(1, 2)
    until(lambda: unserved in server.firing(), "the alert")
    assert server.values("sum(django_tasks_queue_unserved)") == [1.0]

    serve_mail(start, other_port)
    assert result.wait(60) == 3
    until(lambda: unserved not in server.firing(), "its end")
    assert "DjangoTasksNoWorker" not in server.firing()


def test_wrong_token_is_a_target_that_is_down(tmp_path, live_server, prometheus_port):
    with override_settings(DJANGO_TASKS={"METRICS_TOKEN": TOKEN}):
        config = configuration(live_server.url, [], token="another-one-than-that")
        server = Prometheus(tmp_path, config, prometheus_port)
        try:
            until(lambda: server.values("up") == [0.0], "a target that is down")
            targets = server.ask("targets")["activeTargets"]
            assert "401" in targets[0]["lastError"]
            until(lambda: "DjangoTasksNotScraped" in server.firing(), "the alert")
        finally:
            server.process.terminate()
            server.process.wait(30)
