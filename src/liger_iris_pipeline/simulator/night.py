"""Simulate a night: scene, optics, detector, then files."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ..errors import UsageError, complaint
from ..instrument.detectors import DETECTORS, IMAGER_DETECTORS, axis_pixel
from . import files
from .afterglow import Traps
from .detector import DetectorTruth, RampKey, draw_detector, expose
from .headers import exposure_header, nominal_saturation, read_header
from .optics import MARGIN, star_image
from .plan import Exposure, iso, plan_night, read_name
from .projection import sky_to_detector
from .references import ERROR, write_references
from .scene import Scene, named_scene
from .seeds import Stream, stream
from .standards import draw_standards, write_standards
from .stars import draw_stars
from .tables import Table, as_table
from .truth import EVENT, write_maps, write_rate, write_tables

__all__ = ["Night", "Progress", "light_on_detector", "simulate"]

Float32 = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with the number of reads written and the number of all."""

_POSITION = [
    ("id", "i4"),
    ("exposure", "i2"),
    ("detector", "i2"),
    ("x", "f8"),
    ("y", "f8"),
    ("seen", "?"),
]


@dataclass(frozen=True)
class Night:
    """What a simulation wrote.

    Attributes
    ----------
    scene : Scene
        The scene.
    seed : int
        Seed of the night.
    folder : Path
        Folder of the reads.
    reads : tuple of Path
        L0 reads, by name.
    references : tuple of Path
        Reference files, by name.
    truth : Path
        ``truth.fits``.
    """

    scene: Scene
    seed: int
    folder: Path
    reads: tuple[Path, ...]
    references: tuple[Path, ...]
    truth: Path


@dataclass(frozen=True, eq=False)
class _Record:
    """What one detector's night left behind."""

    facts: dict[str, Any]
    reads: list[Path]
    references: list[Path]
    errors: Table
    positions: Table
    cosmics: Table
    full: Table


def light_on_detector(
    scene: Scene, exposure: Exposure, truth: DetectorTruth, stars: Table
) -> Float32:
    """Give the expected light on a detector before its flat.

    Parameters
    ----------
    scene : Scene
        The scene.
    exposure : Exposure
        Where the telescope points, or the lamp.
    truth : DetectorTruth
        The detector.
    stars : ndarray
        Star table (``ra dec flux``).

    Returns
    -------
    ndarray (ny, nx) float32
        Light [e-/s] times the detector's throughput; 0 on the reference pixels. A lamp shines on
        all detectors alike, with no throughput.
    """
    layout = scene.format
    light = np.full(layout.shape, exposure.lamp, dtype=np.float32)
    if exposure.on_sky:
        scale = DETECTORS[truth.name].pixel_scale
        x, y = sky_to_detector(
            stars["ra"], stars["dec"], exposure.axis, exposure.position_angle, truth.name, layout
        )
        x0, y0 = axis_pixel(truth.name, layout.nx, layout.ny, layout.border)
        gx, gy = scene.sky_gradient
        column = gx * scale * (np.arange(layout.nx) - x0)[None, :]
        row = gy * scale * (np.arange(layout.ny) - y0)[:, None]
        light = star_image(x, y, stars["flux"], layout.shape, scene.psf, scale)
        light += (scene.sky * (1.0 + column + row)).astype(np.float32)
        light *= np.float32(truth.throughput)
    light[layout.reference] = 0.0
    return light


def _positions(
    scene: Scene, plan: tuple[Exposure, ...], name: str, row: int, stars: Table
) -> Table:
    """Table of the places of the stars on or near one detector."""
    layout, parts = scene.format, [np.empty(0, dtype=_POSITION)]
    for index, exposure in enumerate(plan):
        if not exposure.on_sky or exposure.imtype == "STD":
            continue
        x, y = sky_to_detector(
            stars["ra"], stars["dec"], exposure.axis, exposure.position_angle, name, layout
        )
        near = (x > -MARGIN) & (x < layout.nx + MARGIN) & (y > -MARGIN) & (y < layout.ny + MARGIN)
        part = np.zeros(int(near.sum()), dtype=_POSITION)
        part["id"], part["x"], part["y"] = stars["id"][near], x[near], y[near]
        part["exposure"], part["detector"] = index, row
        low, px, py = layout.border - 0.5, part["x"], part["y"]
        part["seen"] = (
            (px > low) & (px < layout.nx - 1 - low) & (py > low) & (py < layout.ny - 1 - low)
        )
        parts.append(part)
    return np.concatenate(parts)


