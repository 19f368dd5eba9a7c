"""Frames on disk, read by bands of rows: many of them can be combined in little memory.

`FrameBands` reads frames from their files, `ScratchBands` frames that were made on the way.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.fitsfile import MEND, Fault, Hdu, survey

__all__ = ["FrameBands", "ScratchBands"]

_PLANES = ("SCI", "VAR_RNOISE", "VAR_POISSON", "DQ")
_FLOAT, _INTEGER = -32, 32
_UNSIGNED = 1 << 31
_PIXEL = 4  # bytes, of every plane
_GZIP = b"\x1f\x8b"


class _Source(NamedTuple):
    """Where the planes of a frame lie."""

    path: Path
    stream: BinaryIO | None  # of what was packed; None: the file itself
    starts: tuple[int, ...]


class FrameBands:
    """Frames of one shape, level 1 or 2, of which only bands of rows are read.

    Parameters
    ----------
    paths : sequence of Path
        FITS files with SCI, VAR_RNOISE, VAR_POISSON and DQ. Files packed by gzip are unpacked into temporary files
        without a name, which :meth:`close` gives back.

    Raises
    ------
    ProductError
        If there is no file, one cannot be read or lacks a plane, or they differ in shape.

    Notes
    -----
    Between calls nothing is kept but where the planes lie. A frame has no `var_flat`: it is not known to be
    independent from frame to frame.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise ProductError(
                complaint("frames", "files", "none", "at least one frame", "give frames")
            )
        self._open = ExitStack()
        try:
            found = [self._source(Path(path)) for path in paths]
        except BaseException:
            self.close()
            raise
        self._sources = [source for source, _ in found]
        self.shape: tuple[int, int] = found[0][1]
        for source, shape in found:
            if shape != self.shape:
                self.close()
                got, expected = f"shape {shape}", f"{self.shape} as in {found[0][0].path.name}"
                remedy = "give frames of one detector and window"
                raise ProductError(complaint(source.path, "SCI", got, expected, remedy))

    def __len__(self) -> int:
        return len(self._sources)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give temporary files back; may be called again."""
        self._open.close()

    def rows(self, index: int, rows: slice) -> Frame:
        """Read a band of one frame.

        Parameters
        ----------
        index : int
            Number of the frame, from 0.
        rows : slice
            Rows, without a step.

        Returns
        -------
        Frame
            The band.

        Raises
        ------
        ProductError
            If the file is not what it was when it was opened.
        """
        source = self._sources[index]
        begin, end, _ = rows.indices(self.shape[0])
        try:
            if source.stream is not None:
                planes = self._planes(source, source.stream, begin, end)
            else:
                with source.path.open("rb") as stream:
                    planes = self._planes(source, stream, begin, end)
        except OSError as error:
            raise _changed(source.path, error.strerror or error) from error
        return Frame(*planes)

    def _planes(self, source: _Source, stream: BinaryIO, begin: int, end: int) -> list[Any]:
        """Read the same rows of all planes."""
        nx = self.shape[1]
        planes: list[npt.NDArray[Any]] = []
        for name, start in zip(_PLANES, source.starts, strict=True):
            stream.seek(start + begin * nx * _PIXEL)
            data = stream.read((end - begin) * nx * _PIXEL)
            if len(data) != (end - begin) * nx * _PIXEL:
                raise _changed(source.path, f"{len(data)} bytes of {name}")
            plane: npt.NDArray[Any]
            if name == "DQ":
                plane = np.frombuffer(data, ">u4").astype(np.uint32) ^ np.uint32(_UNSIGNED)
            else:
                plane = np.frombuffer(data, ">f4").astype(np.float32)
            planes.append(plane.reshape(end - begin, nx))
        return planes

    def _source(self, path: Path) -> tuple[_Source, tuple[int, int]]:
        """Find the planes of a file."""
        try:
            with path.open("rb") as plain:
                packed = plain.read(2) == _GZIP
                stream = self._unpacked(plain) if packed else plain
                size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                skeleton = survey(stream, size)
                hdus = [_plane(skeleton.get(name), name) for name in _PLANES]
            shape = _common_shape(hdus)
        except (OSError, EOFError, zlib.error) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            remedy = "check its name and permissions"
            message = complaint(path, "file", f"'{said}'", "a readable FITS file", remedy)
            raise ProductError(message) from error
        except Fault as fault:
            raise fault.as_error(path, ProductError) from fault
        starts = tuple(hdu.data_start for hdu in hdus)
        return _Source(path, stream if packed else None, starts), shape

    def _unpacked(self, plain: BinaryIO) -> BinaryIO:
        """Unpack into a temporary file, piece by piece."""
        plain.seek(0)
        # closed with all the others, by close()
        target = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        with gzip.open(plain, "rb") as stream:
            shutil.copyfileobj(stream, target)
        return cast("BinaryIO", target)


class ScratchBands:
    """Frames of one shape, put into a temporary file one after another, of which only bands of rows are read.

    The file has no name and takes 16 bytes a pixel and frame; :meth:`close` gives it back.

    Notes
    -----
    A frame loses its `var_flat`, as those of :class:`FrameBands` do.
    """

    def __init__(self) -> None:
        # closed by close()
        self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115
        self._count = 0
        self.shape: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the temporary file back; may be called again."""
        self._file.close()

    def add(self, frame: Frame) -> None:
        """Put a frame behind those that are there.

        Parameters
        ----------
        frame : Frame
            Planes (ny, nx).

        Raises
        ------
        ProductError
            If it has another shape than those before.
        OSError
            If there is no room for it.
        """
        self.shape = self.shape if self._count else frame.rate.shape
        if frame.rate.shape != self.shape:
            got, expected = f"shape {frame.rate.shape}", f"{self.shape} as the first"
            remedy = "give frames of one detector and window"
            raise ProductError(complaint(f"frame {self._count + 1}", "SCI", got, expected, remedy))
        self._file.seek(self._start(self._count, 0))
        for plane in (frame.rate, frame.var_read, frame.var_photon, frame.dq):
            self._file.write(np.ascontiguousarray(plane).data)
        self._file.flush()
        self._count += 1

    def rows(self, index: int, rows: slice) -> Frame:
        """Read a band of one frame.

        Parameters
        ----------
        index : int
            Number of the frame, from 0.
        rows : slice
            Rows, without a step.

        Returns
        -------
        Frame
            The band.
        """
        begin, end, _ = rows.indices(self.shape[0])
        size = (end - begin) * self.shape[1]
        planes: list[npt.NDArray[Any]] = []
        for number, kind in enumerate((np.float32, np.float32, np.float32, np.uint32)):
            self._file.seek(self._start(index, number) + begin * self.shape[1] * _PIXEL)
            plane = np.frombuffer(self._file.read(size * _PIXEL), kind)
            planes.append(plane.reshape(end - begin, self.shape[1]))
        return Frame(*planes)

    def _start(self, index: int, plane: int) -> int:
        """Say where a plane of a frame begins."""
        return (index * len(_PLANES) + plane) * self.shape[0] * self.shape[1] * _PIXEL


