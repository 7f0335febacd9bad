"""Numbers of several runs, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

NOTHING = "–"
Runs = dict[str, list[dict[str, Any]]]


def values(runs: list[dict[str, Any]], metric: str) -> list[float]:
    return [numbers[metric] for numbers in runs if metric in numbers]


def middle(runs: list[dict[str, Any]], metric: str) -> float | None:
    found = values(runs, metric)
    return median(found) if found else None


def spread(runs: list[dict[str, Any]], metric: str) -> str:
    """The median, and the least and the most where there were several runs."""
    found = values(runs, metric)
    if not found:
        return NOTHING
    if len(found) == 1:
        return short(found[0])
    return f"{short(median(found))} ({short(min(found))}–{short(max(found))})"


def ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.2f}" if value is not None and base else NOTHING


def percentile(samples: Sequence[float], share: float) -> float:
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def short(value: float) -> str:
    """Three digits that matter, thousands separated."""
    if abs(value) >= 100:
        digits = max(len(str(int(abs(value)))) - 3, 0)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, marks, *rows)) + "\n"
