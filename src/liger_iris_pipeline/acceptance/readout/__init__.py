"""Rows of the readout library: ramps of simulated reads whose truth is known, and real ones.

Everything goes through the public face (`iris_readout.fit_ramp`, `RampFitter`, `combine_ramps`); what is simulated
and what is expected are made without any code of the library.
"""

from __future__ import annotations

from liger_iris_pipeline.acceptance.readout import (
    accuracy,
    fit,
    jumps,
    memory,
    real,
    reference,
    saturation,
    several,
)
from liger_iris_pipeline.acceptance.table import Group

__all__ = ["groups"]


def groups(*, quick: bool, seed: int = 0, estimator: str = "likelihood") -> list[Group]:
    """Give the groups of rows of the readout library.

    Parameters
    ----------
    quick : bool
        Whether to leave out most cells.
    seed : int
        Not used: cells have seeds of their own.
    estimator : str
        Estimator to hold against the limits of the likelihood fit.

    Returns
    -------
    list of Group
        In the order of the table.
    """
    return [
        fit.likelihood(quick=quick, estimator=estimator),
        fit.two_means(quick=quick),
        fit.least_squares(quick=quick),
        jumps.false_flags(quick=quick, estimator=estimator),
        jumps.completeness(quick=quick, estimator=estimator),
        jumps.removal(quick=quick, estimator=estimator),
        saturation.saturation(quick=quick, estimator=estimator),
        reference.reference(quick=quick, estimator=estimator),
        several.several(quick=quick, estimator=estimator),
        accuracy.accuracy(quick=quick),
        memory.memory(quick=quick, estimator=estimator),
        real.real(estimator=estimator),
    ]
