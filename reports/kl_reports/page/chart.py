"""Charts as inline SVG: small, labelled, printable, and each with its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from kl_reports.runfile.distribution import BINS, THOUSANDTHS, ErrorDistribution

WIDTH, HEIGHT = 300, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 292, 14, 118
STEP = (RIGHT - LEFT) / (2 * BINS + 3)  # a bar of a histogram
FEWEST = 3  # figures that make a picture
SPARKS = 24  # bars of a sparkline: where there are more figures, as many of them, evenly chosen

Numbers = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, and the table of what is drawn; ``lined`` where each column of the table is a line of its own."""

    title: str
    drawing: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lined: bool = True

    @property
    def size(self) -> int:
        """About how many characters it is on a page."""
        return len(self.drawing) + 200 + sum(20 + sum(10 + len(each) for each in row) for row in self.rows)


def charts(spreads: Mapping[str, ErrorDistribution]) -> tuple[Chart, ...]:
    """Return the charts of some spreads, each a series by its name: errors signed, by condition, by classes."""
    measured = {name: spread for name, spread in spreads.items() if spread.signed}
    if not measured:
        return ()
    return tuple(chart for chart in (_histogram(measured), *_curves(measured)) if chart.rows)


def compared(old: ErrorDistribution, new: ErrorDistribution) -> tuple[Chart, ...]:
    """Return the charts of one cell in two runs: the old histogram as an outline, the old curves beside the new."""
    if not (old.signed and new.signed):
        return charts({"now": new, "before": old})
    curves = _curves({"now": new, "before": old})
    return tuple(chart for chart in (_outlined(new.signed, old.signed), *curves) if chart.rows)


def _curves(measured: Mapping[str, ErrorDistribution]) -> Iterator[Chart]:
    conditions = {name: spread.condition for name, spread in measured.items()}
    classes = {name: spread.classes for name, spread in measured.items()}
    yield _against("Error against condition", "condition number S ÷ |answer|", conditions, float, _power)
    yield _against("Error against classes", "number of classes", classes, _logarithm, _whole)


