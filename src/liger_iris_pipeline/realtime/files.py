"""Files of a folder that are still being written, moved and copied: the scan is the truth, notices only hasten it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Notices", "Stamp", "scan"]

ENDINGS = (".fits", ".fits.gz")
LEFT_OUT = frozenset({"refs", "truth"})
"""Folders beside the reads that hold no reads: the store and what a simulation knows."""

_LISTENED_MS = 50
_REMOTE = ("nfs", "cifs", "smb", "fuse", "gpfs", "lustre", "9p", "ceph", "afs")
"""File systems whose changes made elsewhere the kernel gives no notice of."""


class Stamp(NamedTuple):
    """What changes when a file does.

    Attributes
    ----------
    size : int
        Bytes.
    modified, changed : int
        When its content, and when anything of it, was last changed [ns].
    inode : int
        Number of the file.
    """

    size: int
    modified: int
    changed: int
    inode: int


NOTHING = Stamp(-1, 0, 0, 0)
"""Of a name that leads nowhere, such as a loop of links."""


def scan(folder: Path, leave_out: Collection[Path] = ()) -> dict[Path, Stamp]:
    """List the FITS files of a folder and of the folders in it.

    Parameters
    ----------
    folder : Path
        The folder; links to other folders are not followed.
    leave_out : collection of Path
        Folders that are not looked into, beside hidden ones, ``refs`` and ``truth``.

    Returns
    -------
    dict
        Stamp by path. Names that begin with a dot are those of files that are not finished.
    """
    shunned = {str(path.resolve()) for path in leave_out}
    return dict(_walk(str(folder), shunned))


def _walk(folder: str, shunned: set[str]) -> Iterator[tuple[Path, Stamp]]:
    """Give the files of a folder, then those of the folders in it."""
    below = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry)
                elif entry.name.endswith(ENDINGS):
                    yield Path(entry.path), _stamp(entry)
    except OSError:  # it was taken away while we looked
        return
    for entry in below:
        if entry.name not in LEFT_OUT and os.path.realpath(entry.path) not in shunned:
            yield from _walk(entry.path, shunned)


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    """Give the stamp of a file; of a link, that of what it leads to."""
    try:
        found = entry.stat()
    except OSError:
        return NOTHING
    if not stat.S_ISREG(found.st_mode):
        return NOTHING
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class Notices:
    """Says that something in a folder may have changed, as soon as the system tells.

    Where it cannot tell, as on a file system of another machine, the folder is polled. Losing a notice delays a file
    until the next scan and does nothing else.

    Parameters
    ----------
    folder : Path
        The folder, with those in it.

    Attributes
    ----------
    reader : int
        A descriptor that can be read from when there is a notice.
    """

    def __init__(self, folder: Path) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(folder,), daemon=True)
        self._thread.start()

    def _listen(self, folder: Path) -> None:
        """Pass notices on until the end."""
        from watchfiles import watch

        try:
            for _ in watch(
                folder,
                watch_filter=None,
                debounce=_LISTENED_MS,
                step=10,
                stop_event=self._end,
                force_polling=is_remote(folder),
                ignore_permission_denied=True,
                raise_interrupt=False,
            ):
                self._tell()
        except (OSError, RuntimeError):  # such as no more watches: the scan goes on without notices
            return

    def _tell(self) -> None:
        """Make the descriptor readable."""
        try:
            os.write(self._writer, b"!")
        except (BlockingIOError, OSError):
            return

    def clear(self) -> None:
        """Forget the notices so far."""
        try:
            while os.read(self.reader, 4096):
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Listen no more."""
        self._end.set()
        self._thread.join(timeout=5.0)
        os.close(self._writer)
        os.close(self.reader)


def is_remote(folder: Path) -> bool:
    """Say whether a folder lies on a file system that another machine may change.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    bool
        By the type of the mount it lies on; False where the system does not say.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    place, best, kind = str(folder.resolve()), "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split()[4].replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, after.split()[0]
    return kind.startswith(_REMOTE)
