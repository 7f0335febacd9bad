"""The geometry of charts: numbers in, positions out."""

import pytest

from django_tasks.admin.overview import drawing
from django_tasks.admin.overview.drawing import BOTTOM, LEFT, RIGHT, TOP, Values


def say(value):
    return f"{value:g}"


def bars_of(*series):
    texts = [str(n) for n in range(len(series[0]))]
    drawn = [Values(name=str(n), kind="x", values=values) for n, values in enumerate(series)]
    return drawing.stacked_bars(drawn, texts, texts, say)


def lines_of(*values):
    texts = [str(n) for n in range(len(values))]
    chart = drawing.duration_lines([Values(name="p95", kind="x", values=values)], texts, texts, say)
    return chart.series[0]


@pytest.mark.parametrize(
    ("value", "end"),
    [(0, 1), (0.3, 1), (1, 1), (3, 4), (8, 8), (9, 10), (10, 10), (101, 200), (61_000, 80_000)],
)
def test_axis_of_counts_ends_at_a_round_number(value, end):
    assert drawing.count_above(value) == end


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (0, 0.001),
        (0.0004, 0.001),
        (0.002, 0.002),
        (0.3, 0.4),
        (7, 8),
        (40, 40),
        (41, 60),
        (61, 120),
        (700, 1200),
        (5000, 7200),
        (40_000, 43_200),
        (50_000, 86_400),
        (300_000, 345_600),
    ],
)
def test_axis_of_durations_ends_at_a_round_number(value, end):
    """In seconds up to forty of them, then in minutes, hours and days."""
    assert drawing.duration_above(value) == pytest.approx(end)


def test_axes_end_above_any_value():
    for exponent in range(-4, 13):
        for digit in (1.0, 1.01, 3.7, 9.99):
            value = digit * 10.0**exponent
            assert drawing.count_above(value) >= value
            assert drawing.duration_above(value) >= value


def test_bars_stand_on_each_other():
    """The highest fills the box when the axis ends at its value; nothing leaves the box."""
    chart = bars_of([1, 0, 2], [3, 0, 1])

    failed, successful = (series.bars for series in chart.series)
    assert float(successful[0].y) == TOP
    assert float(failed[0].y) + float(failed[0].height) == BOTTOM
    assert float(successful[0].y) + float(successful[0].height) == pytest.approx(
        float(failed[0].y), abs=0.11
    )
    assert len(failed) == len(successful) == 2
    for bar in (*failed, *successful):
        assert float(bar.x) >= LEFT
        assert float(bar.x) + float(bar.width) <= RIGHT


def test_lines_break_at_gaps():
    """A slot in which nothing ran is no zero; a slot alone is a dot."""
    series = lines_of(1.0, 2.0, None, 1.0, None, 0.5, 0.5)

    assert [len(line.split()) for line in series.lines] == [2, 2]
    assert len(series.dots) == 1
    assert float(series.dots[0][0]) == pytest.approx(LEFT + 3.5 * (RIGHT - LEFT) / 7, abs=0.06)


def test_empty_charts_have_axes():
    chart = bars_of([0, 0], [0, 0])

    assert [row.label for row in chart.rows] == ["0", "1"]
    assert not any(series.bars for series in chart.series)
    assert lines_of(None, None).lines == []


@pytest.mark.parametrize("count", [1, 24, 28, 60])
def test_labels_are_few_and_within_the_box(count):
    chart = bars_of([1] * count)

    assert 1 <= len(chart.columns) <= drawing.COLUMNS
    assert all(LEFT < float(tick.at) < RIGHT for tick in chart.columns)
    assert [slot.text for slot in chart.slots] == [str(n) for n in range(count)]


def test_halves_of_odd_counts_are_not_labelled():
    assert [row.label for row in bars_of([1]).rows] == ["0", "1"]
    assert [row.label for row in bars_of([3]).rows] == ["0", "2", "4"]
