"""
What Prometheus is told of queues: once for all processes and workers, from the database.

A scrape makes a constant number of queries per database. Labels are names of backends, of up to
MOST_QUEUES queues of each database, and words from fixed lists.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ...definitions.backends import database_backends
from ...monitoring.measures import Measures, Total, is_broker_up, measure
from ...monitoring.queues import Queue
from ...monitoring.workers import WorkerFigures
from ...redaction.exceptions import summary
from ...store.rollups import histograms

logger = logging.getLogger("django_tasks.metrics")

#: Ends of the buckets that are told: whole octaves of those that are counted.
OCTAVES = range(25)
#: Buckets of `histograms` in one octave.
PER_OCTAVE = 4
WORKER_STATES = ("alive", "stopping", "late")
_QUEUE = ("backend", "queue")


class QueueCollector(Collector):
    """Collects what is of queues, schedules and workers, of all databases of the project."""

    def collect(self) -> Iterator[Metric]:
        """Yield all families; a database that does not answer is told as such, and left out."""
        backends = database_backends()
        names = sorted({backend.database for backend in backends.values()})
        up = GaugeMetricFamily(
            "django_tasks_database_up",
            "1: the database with the tasks answered this scrape.",
            labels=["database"],
        )
        read: dict[str, Measures] = {}
        for name in names:
            own = [backend for backend in backends.values() if backend.database == name]
            try:
                read[name] = measure(name, own)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Metrics of database %s cannot be read: %s", name, summary(error))
            up.add_metric([name], float(name in read))
        yield up
        yield from _queue_gauges(read.values())
        yield from _counts(read.values())
        answered = [alias for alias, backend in backends.items() if backend.database in read]
        yield from _workers(read.values(), answered)
        yield from _schedules(read)
        yield _brokers(backends)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: to register must not ask the database."""
        return []


