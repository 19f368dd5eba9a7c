"""Small plots as SVG elements: lines on linear or logarithmic axes, bands for limits, a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Series", "plot"]

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 118, 30, 46
INK, FAINT = "#333", "#ddd"
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#7f7f7f",
    "#8c564b",
    "#9467bd",
)
"""Colours that the colour-blind can tell apart (Wong 2011, Nature Methods 8, 441), then some more."""


@dataclass(frozen=True)
class Series:
    """Points of one curve.

    Attributes
    ----------
    label : str
        Name in the legend.
    x, y : sequence of float
        Places; points that are not finite are left out.
    error : sequence of float
        Half length of error bars, empty for none.
    line : bool
        Whether the points are joined.
    marks : bool
        Whether the points are marked.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    line: bool = True
    marks: bool = True


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    label : str
        What it shows, with its unit.
    log : bool
        Whether it is logarithmic.
    span : tuple of float, optional
        Ends; those of the data by default.
    """

    label: str
    log: bool = False
    span: tuple[float, float] | None = None

    def of(self, values: Sequence[float]) -> _Scale:
        """Lay the axis over values."""
        good = [v for v in values if math.isfinite(v) and (v > 0 or not self.log)] or [1.0]
        low, high = self.span or (min(good), max(good))
        if self.log:
            low, high = math.log10(low), math.log10(high)
        margin = 0.0 if self.span else 0.05 * (high - low or abs(high) or 1.0)
        return _Scale(low - margin, high + margin, self.log)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """Give the place of a value, 0 to 1 along the axis; NaN where it has none."""
        if self.log:
            value = math.log10(value) if value > 0 else math.nan
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Give places and labels of about five ticks."""
        if self.log and self.high - self.low >= 1.5:
            step = max(1, round((self.high - self.low) / 6))
            decades = range(math.ceil(self.low), math.floor(self.high) + 1, step)
            return [((d - self.low) / (self.high - self.low), _number(10.0**d)) for d in decades]
        ends = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        rough = (ends[1] - ends[0]) / 5
        size = 10 ** math.floor(math.log10(rough))
        step = min((m * size for m in (1, 2, 5, 10)), key=lambda s: abs(s - rough))
        first = math.ceil(ends[0] / step)
        values = [k * step for k in range(first, math.floor(ends[1] / step) + 1)]
        return [(self.at(v), _number(v)) for v in values]


def _number(value: float) -> str:
    """Write a tick's value without rounding noise."""
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def plot(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    bands: Sequence[tuple[float, float]] = (),
) -> str:
    """Draw curves.

    Parameters
    ----------
    title : str
        Heading.
    series : sequence of Series
        The curves.
    x, y : Axis
        The axes.
    bands : sequence of (low, high)
        Ranges of y that are allowed, shaded.

    Returns
    -------
    str
        An ``svg`` element.
    """
    across = x.of([v for s in series for v in s.x])
    up = y.of([v for s in series for v in s.y] + [v for band in bands for v in band])
    frame = _Frame(across, up)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<text x="{LEFT}" y="18" font-size="13" font-weight="600">{escape(title)}</text>',
        *(frame.band(*band) for band in bands),
        *frame.axes(x.label, y.label),
    ]
    for number, one in enumerate(series):
        parts += frame.curve(one, COLOURS[number % len(COLOURS)], number)
    return "\n".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Frame:
    """The rectangle that curves are drawn in."""

    across: _Scale
    up: _Scale

    def x(self, value: float) -> float:
        return LEFT + self.across.at(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        place = min(max(self.up.at(value), -0.02), 1.02)  # beyond the axis: at its very end
        return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)

    def band(self, low: float, high: float) -> str:
        top, bottom = self.y(high), self.y(low)
        return (
            f'<rect x="{LEFT}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{bottom - top:.1f}" fill="#009e73" fill-opacity="0.12"/>'
        )

    def axes(self, x_label: str, y_label: str) -> list[str]:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for place, label in self.across.ticks():
            at = LEFT + place * (right - LEFT)
            parts += [
                f'<path d="M{at:.1f} {TOP}V{bottom}" stroke="{FAINT}"/>',
                f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>',
            ]
        for place, label in self.up.ticks():
            at = bottom - place * (bottom - TOP)
            parts += [
                f'<path d="M{LEFT} {at:.1f}H{right}" stroke="{FAINT}"/>',
                f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{label}</text>',
            ]
        middle = (TOP + bottom) / 2
        return [
            *parts,
            f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" '
            f'fill="none" stroke="{INK}"/>',
            f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
            f"{escape(x_label)}</text>",
            f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>",
        ]

    def curve(self, one: Series, colour: str, number: int) -> list[str]:
        points = [
            (self.x(a), self.y(b), e)
            for a, b, e in zip(one.x, one.y, one.error or [0.0] * len(one.x), strict=True)
            if math.isfinite(self.across.at(a)) and math.isfinite(self.up.at(b))
        ]
        legend = WIDTH - RIGHT + 10, TOP + 8 + 16 * number
        parts = [f'<text x="{legend[0] + 24}" y="{legend[1] + 4}">{escape(one.label)}</text>']
        joined = [(legend[0], legend[1]), (legend[0] + 18, legend[1])]
        if one.line:
            for way in ([(a, b) for a, b, _ in points], joined):
                path = " ".join(f"{a:.1f},{b:.1f}" for a, b in way)
                parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        if one.marks:
            dots = [*((a, b) for a, b, _ in points), (legend[0] + 9, legend[1])]
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in dots
            ]
        length = (HEIGHT - TOP - BOTTOM) / (self.up.high - self.up.low)
        if one.error and not self.up.log:
            parts += [
                f'<path d="M{a:.1f} {b - e * length:.1f}v{2 * e * length:.1f}" stroke="{colour}"/>'
                for a, b, e in points
            ]
        return parts
