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
        over = (wide.max(axis=1, initial=0) > 32767) | (wide.min(axis=1, initial=0) < -32768)
        busy = over | (self.gain[rows] < 1.0)
        np.copyto(out, wide, casting="unsafe")
        if busy.any():
            at = np.flatnonzero(busy)
            out[at] = self._ride(rows[at], wide[at])
        return out

    def _ride(self, rows: NDArray[np.intp], wide: NDArray[np.int32]) -> NDArray[np.int16]:
        n, samples = wide.shape
        part = samples // PARTS
        peaks = np.abs(wide[:, : part * PARTS].reshape(n, PARTS, part)).max(axis=2).astype(np.float32)
        allowed = np.minimum(1.0, CEILING / np.maximum(peaks, 1.0))
        nodes = np.empty((n, PARTS + 1), np.float32)
        nodes[:, 0] = self.gain[rows]
        for step in range(PARTS):  # eight steps over all rows, not over rows
            after = allowed[:, min(step + 1, PARTS - 1)]
            risen = nodes[:, step] + (1.0 - nodes[:, step]) * RELEASE
            nodes[:, step + 1] = np.minimum(np.minimum(risen, allowed[:, step]), after)
        nodes[:, 0] = np.minimum(nodes[:, 0], np.maximum(allowed[:, 0], nodes[:, 1]))
        nodes[nodes > 0.9995] = 1.0
        self.gain[rows] = nodes[:, -1]
        ramp = (np.arange(part, dtype=np.float32) / part)[None, None, :]
        gain = nodes[:, :-1, None] + (nodes[:, 1:] - nodes[:, :-1])[:, :, None] * ramp
        scaled = wide.astype(np.float32)
        scaled[:, : part * PARTS] *= gain.reshape(n, -1)
        scaled[:, part * PARTS :] *= nodes[:, -1:]
        return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)

    def clear(self, row: int) -> None:
        self.gain[row] = 1.0
