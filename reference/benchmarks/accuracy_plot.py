"""Draws reference/accuracy.svg: error against condition number of NumPy, SciPy and the reference.

Run ``python reference/benchmarks/accuracy_plot.py`` (needs SciPy and mpmath). The terms are p·(log p − log q) for P
given as probabilities and Q as log-probabilities, at decreasing distances from P; mpmath computes the exact values.
"""

import sys
from pathlib import Path

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_audit import oracle
from kl_reference import Operand, Problem, Space, answer

Array = NDArray[np.float64]

POINTS = 300
LEFT, TOP, WIDTH, HEIGHT = 78, 50, 520, 340
DECADES_X, DECADES_Y = (0, 16), (-28, 0)
METHODS = {
    "p*(log(p) - log_q) in float64": ("#d1495b", "M-3,-3L3,3M-3,3L3,-3"),
    "scipy.special.rel_entr(p, exp(log_q))": ("#edae49", "M0,-4L3.6,2.4L-3.6,2.4Z"),
    "kl_reference.answer: value + tail": ("#00798c", "M-3,0A3,3 0 1 0 3,0A3,3 0 1 0 -3,0"),
    "kl_reference.answer: radius": ("#7a8b99", "M-3,0L3,0"),
}


def measured() -> tuple[Array, list[Array]]:
    """Return the condition number S/|t| of each term, and the relative error of each method."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.6, POINTS)
    log_q = np.log(p) + 10.0 ** rng.uniform(-15.5, 0.5, POINTS) * rng.choice([-1.0, 1.0], POINTS)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG))
    result, truth = answer(problem), oracle.answer(problem)
    with mpmath.workdps(oracle.DIGITS):
        size = np.array([float(abs(t)) for t in truth])
        centre = oracle.exact(result.value) + oracle.exact(result.tail)
        answers = [oracle.exact(p * (np.log(p) - log_q)), oracle.exact(rel_entr(p, np.exp(log_q))), centre]
        errors = [np.array([float(abs(d)) for d in each - truth]) / size for each in answers]
    return result.scale.condition / size, [*errors, result.radius / size]


def across(condition: Array) -> Array:
    """Return the horizontal coordinate of condition numbers."""
    return LEFT + WIDTH * (np.log10(condition) - DECADES_X[0]) / (DECADES_X[1] - DECADES_X[0])


def down(error: Array) -> Array:
    """Return the vertical coordinate of relative errors; errors below the range are drawn at the bottom."""
    decade = np.clip(np.log10(np.maximum(error, 1e-300)), *DECADES_Y)
    return TOP + HEIGHT * (DECADES_Y[1] - decade) / (DECADES_Y[1] - DECADES_Y[0])


def grid() -> list[str]:
    """Return the axes, with a line every four decades."""
    lines = [f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="#fff" stroke="#888"/>']
    for decade in range(DECADES_X[0], DECADES_X[1] + 1, 4):
        x = across(np.array(10.0**decade))
        lines.append(f'<path d="M{x:.1f},{TOP}V{TOP + HEIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{_power(decade)}</text>')
    for decade in range(DECADES_Y[0], DECADES_Y[1] + 1, 4):
        y = down(np.array(10.0**decade))
        lines.append(f'<path d="M{LEFT},{y:.1f}H{LEFT + WIDTH}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_power(decade)}</text>')
    return lines


def drawing() -> str:
    """Return the plot as SVG."""
    condition, errors = measured()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 22} {TOP + HEIGHT + 150}" '
        'font-family="sans-serif" font-size="13" role="img">',
        "<title>Relative error of p·(log p − log q) against its condition number</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="28" font-size="15">Relative error of one term p·(log p − log q) in float64</text>',
        *grid(),
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 40}" text-anchor="middle">'
        "condition number: p·(|log p| + |log q|) ÷ |term|</text>",
    ]
    x = across(condition)
    for row, ((name, (colour, mark)), error) in enumerate(zip(METHODS.items(), errors, strict=True)):
        points = zip(x, down(error), strict=True)
        marks = "".join(f'<path d="{mark}" transform="translate({a:.1f},{b:.1f})"/>' for a, b in points)
        style = f'fill="none" stroke="{colour}" stroke-width="1.3"'
        parts.append(f'<g {style} stroke-opacity="0.75">{marks}</g>')
        y = TOP + HEIGHT + 66 + 20 * row
        parts.append(f'<path d="{mark}" transform="translate({LEFT + 6},{y - 4})" {style}/>')
        parts.append(f'<text x="{LEFT + 20}" y="{y}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _power(decade: int) -> str:
    exponent = str(decade).replace("-", "−")
    return f'10<tspan dy="-5" font-size="10">{exponent}</tspan>'


if __name__ == "__main__":
    Path(__file__).resolve().parents[1].joinpath("accuracy.svg").write_text(drawing(), encoding="utf-8")
