"""Rings of packets remembered by few of many rows: who negotiated something has a place, the others take no memory."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class Places:
    """Columns of their own for some rows. Subclasses name them in ``columns`` (one value a place) and ``rings`` (one a
    packet, ``capacity`` of them)."""

    capacity = 1024
    columns: ClassVar[dict[str, type]] = {}
    rings: ClassVar[dict[str, type]] = {}

    def __init__(self, rows: int) -> None:
        self.place: NDArray[np.intp] = np.full(rows, -1, np.intp)
        """(rows,) of each row, -1: it has none."""
        self._free: list[int] = []
        self._made = 0
        self._grow(4)

    def _grow(self, places: int) -> None:
        shapes: list[tuple[str, type, tuple[int, ...]]] = [
            (name, kind, (places,)) for name, kind in self.columns.items()
        ]
        shapes += [(name, kind, (places, self.capacity)) for name, kind in self.rings.items()]
        for name, kind, shape in shapes:
            column: NDArray[Any] = np.zeros(shape, kind)
            if self._made:
                column[: self._made] = getattr(self, name)
            setattr(self, name, column)
        self._free += range(places - 1, self._made - 1, -1)
        self._made = places

    def open(self, row: int) -> None:
        """Give a row a place, if it has none."""
        if self.place[row] >= 0:
            return
        if not self._free:
            self._grow(2 * self._made)
        at = self._free.pop()
        self.place[row] = at
        for name in (*self.columns, *self.rings):
            getattr(self, name)[at] = 0

    def close(self, row: int) -> None:
        """Take it away."""
        if self.place[row] >= 0:
            self._free.append(int(self.place[row]))
            self.place[row] = -1
