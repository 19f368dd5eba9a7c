"""Stages of levels 2 and 3 against their best peers, side by side in one run.

Dark and flat against plain NumPy, the sky and the detection of sources against sep and photutils, drizzling against
stcal, the map of pixels against gwcs; what stpipe adds to a step, and what importing costs. A peer that is not
installed, or whose answer is not ours, is not timed, and its row says so.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from report import Row, missing
from timing import Contender, Timing, alternate, vet

from liger_iris_pipeline.algorithms.frame import (
    TanWcs,
    constant_sky,
    divide_flat,
    imager_wcs,
    subtract_dark,
)
from liger_iris_pipeline.algorithms.frame.wcs import Pointing
from liger_iris_pipeline.algorithms.mosaic import Drizzler, output_grid, pixel_map
from liger_iris_pipeline.algorithms.mosaic.detect import detect, significance
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines.warm import freeze
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["level2"]

SKY, TIME, READ_NOISE = 0.7, 60.0, 6.0  # e-/s, s, e-
STAR_SIGMA, PIXELS_PER_STAR = 1.5, 10_000
NEW_PROCESSES, STEPS = 5, 8
BOX = 128  # of the background mesh of all [pixel]

Array = npt.NDArray[Any]


class NothingStep(IrisStep):
    """A step that returns what it is given."""

    class_alias = "iris_nothing"

    def process(self, *given: Any) -> Any:
        """Do nothing."""
        return given[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A level 1 frame, its references, and the stars in it.

    Attributes
    ----------
    frame : Frame
        Stars on a sky, with bad pixels, a border and some pixels without a rate.
    dark, flat : tuple of ndarray (ny, nx)
        Value, error and flags.
    stars : ndarray (n, 2)
        Places (y, x) of stars that are bright enough for everybody [pixel].
    """

    frame: Frame
    dark: tuple[Array, Array, Array]
    flat: tuple[Array, Array, Array]
    stars: Array


def simulate(shape: tuple[int, int]) -> Scene:
    """Make a scene; every star is at its own place, between pixels."""
    random = np.random.default_rng(19)
    rate = np.full(shape, SKY, np.float32)
    count = rate.size // PIXELS_PER_STAR
    place = random.uniform(20, np.array(shape) - 20, (count, 2))
    flux = 10 ** random.uniform(1.5, 4, count)
    for (y, x), light in zip(place, flux, strict=True):
        j, i = round(y), round(x)
        rows, columns = np.ogrid[j - 8 : j + 9, i - 8 : i + 9]
        core = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * STAR_SIGMA**2))
        rate[j - 8 : j + 9, i - 8 : i + 9] += light * core / (2 * np.pi * STAR_SIGMA**2)
    flat = (1 + 0.02 * random.standard_normal(shape, np.float32)).astype(np.float32)
    dark = (0.02 + 0.002 * random.standard_normal(shape, np.float32)).astype(np.float32)
    rate *= flat
    photon = rate / np.float32(TIME)
    rate += np.sqrt(photon + (READ_NOISE / TIME) ** 2) * random.standard_normal(shape, np.float32)
    rate += dark
    flags = np.where(random.random(shape, np.float32) < 0.003, np.uint32(Flag.DO_NOT_USE), 0)
    dq = np.where(random.random(shape, np.float32) < 0.01, np.uint32(Flag.JUMP_DET), 0)
    border = np.ones(shape, bool)
    border[4:-4, 4:-4] = False
    dq[border] |= np.uint32(Flag.REFERENCE_PIXEL | Flag.DO_NOT_USE)
    rate[::97, ::89] = np.nan
    read = np.full(shape, (READ_NOISE / TIME) ** 2, np.float32)
    small = np.full(shape, 0.002, np.float32)
    bad = flags.astype(np.uint32)
    frame = Frame(rate.astype(np.float32), read, photon.astype(np.float32), dq.astype(np.uint32))
    bright = place[(flux > 1000) & (place > 20).all(axis=1)]
    return Scene(frame, (dark, small, bad), (flat, small.copy(), bad.copy()), bright)