def _events(rows: Table, exposure: int, detector: int, ramp: int) -> Table:
    """Turn rows (read, y, x, charge) of one ramp into `EVENT` rows."""
    events = np.zeros(len(rows), dtype=EVENT)
    events["exposure"], events["detector"], events["ramp"] = exposure, detector, ramp
    for name in ("read", "y", "x", "charge"):
        events[name] = rows[name]
    return events


def _write_read(path: Path, counts: npt.NDArray[np.uint16], header: fits.Header, when: str) -> Path:
    """Write one read with its checksums; `when` goes into their comments instead of the clock."""
    hdu = fits.PrimaryHDU(counts, header=header)
    hdu.add_checksum(when=when)
    return files.write(path, fits.HDUList([hdu]))


def _observe(
    scene: Scene,
    seed: int,
    name: str,
    stars: Table,
    out: Path,
    progress: Callable[[], None] | None = None,
) -> _Record:
    """Write everything of one detector; calls `progress` after each read."""
    plan, row = plan_night(scene), scene.detectors.index(name)
    truth = draw_detector(scene, name, seed)
    references: list[Path] = []
    errors = np.empty(0, dtype=ERROR)
    if scene.references:
        references, errors = write_references(out / "refs", truth, scene, seed)
    standards = draw_standards(scene, seed)
    saturate = nominal_saturation(truth, scene)
    traps = Traps(scene.format.shape, scene.physics.persistence)
    write_maps(out / "truth", truth)
    reads: list[Path] = []
    cosmics, full = [np.empty(0, dtype=EVENT)], [np.empty(0, dtype=EVENT)]
    for index, exposure in enumerate(plan):
        field = standards if exposure.imtype == "STD" else stars
        light = light_on_detector(scene, exposure, truth, field)
        if exposure.on_sky:
            write_rate(out / "truth", exposure, name, light)
        light *= truth.flat
        light += truth.dark
        for ramp in range(1, exposure.nramp + 1):
            key = RampKey(seed, exposure.observation, exposure.number, truth.index, ramp)
            header = exposure_header(exposure, truth, scene, seed, saturate=saturate)
            paths, hits, filled = _write_ramp(
                out, scene, truth, exposure, light, key, header, traps=traps, progress=progress
            )
            reads += paths
            cosmics.append(_events(hits, index, row, ramp))
            full.append(_events(filled, index, row, ramp))
    area = scene.format.science
    facts = {
        "detector": name,
        "throughput": truth.throughput,
        "gain": float(truth.gain[area].mean(dtype=np.float64)),
        "read_noise": float(truth.read_noise[area].mean(dtype=np.float64)),
    }
    positions = _positions(scene, plan, name, row, stars)
    return _Record(
        facts, reads, references, errors, positions, np.concatenate(cosmics), np.concatenate(full)
    )


def _write_ramp(
    out: Path,
    scene: Scene,
    truth: DetectorTruth,
    exposure: Exposure,
    rate: Float32,
    key: RampKey,
    shared: fits.Header,
    *,
    traps: Traps,
    progress: Callable[[], None] | None,
) -> tuple[list[Path], Table, Table]:
    """Write the reads of one ramp; return paths, cosmic-ray hits and pixels that filled up."""
    reset = exposure.reset(key.ramp) / 1e6
    release = partial(traps.release, reset) if scene.physics.persistence else None
    hits, readouts = expose(truth, scene, rate, exposure.pattern, key, release=release)
    first = np.zeros(scene.format.shape, dtype=np.int32)
    paths = []
    for readout in readouts:
        header = read_header(shared, exposure, key.ramp, readout.number, scene, key.seed)
        path = out / read_name(exposure, truth.name, key.ramp, readout.number)
        when = iso(exposure.reset(key.ramp) + round(readout.time * 1e6))
        paths.append(_write_read(path, readout.counts, header, when))
        if readout.full.any():
            first[readout.full & (first == 0)] = readout.number
        if progress is not None:
            progress()
    if scene.physics.persistence:
        held = np.minimum(rate * exposure.pattern.ramp_time, truth.full_well)
        traps.expose(held, reset + exposure.pattern.ramp_time)
    y, x = np.nonzero(first)
    filled = as_table({"read": first[y, x], "y": y, "x": x, "charge": truth.full_well[y, x]})
    return paths, hits, filled


