"""What the project set out to reach, as ratios measured in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.systems import SYSTEMS
from benchmarks.tables import Runs, middle, percentile, short, table, values

OURS, BEST = "django-tasks", "django-tasks-best"
REDIS, RABBITMQ = "django-tasks-redis", "django-tasks-rabbitmq"
NO_PEERS = (OURS, BEST, REDIS, RABBITMQ, "raw-notify", "raw-redis")
DATABASE_PEERS = ("pgqueuer-10", "pgqueuer-100", "django-tasks-db")
Goal = tuple[str, float | None, float | None, bool]


def section(runs: Runs) -> str:
    """A table of goals whose both sides were measured."""
    rows = [
        [
            name,
            short(reached),
            f"{'≥' if more else '≤'} {short(goal)}",
            verdict(reached, goal, more),
        ]
        for name, reached, goal, more in goals(runs)
        if reached is not None and goal is not None
    ]
    if not rows:
        return ""
    return "## Goals\n\n" + table(["goal", "measured", "wanted", "reached"], rows)


def verdict(reached: float, goal: float, more: bool) -> str:
    return "yes" if (reached >= goal if more else reached <= goal) else "**no**"


def goals(runs: Runs) -> Iterator[Goal]:
    """Name, what we measured, what is wanted, whether more is better."""
    ours, best = runs.get(OURS, []), runs.get(BEST, [])
    peers = [name for name in SYSTEMS if name not in NO_PEERS and name in runs]
    defaults = [name for name in peers if name != "pgqueuer-100"]
    yield (
        "drain at defaults, above every peer's default",
        middle(ours, "drain_2"),
        _most(runs, defaults, "drain_2"),
        True,
    )
    yield (
        "drain at best settings, above every peer's best",
        middle(best, "drain_2"),
        _most(runs, peers, "drain_2"),
        True,
    )
    yield (
        "drain at best settings, half of the raw limit",
        middle(best, "drain_2"),
        _times(middle(runs.get("raw", []), "cycle_100_2"), 0.5),
        True,
    )
    yield (
        "bulk enqueue, above every peer",
        middle(ours, "enqueue_many"),
        _most(runs, peers, "enqueue_many"),
        True,
    )
    yield "enqueue in times of Model.objects.create", middle(ours, "create_ratio"), 1.5, False
    yield "time of failures, of that of successes", middle(ours, "failures_time"), 1.5, False
    yield "time of retries, of that of successes", middle(ours, "retries_time"), 1.5, False
    yield "pick-up p50, ms", _p50(ours), 3.0, False
    yield "pick-up p50, ms, below every PostgreSQL peer", _p50(ours), _least_p50(runs), False
    yield "50 ms sleeps on 50 threads, per second", middle(ours, "naps_threads"), 950, True
    yield "50 ms sleeps on 50 coroutines, per second", middle(ours, "naps_asyncio"), 950, True
    yield "idle workers, % of one core", middle(ours, "idle_workers"), 1.0, False
    yield "idle workers, queries per second", middle(ours, "idle_queries"), 5.0, False
    yield "memory of 2 processes, MB PSS", middle(ours, "memory_mb"), 90.0, False
    redis = runs.get(REDIS, [])
    yield "pick-up p50 with Redis, ms", _p50(redis), 1.5, False
    yield "idle workers with Redis, queries per second", middle(redis, "idle_queries"), 1.0, False
    for name, words in ((REDIS, "Redis"), (RABBITMQ, "RabbitMQ")):
        snapshot = middle(runs.get(name, []), "flat_snapshot")
        yield f"drain with {words} and a held snapshot, of the drain without", snapshot, 0.8, True
    yield from _flatness(ours)


def _flatness(ours: list[dict[str, Any]]) -> Iterator[Goal]:
    """The claim keeps 80 % of its rate under history, future rows and a held snapshot."""
    for metric, words in (
        ("flat_history", "2,000,000 finished rows"),
        ("flat_future", "1,000,000 future rows"),
        ("flat_snapshot", "a held snapshot, the third 30,000"),
    ):
        yield f"drain with {words}, of the drain without", middle(ours, metric), 0.8, True
    held = middle(ours, "held_rate")
    yield "drain after three minutes of a held snapshot, of its start", held, 0.6, True


def _most(runs: Runs, names: list[str], metric: str) -> float | None:
    found = [value for name in names if (value := middle(runs[name], metric)) is not None]
    return max(found) if found else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _p50(all_runs: list[dict[str, Any]]) -> float | None:
    found = [percentile(samples, 0.5) for samples in values(all_runs, "latency_ms")]
    return median(found) if found else None


def _least_p50(runs: Runs) -> float | None:
    found = [_p50(runs[name]) for name in DATABASE_PEERS if name in runs]
    return min((value for value in found if value is not None), default=None)