def level2(plan: Any, record: Any) -> Iterator[Row]:
    """G19, G20, G22, G23, and the other stages that have a peer."""
    scene = simulate(plan.shape)
    yield from calibrate(plan, record, scene)
    frame = divide_flat(subtract_dark(scene.frame, *scene.dark), *scene.flat)
    yield from background(plan, record, frame)
    yield from detection(plan, record, frame, scene.stars)
    del scene
    yield from mosaic(plan, record, frame)
    del frame
    yield from overhead(plan, record)
    yield from imports(plan, record)


# --- dark and flat --------------------------------------------------------------------------------


def calibrate(plan: Any, record: Any, scene: Scene) -> Iterator[Row]:
    """G19: dark and flat on rate, three variances and flags."""
    frame, dark, flat = scene.frame, scene.dark, scene.flat
    ours = divide_flat(subtract_dark(frame, *dark), *flat)
    contenders = {
        "ours": Contender(lambda _: divide_flat(subtract_dark(frame, *dark), *flat)),
        "NumPy": Contender(
            lambda _: _plain_calibration(frame, dark, flat),
            check=functools.partial(_complain_of_planes, ours),
        ),
    }
    yield from _against(
        plan, record, "G19", "dark, flat, variances, flags", contenders, {"NumPy": 2.0}
    )


