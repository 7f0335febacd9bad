"""The tables of RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import goals
from benchmarks.systems import system_class
from benchmarks.tables import NOTHING, Runs, middle, percentile, ratio, short, spread, table, values

OURS = "django-tasks"
HOW = (
    "Every cell is the median of the runs, with the least and the most in brackets. Ratios compare"
    " medians: × is against django_tasks at its defaults. The systems take turns within each run."
    " How each is configured and measured: [README.md](README.md).\n"
)


def render(facts: dict[str, str], runs: Runs, options: dict[str, Any]) -> str:
    quick = " in quick mode (a tenth of everything: not comparable)" if options["quick"] else ""
    title = f"# Results\n\n{options['runs']} runs in {options['minutes']:.0f} minutes{quick}. {HOW}"
    systems = {name: all_runs for name, all_runs in runs.items() if name != "raw"}
    parts = [title, failures(runs), goals.section(runs), *(part(systems, runs) for part in PARTS)]
    parts += [on_what(facts, runs)]
    return "\n".join(part for part in parts if part)


def failures(runs: Runs) -> str:
    failed = [
        f"- **{name}, run {number}, failed**: {numbers['error'].strip().splitlines()[-1]}"
        for name, all_runs in runs.items()
        for number, numbers in enumerate(all_runs, 1)
        if "error" in numbers
    ]
    return "\n".join(failed) + "\n" if failed else ""


def drain(systems: Runs, runs: Runs) -> str:
    limit = middle(runs.get("raw", []), "cycle_100_2")
    base = middle(systems.get(OURS, []), "drain_2")

    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        kept = "yes" if system_class(name).keeps_results else "no"
        rate = middle(all_runs, "drain_2")
        share = f"{rate / limit:.0%}" if rate and limit else NOTHING
        each = [spread(all_runs, f"drain_{n}") for n in (1, 2)]
        return [kept, *each, ratio(rate, base), share]

    head = ["results kept", "1 process", "2 processes", "×", "of the raw limit"]
    return section("No-op tasks per second", head, systems, "drain_2", row)


def cpu(systems: Runs, runs: Runs) -> str:
    names = ["workers", "postgres", "redis"]

    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        found = [middle(all_runs, f"cpu_{part}_2") or 0.0 for part in names]
        cells = [spread(all_runs, f"cpu_{part}_2") for part in names]
        return [*cells, short(sum(found))]

    head = ["workers", "PostgreSQL", "Redis", "together"]
    return section("CPU seconds per 10,000 no-op tasks", head, systems, "cpu_workers_2", row)


def enqueue(systems: Runs, runs: Runs) -> str:
    base = [middle(systems.get(OURS, []), metric) for metric in ("enqueue_one", "enqueue_many")]

    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        one, many = "enqueue_one", "enqueue_many"
        return [
            *[spread(all_runs, one), ratio(middle(all_runs, one), base[0])],
            *[spread(all_runs, many), ratio(middle(all_runs, many), base[1])],
        ]

    head = ["one by one", "×", "in bulk", "×"]
    return section("Enqueued per second, by one process", head, systems, "enqueue_one", row)


def latency(systems: Runs, runs: Runs) -> str:
    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        each = values(all_runs, "latency_ms")
        pooled = [sample for samples in each for sample in samples]
        middles = [percentile(samples, 0.5) for samples in each]
        tops = [short(percentile(pooled, share)) for share in (0.5, 0.95, 0.99)]
        return [*tops, f"{short(min(middles))}–{short(max(middles))}", str(len(pooled))]

    head = ["p50", "p95", "p99", "p50 of the runs", "tasks"]
    title = "Pick-up of one task by idle workers, in milliseconds"
    return section(title, head, systems, "latency_ms", row)


def naps(systems: Runs, runs: Runs) -> str:
    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        best = max(middle(all_runs, f"naps_{pool}") or 0.0 for pool in ("threads", "asyncio"))
        each = [spread(all_runs, f"naps_{pool}") for pool in ("threads", "asyncio")]
        return [*each, f"{best / 1000:.0%}"]

    head = ["threads", "asyncio", "best, of the ideal"]
    title = "2,000 sleeps of 50 ms on one process with 50 slots, per second (ideal: 1,000)"
    kept = {
        n: r for n, r in systems.items() if values(r, "naps_threads") + values(r, "naps_asyncio")
    }
    return section(title, head, kept, None, row)


def rest(systems: Runs, runs: Runs) -> str:
    metrics = ["memory_mb", "idle_workers", "idle_postgres", "idle_queries", "idle_commands"]

    def row(name: str, all_runs: list[dict[str, Any]]) -> list[str]:
        return [spread(all_runs, metric) for metric in metrics]

    head = ["memory, MB PSS", "CPU % of workers", "CPU % of PostgreSQL"]
    head += ["SQL statements/s", "Redis commands/s"]
    return section("At rest, 2 processes", head, systems, "memory_mb", row)


def raw(systems: Runs, runs: Runs) -> str:
    found = runs.get("raw", [])
    if not values(found, "cycle_1_1"):
        return ""
    rows = [
        [f"{batch}, {words}", *(spread(found, f"{kind}_{batch}_{n}") for n in (1, 2))]
        for kind, words in (("cycle", "claim; finish"), ("combined", "finish and claim in one"))
        for batch in (1, 10, 100)
    ]
    inserts = [[name, spread(found, name)] for name in ("insert", "unnest", "copy")]
    text = "## The raw limit: the same SQL with no task system, tasks per second\n\n"
    text += table(["batch", "1 process", "2 processes"], rows) + "\n"
    return text + table(["insert", "rows per second"], inserts)


def extras(systems: Runs, runs: Runs) -> str:
    """Sections that a system wrote itself: text by title."""
    titles: dict[str, str] = {}
    for name, all_runs in systems.items():
        for numbers in all_runs:
            for title, text in numbers.get("sections", {}).items():
                titles.setdefault(f"{system_class(name).title}: {title}", text)
    return "\n".join(f"## {title}\n\n{text}" for title, text in titles.items())


def on_what(facts: dict[str, str], runs: Runs) -> str:
    told = [[name, text] for name, text in facts.items()]
    foreign = [number for found in runs.values() for number in values(found, "foreign")]
    share = f"{min(foreign):.0f} to {max(foreign):.0f} % of a core"
    told.append(["CPU that others took during the measurements", share])
    how = [[name, system_class(name).configuration] for name in runs if name != "raw"]
    return "## Measured on\n\n" + table(["", ""], told) + "\n" + table(["system", "as"], how)


def section(
    title: str,
    head: Sequence[str],
    systems: Runs,
    metric: str | None,
    row: Callable[[str, list[dict[str, Any]]], list[str]],
) -> str:
    """A table with one row for each system that has the metric."""
    shown = {n: r for n, r in systems.items() if metric is None or values(r, metric)}
    rows = [[system_class(name).title, *row(name, found)] for name, found in shown.items()]
    return f"## {title}\n\n{table(['system', *head], rows)}" if rows else ""


PARTS = (drain, cpu, enqueue, latency, naps, rest, raw, extras)
