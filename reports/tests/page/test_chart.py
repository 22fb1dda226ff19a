"""A chart draws measurements, names its axes, and has a table of its numbers."""

import re

import pytest

from kl_reports.page.chart import LEFT, RIGHT, Chart, charts, spark
from kl_reports.runfile.distribution import ErrorDistribution, combined

SPREAD = ErrorDistribution({-3: 2, 0: 5, 10: 1}, {2: 100, 31: 250, 1025: 1000}, {0: 40, 7: 1000, 64: 3})


def points(chart: Chart) -> list[tuple[float, float]]:
    """Return the first series of a chart."""
    found = re.search(r'class="s s0" d="M([^"]*)"', chart.drawing)
    assert found
    return [(float(x), float(y)) for x, y in (each.split() for each in found[1].split("L"))]


def test_each_chart_has_its_numbers_in_a_table() -> None:
    """The tables have every measured place in a readable form."""
    signed, condition, classes = charts({"f32": SPREAD})
    assert signed.rows == (("−0.3", "2"), ("0", "5"), ("1", "1"))
    assert condition.rows == (("2⁰", "0.04"), ("2⁷", "1"), ("2⁶⁴", "0.003"))
    assert classes.rows == (("2", "0.1"), ("31", "0.25"), ("1,025", "1"))
    assert classes.head == ("number of classes", "f32")


def test_each_chart_is_named_and_described() -> None:
    """A drawing is an image with a title and a description, and its axes are named."""
    for chart, axis in zip(
        charts({"": SPREAD}), ("signed error", "condition number", "number of classes"), strict=True
    ):
        assert 'role="img"' in chart.drawing
        assert f"<title>{chart.title}</title><desc>" in chart.drawing
        assert axis in chart.drawing
        assert 'class="limit"' in chart.drawing


def test_a_larger_error_is_drawn_higher_and_the_limit_is_at_one() -> None:
    """Points are in order from left to right, and an error equal to the allowed one is on the dashed line."""
    *_, classes = charts({"f32": SPREAD})
    xs, ys = zip(*points(classes), strict=True)
    assert list(xs) == sorted(xs)
    assert LEFT <= xs[0] < xs[-1] <= RIGHT
    assert list(ys) == sorted(ys, reverse=True)
    limit = re.search(r'class="limit" d="M\d+ ([\d.]+)H', classes.drawing)
    assert limit
    assert float(limit[1]) == pytest.approx(ys[-1])


def test_every_series_has_a_line_of_its_own() -> None:
    """Two dtypes are two lines and two columns; a place that was not measured is empty."""
    *_, classes = charts({"f64": SPREAD, "f32": ErrorDistribution({0: 1}, {2: 7}, {})})
    assert 'class="s s0"' in classes.drawing
    assert 'class="s s1"' in classes.drawing
    assert classes.rows == (("2", "0.1", "0.007"), ("31", "0.25", ""), ("1,025", "1", ""))


def test_nothing_measured_draws_nothing() -> None:
    """Without problems there is no chart; a distribution with one kind of numbers has the charts of that kind."""
    assert charts({"f32": ErrorDistribution()}) == ()
    assert [chart.title for chart in charts({"": ErrorDistribution({0: 3}, {5: 1}, {})})] == [
        "Signed errors",
        "Error against classes",
    ]
    assert spark([]) == spark([0.1, 0.2, float("nan"), 3.0]) == ""


def test_a_sparkline_goes_from_the_smallest_to_the_largest() -> None:
    """A sparkline of many values is short, rises, and is labelled with its range."""
    drawn = spark([place / 999 for place in range(1000)])
    heights = [float(end) for end in re.findall(r"V([\d.]+)", drawn)]
    assert len(heights) == 24
    assert heights == sorted(heights, reverse=True)
    assert "1000 cells: 0.00 to 1.00" in drawn
    assert len(drawn) < 600


def test_merged_cells_have_the_largest_error_and_every_problem() -> None:
    """Counts are added; of two errors at one place the larger is used."""
    whole = combined([SPREAD, ErrorDistribution({0: 1, 1: 1}, {2: 300, 3: 1}, {7: 2})])
    assert whole.signed == {-3: 2, 0: 6, 1: 1, 10: 1}
    assert whole.classes == {2: 300, 3: 1, 31: 250, 1025: 1000}
    assert whole.condition == {0: 40, 7: 1000, 64: 3}
    assert whole.problems == 10
