"""Products made again from what they say of themselves: all bits, and every change named."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, at_least, within
from liger_iris_pipeline.errors import ReplayError

__all__ = ["ReplayCell", "groups"]


@dataclass(frozen=True)
class ReplayCell:
    """A simulated night whose products are made again.

    Attributes
    ----------
    seed : int
        Seed of the night.
    detectors : tuple of str
        Detectors of the imager that take part.
    size : int
        Side of a detector [pixel].
    """

    seed: int
    detectors: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        return f"{len(self.detectors)} detectors of {self.size}² pixels"


def measure(cell: ReplayCell, rng: np.random.Generator) -> Measured:
    """Simulate and reduce a night, then make every product and master again; then change one thing at a time."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        products = _night(cell, home)
        failures = []
        for path in products:
            lost = _difference(path, home)
            if lost:
                failures.append(f"{path.name}: {lost}")
        missed = [what for what, named in _changes(home).items() if not named]
    figures = {
        "identical": Figure((len(products) - len(failures)) / len(products)),
        "unnamed": Figure(len(missed)),
    }
    error = "; ".join([*failures[:1], *(f"not named: {what}" for what in missed)])
    return Measured(cell, figures, len(products), error=error)


def _night(cell: ReplayCell, home: Path) -> list[Path]:
    """Simulate, calibrate and reduce a night; list what was made by pipelines."""
    from liger_iris_pipeline.pipelines.calibrate import calibrate
    from liger_iris_pipeline.pipelines.night import reduce
    from liger_iris_pipeline.simulator import (
        CalibrationPlan,
        Format,
        ReadPattern,
        Scene,
        StarField,
        simulate,
    )

    scene = Scene(
        format=Format(cell.size, cell.size, 4, 4),
        stars=StarField(count=70, faintest=500.0, brightest=30_000.0),
        dithers=((0.0, 0.0), (0.1013, -0.0871), (-0.0729, 0.0917)),
        calibration=CalibrationPlan(darks=3, flats=3),
        pattern=ReadPattern(nframe=5),
        detectors=cell.detectors,
    )
    raw = simulate(scene, home / "raw", seed=cell.seed).folder
    masters = calibrate(raw, home / "refs")
    return [*masters, *reduce([raw], home / "out", refs=home / "refs")]


def _difference(product: Path, home: Path) -> str:
    """Make a product again; say what is not as it was, empty where nothing is."""
    from liger_iris_pipeline.pipelines.replay import replay

    try:
        found = replay(product, find_in=[home])
    except ReplayError as error:
        return str(error)
    return "; ".join(str(change) for change in found.changes)


def _changes(home: Path) -> dict[str, bool]:
    """Change a parameter, a pixel of an input, a reference, take an input away: say which were named."""
    from liger_iris_pipeline.pipelines.replay import replay

    first, second = (sorted((home / "out").glob(f"*_LVL{level}_*.fits"))[0] for level in (1, 2))
    named = {}
    found = replay(second, find_in=[home], change={"iris_sky_subtract.mode": "constant"})
    told = {change.what for change in found.changes}
    named["parameter"] = "iris_sky_subtract.mode" in told and not found.identical
    own = home / "own"
    own.mkdir()
    for pattern in ("out/*_LVL[12]_*.fits", "refs/*.fits", "raw/*.fits"):
        for source in home.glob(pattern):
            shutil.copy(source, own)
    read = next(own.glob(f"{first.name.removesuffix('.fits').replace('LVL1', 'LVL0')}-*"))
    dark = next(own.glob(f"*{read.name.split('_')[2]}_DARK_2*"))
    with tempfile.TemporaryDirectory(dir=home.parent) as elsewhere:
        apart = Path(shutil.move(own, elsewhere))
        for what, file, product in (
            ("pixel of an input", read, first),
            ("reference", dark, second),
        ):
            place = apart / file.name
            kept = place.read_bytes()
            _flip(place)
            named[what] = _is_named(apart / product.name, file.name)
            place.write_bytes(kept)
        (apart / read.name).unlink()
        named["input that is gone"] = _is_named(apart / first.name, read.name)
    return named


def _flip(path: Path) -> None:
    """Change one pixel of the first image of a file."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.is_image and hdu.size)
        image.data[image.data.shape[0] // 2, image.data.shape[1] // 2] += 1
        hdus.writeto(path, overwrite=True, checksum=True)


def _is_named(product: Path, file: str) -> bool:
    """Say whether replay refuses a product and names a file."""
    from liger_iris_pipeline.pipelines.replay import replay

    try:
        replay(product)
    except ReplayError as error:
        return str(error).startswith(f"{file}: ")
    return False


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Ask for all products and all changes."""
    one = measured[0]
    nothing = Figure(math.nan)
    share, missed = (one.figures.get(key, nothing).value for key in ("identical", "unnamed"))
    of_products = f"{one.count} products of {one.cell}, masters and catalogue with them"
    of_changes = "a parameter, a pixel of an input, a reference, an input that is gone"
    return [
        Row(
            "products replayed bit for bit",
            share,
            "",
            at_least(1.0),
            count=one.count,
            detail=one.error or of_products,
        ),
        Row(
            "changes that are not named",
            missed,
            "",
            within(0, 0, "0 of 4"),
            count=4,
            detail=one.error or of_changes,
        ),
    ]


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of replays.

    Parameters
    ----------
    quick : bool
        One detector of 128² pixels instead of four of 256².
    seed : int
        Seed of the night.

    Returns
    -------
    list of Group
        One cell and its rows.
    """
    about = (
        "Every product of a simulated night, level 1 to 3 with the catalogue and the masters, is made again from its "
        "own tables: inputs and references by checksum, parameters from the receipt."
    )
    four = ("IMG1", "IMG2", "IMG3", "IMG4")
    cell = ReplayCell(seed, ("IMG1",), 128) if quick else ReplayCell(seed, four, 256)
    return [Group("replay", about, (cell,), measure, _judge)]
