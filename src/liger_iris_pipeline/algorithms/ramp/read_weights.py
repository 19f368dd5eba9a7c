"""Weights of reads from a quality that is known of each, such as the Strehl ratio of the adaptive optics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError

__all__ = ["weights_of_quality"]


def weights_of_quality(
    quality: Sequence[float] | npt.NDArray[np.float64], threshold: float | None = None
) -> npt.NDArray[np.float64]:
    """Turn the quality of reads into weights of the charge collected before each.

    Parameters
    ----------
    quality : array_like (nread,)
        Quality of each read, at least 0.
    threshold : float, optional
        Part of the largest quality from which on a read counts fully; those below do not count.

    Returns
    -------
    ndarray (nread,) float64
        Weights, 0 to 1.

    Raises
    ------
    InputError
        A quality is negative or not finite, or none is above 0.

    Notes
    -----
    Without a threshold the weight is the quality over the largest one: where the noise is that of a background that
    does not change and the peak of a point source goes with the quality, no linear estimate of the peak has more
    signal over noise.

    Examples
    --------
    >>> weights_of_quality([0.4, 0.8, 0.6]).tolist()
    [0.5, 1.0, 0.75]
    >>> weights_of_quality([0.4, 0.8, 0.6], threshold=0.6).tolist()
    [0.0, 1.0, 1.0]
    """
    values = np.asarray(quality, float)
    if not (np.all(np.isfinite(values)) and np.all(values >= 0)):
        raise InputError(
            "quality: got a value that is negative or not finite, expected at least 0; mend it"
        )
    largest = float(np.max(values, initial=0.0))
    if not largest > 0:
        raise InputError("quality: got no value above 0, expected some; do not weight by it")
    weights = values / largest
    return weights if threshold is None else (weights >= threshold).astype(float)
