"""Which files an association's member stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import AssociationError, InputError, complaint

__all__ = ["MemberFinder", "level_of", "stem_of"]

_ENDINGS = (".fits", ".fits.gz")
_NAME = re.compile(
    r"(?P<head>.+?)(?:_LVL(?P<level>\d))?_(?P<exposure>\d{4,})(?:-\d+-\d+)?(?P<rest>_.+)?"
)
_WINDOW = ("SUBARRID", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")

Identity = tuple[Any, ...]


def stem_of(name: str) -> tuple[str, ...]:
    """Take from a file name what all files of an exposure at one level share.

    Parameters
    ----------
    name : str
        File name, or the stem of an exposure.

    Returns
    -------
    tuple of str
        Without folder, ending, level, ramp and read number; names of another form as they are.

    Examples
    --------
    >>> stem_of("2026B-P001-001_IRIS_IMG1_SCI_LVL0_0001-01-0003.fits")
    ('2026B-P001-001_IRIS_IMG1_SCI', '0001', '')
    """
    bare = _without_ending(Path(name).name)
    found = _NAME.fullmatch(bare)
    return (bare,) if found is None else (found["head"], found["exposure"], found["rest"] or "")


def level_of(name: str) -> int | None:
    """Take the level from a file name.

    Parameters
    ----------
    name : str
        File name or stem.

    Returns
    -------
    int or None
        None if the name has none.
    """
    found = _NAME.fullmatch(_without_ending(Path(name).name))
    return int(found["level"]) if found is not None and found["level"] else None


def _without_ending(name: str) -> str:
    """Take ``.fits`` or ``.fits.gz`` off a name."""
    return re.sub(r"\.fits(\.gz)?$", "", name, flags=re.IGNORECASE)


@dataclass
class MemberFinder:
    """Finds the files of members; every folder is listed and every header is read only once.

    Attributes
    ----------
    folder : Path
        Folder that the names of members are relative to.
    """

    folder: Path
    _stems: dict[Path, dict[tuple[str, ...], list[Path]]] = field(default_factory=dict, repr=False)
    _raw: dict[Path, _RawFiles] = field(default_factory=dict, repr=False)

    def named(self, expname: str) -> tuple[Path, ...]:
        """Find the files that fit a member's name, without looking into them.

        Parameters
        ----------
        expname : str
            Relative name of a file, or the stem of an exposure.

        Returns
        -------
        tuple of Path
            The file itself, or all files of that stem, at its level or else the lowest; may be
            empty.
        """
        path = self.folder / expname
        if path.is_file():
            return (path,)
        if expname.lower().endswith(_ENDINGS):
            return ()
        found = self._by_stem(path.parent).get(stem_of(path.name), [])
        levels = {level_of(item.name) or 0 for item in found}
        wanted = level_of(path.name)
        if wanted is None:
            wanted = min(levels, default=0)
        return tuple(item for item in found if (level_of(item.name) or 0) == wanted)

    def files(self, expname: str) -> tuple[Path, ...]:
        """Find all files of a member.

        Parameters
        ----------
        expname : str
            Relative name of a file, or the stem of an exposure.

        Returns
        -------
        tuple of Path
            For a product, the product; for a raw exposure all its reads beside the one named,
            found by their headers, whatever they are called.

        Raises
        ------
        AssociationError
            If there is no such file.
        InputError
            If the header of the file named cannot be read.
        """
        named = self.named(expname)
        if not named:
            raise AssociationError(
                complaint(
                    expname,
                    "member",
                    f"nothing of that name in {self.folder}",
                    "a file, or the stem of an exposure",
                    "correct expname or add the file",
                )
            )
        header = models.read_metadata(named[0])
        wanted = _identity(header)
        if wanted is None:
            return named
        raw = self._raw_files(named[0].parent)
        stem = stem_of(named[0].name)
        unreadable = [p for p in raw.unreadable.get(stem, ()) if level_of(p.name) in (0, None)]
        return tuple(sorted({*named, *raw.by_identity.get(wanted, ()), *unreadable}))

    def header(self, expname: str) -> Mapping[str, Any]:
        """Read the PRIMARY keywords of the first file that fits a member's name."""
        return models.read_metadata(self.named(expname)[0])

    def _by_stem(self, folder: Path) -> dict[tuple[str, ...], list[Path]]:
        """Sort the FITS files of a folder by their stems."""
        if folder not in self._stems:
            items = sorted(folder.iterdir()) if folder.is_dir() else []
            stems: dict[tuple[str, ...], list[Path]] = defaultdict(list)
            for item in items:
                if item.name.lower().endswith(_ENDINGS) and not item.name.startswith("."):
                    stems[stem_of(item.name)].append(item)
            self._stems[folder] = dict(stems)
        return self._stems[folder]

    def _raw_files(self, folder: Path) -> _RawFiles:
        """Sort the raw files of a folder by the exposures that their headers name."""
        if folder not in self._raw:
            raw = _RawFiles()
            for stem, paths in self._by_stem(folder).items():
                for path in paths:
                    try:
                        identity = _identity(models.read_metadata(path))
                    except (InputError, OSError):
                        raw.unreadable[stem].append(path)
                        continue
                    if identity is not None:
                        raw.by_identity[identity].append(path)
            self._raw[folder] = raw
        return self._raw[folder]


@dataclass
class _RawFiles:
    """The raw files of a folder: by exposure, and by stem those that cannot be read."""

    by_identity: dict[Identity, list[Path]] = field(default_factory=lambda: defaultdict(list))
    unreadable: dict[tuple[str, ...], list[Path]] = field(default_factory=lambda: defaultdict(list))


def _identity(header: Mapping[str, Any]) -> Identity | None:
    """Give what identifies a raw exposure; None for a product or a file without identity."""
    detector = header.get("DETECTOR") or header.get("DET_ID")
    identity = (header.get("OBS_ID"), detector, header.get("EXP_NO"))
    if header.get("DATALVL") not in (None, 0) or None in identity:
        return None
    window = str(header.get("SUBARRAY") or "FULL").strip().upper()
    geometry = () if window == "FULL" else tuple(header.get(key) for key in _WINDOW)
    return (*identity, window, *geometry)
