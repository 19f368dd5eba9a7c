"""Make a night of full detectors to time a reduction on, within a minute.

One exposure of four detectors: raw reads whose headers pass every check, a store of references and
the light that was put in. The physics is the simulator's but for the noise, one tile of it used
again with shifts: two reads have the same noise in other places, which a fit that goes pixel by
pixel cannot notice.

``python fullnight.py FOLDER`` makes one; what is there is used again if it is the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReadPattern,
    Scene,
    StarField,
    named_scene,
)
from liger_iris_pipeline.simulator.cosmics import draw_hits
from liger_iris_pipeline.simulator.detector import (
    DetectorTruth,
    curve_scale,
    draw_detector,
    linear_to_measured,
)
from liger_iris_pipeline.simulator.headers import exposure_header, nominal_saturation, read_header
from liger_iris_pipeline.simulator.night import light_on_detector
from liger_iris_pipeline.simulator.plan import Exposure, iso, plan_night, read_name
from liger_iris_pipeline.simulator.references import write_references
from liger_iris_pipeline.simulator.stars import draw_stars
from liger_iris_pipeline.simulator.tables import as_table

__all__ = ["BenchmarkNight", "make_night"]

FULL = 4096
SEED = 1
#: Rows by which the tile of noise is higher than the detector: so many places it can be put at.
SHIFTS = 512
#: Pixels that are worked on at a time.
BLOCK = 1 << 16
#: Relative error of the flat, error of the dark [e-/s].
FLAT_ERROR, DARK_ERROR = 0.001, 0.002
_DONE = "night.json"

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BenchmarkNight:
    """A night to reduce.

    Attributes
    ----------
    folder : Path
        ``reads``, ``refs`` and ``truth`` lie in it.
    size, nread : int
        Side of the detectors [pixel], reads of a ramp.
    detectors : tuple of str
        Their names.
    """

    folder: Path
    size: int
    nread: int
    detectors: tuple[str, ...]

    @property
    def refs(self) -> Path:
        """The store."""
        return self.folder / "refs"

    def reads(self, detector: str) -> list[Path]:
        """List the reads of a detector."""
        return sorted((self.folder / "reads").glob(f"*_{detector}_SCI_LVL0_*.fits"))

    def light(self, detector: str) -> Float32:
        """Load the light on a detector (ny, nx) before its flat, sky included [e-/s]."""
        return np.asarray(np.load(_light_file(self.folder, detector)), np.float32)

    @property
    def scene(self) -> Scene:
        """What was looked at."""
        full = self.size >= FULL
        return replace(
            named_scene("imager", "full"),
            format=Format(self.size, self.size, 4, 64),
            stars=StarField(count=6000 if full else 6000 * self.size**2 // FULL**2),
            pattern=ReadPattern(nframe=self.nread),
            dithers=((0.0, 0.0),),
            calibration=CalibrationPlan(darks=0, flats=0),
            detectors=self.detectors,
        )

    def description(self) -> dict[str, Any]:
        """Describe it, so that one that is there can be compared."""
        return {"size": self.size, "seed": SEED, "scene": asdict(self.scene)}


def make_night(night: BenchmarkNight, workers: int = 2) -> bool:
    """Make a night unless the same one is there.

    Parameters
    ----------
    night : BenchmarkNight
        What is wanted; its folder is replaced if it holds another night.
    workers : int
        Processes, each of about 1 GB for a full detector.

    Returns
    -------
    bool
        Whether it had to be made.

    Raises
    ------
    SystemExit
        If the folder holds something else.
    """
    mark = night.folder / _DONE
    wanted = json.loads(json.dumps(night.description()))
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return False
    if night.folder.exists() and any(night.folder.iterdir()) and not mark.exists():
        raise SystemExit(
            f"{night.folder}: got other files, expected a benchmark night or nothing; name another folder"
        )
    shutil.rmtree(night.folder, ignore_errors=True)
    for name in ("reads", "refs", "truth"):
        (night.folder / name).mkdir(parents=True)
    mark.write_text("{}\n")  # what is cut off is made again
    stars = as_table(draw_stars(night.scene, np.random.default_rng(SEED)))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        jobs = [pool.submit(_make_detector, night, name, stars) for name in night.detectors]
        for job in jobs:
            job.result()
    mark.write_text(json.dumps(wanted) + "\n")
    return True


def _light_file(folder: Path, detector: str) -> Path:
    return folder / "truth" / f"{detector}_light.npy"


def _make_detector(night: BenchmarkNight, name: str, stars: Any) -> None:
    """Write reads, references and light of one detector."""
    scene = night.scene
    (exposure,) = plan_night(scene)
    truth = draw_detector(scene, name, SEED)
    write_references(night.refs, truth, scene, SEED)
    _write_dark_and_flat(night.refs, truth, scene)
    light = light_on_detector(scene, exposure, truth, stars)
    np.save(_light_file(night.folder, name), light)
    light *= truth.flat
    light += truth.dark
    saturate = nominal_saturation(truth, scene)
    shared = exposure_header(exposure, truth, scene, SEED, saturate=saturate)
    for number, counts in enumerate(_reads(truth, scene, light), start=1):
        header = read_header(shared, exposure, 1, number, scene, SEED)
        path = night.folder / "reads" / read_name(exposure, name, 1, number)
        _write_read(path, counts, header, exposure)


def _write_read(
    path: Path, counts: npt.NDArray[np.uint16], header: fits.Header, exposure: Exposure
) -> None:
    hdu = fits.PrimaryHDU(counts, header=header)
    hdu.add_checksum(when=iso(exposure.start))
    hdu.writeto(path)


def _reads(truth: DetectorTruth, scene: Scene, rate: Float32) -> Iterator[npt.NDArray[np.uint16]]:
    """Yield the counts of the reads of a ramp, in one buffer that is used again."""
    rng = np.random.default_rng((SEED, truth.index))
    ny, nx = scene.format.shape
    tile = rng.standard_normal((ny + SHIFTS, nx), dtype=np.float32)
    times = scene.pattern.times
    shifts = rng.choice(SHIFTS, (len(times), 2), replace=False)
    hits = draw_hits(scene.physics, scene.format, times, rng)
    hits = hits[rng.random(hits.size) < 0.1]  # a few are enough
    charge = np.zeros((ny, nx), np.float32)
    counts = np.empty((ny, nx), np.uint16)
    for number, seconds in enumerate(np.diff(times, prepend=0.0), start=1):
        photons, electronics = shifts[number - 1]
        new = hits[hits["read"] == number]
        charge[new["y"], new["x"]] += new["charge"]
        for y in range(0, ny, max(1, BLOCK // nx)):
            rows = slice(y, y + max(1, BLOCK // nx))
            arriving = rate[rows] * np.float32(seconds)
            arriving += np.sqrt(arriving) * tile[photons:][rows][: arriving.shape[0]]
            charge[rows] += arriving
            counts[rows] = _digitise(truth, scene, charge, tile[electronics:], rows)
        yield counts


def _digitise(
    truth: DetectorTruth, scene: Scene, charge: Float32, tile: Float32, rows: slice
) -> Float32:
    """Turn charge of some rows [e-] into counts [DN]: full well, curve, pedestal, read noise."""
    gain = truth.gain[rows]
    held = np.minimum(charge[rows], truth.full_well[rows])
    scale = curve_scale(scene.physics, truth.nominal_gain)
    raw = linear_to_measured(held / gain, truth.curvature[rows], scale)
    raw += truth.pedestal[rows]
    raw += np.float32(scene.physics.bias)
    raw += truth.read_noise[rows] / gain * tile[rows][: raw.shape[0]]
    return np.asarray(np.clip(np.rint(raw, out=raw), 0, 65535, out=raw))


def _write_dark_and_flat(folder: Path, truth: DetectorTruth, scene: Scene) -> None:
    """Write the references that the simulator leaves to the makers."""
    rng = np.random.default_rng((SEED, 100 + truth.index))
    noise = rng.standard_normal(scene.format.shape, dtype=np.float32)
    inner = ~scene.format.reference
    dark = truth.dark + np.where(inner, np.float32(DARK_ERROR) * noise, np.float32(0))
    flat = truth.flat * (1 + np.float32(FLAT_ERROR) * noise[::-1])
    planes = {"DARK": (dark, np.full_like(dark, DARK_ERROR)), "FLAT": (flat, FLAT_ERROR * flat)}
    for reftype, (value, error) in planes.items():
        cards = {
            "TELESCOP": "TMT", "INSTRUME": "IRIS", "DETECTOR": truth.name, "REFTYPE": reftype,
            "REFVER": "0001", "USEAFTER": f"{scene.night}T00:00:00", "SAMPMODE": "UTR",
            "FILTER": scene.filter_name if reftype == "FLAT" else "ANY", "SUBARRAY": "FULL",
            "INSTMODE": "IMG", "NOUTPUTS": scene.format.noutputs, "MJD-OBS": 61327.2,
        }  # fmt: skip
        hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards))])
        arrays = {"SCI": value, "ERR": error.astype(np.float32), "DQ": np.zeros_like(truth.bad)}
        for name, array in arrays.items():
            hdus.append(fits.ImageHDU(array, name=name))
        stamp = f"{scene.night.replace('-', '')}T000000"
        hdus.writeto(folder / f"IRIS_{truth.name}_{reftype}_{stamp}_0001.fits")


def main() -> int:
    """Make a night and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="where; a folder in memory such as /dev/shm/… is fastest"
    )
    parser.add_argument("--size", type=int, default=FULL, help="side of the detectors [4096]")
    parser.add_argument("--reads", type=int, default=30, help="reads of a ramp [30]")
    arguments = parser.parse_args()
    scene = named_scene("imager", "full")
    night = BenchmarkNight(arguments.folder, arguments.size, arguments.reads, scene.detectors)
    start = time.perf_counter()
    made = make_night(night)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        f"{'made' if made else 'found'} in {time.perf_counter() - start:.0f} s,"
        f" largest process {peak / 1e9:.2f} GB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
