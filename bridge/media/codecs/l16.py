"""L16: linear 16-bit samples in network order (RFC 3551 §4.5.11), any rate, mono or stereo, all streams at once."""

from __future__ import annotations

import numpy as np

from .codec import I16, U8


class L16:
    """One channel count. Stateless: one object serves everybody."""

    def __init__(self, channels: int = 1) -> None:
        if channels not in (1, 2):
            raise ValueError(f"L16 is mono or stereo here, not {channels} channels")
        self.channels = channels

    def decode_rows(self, payload: U8, *, out: I16 | None = None) -> I16:
        """(n, k) bytes -> (n, k / 2 / channels) samples; stereo is averaged. Bytes beyond the last whole sample of
        all channels are ignored."""
        n, k = payload.shape
        samples = k // (2 * self.channels)
        whole = np.ascontiguousarray(payload[:, : samples * 2 * self.channels])
        wide = whole.view(">i2")
        if out is None:
            out = np.empty((n, samples), np.int16)
        if self.channels == 1:
            out[:] = wide
        else:
            # Halving before adding can't overflow; the two bits lost are put back by the last term.
            left, right = wide[:, 0::2], wide[:, 1::2]
            np.right_shift(left, 1, out=out, casting="unsafe")
            out += (right >> 1).astype(np.int16)
            out += (left & right & 1).astype(np.int16)
        return out

    def encode_rows(self, pcm: I16, *, out: U8 | None = None) -> U8:
        """(n, samples) -> (n, samples * 2 * channels) bytes; stereo carries the same in both channels."""
        n, samples = pcm.shape
        if out is None:
            out = np.empty((n, samples * 2 * self.channels), np.uint8)
        if self.channels == 1:
            out.view(">i2")[:] = pcm
        else:
            out.view(">i2").reshape(n, samples, 2)[:] = pcm[:, :, None]
        return out


MONO = L16(1)
STEREO = L16(2)
