"""Models of files that are needed again and again, kept open by a long-lived process."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from liger_iris_pipeline.models.base import IrisDataModel
from liger_iris_pipeline.models.digest import file_state
from liger_iris_pipeline.models.opening import open as open_model

__all__ = ["ModelCache"]

_State = tuple[Path, int, int]


class ModelCache:
    """Open files once, up to a number of bytes of arrays; what was used last stays longest.

    A file counts as the same as long as its resolved path, size and modification time are. The arrays that are
    handed out are shared and read-only: a step that writes into one raises ValueError.

    Parameters
    ----------
    limit : int
        Bytes of arrays to keep at most. A model that is larger by itself is handed out and not kept.

    Attributes
    ----------
    limit : int
        As given.
    nbytes : int
        Bytes of the arrays kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[Path, tuple[_State, IrisDataModel, int]] = OrderedDict()

    def open(self, path: Path) -> IrisDataModel:
        """Open a file, or give what it held when it was opened last, if it has not changed since.

        Parameters
        ----------
        path : Path
            ``.fits`` or ``.fits.gz``.

        Returns
        -------
        model
            As :func:`liger_iris_pipeline.models.open` gives it, with read-only arrays. It may be closed.

        Raises
        ------
        ProductError
            As :func:`liger_iris_pipeline.models.open`.
        """
        path, state = path.absolute(), file_state(path)
        known = self._kept.get(path)
        if known is not None and known[0] == state:
            self._kept.move_to_end(path)
            return open_model(known[1])
        self._drop(path)
        model = open_model(path)
        self._keep(path, state, model)
        return open_model(model)

    def clear(self) -> None:
        """Forget all models; those handed out stay as they are."""
        self._kept.clear()
        self.nbytes = 0

    def __contains__(self, path: object) -> bool:
        return isinstance(path, Path) and path.absolute() in self._kept

    def _keep(self, path: Path, state: _State, model: IrisDataModel) -> None:
        """Make the arrays of a model read-only and keep it, in the place of those not used for longest."""
        arrays = [getattr(model, plane.attribute) for plane in model.planes()]
        arrays = [array for array in arrays if isinstance(array, np.ndarray)]
        for array in arrays:
            array.flags.writeable = False
        nbytes = sum(array.nbytes for array in arrays)
        if nbytes > self.limit:
            return
        while self.nbytes + nbytes > self.limit:
            self._drop(next(iter(self._kept)))
        self._kept[path] = state, model, nbytes
        self.nbytes += nbytes

    def _drop(self, path: Path) -> None:
        """Forget one model, if it is kept."""
        known = self._kept.pop(path, None)
        self.nbytes -= known[2] if known is not None else 0
