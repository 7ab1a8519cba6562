"""Plots as SVG, from curves: bars, and lines on several scales. Plain enough to need no library.

Input: curves. Output: the text of one picture, the same for the same curves. Colours are those
that people of any sight can tell apart (Okabe and Ito); text takes the reader's colour scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Literal

from bench.report import Curve, short

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 36, 56, 50
COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7")
#: A linear axis begins at 0. One of nines has as much room for 90 to 99 as for 99 to 99.9.
Axis = Literal["linear", "logarithmic", "nines"]
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600;font-size:15px}"
    ".grid{stroke:#8884;stroke-width:1}.line{fill:none;stroke-width:2.2}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


def bars(title: str, unit: str, curves: Sequence[Curve]) -> str:
    """Return horizontal bars: the first value of each curve, the largest full width."""
    height, gap = 30, 14
    label = 210
    largest = max(curve.points[0][1] for curve in curves)
    parts = []
    for number, curve in enumerate(curves):
        value = curve.points[0][1]
        y = TOP + number * (height + gap)
        width = value / largest * (WIDTH - label - 110)
        colour = COLOURS[number % len(COLOURS)]
        middle = y + height / 2 + 5
        parts += [
            _text(label - 10, middle, curve.name, anchor="end"),
            f'<rect x="{label}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>',
            _text(label + width + 8, middle, f"{short(value)} {unit}"),
        ]
    return _picture(title, parts, TOP + len(curves) * (height + gap))


def lines(title: str, curves: Sequence[Curve], *, x: str, y: str, across: Axis, up: Axis) -> str:
    """Return lines; `x` and `y` name the axes, `across` and `up` say how they are divided."""
    xs = [point[0] for curve in curves for point in curve.points]
    ys = [point[1] for curve in curves for point in curve.points]
    horizontal = _Scale(across, min(xs), max(xs), LEFT, WIDTH - RIGHT)
    vertical = _Scale(up, min(ys), max(ys) * 1.1, HEIGHT - BOTTOM, TOP + 22)
    parts = []
    for tick in horizontal.ticks():
        at = horizontal(tick)
        parts += [
            f'<path class="grid" d="M{at:.1f} {TOP + 22}V{HEIGHT - BOTTOM}"/>',
            _text(at, HEIGHT - BOTTOM + 18, short(tick), anchor="middle"),
        ]
    for tick in vertical.ticks():
        at = vertical(tick)
        parts += [
            f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>',
            _text(LEFT - 8, at + 4, short(tick), anchor="end"),
        ]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, anchor="middle"))
    parts.append(_text(LEFT - 50, TOP + 8, y))
    legend = float(LEFT)
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{horizontal(a):.1f},{vertical(b):.1f}" for a, b in curve.points)
        parts += [
            f'<polyline class="line" stroke="{colour}" points="{path}"/>',
            f'<rect x="{legend}" y="{TOP - 2}" width="14" height="10" fill="{colour}"/>',
            _text(legend + 20, TOP + 8, curve.name),
        ]
        legend += 36 + 6.6 * len(curve.name)
    return _picture(title, parts, HEIGHT)


class _Scale:
    """From values to places."""

    def __init__(self, axis: Axis, low: float, high: float, start: float, end: float) -> None:
        self._axis = axis
        self._low, self._high = (0.0 if axis == "linear" else low), high
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        low, high = self._read(self._low), self._read(self._high)
        share = (self._read(value) - low) / ((high - low) or 1)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return round values within the scale."""
        low, high = self._low, self._high
        if self._axis == "nines":
            values = [10.0, 50.0, 90.0, 99.0, 99.9]
        elif self._axis == "logarithmic":
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            steps = (1,) if len(powers) > 4 else (1, 2, 5)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            step = 10.0 ** math.floor(math.log10(high - low))
            if (high - low) / step < 4:
                step /= 2
            values = [number * step for number in range(int(high // step) + 1)]
        return [value for value in values if low <= value <= high]

    def _read(self, value: float) -> float:
        if self._axis == "nines":
            return -math.log10(1 - value / 100)
        return math.log10(value) if self._axis == "logarithmic" else value


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(title: str, parts: Sequence[str], height: float) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<text class="title" x="20" y="26">{escape(title)}</text>\n{body}\n</svg>\n'
    )
