"""Ramps of raw reads to rate images."""

from __future__ import annotations

import ctypes
import dataclasses
import math
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iris_readout import library as lib
from iris_readout.arrays import (
    as_count,
    as_dq,
    as_map,
    as_number,
    as_read,
    as_shape,
    check_shape,
)
from iris_readout.errors import InvalidTypeError, InvalidValueError
from iris_readout.library import check, library

__all__ = ["EVENT_DTYPE", "PLANES", "RampFitter", "RampResult", "combine_ramps", "fit_ramp"]

#: Planes of a result and their dtypes.
PLANES: dict[str, type[np.generic]] = {
    "rate": np.float32,
    "var_read": np.float32,
    "var_photon": np.float32,
    "photon_factor": np.float32,
    "chi2": np.float32,
    "dq": np.uint32,
    "nused": np.uint16,
}

#: One row per decision; ``ramp`` and ``read`` count from 1.
EVENT_DTYPE = np.dtype(
    [
        ("ramp", np.int32),
        ("read", np.int32),
        ("y", np.int32),
        ("x", np.int32),
        ("kind", "U10"),
        ("amplitude", np.float32),
        ("sigma", np.float32),
    ]
)

_RAW_EVENT_DTYPE = np.dtype(
    [
        ("read", np.uint32),
        ("y", np.uint32),
        ("x", np.uint32),
        ("kind", np.uint32),
        ("amplitude", np.float32),
        ("sigma", np.float32),
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class RampResult:
    """Rate image of one ramp, or of several combined.

    Planes that were not asked for are None.

    Attributes
    ----------
    rate : ndarray (ny, nx) float32
        Rate [e-/s]; NaN where there is none, 0 on reference pixels.
    var_read : ndarray (ny, nx) float32
        Variance from read noise, reference correction included [(e-/s)^2].
    var_photon : ndarray (ny, nx) float32
        Variance from photon counting [(e-/s)^2].
    photon_factor : ndarray (ny, nx) float32
        Photon variance per rate [1/s].
    dq : ndarray (ny, nx) uint32
        Data-quality bits.
    chi2 : ndarray (ny, nx) float32
        Chi-square per degree of freedom of the differences of reads; NaN at none, or where only sums were kept.
    nused : ndarray (ny, nx) uint16
        Number of reads used.
    events : ndarray (nevent,)
        Jumps, saturations and snowballs: fields ramp, read (first read that has it, from 1), y, x, kind,
        amplitude [e-], sigma; sorted by ramp, y, x, read.
    """

    rate: npt.NDArray[np.float32]
    var_read: npt.NDArray[np.float32]
    var_photon: npt.NDArray[np.float32]
    photon_factor: npt.NDArray[np.float32]
    dq: npt.NDArray[np.uint32]
    chi2: npt.NDArray[np.float32]
    nused: npt.NDArray[np.uint16]
    events: npt.NDArray[np.void]


class RampFitter:
    """Fit ramps whose reads come one by one.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the reads.
    mode : {"utr", "cds", "mcds"}
        Slope of all usable reads; last minus first usable read; mean of the last minus mean of the first `nfowler`
        usable reads (of half of them where there are fewer).
    estimator : {"likelihood", "ols"}
        Of ``utr``: generalised least squares of the differences of reads; or ordinary least squares of the reads with
        one slope and an offset after each jump, a quick look.
    gain : float or ndarray (ny, nx) float32
        Gain [e-/DN], above 0.
    read_noise : float or ndarray (ny, nx) float32
        Noise of a single read [e- rms], above 0.
    bad_pixels : ndarray (ny, nx) uint32 or bool, optional
        Bits OR-ed into the result; pixels with DO_NOT_USE (or True) are not fitted.
    saturation : float or ndarray (ny, nx) float32, optional
        Raw level [DN] from which on a read is saturated; 65535 always is.
    linearity : tuple, optional
        ``(coeffs, limit, pedestal)``: coefficients (ncoef, ny, nx), ascending powers of DN; limit and pedestal
        (ny, nx) [DN] or None.
    ref_pixels : int
        Width of the border of reference pixels; 0 for none.
    noutputs : int
        Number of readout stripes; with a border it must divide nx.
    jump_sigma : float or None
        Two-sided threshold of the jump test of ``utr``; None for no test.
    saturation_grow : int
        Pixels around a saturated one whose reads are not used from that read on.
    nfowler : int
        Reads in each mean of ``mcds``.
    nthreads : int
        Threads; 0 for one per processor. Results do not depend on it.
    snowballs : bool
        Look for snowballs too where there is a jump test, and mask their halos.
    side_rows : int
        Rows over which the side reference columns are smoothed, odd; 0 for no correction by them.
    ref_weights : tuple of ndarray (noutputs, nlag) float32, optional
        ``(left, right)``: kernels of the frequency-weighted reference correction in place of the smoothing.
    isa : {"auto", "baseline", "avx2", "avx512"}
        Instruction set; ``auto`` is that of the variable IRIS_ISA, else the best. Results do not depend on it.
    memory_limit : int
        Bytes of reads that are kept before they are folded into resultants; 0 for 1.5e9.
    keep_reads : bool
        Keep the reads also where sums would do (``ols`` without a jump test, ``cds``): needed for weights and chi2.
    max_events : int
        Room for events; 0 for four per pixel.
    map_origin : tuple of int, optional
        (y, x) of the reads in maps of a larger detector; None where maps are as large as the reads.
    guide_windows : sequence of tuple of int
        Rectangles (y, x, ny, nx) that get SUBARRAY and DO_NOT_USE.
    guide_margin : int
        Pixels around the guide windows that get them too.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        An option is out of range or of the wrong type, an array has the wrong shape or dtype, or a map has not
        one good value.

    Notes
    -----
    The variances are exact for independent Gaussian read noise and Poisson charge at the fitted rate, with the
    correlation of the reads of a ramp. Maps may not be changed while the fitter is in use: they are not copied
    where they are native and contiguous already. A fitter may be used by one thread at a time; others wait.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        mode: str = "utr",
        estimator: str = "likelihood",
        *,
        gain: Any,
        read_noise: Any,
        bad_pixels: Any = None,
        saturation: Any = None,
        linearity: tuple[Any, Any, Any] | None = None,
        ref_pixels: int = 4,
        noutputs: int = 64,
        jump_sigma: float | None = 4.5,
        saturation_grow: int = 0,
        nfowler: int = 1,
        nthreads: int = 0,
        snowballs: bool = True,
        side_rows: int = 11,
        ref_weights: tuple[Any, Any] | None = None,
        isa: str = "auto",
        memory_limit: int = 0,
        keep_reads: bool = False,
        max_events: int = 0,
        map_origin: tuple[int, int] | None = None,
        guide_windows: Sequence[tuple[int, int, int, int]] = (),
        guide_margin: int = 0,
    ) -> None:
        self.shape = as_shape(shape)
        self._keep: list[npt.NDArray[Any]] = []
        self._borrowed: list[npt.NDArray[np.uint16]] = []
        self._finished = False
        self._lock = threading.Lock()
        options = lib.Options()
        library().iris_options_init(ctypes.byref(options), *self.shape)
        options.mode = _as_choice("mode", mode, lib.MODES)
        options.estimator = _as_choice("estimator", estimator, lib.ESTIMATORS)
        options.isa = _as_choice("isa", isa, lib.INSTRUCTION_SETS)
        options.nfowler = as_count("nfowler", nfowler, 1)
        options.jump_sigma = _as_threshold(jump_sigma)
        options.saturation_grow = as_count("saturation_grow", saturation_grow, 0)
        options.ref_pixels = as_count("ref_pixels", ref_pixels, 0)
        options.noutputs = as_count("noutputs", noutputs, 1)
        options.side_rows = as_count("side_rows", side_rows, 0)
        options.nthreads = as_count("nthreads", nthreads, 0)
        options.memory_limit = as_count("memory_limit", memory_limit, 0, 2**62)
        options.max_events = as_count("max_events", max_events, 0, 2**48)
        options.snowballs = bool(snowballs)
        options.keep_reads = bool(keep_reads)
        if ref_weights is not None:
            options.ref_weights = self._ref_weights(ref_weights, options.noutputs)
        options.guide_margin = as_count("guide_margin", guide_margin, 0)
        self._set_guide(options, guide_windows)
        self._map_shape = self.shape
        if map_origin is not None:
            self._set_origin(
                options, map_origin, (gain, read_noise, saturation, bad_pixels, linearity)
            )
        options.gain = self._map("gain", gain)
        options.read_noise = self._map("read_noise", read_noise)
        if saturation is not None:
            options.saturation = self._map("saturation", saturation)
        if bad_pixels is not None:
            options.bad_pixels = self._view(as_dq("bad_pixels", bad_pixels, self._map_shape))
        if linearity is not None:
            options.linearity = self._linearity(linearity)
        self._ramp = self._create(options)

    def _create(self, options: lib.Options) -> ctypes.c_void_p:
        ramp = ctypes.c_void_p()
        message = ctypes.create_string_buffer(256)
        status = library().iris_ramp_create(
            ctypes.byref(ramp), ctypes.byref(options), message, len(message)
        )
        check(status, message.value)
        weakref.finalize(self, library().iris_ramp_destroy, ramp)
        return ramp

    def _view(self, array: npt.NDArray[Any]) -> int:
        """Return the address of an array and keep it alive."""
        self._keep.append(array)
        return array.ctypes.data

    def _map(self, name: str, value: Any) -> lib.Map:
        if np.ndim(value) == 0:
            return lib.Map(None, as_number(name, value))
        return lib.Map(self._view(as_map(name, value, self._map_shape)), math.nan)

    def _linearity(self, linearity: tuple[Any, Any, Any]) -> lib.Linearity:
        try:
            coeffs, limit, pedestal = linearity
        except (TypeError, ValueError) as error:
            raise InvalidTypeError(
                "linearity: expected a tuple (coeffs, limit, pedestal)"
            ) from error
        if np.ndim(coeffs) != 3 or len(coeffs) == 0:
            raise InvalidValueError(
                f"linearity coeffs: got shape {np.shape(coeffs)}, expected (ncoef, ny, nx)"
            )
        coeffs = as_map("linearity coeffs", coeffs, (len(coeffs), *self._map_shape))
        result = lib.Linearity(len(coeffs), self._view(coeffs), None, None)
        if limit is not None:
            result.limit = self._view(as_map("linearity limit", limit, self._map_shape))
        if pedestal is not None:
            result.pedestal = self._view(as_map("linearity pedestal", pedestal, self._map_shape))
        return result

    def _ref_weights(self, weights: tuple[Any, Any], noutputs: int) -> lib.RefWeights:
        try:
            left, right = weights
        except (TypeError, ValueError) as error:
            raise InvalidTypeError("ref_weights: expected a tuple (left, right)") from error
        nlag = np.shape(left)[-1] if np.ndim(left) == 2 else 0
        if nlag == 0:
            raise InvalidValueError(
                f"ref_weights left: got shape {np.shape(left)}, expected (noutputs, nlag)"
            )
        shape = (noutputs, nlag)
        return lib.RefWeights(
            nlag,
            self._view(as_map("ref_weights left", left, shape)),
            self._view(as_map("ref_weights right", right, shape)),
        )

    def _set_guide(
        self, options: lib.Options, windows: Sequence[tuple[int, int, int, int]]
    ) -> None:
        try:
            rectangles = [[as_count("guide_windows", v, 0) for v in window] for window in windows]
        except TypeError as error:
            raise InvalidTypeError(
                f"guide_windows: got {windows!r}, expected (y, x, ny, nx) each"
            ) from error
        if any(len(rectangle) != 4 for rectangle in rectangles):
            raise InvalidValueError(f"guide_windows: got {windows!r}, expected (y, x, ny, nx) each")
        self._guide = (lib.Window * len(rectangles))(*[lib.Window(*r) for r in rectangles])
        options.nguide = len(rectangles)
        options.guide = self._guide

    def _set_origin(
        self, options: lib.Options, origin: tuple[int, int], maps: Sequence[Any]
    ) -> None:
        """Note where the reads lie in maps that are larger than they are."""
        y, x = as_shape(origin, "map_origin", 0)
        arrays = [m[0] if isinstance(m, (tuple, list)) else m for m in maps]
        arrays = [array for array in arrays if np.ndim(array) >= 2]
        if not arrays:
            raise InvalidValueError(
                "map_origin: got no map, expected at least one map of the detector"
            )
        self._map_shape = as_shape(np.shape(arrays[0])[-2:])
        options.map_y, options.map_x = y, x
        options.map_ny, options.map_nx = self._map_shape

    @property
    def nread(self) -> int:
        """Number of reads of the ramp so far, those that were dropped counted."""
        return int(library().iris_ramp_nread(self._ramp))

    @property
    def isa(self) -> str:
        """Instruction set in use."""
        return str(library().iris_ramp_isa(self._ramp).decode())

    @property
    def folding(self) -> float:
        """Reads in the average resultant; 1 where none were folded."""
        return float(library().iris_ramp_folding(self._ramp))

    @property
    def lost_events(self) -> int:
        """Events of the last fit for which there was no room."""
        return int(library().iris_ramp_lost_events(self._ramp))

    def push(
        self,
        read: npt.NDArray[np.uint16],
        time_s: float,
        *,
        weight: float = 1.0,
        dropped: bool = False,
    ) -> None:
        """Take one read; the first one after :meth:`finish` begins a new ramp.

        Parameters
        ----------
        read : ndarray (ny, nx) uint16
            Raw counts [DN] in either byte order; may be reused when the call returns.
        time_s : float
            Start of the read since the reset [s], later than that of the read before.
        weight : float
            Of the charge collected since the read before, 0 to 1; that of the first read has no meaning.
        dropped : bool
            Count the read, but do not use it.

        Raises
        ------
        InvalidTypeError
            The read is not uint16.
        InvalidValueError
            Its shape is wrong, the time is negative, not finite or does not rise, or the weight is out of range.
        OutOfMemoryError
            Reads with weights, or of ``cds`` and ``mcds``, do not fit into the memory limit.
        """
        self._push(read, time_s, weight, dropped, borrowed=False)

    def _push(
        self, read: Any, time_s: float, weight: float, dropped: bool, *, borrowed: bool
    ) -> None:
        """Push a read; a borrowed one stays as it is until the next reset."""
        with self._lock:
            if self._finished:
                check(library().iris_ramp_reset(self._ramp))
                self._finished = False
            number = self.nread + 1
            counts, order = as_read(read, self.shape, number)
            one = lib.Read(
                counts.ctypes.data,
                order,
                as_number(f"time of read {number}", time_s),
                as_number(f"weight of read {number}", weight),
                bool(dropped),
                borrowed,
            )
            if borrowed:
                self._borrowed.append(counts)
            status = library().iris_ramp_push_read(self._ramp, ctypes.byref(one))
            check(status, library().iris_ramp_error(self._ramp))

    def finish(
        self, out: RampResult | None = None, planes: Iterable[str] | None = None
    ) -> RampResult:
        """Fit the reads pushed so far.

        Parameters
        ----------
        out : RampResult, optional
            Earlier result whose arrays are overwritten and returned.
        planes : iterable of str, optional
            Names of the attributes wanted; default all, or those of `out`.

        Returns
        -------
        RampResult
            The planes asked for, None for the others.

        Raises
        ------
        InvalidValueError
            There are fewer than two reads, a plane is unknown or an array of `out` cannot be written.
        """
        wanted = _wanted(out, planes)
        arrays = {
            name: _plane(name, out, self.shape)
            for name in PLANES
            if name in wanted or name == "rate"  # the library always writes the rate
        }
        view = _as_planes(arrays)
        with self._lock:
            status = library().iris_ramp_finish(self._ramp, ctypes.byref(view))
            check(status, library().iris_ramp_error(self._ramp))
            self._finished = True
            events = self._events() if "events" in wanted else None
        return _result({name: arrays[name] for name in arrays if name in wanted}, events)

    def _events(self) -> npt.NDArray[np.void]:
        count = ctypes.c_size_t()
        pointer = library().iris_ramp_events(self._ramp, ctypes.byref(count))
        events = np.empty(count.value, EVENT_DTYPE)
        if count.value == 0:
            return events
        size = count.value * _RAW_EVENT_DTYPE.itemsize
        raw = np.frombuffer(ctypes.string_at(pointer, size), _RAW_EVENT_DTYPE)
        events["ramp"] = 1
        for name in ("read", "y", "x", "amplitude", "sigma"):
            events[name] = raw[name]
        events["kind"] = np.array(lib.EVENT_KINDS)[raw["kind"]]
        return events


def fit_ramp(
    reads: Sequence[npt.NDArray[np.uint16]] | npt.NDArray[np.uint16],
    times: Sequence[float] | npt.NDArray[np.float64],
    *,
    weights: Sequence[float] | npt.NDArray[np.float64] | None = None,
    drop: Iterable[int] = (),
    out: RampResult | None = None,
    planes: Iterable[str] | None = None,
    **options: Any,
) -> RampResult:
    """Fit one ramp whose reads are all there; contiguous reads are not copied.

    Parameters
    ----------
    reads : ndarray (nread, ny, nx) uint16, or sequence of ndarray (ny, nx)
        Raw counts [DN].
    times : array_like (nread,)
        Start of each read since the reset [s], rising.
    weights : array_like (nread,), optional
        Of the charge collected since the read before, 0 to 1 each; the first has no meaning.
    drop : iterable of int
        Numbers of reads, from 1, that are not used.
    out, planes
        As for :meth:`RampFitter.finish`.
    **options
        As for :class:`RampFitter`.

    Returns
    -------
    RampResult
        All planes and the events.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As for :class:`RampFitter`; or the numbers of reads and times differ.

    Examples
    --------
    >>> reads = np.full((2, 1, 1), 100, np.uint16)
    >>> reads[1] += 10
    >>> result = fit_ramp(reads, [0.0, 2.0], gain=2.0, read_noise=10.0, ref_pixels=0)
    >>> float(result.rate[0, 0]), float(result.var_read[0, 0]), int(result.nused[0, 0])
    (10.0, 50.0, 2)
    """
    if len(reads) != len(times):
        raise InvalidValueError(
            f"times: got {len(times)} times for {len(reads)} reads, expected one each"
        )
    if len(reads) == 0:
        raise InvalidValueError("reads: got none, expected at least 2")
    if weights is not None and len(weights) != len(reads):
        raise InvalidValueError(
            f"weights: got {len(weights)} weights for {len(reads)} reads, expected one each"
        )
    dropped = {as_count("drop", number, 1, len(reads)) for number in drop}
    if weights is not None:
        options = {"keep_reads": True, **options}
    fitter = RampFitter(np.shape(reads[0]), **options)
    for number, (read, time_s) in enumerate(zip(reads, times, strict=True), 1):
        weight = 1.0 if weights is None else weights[number - 1]
        fitter._push(read, time_s, weight, number in dropped, borrowed=True)  # noqa: SLF001
    return fitter.finish(out, planes)


def combine_ramps(
    results: Sequence[RampResult], combination: str = "mean", reject_sigma: float | None = 5.0
) -> RampResult:
    """Combine the ramps of one exposure pixel by pixel.

    Parameters
    ----------
    results : sequence of RampResult
        Results of one shape, each with rate, var_read, var_photon, photon_factor and dq.
    combination : {"mean", "sum"}
        Weighted mean, or sum; where a ramp has no rate, the others stand in for it.
    reject_sigma : float or None
        A ramp that lies so many sigmas from the combination of the others is not used, as long as two remain, and the
        pixel gets OUTLIER; where two ramps differ so much, it gets UNRELIABLE_SLOPE. None for no test.

    Returns
    -------
    RampResult
        Mean rate weighted by 1 / (var_read + photon_factor * common rate): a ramp's own photon variance never
        weighs. A ramp with DO_NOT_USE has weight 0. Events of ramp i have ``ramp`` i + 1. Planes that a ramp
        lacks (chi2, nused, events) are None.

    Raises
    ------
    InvalidValueError
        There is no result, or shapes differ.
    InvalidTypeError
        A result lacks a plane or has one of the wrong dtype.
    """
    if len(results) == 0:
        raise InvalidValueError("results: got none, expected at least one")
    shape = results[0].rate.shape
    names = [n for n in PLANES if n in _REQUIRED or all(_has(r, n) for r in results)]
    if "nused" not in names and "chi2" in names:
        names.remove("chi2")
    inputs = [
        {
            name: _as_input(f"result {i} {name}", getattr(r, name), PLANES[name], shape)
            for name in names
        }
        for i, r in enumerate(results, 1)
    ]
    arrays = {name: np.empty(shape, PLANES[name]) for name in names}
    ramps = (lib.Planes * len(inputs))(*[_as_planes(planes) for planes in inputs])
    size = arrays["rate"].size
    rule = _as_choice("combination", combination, lib.COMBINATIONS)
    sigma = 0.0 if reject_sigma is None else as_number("reject_sigma", reject_sigma)
    if reject_sigma is not None and not (math.isfinite(sigma) and sigma > 0):
        raise InvalidValueError(
            f"reject_sigma: got {sigma}, expected a number above 0, or None for no test"
        )
    check(
        library().iris_combine_ramps(
            ramps, len(inputs), size, rule, sigma, ctypes.byref(_as_planes(arrays))
        )
    )
    return _result(arrays, _join_events(results))


_REQUIRED = ("rate", "var_read", "var_photon", "photon_factor", "dq")


def _has(result: RampResult, name: str) -> bool:
    return getattr(result, name) is not None


def _as_input(
    name: str, value: Any, dtype: type[np.generic], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return a plane of a result in the form the library reads."""
    array = np.asarray(value)
    if array.dtype.newbyteorder("=") != np.dtype(dtype):
        raise InvalidTypeError(f"{name}: got dtype {array.dtype}, expected {np.dtype(dtype)}")
    check_shape(name, array, shape)
    return np.ascontiguousarray(array, dtype=dtype)


def _join_events(results: Sequence[RampResult]) -> npt.NDArray[np.void] | None:
    if not all(_has(result, "events") for result in results):
        return None
    parts = []
    for number, result in enumerate(results, 1):
        events = result.events.copy()
        events["ramp"] = number
        parts.append(events)
    return np.concatenate(parts)


def _as_choice(name: str, value: str, choices: dict[str, int]) -> int:
    if not isinstance(value, str) or value not in choices:
        raise InvalidValueError(f"{name}: got {value!r}, expected one of {', '.join(choices)}")
    return choices[value]


def _as_threshold(jump_sigma: float | None) -> float:
    if jump_sigma is None:
        return 0.0
    threshold = as_number("jump_sigma", jump_sigma)
    if not (math.isfinite(threshold) and threshold > 0):
        raise InvalidValueError(
            f"jump_sigma: got {threshold}, expected a number above 0, or None for no test"
        )
    return threshold


def _wanted(out: RampResult | None, planes: Iterable[str] | None) -> frozenset[str]:
    """Return the names of the attributes to fill."""
    known = [*PLANES, "events"]
    if planes is None:
        return frozenset(known if out is None else [n for n in known if _has(out, n)])
    wanted = frozenset([planes] if isinstance(planes, str) else planes)
    unknown = sorted(wanted.difference(known))
    if unknown:
        raise InvalidValueError(f"planes: got {unknown}, expected some of {', '.join(known)}")
    return wanted


def _plane(name: str, out: RampResult | None, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Return the array of `out` for a plane, or a new one."""
    dtype = np.dtype(PLANES[name])
    array = None if out is None else getattr(out, name)
    if array is None:
        return np.empty(shape, dtype)
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise InvalidTypeError(f"out.{name}: expected an array of native {dtype}")
    check_shape(f"out.{name}", array, shape)
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise InvalidValueError(f"out.{name}: expected a contiguous array that can be written")
    return array


def _as_planes(arrays: dict[str, npt.NDArray[Any]]) -> lib.Planes:
    return lib.Planes(**{name: array.ctypes.data for name, array in arrays.items()})


def _result(arrays: dict[str, npt.NDArray[Any]], events: Any) -> RampResult:
    fields: dict[str, Any] = dict.fromkeys(PLANES)
    return RampResult(**{**fields, **arrays}, events=events)
