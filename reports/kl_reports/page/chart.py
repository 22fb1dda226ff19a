"""Inline SVG charts, each with its numbers as a table."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from kl_reports.runfile.distribution import BINS, THOUSANDTHS, ErrorDistribution

WIDTH, HEIGHT = 300, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 292, 14, 118
STEP = (RIGHT - LEFT) / (2 * BINS + 3)  # a bar of a histogram
FEWEST = 3  # values that are worth a sparkline
SPARKS = 24  # bars of a sparkline; of more values, evenly chosen ones are drawn

Numbers = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and the table of its numbers; ``lined`` if each column of the table is a line of the drawing."""

    title: str
    drawing: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lined: bool = True

    @property
    def size(self) -> int:
        """The approximate number of characters on a page."""
        return len(self.drawing) + 200 + sum(20 + sum(10 + len(each) for each in row) for row in self.rows)


def charts(spreads: Mapping[str, ErrorDistribution]) -> tuple[Chart, ...]:
    """Return histogram, error by condition number and error by classes; each distribution is a named series."""
    measured = {name: spread for name, spread in spreads.items() if spread.signed}
    if not measured:
        return ()
    return tuple(chart for chart in (_histogram(measured), *_curves(measured)) if chart.rows)


def compared(old: ErrorDistribution, new: ErrorDistribution) -> tuple[Chart, ...]:
    """Return the charts of one cell in two runs: the old histogram as an outline, the old curves as own lines."""
    if not (old.signed and new.signed):
        return charts({"now": new, "before": old})
    curves = _curves({"now": new, "before": old})
    return tuple(chart for chart in (_outlined(new.signed, old.signed), *curves) if chart.rows)


def _curves(measured: Mapping[str, ErrorDistribution]) -> Iterator[Chart]:
    conditions = {name: spread.condition for name, spread in measured.items()}
    classes = {name: spread.classes for name, spread in measured.items()}
    yield _against("Error against condition", "condition number S ÷ |answer|", conditions, float, _power)
    yield _against("Error against classes", "number of classes", classes, _logarithm, _whole)


