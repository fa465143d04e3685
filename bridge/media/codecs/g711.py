"""G.711 mu-law and A-law (ITU-T G.711) by table look-up, for all streams at once.

Decoding is exact. Encoding follows the ITU's own reference software (G.191 ``ulaw_compress``, ``alaw_compress``). Other
encoders (libavcodec among them) differ from it in samples that lie on the border of two steps, within the bits that
G.711 doesn't see; there both answers are equally right.

Two codes are decoded, or two samples' squares summed, by one look-up of 16 bits: half the look-ups, and the tables
(256 kB) still lie in the second-level cache.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .codec import F32, I16, U8

Law = Literal["PCMU", "PCMA"]
SILENCE: dict[Law, int] = {"PCMU": 0xFF, "PCMA": 0xD5}
"""The code of zero."""


def _mu_law_decode() -> I16:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_decode() -> I16:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code >> 4) & 7
    magnitude = ((code & 15) << 4) + 8
    magnitude = np.where(exponent > 0, (magnitude + 0x100) << np.maximum(exponent - 1, 0), magnitude)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _bits(value: NDArray[np.int32]) -> NDArray[np.int32]:
    """Position of the highest set bit of values > 0."""
    return (np.frexp(value.astype(np.float64))[1] - 1).astype(np.int32)


def _samples() -> NDArray[np.int32]:
    """Every int16 value in the order of its bits read as uint16."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _mu_law_encode() -> U8:
    x = _samples()
    magnitude = np.minimum((np.where(x < 0, ~x, x) >> 2) + 33, 0x1FFF)  # 14 bits of the sample, biased
    segment = _bits(magnitude) - 4
    code = ((8 - segment) << 4) | (15 - ((magnitude >> segment) & 15))
    table: U8 = np.where(x >= 0, code | 0x80, code).astype(np.uint8)
    return table


def _a_law_encode() -> U8:
    x = _samples()
    magnitude = np.where(x < 0, ~x, x) >> 4  # 12 bits of the sample
    exponent = np.where(magnitude > 15, _bits(np.maximum(magnitude, 1)) - 3, 0)
    mantissa = np.where(magnitude > 15, (magnitude >> np.maximum(exponent - 1, 0)) - 16, magnitude)
    code = (exponent << 4) + mantissa
    return (np.where(x >= 0, code | 0x80, code) ^ 0x55).astype(np.uint8)


class G711:
    """One law. Stateless: one object serves everybody."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.decode_table: I16 = _mu_law_decode() if law == "PCMU" else _a_law_decode()
        """(256,) the sample of each code."""
        self.encode_table: U8 = _mu_law_encode() if law == "PCMU" else _a_law_encode()
        """(65536,) the code of each sample, by the sample's bits read as uint16."""
        pair = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
        samples = self.decode_table[pair]
        self._pairs: NDArray[np.uint32] = samples.view(np.uint32)[:, 0].copy()
        self._squares: F32 = np.square(samples, dtype=np.float32).sum(axis=1, dtype=np.float32)

    def decode_rows(self, payload: U8, *, out: I16 | None = None) -> I16:
        """(n, k) codes -> (n, k) samples at 8 kHz. Any byte is a valid code."""
        if out is None:
            out = np.empty(payload.shape, np.int16)
        if payload.shape[1] % 2 or not payload.flags.c_contiguous or not out.flags.c_contiguous:
            np.take(self.decode_table, payload, out=out, mode="clip")
        else:
            np.take(self._pairs, payload.view(np.uint16), out=out.view(np.uint32), mode="clip")
        return out

    def encode_rows(self, pcm: I16, *, out: U8 | None = None) -> U8:
        """(n, k) samples at 8 kHz -> (n, k) codes."""
        if out is None:
            out = np.empty(pcm.shape, np.uint8)
        np.take(self.encode_table, pcm.view(np.uint16), out=out, mode="clip")
        return out

    def power(self, payload: U8, *, stride: int = 4) -> F32:
        """Mean square of each row without decoding it: (n, k) codes -> (n,), full scale is 32768 squared.

        Of every ``2 * stride`` codes the first two are looked at, which for a voice is as good as all of them.
        ``stride`` 1 takes all. Rows of an odd length lose their last code.
        """
        even = payload[:, : payload.shape[1] & ~1]
        pairs = (even if even.flags.c_contiguous else np.ascontiguousarray(even)).view(np.uint16)[:, ::stride]
        if not pairs.size:
            return np.zeros(len(payload), np.float32)
        squares = np.take(self._squares, pairs, mode="clip")
        mean: F32 = squares @ np.ones(squares.shape[1], np.float32)  # BLAS sums short rows faster than sum()
        mean /= np.float32(2 * pairs.shape[1])
        return mean


PCMU = G711("PCMU")
PCMA = G711("PCMA")


def power(payload: U8, law: Law, stride: int = 4) -> F32:
    """:meth:`G711.power` of either law."""
    return (PCMU if law == "PCMU" else PCMA).power(payload, stride=stride)