def _plain_calibration(
    frame: Frame, dark: tuple[Array, ...], flat: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Do what one writes down: no rule for values that cannot be used, no border."""
    response, error = flat[0], flat[1]
    rate = (frame.rate - dark[0]) / response
    square = response**2
    return (
        rate,
        (frame.var_read + dark[1] ** 2) / square,
        frame.var_photon / square,
        (rate * error / response) ** 2,
        frame.dq | dark[2] | flat[2],
    )


def _complain_of_planes(ours: Frame, planes: tuple[Array, ...]) -> str | None:
    """Compare inside the border."""
    inner = slice(4, -4), slice(4, -4)
    mine = (ours.rate, ours.var_read, ours.var_photon, ours.var_flat)
    for one, other in zip(mine, planes, strict=False):
        assert one is not None
        if not np.allclose(one[inner], other[inner], rtol=1e-5, atol=1e-7, equal_nan=True):
            return "other values than ours"
    return None if np.array_equal(ours.dq, planes[-1]) else "other flags than ours"


# --- sky ------------------------------------------------------------------------------------------


def background(plan: Any, record: Any, frame: Frame) -> Iterator[Row]:
    """Level of the sky between sources: mesh, detection, mesh or level without the sources."""
    bad = _bad(frame)

    def check(level: float) -> str | None:
        return None if abs(level / SKY - 1) < 0.02 else f"a level of {level:.4f}, not {SKY}"

    contenders = {
        "ours": Contender(lambda _: constant_sky(frame).level, check=check),
        "sep": Contender(lambda _: _sep_level(frame, bad), check=check),
        "photutils": Contender(lambda _: _photutils_level(frame, bad), check=check),
    }
    what = "sky level with its source mask"
    yield from _against(plan, record, "sky", what, contenders, {"sep": 1.0, "photutils": 1.0})


def _bad(frame: Frame) -> Array:
    return ((frame.dq & np.uint32(Flag.DO_NOT_USE)) != 0) | ~np.isfinite(frame.rate)


def _sep_level(frame: Frame, bad: Array) -> float:
    """Background, segments above 4 sigma, background without them."""
    import sep

    rate = np.where(bad, np.float32(0), frame.rate)
    first = sep.Background(rate, mask=bad, bw=BOX, bh=BOX)
    _, segments = sep.extract(
        rate - first.back(), 4.0, err=first.globalrms, mask=bad, segmentation_map=True
    )
    return float(sep.Background(rate, mask=bad | (segments > 0), bw=BOX, bh=BOX).globalback)


def _photutils_level(frame: Frame, bad: Array) -> float:
    """Background, segments above 4 sigma, background without them."""
    from photutils.background import Background2D
    from photutils.segmentation import detect_sources

    first = Background2D(frame.rate, (BOX, BOX), mask=bad)
    segments = detect_sources(
        frame.rate - first.background, 4.0 * first.background_rms_median, 5, mask=bad
    )
    covered = bad if segments is None else bad | (segments.data > 0)
    return float(Background2D(frame.rate, (BOX, BOX), mask=covered).background_median)


# --- sources --------------------------------------------------------------------------------------


def detection(plan: Any, record: Any, frame: Frame, stars: Array) -> Iterator[Row]:
    """Find point sources on a frame whose sky is off; every bright star has to be found."""
    bad = _bad(frame)
    rate = np.where(bad, np.float32(0), frame.rate - np.float32(SKY))
    noise = float(np.sqrt(SKY / TIME + (READ_NOISE / TIME) ** 2))
    check = functools.partial(_complain_of_stars, stars)
    contenders = {
        "ours": Contender(lambda _: _our_stars(frame, rate, bad), check=check),
        "sep": Contender(lambda _: _sep_stars(rate, bad, noise), check=check),
        "photutils": Contender(lambda _: _photutils_stars(rate, bad, noise), check=check),
    }
    what = "detection of point sources"
    yield from _against(plan, record, "sources", what, contenders, {"sep": 1.0, "photutils": 1.0})


def _our_stars(frame: Frame, rate: Array, bad: Array) -> Array:
    fwhm = 2.3548 * STAR_SIGMA
    snr = significance(
        rate.astype(np.float64),
        np.where(bad, 0.0, frame.variance).astype(np.float64),
        ~bad,
        np.ones((1, 1)),
        fwhm=fwhm,
    )
    return detect(snr, fwhm=fwhm, threshold=5.0)


def _sep_stars(rate: Array, bad: Array, noise: float) -> Array:
    import sep

    found = sep.extract(rate, 1.5, err=noise, mask=bad)
    return np.stack([found["y"], found["x"]], axis=-1)


def _photutils_stars(rate: Array, bad: Array, noise: float) -> Array:
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(threshold=5.0 * noise, fwhm=2.3548 * STAR_SIGMA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of renamed columns
        found = finder(rate, mask=bad)
    names = ("y_centroid", "x_centroid") if "y_centroid" in found.colnames else None
    names = names or ("ycentroid", "xcentroid")
    return np.stack([np.asarray(found[name]) for name in names], axis=-1)


def _complain_of_stars(stars: Array, found: Array) -> str | None:
    """Look for each star within two pixels; one in fifty may lie on a bad pixel or on another star."""
    from scipy.spatial import cKDTree

    gap, _ = cKDTree(found).query(stars)
    missed = float(np.mean(gap > 2.0))
    return None if missed <= 0.02 else f"{missed:.1%} of the bright stars are not found"


# --- mosaic ---------------------------------------------------------------------------------------


def mosaic(plan: Any, record: Any, frame: Frame) -> Iterator[Row]:
    """G20 and drizzling: one frame turned by 10 degrees onto a grid north up."""
    shape = frame.rate.shape
    wcs = imager_wcs(Pointing(ra=150.0, dec=-30.0, pa=10.0), "IMG1", shape)
    grid, out_shape = output_grid([wcs], [shape])
    pixmap = pixel_map(wcs, shape, grid)
    contenders = {
        "ours": Contender(lambda _: pixel_map(wcs, shape, grid)),
        "gwcs": Contender(
            lambda _: _gwcs_map(wcs, shape, grid, out_shape),
            check=functools.partial(_complain_of_map, pixmap),
        ),
    }
    yield from _against(plan, record, "G20", "map of pixels", contenders, {"gwcs": 20.0})
    weight = np.where(_bad(frame), np.float32(0), np.float32(1))
    given = dataclasses.replace(frame, var_flat=None)
    contenders = {
        "ours": Contender(lambda _: _our_drizzle(given, wcs, grid, out_shape, weight)),
        "stcal": Contender(
            lambda _: _stcal_drizzle(given, wcs, grid, out_shape, weight),
            check=functools.partial(
                _complain_of_flux, _our_drizzle(given, wcs, grid, out_shape, weight)
            ),
        ),
    }
    what = "drizzle: map, rate, two variances, flags"
    yield from _against(plan, record, "drizzle", what, contenders, {"stcal": 1.0})


def _gwcs_map(wcs: TanWcs, shape: Any, grid: TanWcs, out_shape: Any) -> Array:
    """Go through the sky, pixel by pixel."""
    y, x = np.indices(shape, dtype=np.float64)
    there = grid.gwcs(out_shape).backward_transform(*wcs.gwcs(shape).forward_transform(x, y))
    return np.stack(there, axis=-1)


def _complain_of_map(ours: Array, theirs: Array) -> str | None:
    apart = float(np.abs(ours - theirs).max())
    return None if apart < 1e-3 else f"{apart:.1e} pixels apart"


def _our_drizzle(frame: Frame, wcs: TanWcs, grid: TanWcs, out_shape: Any, weight: Array) -> Array:
    drizzler = Drizzler(grid, out_shape)
    drizzler.add(frame, pixel_map(wcs, frame.rate.shape, grid), weight)
    return drizzler.finish().flux


def _stcal_drizzle(frame: Frame, wcs: TanWcs, grid: TanWcs, out_shape: Any, weight: Array) -> Array:
    """Resample as jwst and romancal do, with two variances and flags, and the map at every pixel."""
    from stcal.resample import Resample

    target = grid.gwcs(out_shape)
    target.array_shape = out_shape

    class WithTwoVariances(Resample):  # type: ignore[misc]
        variance_array_names = ("var_rnoise", "var_poisson")
        dq_flag_name_map = {"DO_NOT_USE": 1}  # noqa: RUF012 - as stcal asks

    rows = {"wcs": target, "pixel_scale": None}
    resample = WithTwoVariances(
        rows, n_input_models=1, weight_type="exptime", enable_var=True, propagate_dq=True
    )
    unused = weight == 0
    resample.add_model(
        {
            "data": np.where(unused, np.float32(0), frame.rate),
            "dq": np.where(unused, frame.dq | np.uint32(1), frame.dq),
            "var_rnoise": np.where(unused, np.float32(0), frame.var_read),
            "var_poisson": np.where(unused, np.float32(0), frame.var_photon),
            "err": np.sqrt(np.where(unused, np.float32(0), frame.var_read)),
            "wcs": wcs.gwcs(frame.rate.shape),
            "exposure_time": 1.0,
            "measurement_time": 1.0,
            "start_time": 0.0,
            "end_time": 1.0,
            "duration": 1.0,
            "filename": "frame",
            "group_id": "1",
            "s_region": "",
            "bunit_data": "electron/s",
            "pixelarea_steradians": np.radians(wcs.pixel_scale) ** 2,
            "pixelarea_arcsecsq": (3600 * wcs.pixel_scale) ** 2,
            "level": 0.0,
            "subtracted": True,
            "effective_exposure_time": 1.0,
        }
    )
    resample.finalize()
    return np.asarray(resample.output_model["data"])


def _complain_of_flux(ours: Array, theirs: Array) -> str | None:
    mine = np.isfinite(ours)
    seen = mine & (theirs != 0)
    few = seen.sum() < 0.95 * mine.sum()
    if few or abs(ours[seen].sum() / theirs[seen].sum() - 1) > 1e-3:
        return f"a flux of {theirs[seen].sum():.6g}, ours is {ours[seen].sum():.6g}"
    return None


# --- around the stages ----------------------------------------------------------------------------


def overhead(plan: Any, record: Any) -> Iterator[Row]:
    """G22: steps that do nothing, in a worker that was made ready."""
    step, what = NothingStep(), f"{STEPS} steps that do nothing, warm worker [ms]"

    def run(_: Any) -> Any:
        for _k in range(STEPS):
            step.run(None)

    cold = alternate({"cold": Contender(run)}, plan.runs)["cold"]
    freeze()
    warm = alternate({"warm": Contender(run)}, plan.runs)["warm"]
    record.timings[what] = {"cold": dataclasses.asdict(cold), "warm": dataclasses.asdict(warm)}
    ms = 1e3 * warm.cpu
    yield Row(
        "G22",
        what,
        f"{ms:.1f} ms",
        f"{1e3 * cold.cpu:.0f} ms, not frozen",
        ms,
        plan.at_most(20),
        at_least=False,
    )


IMPORTS = {
    "stpipe": "import stpipe; stpipe.Pipeline",
    "package": "import liger_iris_pipeline",
    "level 1": "import liger_iris_pipeline.pipelines.level1",
    "level 2": "import liger_iris_pipeline.pipelines.imager_level2",
    "level 3": "import liger_iris_pipeline.pipelines.imager_level3",
    "iris-drs --help": "import sys; sys.argv = ['iris-drs', '--help']\n"
    "from liger_iris_pipeline.cli.main import main\ntry: main()\nexcept SystemExit: pass",
}


def imports(plan: Any, record: Any) -> Iterator[Row]:
    """G23: processor time of fresh processes, in turn."""
    best = dict.fromkeys(IMPORTS, float("inf"))
    for _ in range(NEW_PROCESSES):
        for name, code in IMPORTS.items():
            best[name] = min(best[name], _process_seconds(code))
    record.timings["imports"] = best
    for name, seconds in best.items():
        if name != "stpipe":
            yield Row(
                "G23",
                f"import of {name} / import of stpipe",
                f"{seconds:.2f} s",
                f"{best['stpipe']:.2f} s",
                seconds / best["stpipe"],
                plan.at_most(1.3),
                at_least=False,
            )


def _process_seconds(code: str) -> float:
    """Run a fresh process; give its processor time [s]."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _against(
    plan: Any,
    record: Any,
    goal: str,
    what: str,
    contenders: Mapping[str, Contender],
    peers: Mapping[str, float],
) -> Iterator[Row]:
    """Time ours and the peers in turn; one row for each peer and its goal."""
    checked = {name: _quietly(contender) for name, contender in contenders.items()}
    good, notes = vet(checked)
    timings = alternate(good, plan.runs, fresh_memory=True)
    record.timings[what] = {
        **{name: dataclasses.asdict(timing) for name, timing in timings.items()},
        **{name: {"note": text} for name, text in notes.items()},
    }
    for peer, limit in peers.items():
        yield _row(goal, f"{what} / {peer}", timings, notes, peer, plan.at_least(limit))


def _row(
    goal: str,
    what: str,
    timings: Mapping[str, Timing],
    notes: Mapping[str, str],
    peer: str,
    limit: float,
) -> Row:
    """Give the row of one peer; a peer that cannot do it is no reason to fail."""
    if "ours" in notes:
        return missing(goal, what, f"ours: {notes['ours']}", limit)
    mine = timings["ours"].cpu
    if peer in notes:
        return Row(goal, what, f"{mine:.3f} s", note=f"{peer}: {notes[peer]}")
    theirs = timings[peer].cpu
    return Row(goal, what, f"{mine:.3f} s", f"{theirs:.3f} s", theirs / mine, limit)


def _quietly(contender: Contender) -> Contender:
    """Let a contender's warnings pass unheard."""

    def run(given: Any, run: Callable[[Any], Any] = contender.run) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run(given)

    return dataclasses.replace(contender, run=run)
