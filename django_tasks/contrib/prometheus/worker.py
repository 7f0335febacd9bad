"""What a worker tells of itself on its health port, and of the queues at a path of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus

from django.db import connections
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ...runtime.health import Answer, Page
from ...store.workers.leases import VERSIONS
from ...worker.status import WorkerStatus
from .collector import QueueCollector


def pages(status: Callable[[], WorkerStatus]) -> Mapping[str, Page]:
    """
    Return what the health port serves.

    /metrics tells of this worker, without a query: scrape each worker. /metrics/queues tells what
    the view tells: the same wherever it is asked, so scrape it in one place.
    """
    return {
        "/metrics": lambda: _answer(WorkerCollector(status)),
        "/metrics/queues": _queues,
    }


def _queues() -> Answer:
    try:
        return _answer(QueueCollector())
    finally:
        connections.close_all()  # this thread's


def _answer(collector: Collector) -> Answer:
    registry = CollectorRegistry()
    registry.register(collector)
    encode, content_type = choose_encoder("")
    return Answer(HTTPStatus.OK, encode(registry).decode(), content_type)


class WorkerCollector(Collector):
    """Collects what one worker knows of itself."""

    def __init__(self, status: Callable[[], WorkerStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        status = self._status()
        info = GaugeMetricFamily(
            "django_tasks_worker_info",
            "1, with what this worker is.",
            labels=["backend", "pool", "queues", "versions"],
        )
        info.add_metric([status.backend, status.pool, status.queues, VERSIONS], 1.0)
        yield info
        for name, text, value in _gauges(status):
            yield GaugeMetricFamily(f"django_tasks_worker_{name}", text, value=float(value))
        lost = CounterMetricFamily(
            "django_tasks_worker_lost_tasks",
            "Tasks of processes and workers that died, by what this worker made of them.",
            labels=["outcome"],
        )
        lost.add_metric(["retried"], status.tally.lost_and_retried)
        lost.add_metric(["failed"], status.tally.lost_and_failed)
        yield lost
        yield CounterMetricFamily(
            "django_tasks_worker_pruned_tasks",
            "Finished tasks that this worker deleted because they were old.",
            value=status.tally.pruned,
        )


def _gauges(status: WorkerStatus) -> Iterator[tuple[str, str, float]]:
    yield "processes", "Processes that run tasks.", status.processes
    yield "slots", "Tasks that this worker runs at the same time.", status.slots
    yield "slots_used", "Of these, those with a running task.", status.used
    yield "lease_left_seconds", "For how long it owns its tasks.", status.lease_left
    yield "silence_seconds", "Since the most silent of its parts gave a sign.", status.silence
    yield "stopping", "1: it takes no more tasks.", status.is_stopping
    if status.is_broker_up is not None:
        yield "broker_up", "1: its broker answers and takes tasks in.", status.is_broker_up