def _common_shape(hdus: Sequence[Hdu]) -> tuple[int, int]:
    """Refuse planes that differ in shape."""
    ny, nx = hdus[0].shape
    for hdu in hdus:
        if hdu.shape != (ny, nx):
            remedy = "reduce the exposure anew"
            raise Fault(hdu.name, f"shape {hdu.shape}", f"{(ny, nx)} as SCI", remedy)
    return ny, nx


def _plane(hdu: Hdu | None, name: str) -> Hdu:
    """Refuse a plane that is not there or whose pixels are not as they are written here."""
    if hdu is None:
        raise Fault(name, "nothing", "a plane", "reduce the exposure anew")
    if hdu.header.get("ZIMAGE") is True:
        raise Fault(name, "a compressed image", "plain pixels", "unpack it with funpack")
    expected = _INTEGER if name == "DQ" else _FLOAT
    zero = hdu.header.get("BZERO") or 0
    scale = hdu.header.get("BSCALE")
    wanted = (expected, _UNSIGNED if name == "DQ" else 0)
    if (hdu.bitpix, zero) != wanted or scale not in (None, 1) or len(hdu.shape) != 2:
        got = f"BITPIX {hdu.bitpix}, BZERO {zero:g}, {len(hdu.shape)} axes"
        raise Fault(name, got, f"BITPIX {wanted[0]}, BZERO {wanted[1]}, 2 axes", MEND)
    return hdu


def _changed(path: Path, got: object) -> ProductError:
    """Say that a file is not what it was."""
    remedy = "leave files alone while they are combined"
    return ProductError(complaint(path, "file", got, "the file as it was opened", remedy))
