"""What a row is, and the one place that judges."""

import math

import numpy as np
import pytest

from liger_iris_pipeline.acceptance.table import (
    Figure,
    Limit,
    Measured,
    Row,
    at_least,
    at_most,
    row,
    stream,
    within,
    worst,
)


@pytest.mark.parametrize(
    ("limit", "value", "holds"),
    [
        (within(1.0, 0.01), 1.01, True),
        (within(1.0, 0.01), 1.0101, False),
        (within(1.0, 0.01), 0.9899, False),
        (at_most(0.2), 0.2, True),
        (at_most(0.2), 0.2001, False),
        (at_least(225), 224, False),
        (within(0, 0), 0.0, True),
        (within(0, 0), 1.0, False),
    ],
)
def test_the_ends_of_a_limit_are_within(limit, value, holds):
    assert limit.holds(value) is holds
    assert Row("figure", value, "", limit).passed is holds


@pytest.mark.parametrize("limit", [within(1.0, 0.5), at_most(1.0), at_least(0.0)])
def test_nan_never_passes(limit):
    assert not limit.holds(math.nan)
    assert limit.strain(math.nan) == math.inf


def test_strain_is_one_at_the_ends():
    assert within(1.0, 0.01).strain(1.01) == pytest.approx(1.0)
    assert within(1.0, 0.01).strain(0.995) == pytest.approx(0.5)
    assert at_most(1.01).strain(1.01) == 1.0
    assert within(0, 0).strain(3.0) > within(0, 0).strain(0.0)


def test_the_worst_of_cells_stands_for_all():
    cells = [Measured(f"cell {v}", {"pull": Figure(v, 0.001)}, 7) for v in (1.002, 0.97, 1.02)]
    found = worst("pull", cells, "pull", within(1.0, 0.01))
    assert (found.figure, found.error, found.count, found.passed) == (0.97, 0.001, 7, False)
    assert found.detail == "worst of 3: cell 0.97; 2 fall short"


def test_cells_without_the_figure_do_not_count():
    cells = [Measured("a", {"pull": Figure(1.0)}), Measured("b", {"bias": Figure(9.0)})]
    assert worst("pull", cells, "pull", within(1.0, 0.01)).detail == "a"
    assert worst("chi2", cells, "chi2", within(1.0, 0.01)) is None


def test_a_cell_that_went_wrong_makes_the_row_fall_short():
    cells = [Measured("a", {"pull": Figure(1.0)}), Measured("b", error="ValueError: no such thing")]
    found = worst("pull", cells, "pull", within(1.0, 0.01))
    assert not found.passed
    assert found.detail == "b: ValueError: no such thing"
    assert not row("pull", cells[1], "pull", at_most(1.0)).passed


def test_streams_depend_on_seed_and_name_only():
    first = stream(1, "fit: a").random(4)
    np.testing.assert_array_equal(first, stream(1, "fit: a").random(4))
    assert not np.array_equal(first, stream(1, "fit: b").random(4))
    assert not np.array_equal(first, stream(2, "fit: a").random(4))


def test_limits_say_what_they_are():
    assert within(1.0, 0.01).text == "1 ± 0.01"
    assert at_most(1.01).text == "≤ 1.01"
    assert within(0.0, 0.05, "|x| ≤ 0.05") == Limit(-0.05, 0.05, "|x| ≤ 0.05")
