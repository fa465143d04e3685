"""L16: linear 16-bit samples in network order (RFC 3551 §4.5.11), any rate, mono, all streams at once."""

from __future__ import annotations

import numpy as np

from .codec import I16, U8


class L16:
    """Stateless: one object serves everybody."""

    def decode_rows(self, payload: U8, *, out: I16 | None = None) -> I16:
        """(n, k) bytes -> (n, k / 2) samples. A byte beyond the last whole sample is ignored."""
        n, k = payload.shape
        whole = np.ascontiguousarray(payload[:, : k // 2 * 2])
        if out is None:
            out = np.empty((n, k // 2), np.int16)
        out[:] = whole.view(">i2")
        return out

    def encode_rows(self, pcm: I16, *, out: U8 | None = None) -> U8:
        """(n, samples) -> (n, samples * 2) bytes."""
        n, samples = pcm.shape
        if out is None:
            out = np.empty((n, samples * 2), np.uint8)
        out.view(">i2")[:] = pcm
        return out


MONO = L16()