def _check(scene: Scene, out: Path, seed: int) -> None:
    """Raise UsageError for an unusable seed, detector or folder."""
    unknown = [name for name in scene.detectors if name not in IMAGER_DETECTORS]
    if unknown or not scene.detectors:
        raise UsageError(
            complaint(
                "simulate",
                "detectors",
                ", ".join(unknown) or "none",
                f"some of {', '.join(IMAGER_DETECTORS)}",
                "choose among them",
            )
        )
    if seed < 0:
        raise UsageError(
            complaint("simulate", "--seed", seed, "a whole number >= 0", "choose another seed")
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            complaint("simulate", "--out", out, "a new or empty folder", "choose another folder")
        )


def simulate(
    scene: str | Scene,
    out: Path,
    *,
    seed: int,
    size: str = "tiny",
    workers: int = 1,
    progress: Progress | None = None,
) -> Night:
    """Simulate a night: reads, reference files and truth.

    Parameters
    ----------
    scene : str or Scene
        Name of a scene (``imager``, ``imager_sky``) or a scene of one's own.
    out : Path
        New or empty folder for the reads, with ``refs/`` and ``truth/``.
    seed : int
        Seed, >= 0: equal seeds give equal files, bit for bit, whatever `workers` is.
    size : {'tiny', 'full'}
        512 or 4096 pixels on a side; for a named scene only.
    workers : int
        Processes.
    progress : callable, optional
        Called with the reads written and the number of all; once per detector with many workers.

    Returns
    -------
    Night
        What was written.

    Raises
    ------
    UsageError
        If the scene, the size, the seed or the folder cannot be used.
    """
    scene, out = named_scene(scene, size) if isinstance(scene, str) else scene, Path(out)
    _check(scene, out, seed)
    (out / "truth").mkdir(parents=True)
    if scene.references:
        (out / "refs").mkdir()
    if scene.calibration.standards:
        write_standards(out / "truth", scene, draw_standards(scene, seed))
    stars = as_table(draw_stars(scene, stream(seed, Stream.STARS)))
    records = _observe_all(scene, seed, stars, out, workers=workers, progress=progress)
    return Night(
        scene=scene,
        seed=seed,
        folder=out,
        reads=tuple(sorted(p for r in records for p in r.reads)),
        references=tuple(sorted(p for r in records for p in r.references)),
        truth=_write_truth(scene, seed, stars, out, records),
    )


def _write_truth(scene: Scene, seed: int, stars: Table, out: Path, records: list[_Record]) -> Path:
    """Write the tables of all detectors."""
    tables: dict[str, Table] = {
        "STARS": stars,
        "POSITIONS": np.concatenate([r.positions for r in records]),
        "ERRORS": np.concatenate([r.errors for r in records]),
        "COSMICS": np.concatenate([r.cosmics for r in records]),
        "FULL": np.concatenate([r.full for r in records]),
    }
    return write_tables(
        out / "truth",
        scene,
        seed,
        plan_night(scene),
        [r.facts for r in records],
        tables,
        pixel_scale=DETECTORS[scene.detectors[0]].pixel_scale,
    )


def _observe_all(
    scene: Scene,
    seed: int,
    stars: Table,
    out: Path,
    *,
    workers: int,
    progress: Progress | None,
) -> list[_Record]:
    """Run `_observe` for every detector, in this process or in several."""
    each = sum(e.nramp * e.pattern.nread for e in plan_night(scene))
    total, done = each * len(scene.detectors), 0

    def advance(count: int = 1) -> None:
        """Report `count` more reads."""
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    if workers <= 1:
        return [_observe(scene, seed, name, stars, out, advance) for name in scene.detectors]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_observe, scene, seed, name, stars, out) for name in scene.detectors]
        for _ in as_completed(jobs):
            advance(each)
        return [job.result() for job in jobs]
