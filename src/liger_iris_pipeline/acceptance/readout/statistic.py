"""Statistics with their own errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from liger_iris_pipeline.acceptance.table import Figure

__all__ = ["fraction", "mean", "scatter", "variance_ratio"]


def scatter(values: Any) -> Figure:
    """Give the standard deviation of values, none left out.

    The error follows from the fourth moment, so that it is right for any distribution.
    """
    values = np.asarray(values, np.float64)
    squares = (values - values.mean()) ** 2
    sigma = np.sqrt(squares.mean())
    return Figure(float(sigma), float(squares.std() / (2 * sigma * np.sqrt(values.size))))


def mean(values: Any) -> Figure:
    """Give the mean of values, none left out."""
    values = np.asarray(values, np.float64)
    return Figure(float(values.mean()), float(values.std() / np.sqrt(values.size)))


def variance_ratio(values: Any, reference: Any) -> Figure:
    """Give the variance of values over that of other estimates made from the same reads.

    The two share nearly all their noise, so the ratio is known far better than either variance.
    """
    first = np.square(values - np.mean(values, dtype=np.float64), dtype=np.float64)
    second = np.square(reference - np.mean(reference, dtype=np.float64), dtype=np.float64)
    ratio = first.mean() / second.mean()
    error = np.std(first - ratio * second) / np.sqrt(first.size) / second.mean()
    return Figure(float(ratio), float(error))


def fraction(found: Any) -> Figure:
    """Give the fraction of those that are true."""
    found = np.asarray(found, bool)
    share = float(found.mean())
    return Figure(share, float(np.sqrt(share * (1 - share) / found.size)))