def spark(headrooms: Sequence[float]) -> Markup:
    """Return headrooms, 0 … 1, as bars from the smallest to the largest; empty for one or two."""
    ordered = sorted(headroom for headroom in headrooms if 0 <= headroom <= 1)
    if len(ordered) < FEWEST:
        return Markup()
    number = min(len(ordered), SPARKS)
    chosen = [ordered[-1 - (len(ordered) - 1) * place // max(number - 1, 1)] for place in range(number)][::-1]
    bars = "".join(f"M{3 * place + 1} 12V{12 - max(11 * headroom, 0.5):.3g}" for place, headroom in enumerate(chosen))
    label = f"error ÷ allowed error of {len(ordered)} cells: {ordered[0]:.2f} to {ordered[-1]:.2f}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 12" width="{}" height="12" role="img" aria-label="{}"><path d="{}"/></svg>'
    ).format(3 * number, 3 * number, label, bars)


def _histogram(spreads: Mapping[str, ErrorDistribution]) -> Chart:
    counts = {
        place: sum(spread.signed.get(place, 0) for spread in spreads.values()) for place in range(-BINS, BINS + 1)
    }
    highest, total = max(counts.values()), sum(counts.values())
    parts = [_bars({place: number / highest for place, number in counts.items()}), *_scale()]
    parts += [_text(LEFT - 4, TOP + 4, f"{highest:,}", "end"), _text(LEFT, TOP - 3, "problems", "start")]
    title = "Signed errors"
    desc = f"{total:,} problems by the signed error of their worst element; the dashed lines are the allowed error."
    rows = tuple((_minus(place / BINS), f"{number:,}") for place, number in counts.items() if number)
    return Chart(title, _svg(title, desc, parts), ("error ÷ allowed", "problems"), rows, lined=False)


def _outlined(new: Numbers, old: Numbers) -> Chart:
    """Draw two histograms as fractions of their problems, because two runs can draw different numbers of them."""
    now, before = (
        {place: numbers.get(place, 0) / sum(numbers.values()) for place in range(-BINS, BINS + 1)}
        for numbers in (new, old)
    )
    highest = max(*now.values(), *before.values())
    outline = "".join(
        f"V{BOTTOM - _pixels(fraction / highest):.1f}H{_across((place + 0.5) / BINS):.1f}"
        for place, fraction in before.items()
    )
    start = f"M{_across(-(BINS + 0.5) / BINS):.1f} {BOTTOM}"
    parts = [
        _bars({place: fraction / highest for place, fraction in now.items()}),
        f'<path class="before" d="{start}{outline}V{BOTTOM}"/>',
        *_scale(),
        _text(LEFT - 4, TOP + 4, f"{100 * highest:.0f} %", "end"),
        _text(LEFT, TOP - 3, "fraction of problems; outline: old run", "start"),
    ]
    title = "Signed errors, now and before"
    desc = (
        f"{sum(new.values()):,} problems now and, as an outline, {sum(old.values()):,} before by the signed error of "
        "their worst element; the dashed lines are the allowed error."
    )
    rows = tuple(
        (_minus(place / BINS), f"{new.get(place, 0):,}", f"{old.get(place, 0):,}")
        for place in now
        if now[place] or before[place]
    )
    return Chart(title, _svg(title, desc, parts), ("error ÷ allowed", "now", "before"), rows, lined=False)


def _across(ratio: float) -> float:
    """Return the x coordinate of a signed error ÷ allowed error in a histogram."""
    return (LEFT + RIGHT) / 2 + ratio * BINS * STEP


def _bars(heights: Mapping[int, float]) -> str:
    """Return the bars of a histogram; height 1 is the highest."""
    bars = "".join(
        f"M{_across((place - 0.45) / BINS):.1f} {BOTTOM}v{-_pixels(height):.1f}h{0.9 * STEP:.1f}V{BOTTOM}z"
        for place, height in heights.items()
        if height
    )
    return f'<path class="bar" d="{bars}"/>'


def _scale() -> Iterator[str]:
    """Yield the parts of every histogram: the limits, the horizontal axis and its name."""
    limits = "".join(f"M{_across(side):.1f} {TOP}V{BOTTOM}" for side in (-1, 1))
    yield f'<path class="limit" d="{limits}"/>'
    yield from (_text(_across(ratio), BOTTOM + 12, _minus(ratio)) for ratio in (-1, -0.5, 0, 0.5, 1))
    yield _text(LEFT - 4, BOTTOM, "0", "end")
    yield _text((LEFT + RIGHT) / 2, HEIGHT - 6, "signed error ÷ allowed error")


def _against(
    title: str, axis: str, series: Mapping[str, Numbers], scale: Callable[[int], float], label: Callable[[int], str]
) -> Chart:
    """Draw the largest error ÷ allowed error, one line per series, over ``scale`` of the place."""
    places = sorted({place for numbers in series.values() for place in numbers})
    if not places:
        return Chart(title, Markup(), (), ())
    low = scale(places[0])
    width = max(scale(places[-1]) - low, 1.0)

    def across(place: int) -> float:
        return LEFT + 8 + (RIGHT - LEFT - 16) * (scale(place) - low) / width

    def up(thousandths: int) -> float:
        return BOTTOM - _pixels(thousandths / THOUSANDTHS)

    parts = [
        f'<path class="limit" d="M{LEFT} {up(THOUSANDTHS):.1f}H{RIGHT}"/>',
        *(_text(LEFT - 4, up(level) + 4, _ratio(level), "end") for level in (0, 500, 1000)),
        *(_text(across(place), BOTTOM + 12, label(place)) for place in _spaced(places, across)),
        _text((LEFT + RIGHT) / 2, HEIGHT - 6, axis),
        _text(LEFT, TOP - 3, "largest error ÷ allowed", "start"),
    ]
    for number, numbers in enumerate(series.values()):
        points = [f"{across(place):.0f} {up(largest):.1f}" for place, largest in sorted(numbers.items())]
        if points:
            line, dots = "L".join(points), "".join(f"M{point}h0" for point in points)
            parts.append(f'<path class="s s{number % 4}" d="M{line}"/><path class="dots s{number % 4}" d="{dots}"/>')
    desc = f"The largest error ÷ allowed error by {axis}; the dashed line, 1, is the allowed error."
    rows = tuple((label(place), *(_ratio(numbers.get(place)) for numbers in series.values())) for place in places)
    return Chart(title, _svg(title, desc, parts), (axis, *series), rows)


def _minus(number: float) -> str:
    return f"{number:g}".replace("-", "−")


def _spaced(places: Sequence[int], across: Callable[[int], float]) -> Iterator[int]:
    """Yield the places whose labels have room, always the last one."""
    labelled = [places[-1]]
    for place in reversed(places[:-1]):
        if across(labelled[-1]) - across(place) >= 34:
            labelled.append(place)
    yield from reversed(labelled)


def _pixels(height: float) -> float:
    return height * (BOTTOM - TOP - 4)


def _ratio(thousandths: int | None) -> str:
    return "" if thousandths is None else f"{thousandths / THOUSANDTHS:g}"


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, desc: str, parts: Sequence[str]) -> Markup:
    axes = f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
        f"<desc>{escape(desc)}</desc>{axes}{''.join(parts)}</svg>"
    )


def _power(place: int) -> str:
    return "2" + str(place).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


def _logarithm(place: int) -> float:
    return math.log2(max(place, 1))


def _whole(place: int) -> str:
    return f"{place:,}"