def spark(shares: Sequence[float]) -> Markup:
    """Return shares of what is allowed, 0 … 1, as bars from the smallest to the largest; nothing for one or two."""
    ordered = sorted(share for share in shares if 0 <= share <= 1)
    if len(ordered) < FEWEST:
        return Markup()
    number = min(len(ordered), SPARKS)
    chosen = [ordered[-1 - (len(ordered) - 1) * place // max(number - 1, 1)] for place in range(number)][::-1]
    bars = "".join(
        f"M{3 * place + 1} 12V{12 - max(11 * share, 0.5):.3g}" for place, share in enumerate(chosen)
    )
    label = f"used of what is allowed, {len(ordered)} cells: {ordered[0]:.2f} to {ordered[-1]:.2f}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 12" width="{}" height="12" role="img" aria-label="{}"><path d="{}"/></svg>'
    ).format(3 * number, 3 * number, label, bars)


def _histogram(spreads: Mapping[str, ErrorDistribution]) -> Chart:
    counts = {
        place: sum(spread.signed.get(place, 0) for spread in spreads.values())
        for place in range(-BINS, BINS + 1)
    }
    highest, total = max(counts.values()), sum(counts.values())
    parts = [_bars({place: number / highest for place, number in counts.items()}), *_scale()]
    parts += [_text(LEFT - 4, TOP + 4, f"{highest:,}", "end"), _text(LEFT, TOP - 3, "problems", "start")]
    title = "Signed errors"
    desc = f"{total:,} problems by the signed error of their worst element; the dashed lines are what is allowed."
    rows = tuple((_minus(place / BINS), f"{number:,}") for place, number in counts.items() if number)
    return Chart(title, _svg(title, desc, parts), ("error ÷ allowed", "problems"), rows, lined=False)


def _outlined(new: Numbers, old: Numbers) -> Chart:
    """Draw two histograms as shares of their problems, since two runs may draw different numbers of them."""
    now, before = (
        {place: numbers.get(place, 0) / sum(numbers.values()) for place in range(-BINS, BINS + 1)}
        for numbers in (new, old)
    )
    highest = max(*now.values(), *before.values())
    outline = "".join(
        f"V{BOTTOM - _tall(share / highest):.1f}H{_across((place + 0.5) / BINS):.1f}"
        for place, share in before.items()
    )
    start = f"M{_across(-(BINS + 0.5) / BINS):.1f} {BOTTOM}"
    parts = [
        _bars({place: share / highest for place, share in now.items()}),
        f'<path class="before" d="{start}{outline}V{BOTTOM}"/>',
        *_scale(),
        _text(LEFT - 4, TOP + 4, f"{100 * highest:.0f} %", "end"),
        _text(LEFT, TOP - 3, "share of problems; outline: the old run", "start"),
    ]
    title = "Signed errors, now and before"
    desc = (
        f"{sum(new.values()):,} problems now and, as an outline, {sum(old.values()):,} before by the signed error of "
        "their worst element; the dashed lines are what is allowed."
    )
    rows = tuple(
        (_minus(place / BINS), f"{new.get(place, 0):,}", f"{old.get(place, 0):,}")
        for place in now
        if now[place] or before[place]
    )
    return Chart(title, _svg(title, desc, parts), ("error ÷ allowed", "now", "before"), rows, lined=False)


def _across(share: float) -> float:
    """Return where a signed share of what is allowed lies in a histogram."""
    return (LEFT + RIGHT) / 2 + share * BINS * STEP


def _bars(heights: Mapping[int, float]) -> str:
    """Return the bars of a histogram, 1 as high as there is room."""
    bars = "".join(
        f"M{_across((place - 0.45) / BINS):.1f} {BOTTOM}v{-_tall(height):.1f}h{0.9 * STEP:.1f}V{BOTTOM}z"
        for place, height in heights.items()
        if height
    )
    return f'<path class="bar" d="{bars}"/>'


def _scale() -> Iterator[str]:
    """Yield what every histogram has: the limits, the axis below and its name."""
    limits = "".join(f"M{_across(side):.1f} {TOP}V{BOTTOM}" for side in (-1, 1))
    yield f'<path class="limit" d="{limits}"/>'
    yield from (_text(_across(share), BOTTOM + 12, _minus(share)) for share in (-1, -0.5, 0, 0.5, 1))
    yield _text(LEFT - 4, BOTTOM, "0", "end")
    yield _text((LEFT + RIGHT) / 2, HEIGHT - 6, "signed error ÷ allowed error")


def _against(
    title: str,
    axis: str,
    series: Mapping[str, Numbers],
    far: Callable[[int], float],
    tick: Callable[[int], str],
) -> Chart:
    """Draw the largest error ÷ allowed, a line for each series, over places that lie ``far`` apart."""
    places = sorted({place for numbers in series.values() for place in numbers})
    if not places:
        return Chart(title, Markup(), (), ())
    low = far(places[0])
    width = max(far(places[-1]) - low, 1.0)

    def across(place: int) -> float:
        return LEFT + 8 + (RIGHT - LEFT - 16) * (far(place) - low) / width

    def up(share: int) -> float:
        return BOTTOM - _tall(share / THOUSANDTHS)

    parts = [
        f'<path class="limit" d="M{LEFT} {up(THOUSANDTHS):.1f}H{RIGHT}"/>',
        *(_text(LEFT - 4, up(share) + 4, f"{share / THOUSANDTHS:g}", "end") for share in (0, 500, 1000)),
        *(_text(across(place), BOTTOM + 12, tick(place)) for place in _spaced(places, across)),
        _text((LEFT + RIGHT) / 2, HEIGHT - 6, axis),
        _text(LEFT, TOP - 3, "largest error ÷ allowed", "start"),
    ]
    for number, numbers in enumerate(series.values()):
        points = [f"{across(place):.0f} {up(share):.1f}" for place, share in sorted(numbers.items())]
        if points:
            line, dots = "L".join(points), "".join(f"M{point}h0" for point in points)
            parts.append(
                f'<path class="s s{number % 4}" d="M{line}"/><path class="dots s{number % 4}" d="{dots}"/>'
            )
    desc = f"The largest error ÷ allowed error by {axis}; the dashed line, 1, is what is allowed."
    rows = tuple(
        (tick(place), *(_share(numbers.get(place)) for numbers in series.values())) for place in places
    )
    return Chart(title, _svg(title, desc, parts), (axis, *series), rows)


def _minus(number: float) -> str:
    return f"{number:g}".replace("-", "−")


def _spaced(places: Sequence[int], across: Callable[[int], float]) -> Iterator[int]:
    """Give the places whose labels have room, the last always."""
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if across(kept[-1]) - across(place) >= 34:
            kept.append(place)
    yield from reversed(kept)


def _tall(share: float) -> float:
    return share * (BOTTOM - TOP - 4)


def _share(thousandths: int | None) -> str:
    return "" if thousandths is None else f"{thousandths / THOUSANDTHS:g}"


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


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
