"""The folder of the products: what is in it says what is left to do.

::

    OUT/NAME.fits                   products
    OUT/NAME_preview.png            their pictures
    OUT/associations/NAME.json      exposures and calibrations a level 2 product is made of
    OUT/blocks/OBS_ID.json          calibrations chosen for an observing block, once
    OUT/quarantine/FILE.reason      why a raw file is not used
    OUT/failed/EXPOSURE.reason      why an exposure has no product
    OUT/status.json                 what is waiting and running, for ``iris-drs status``
    OUT/.watch.lock                 held by the one process that may write here
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from astropy.io import fits

from liger_iris_pipeline.errors import UsageError, WatchError, complaint, disk_error

__all__ = ["Outputs", "is_held", "put"]

LOCK = ".watch.lock"
STATUS = "status.json"


class Outputs:
    """A folder of products.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.associations = folder / "associations"
        self.blocks = folder / "blocks"
        self._quarantine = folder / "quarantine"
        self._failed = folder / "failed"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no other process writes products here.

        Raises
        ------
        UsageError
            If it is a file.
        WatchError
            If another process holds it.
        DiskError
            If it cannot be made.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(
                complaint(str(self.folder), "--out", "a file", "a folder", "name a folder")
            )
        try:
            self.associations.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise disk_error(error, self.folder) from error
        try:
            self._lock(descriptor)
            for stale in self.folder.glob(".*.part"):
                stale.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Take the lock; the system lets it go when the process ends, however it ends."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "another one"
            raise WatchError(
                complaint(
                    str(self.folder),
                    "watch",
                    f"one that is running (process {owner})",
                    "none",
                    "stop it or choose another --out",
                )
            ) from None
        with suppress(OSError):  # a full disk: the lock holds without the number in it
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def has(self, name: str) -> bool:
        """Say whether a product is there."""
        return (self.folder / name).exists()

    def inputs_of(self, name: str) -> dict[str, str]:
        """Give what a product was made of: checksum by file name; empty if it does not say."""
        try:
            with fits.open(self.folder / name) as hdus:
                rows = hdus["INPUTS"].data
                return {str(row["file"]): str(row["sha256"]) for row in rows}
        except (OSError, KeyError, ValueError):
            return {}

    def refuse(self, file: Path, reason: str) -> None:
        """Write down why a raw file is not used.

        Parameters
        ----------
        file : Path
            Relative to the folder that is watched.
        reason : str
            One line.
        """
        _write_text(_beside(self._quarantine, file), f"{reason}\n")

    def accept(self, file: Path) -> None:
        """Take back what :meth:`refuse` wrote: the file has become good."""
        _beside(self._quarantine, file).unlink(missing_ok=True)

    def reason_of(self, file: Path) -> str | None:
        """Give the reason why a file is not used; None where there is none."""
        return _read_text(_beside(self._quarantine, file))

    def refused(self) -> dict[str, str]:
        """Give the reasons why raw files are not used, by name."""
        return _reasons(self._quarantine)

    def fail(self, exposure: str, reason: str) -> None:
        """Write down why an exposure has no product."""
        _write_text(self._failed / f"{exposure}.reason", f"{reason}\n")

    def recover(self, exposure: str) -> None:
        """Take back what :meth:`fail` wrote."""
        (self._failed / f"{exposure}.reason").unlink(missing_ok=True)

    def failed(self) -> dict[str, str]:
        """Give the reasons why exposures have no products, by name."""
        return _reasons(self._failed)

    def products(self) -> list[Path]:
        """List the products."""
        return sorted(p for p in self.folder.glob("*.fits") if not p.name.startswith("."))

    def write_status(self, content: Mapping[str, Any]) -> None:
        """Write what is waiting and running; a disk that is full does not matter here."""
        with suppress(OSError):
            put(self.folder / STATUS, json.dumps(content, indent=1) + "\n", durable=False)

    def read_status(self) -> dict[str, Any]:
        """Read what :meth:`write_status` wrote last; empty if there is nothing."""
        try:
            content = json.loads((self.folder / STATUS).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def is_held(folder: Path) -> bool:
    """Say whether a process holds a folder of products."""
    try:
        with (folder / LOCK).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _beside(folder: Path, file: Path) -> Path:
    """Name the reason of a file, in the folders that the file lies in."""
    return folder / file.with_name(f"{file.name}.reason")


def _reasons(folder: Path) -> dict[str, str]:
    """Read all reasons in a folder."""
    found = {}
    for path in sorted(folder.rglob("*.reason")):
        text = _read_text(path)
        if text is not None:
            found[path.relative_to(folder).as_posix().removesuffix(".reason")] = text
    return found


def _read_text(path: Path) -> str | None:
    """Read a line; None where there is none."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _write_text(path: Path, text: str) -> None:
    """Write a small file that appears complete in one instant."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, text, durable=True)
    except OSError as error:
        raise disk_error(error, path) from error


def put(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file that appears complete in one instant.

    Parameters
    ----------
    path : Path
        The file; another of that name is replaced.
    text : str
        Its content.
    durable : bool
        Whether it must outlast a power cut.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name[:64]}.part")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
