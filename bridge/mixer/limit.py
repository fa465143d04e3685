"""The one saturation at the end of a mix, behind a limiter that looks ahead inside the 20 ms block.

The block is cut into sub-blocks. Each has the gain that its peak allows; the gain runs in straight lines between nodes
at the sub-blocks' borders, and a node takes the lesser gain of its two neighbours, so the line never exceeds what the
peak under it allows. No delay is added. Only the first sub-block of a block comes unannounced: there the gain falls at
once along its line and what still exceeds is saturated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

PARTS = 8
"""Sub-blocks a block: 2.5 ms each."""
CEILING = 32767.0
RELEASE = 0.035
"""Of the way back to full gain each sub-block: about 50 ms to half, slow enough not to pump."""


class Limiter:
    """Gain state of many output rows."""

    def __init__(self, rows: int) -> None:
        self.gain: F32 = np.ones(rows, np.float32)

    def apply(
        self, rows: NDArray[np.intp], block: NDArray[np.int32] | F32, *, out: NDArray[np.int16] | None = None
    ) -> NDArray[np.int16]:
        """(n, samples) wide -> (n, samples) int16. Rows within range at full gain pass bit for bit.

        Args:
            rows: (n,) each at most once.
        """
        if out is None:
            out = np.empty(block.shape, np.int16)
        wide: NDArray[np.int32] = block if block.dtype == np.int32 else np.rint(block).astype(np.int32)  # type: ignore[assignment]
        np.copyto(out, wide, casting="unsafe")
        over = _over(wide)
        at = (over | (self.gain[rows] < 1.0)).nonzero()[0]
        if at.size:
            out[at] = self._ride(rows[at], wide.take(at, axis=0), over[at].nonzero()[0])
        return out

    def _ride(self, rows: NDArray[np.intp], wide: NDArray[np.int32], over: NDArray[np.intp]) -> NDArray[np.int16]:
        """Rows that are turned down.

        Args:
            over: indices of those that are too loud in this block; the others' gain only comes back.
        """
        n, samples = wide.shape
        part = samples // PARTS
        allowed = np.ones((PARTS, n), np.float32)
        if over.size:
            loud = wide[over, : part * PARTS].reshape(-1, PARTS, part)
            peaks = np.abs(loud).max(axis=2).astype(np.float32)
            allowed[:, over] = np.minimum(1.0, CEILING / np.maximum(peaks, 1.0)).T
        nodes = self._nodes(rows, allowed)
        self.gain[rows] = nodes[-1]
        steps = (nodes[1:] - nodes[:-1]).T[:, :, None] * (np.arange(part, dtype=np.float32) / np.float32(part))
        steps += nodes[:-1].T[:, :, None]
        scaled = wide.astype(np.float32)
        scaled[:, : part * PARTS] *= steps.reshape(n, -1)
        scaled[:, part * PARTS :] *= nodes[-1][:, None]
        np.rint(scaled, out=scaled)
        if over.size:
            scaled[over] = np.clip(scaled[over], -32768, 32767)
        return scaled.astype(np.int16)

    def _nodes(self, rows: NDArray[np.intp], allowed: F32) -> F32:
        """(parts, n) gain that each sub-block allows -> (parts + 1, n) gain at its borders."""
        nodes = np.empty((PARTS + 1, len(rows)), np.float32)
        nodes[0] = self.gain[rows]
        for step in range(PARTS):  # eight steps over all rows, not over rows
            after = allowed[min(step + 1, PARTS - 1)]
            risen = nodes[step] + (1.0 - nodes[step]) * RELEASE
            nodes[step + 1] = np.minimum(np.minimum(risen, allowed[step]), after)
        nodes[0] = np.minimum(nodes[0], np.maximum(allowed[0], nodes[1]))
        nodes[nodes > 0.9995] = 1.0
        return nodes

    def clear(self, row: int) -> None:
        self.gain[row] = 1.0


def _over(wide: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(n,) which rows do not fit into 16 bits."""
    if not wide.size or (wide.max() <= 32767 and wide.min() >= -32768):
        return np.zeros(len(wide), np.bool_)
    # One unsigned comparison for both ends; halves laid over each other are quicker than short rows one by one.
    shifted = np.add(wide, 32768).view(np.uint32)
    while shifted.shape[1] % 2 == 0:
        half = shifted.shape[1] // 2
        shifted = np.maximum(shifted[:, :half], shifted[:, half:])
    over: NDArray[np.bool_] = shifted.max(axis=1) > 65535
    return over