def _gauge(name: str, text: str, labels: Sequence[str], values: Iterable[Any]) -> GaugeMetricFamily:
    """Return a family of the samples `values`: pairs of label values and a value."""
    family = GaugeMetricFamily(f"django_tasks_{name}", text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family


def _queue_gauges(read: Iterable[Measures]) -> Iterator[Metric]:
    queues = [(each, queue) for each in read for queue in each.queues]
    yield _gauge(
        "queue_tasks",
        "Tasks that are not finished. Ready ones are counted up to 10000 per queue, scheduled ones"
        " up to 10000 in all: these are the ones that are due first.",
        [*_QUEUE, "status"],
        (
            ([queue.backend, queue.name, status], number)
            for _, queue in queues
            for status, number in (
                ("ready", queue.ready),
                ("scheduled", queue.scheduled),
                ("running", queue.running),
            )
        ),
    )
    yield _gauge(
        "queue_oldest_age_seconds",
        "For how long the first ready task could have run, and the longest running one runs. 0:"
        " there is none.",
        [*_QUEUE, "status"],
        (
            ([queue.backend, queue.name, status], age or 0.0)
            for each, queue in queues
            for status, age in (
                ("ready", queue.oldest),
                ("running", each.running_for.get((queue.backend, queue.name))),
            )
        ),
    )
    flags = {
        "queue_due_tasks": "Scheduled tasks whose time has come, and that no worker made ready.",
        "queue_orphaned_tasks": "Running tasks whose worker is gone or late.",
        "queue_paused": "1: somebody paused the queue.",
        "queue_unserved": "1: tasks wait and no worker that is alive serves the queue.",
    }
    values = [_flags(each, queue) for each, queue in queues]
    for number, (name, text) in enumerate(flags.items()):
        yield _gauge(name, text, _QUEUE, ((queue, of[number]) for queue, of in values))


def _flags(each: Measures, queue: Any) -> tuple[list[str], tuple[int, int, bool, bool]]:
    is_unserved = (queue.backend, queue.name) in each.unserved
    flags = (queue.due, queue.orphaned, queue.is_paused, is_unserved)
    return [queue.backend, queue.name], flags


def _counts(read: Iterable[Measures]) -> Iterator[Metric]:
    finished = CounterMetricFamily(
        "django_tasks_finished",
        "Tasks that finished, counted by workers once a minute.",
        labels=[*_QUEUE, "status"],
    )
    retries = CounterMetricFamily(
        "django_tasks_retries",
        "Attempts that finished tasks needed beyond their first.",
        labels=_QUEUE,
    )
    wait = HistogramMetricFamily(
        "django_tasks_wait_seconds",
        "From when a task could have run to its start; of those that ran once. The sum is made of"
        " the middles of finer buckets.",
        labels=_QUEUE,
    )
    run = HistogramMetricFamily(
        "django_tasks_run_seconds",
        "Run time of the last attempt. The sum is made of the middles of finer buckets.",
        labels=_QUEUE,
    )
    totals: dict[Queue, Total] = {}
    for each in read:
        totals |= each.totals
    for queue, total in totals.items():
        for status, number in total.finished.items():
            finished.add_metric([*queue, status], number)
        retries.add_metric(queue, total.retries)
        wait.add_metric(queue, *_histogram(total.wait_times))
        run.add_metric(queue, *_histogram(total.run_times))
    yield from (finished, retries, wait, run)


def _histogram(counts: Counter[int]) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative buckets, whole octaves of those that are counted, and the sum."""
    per_octave: Counter[int] = Counter()
    for bucket, number in counts.items():
        # Bucket b ends at SHORTEST * GROWTH**b: the first octave that ends no sooner.
        per_octave[max(0, -(-bucket // PER_OCTAVE))] += number
    below, buckets = 0, []
    for octave in OCTAVES:
        below += per_octave[octave]
        buckets.append((str(histograms.SHORTEST * 2**octave), float(below)))
    buckets.append(("+Inf", float(counts.total())))
    return buckets, sum(histograms.middle(bucket) * n for bucket, n in counts.items())


def _workers(read: Collection[Measures], backends: Sequence[str]) -> Iterator[Metric]:
    workers = [worker for each in read for worker in each.workers]
    beats = [beat for each in read for beat in each.beats]
    yield _states("workers", "Workers by state; late: its lease is over.", backends, workers)
    yield _states("beats", "Beats by state; late: its lease is over.", backends, beats)
    slots = Counter[str]()
    used = Counter[str]()
    for worker in workers:
        if worker.state != "late":
            slots[worker.row.backend] += worker.row.concurrency
            used[worker.row.backend] += worker.used
    yield _gauge(
        "slots",
        "Tasks that workers run at the same time, without late ones.",
        ["backend"],
        (([alias], slots[alias]) for alias in backends),
    )
    yield _gauge(
        "slots_used",
        "Of these, those with a task.",
        ["backend"],
        (([alias], used[alias]) for alias in backends),
    )


def _states(
    name: str,
    text: str,
    backends: Iterable[str],
    figures: Iterable[WorkerFigures],
) -> Metric:
    numbers = Counter((worker.row.backend, worker.state) for worker in figures)
    return _gauge(
        name,
        text,
        ["backend", "state"],
        (([alias, state], numbers[alias, state]) for alias in backends for state in WORKER_STATES),
    )


def _schedules(read: Mapping[str, Measures]) -> Iterator[Metric]:
    def of_each(name: str, text: str, values: Mapping[str, float]) -> Metric:
        return _gauge(name, text, ["database"], (([key], value) for key, value in values.items()))

    yield of_each(
        "schedules",
        "Schedules that have a next run, counted up to 10000.",
        {name: each.schedules for name, each in read.items()},
    )
    yield of_each(
        "schedules_overdue",
        "Of these, those whose time has come, and that no beat has enqueued.",
        {name: each.overdue for name, each in read.items()},
    )
    yield of_each(
        "schedule_lateness_seconds",
        "For how long the first overdue schedule is that. 0: there is none.",
        {name: each.lateness for name, each in read.items()},
    )
    yield of_each(
        "beat_heartbeat_age_seconds",
        "Since the last heartbeat of any beat. No sample: there is no beat.",
        {
            name: min((each.now - beat.row.heartbeat_at).total_seconds() for beat in each.beats)
            for name, each in read.items()
            if each.beats
        },
    )
    yield of_each(
        "counted_until_timestamp_seconds",
        "Up to when finished tasks are counted. No sample: no worker has yet.",
        {
            name: each.counted_until.timestamp()
            for name, each in read.items()
            if each.counted_until is not None
        },
    )
    yield of_each(
        "queues_left_out",
        "Queues of which nothing is told because there are too many.",
        {name: each.left_out for name, each in read.items()},
    )


def _brokers(backends: Iterable[str]) -> Metric:
    up = {alias: is_broker_up(alias) for alias in backends}
    return _gauge(
        "broker_up",
        "1: the broker beside the database answers and takes tasks in.",
        ["backend"],
        (([alias], value) for alias, value in up.items() if value is not None),
    )
