"""Plots and the page: well-formed, self-contained, and true to the figures."""

import math
import re
from xml.etree import ElementTree

import pytest

from liger_iris_pipeline.acceptance.page import page
from liger_iris_pipeline.acceptance.plots import Axis, Series, plot
from liger_iris_pipeline.acceptance.run import Report
from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, within


def circles(svg):
    return [
        (float(c.get("cx")), float(c.get("cy"))) for c in ElementTree.fromstring(svg).iter("circle")
    ]


def test_points_lie_where_their_values_are():
    curve = Series("a & b", [1, 10, 100], [0.0, 1.0, 2.0])
    points = circles(plot("t < u", [curve], Axis("x", log=True), Axis("y")))[:3]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11)
    assert y0 > y2


def test_values_without_a_place_are_left_out():
    curve = Series("a", [0.0, 1.0, 10.0, 100.0], [1.0, math.nan, 1.0, 2.0], [0.1] * 4)
    assert (
        len(circles(plot("t", [curve], Axis("x", log=True), Axis("y")))) == 2 + 1
    )  # and the legend


def test_an_empty_plot_is_a_plot():
    empty = plot("t", [], Axis("x"), Axis("y", log=True), [(0.5, 2.0)])
    assert ElementTree.fromstring(empty).tag.endswith("svg")
    assert not circles(empty)
    single = plot("t", [Series("one", [1.0], [1.0])], Axis("x"), Axis("y"))
    assert len(circles(single)) == 1 + 1  # and the legend


def _report(figure):
    cells = (Measured("cell <1>", {"f": Figure(figure, 0.1)}, 5), Measured("cell 2", error="why"))
    group = Group("group", "about & so on", (), None, None, lambda m: ["<svg></svg>"] * len(m))
    rows = (Row("figure <b>", figure, "e", within(1, 0.1), 0.1, 5, detail="d", group="group"),)
    return Report(rows, ((group, cells),), 7, "quick", 1.0)


def test_the_page_needs_nothing_else():
    text = page(_report(1.0))
    assert not re.search(r"<script|<link|src=|href=|url\(|https?://", text)
    assert "every row holds" in text
    assert "figure &lt;b&gt;" in text
    assert "about &amp; so on" in text
    assert text.count("<svg>") == 1  # the cell that went wrong is not drawn


def test_the_page_shows_what_falls_short():
    text = page(_report(2.0))
    assert "1 of 1 rows fall short" in text
    assert "cell &lt;1&gt;" in text
    assert "cell 2: why" in text
    assert "none" in page(_report(math.nan))
