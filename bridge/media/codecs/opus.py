"""Opus (RFC 6716, RFC 7587) by direct calls of libopus.

The library is the one inside PyAV's wheel, or the system's. opuslib, which wraps the latter, copies each packet's bytes
and does not import without a system libopus; libavcodec hides FEC and concealment. So libopus is called by ctypes,
with the addresses of numpy buffers.

Decoding 20 ms costs about 20 us a packet whatever the output rate (48 kHz 22 us, 8 kHz 18 us), so there is one decoder
a stream, at 48 kHz; who is not heard is decoded every second packet for the level (:class:`OpusLevel`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .codec import I16, I32, U8, CodecError, EncoderSettings, Payload

_AUDIO = 2049
"""*voip* has a high-pass filter, which the talker's phone has used already: a second time it takes 0.1 MOS (PESQ) away.
Told that the signal is a voice, the encoder codes it as *voip* does, by SILK where bits are few, all the same."""
_SET_BITRATE, _SET_COMPLEXITY, _SET_FEC, _SET_LOSS, _SET_DTX = 4002, 4010, 4012, 4014, 4016
_SET_MAX_BANDWIDTH, _SET_SIGNAL, _RESET = 4004, 4024, 4028
_SIGNAL_VOICE = 3001
_BANDWIDTHS = ((8000, 1101), (12000, 1102), (16000, 1103), (24000, 1104), (48000, 1105))
MAX_SAMPLES = 5760
"""120 ms at 48 kHz, the longest packet (RFC 6716 §3.1)."""
MAX_PAYLOAD = 1275
DEFAULT_BITRATE = 64000
"""As much as G.711, where the far end sets no limit: what a bridge sends was coded once before, and a second coding at
32 kbit/s costs 0.3 MOS (PESQ), at 64 less than 0.05; at 80 libopus takes CELT and it costs 0.1 again."""
FEC_BELOW = 128
"""First bytes of packets that have SILK in them, and so room for in-band FEC (RFC 6716 §3.1, §2.1.7)."""
_FRAME_MS = np.array([10, 20, 40, 60] * 3 + [10, 20] * 2 + [2.5, 5, 10, 20] * 4)
"""(32,) frame length by TOC configuration (RFC 6716 §3.1, table 2)."""


@functools.lru_cache
def library() -> ctypes.CDLL:
    """libopus.

    Raises:
        OSError: there is none; says how to get it.
    """
    import av

    beside = Path(av.__file__).parent.parent / "av.libs"
    found = [str(path) for path in sorted(beside.glob("libopus*.so*"))] or [ctypes.util.find_library("opus") or ""]
    if not found[0]:
        raise OSError("no libopus: reinstall PyAV's wheel, or apt-get install libopus0")
    lib = ctypes.CDLL(found[0])
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    lib.opus_encoder_create.restype = lib.opus_decoder_create.restype = pointer
    lib.opus_encoder_create.argtypes = [integer, integer, integer, pointer]
    lib.opus_decoder_create.argtypes = [integer, integer, pointer]
    lib.opus_encode.argtypes = [pointer, pointer, integer, pointer, integer]
    lib.opus_decode.argtypes = [pointer, pointer, integer, pointer, integer, integer]
    lib.opus_encoder_destroy.argtypes = lib.opus_decoder_destroy.argtypes = [pointer]
    lib.opus_encoder_destroy.restype = lib.opus_decoder_destroy.restype = None
    return lib


def packet_ticks(pool: U8, starts: NDArray[np.int64], sizes: I32) -> I32:
    """Playing time of many packets in 48 kHz ticks (RFC 6716 §3.1, §3.2); 0 for what is no packet.

    Args:
        pool: flat bytes; starts, sizes: (n,) where each payload lies.
    """
    toc = pool[starts]
    frames = np.where(toc & 3 == 0, 1, 2).astype(np.int32)
    many = np.flatnonzero(toc & 3 == 3)
    if many.size:
        counted = pool[starts[many] + 1] & 63
        frames[many] = np.where(sizes[many] >= 2, counted, 0)
    ticks: I32 = (frames * _FRAME_MS[toc >> 3] * 48).astype(np.int32)
    ticks[(sizes < 1) | (ticks > MAX_SAMPLES)] = 0
    return ticks


_LBRR_SHIFT = np.array([6, 6, 5, 4] * 3 + [6, 6] * 2 + [8] * 16, np.uint8)
"""(32,) by TOC configuration, where the flag is in the byte behind the TOC; 8: nowhere, CELT alone has none."""


def packets_have_fec(pool: U8, starts: NDArray[np.int64], sizes: I32) -> NDArray[np.bool_]:
    """(n,) which packets do carry the one before them: the LBRR flag behind the voice activity flags of their first
    frame (RFC 6716 §4.2.3). Packets of several frames are not looked into.

    Args:
        pool: flat bytes; starts, sizes: (n,) where each payload lies.
    """
    toc = pool[starts]
    flag = (pool[starts + 1].astype(np.uint16) >> _LBRR_SHIFT[toc >> 3]) & 1
    found: NDArray[np.bool_] = (flag == 1) & (toc & 3 == 0) & (sizes > 1)
    return found


def packet_has_fec(payload: Payload) -> bool:
    """Whether a packet may carry the one before it."""
    return len(payload) > 1 and payload[0] < FEC_BELOW


class OpusDecoder:
    """One stream; what comes out is mono, stereo is mixed down by libopus."""

    def __init__(self, rate: int = 48000) -> None:
        self._lib = library()
        error = ctypes.c_int()
        self._state: int | None = self._lib.opus_decoder_create(rate, 1, ctypes.byref(error))
        if not self._state:
            raise MemoryError(f"libopus gives no decoder ({error.value})")
        self._rate = rate
        self._out: I16 = np.empty(MAX_SAMPLES * rate // 48000, np.int16)
        self._pointer = int(self._out.ctypes.data)

    @property
    def rate(self) -> int:
        return self._rate

    def decode_at(self, address: int, size: int) -> int:
        """Decode the payload at a memory address; returns the samples now in :attr:`samples`.

        Raises:
            CodecError: it is no Opus packet.
        """
        count: int = self._lib.opus_decode(self._state, address, size, self._pointer, len(self._out), 0)
        if count < 0:
            raise CodecError(f"not an Opus packet ({count})")
        return count

    @property
    def samples(self) -> I16:
        """The buffer that the last call filled."""
        return self._out

    def decode(self, payload: Payload) -> I16:
        data = bytes(payload)
        if not data:
            raise CodecError("an empty payload")
        count: int = self._lib.opus_decode(self._state, data, len(data), self._pointer, len(self._out), 0)
        if count < 0:
            raise CodecError(f"not an Opus packet ({count})")
        return self._out[:count].copy()

    def conceal(self, samples: int) -> I16:
        step = self._rate // 400  # libopus conceals multiples of 2.5 ms
        whole = min(-(-samples // step) * step, len(self._out))
        count: int = self._lib.opus_decode(self._state, None, 0, self._pointer, whole, 0)
        return self._out[: min(max(count, 0), samples)].copy()

    def recover(self, next_payload: Payload, samples: int) -> I16:
        data = bytes(next_payload)
        if not packet_has_fec(data):
            return self.conceal(samples)
        count: int = self._lib.opus_decode(self._state, data, len(data), self._pointer, samples, 1)
        return self._out[:count].copy() if count > 0 else self.conceal(samples)

    def reset(self) -> None:
        self._lib.opus_decoder_ctl(ctypes.c_void_p(self._state), _RESET)

    def close(self) -> None:
        state, self._state = self._state, None
        if state:
            self._lib.opus_decoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()


class OpusEncoder:
    """One stream, or one mix that many hear: mono, 48 kHz."""

    def __init__(self, settings: EncoderSettings) -> None:
        self._lib = library()
        error = ctypes.c_int()
        self._state: int | None = self._lib.opus_encoder_create(48000, 1, _AUDIO, ctypes.byref(error))
        if not self._state:
            raise MemoryError(f"libopus gives no encoder ({error.value})")
        self._settings = settings
        self._out: U8 = np.empty(MAX_PAYLOAD, np.uint8)
        self._pointer = int(self._out.ctypes.data)
        self._set(_SET_COMPLEXITY, settings.complexity)
        self._set(_SET_SIGNAL, _SIGNAL_VOICE)
        self._set(_SET_DTX, int(settings.dtx))
        self._set(_SET_FEC, int(settings.fec))
        if settings.max_rate:
            fitting = [bandwidth for rate, bandwidth in _BANDWIDTHS if rate <= max(settings.max_rate, 8000)]
            self._set(_SET_MAX_BANDWIDTH, fitting[-1])
        self.adapt(0.0, None)

    def _set(self, request: int, value: int) -> None:
        self._lib.opus_encoder_ctl(ctypes.c_void_p(self._state), request, ctypes.c_int(value))

    @property
    def rate(self) -> int:
        return 48000

    def adapt(self, loss: float, bitrate: int | None) -> None:
        """Follow the far end: FEC grows with loss, and the bit rate with it so that the voice keeps its share;
        above 10 % the link is taken for congested and the rate comes down again."""
        percent = round(min(max(loss, 0.0), 1.0) * 100)
        wanted = DEFAULT_BITRATE
        if self._settings.fec and percent:
            wanted = int(DEFAULT_BITRATE * (1.25 if percent <= 10 else 0.9))
        limits = [limit for limit in (self._settings.bitrate, bitrate) if limit]
        self._set(_SET_BITRATE, max(6000, min([wanted, *limits])))
        # Below 6 % libopus leaves FEC out where bits are few (32 kbit/s and less).
        self._set(_SET_LOSS, max(percent, 6) if percent and self._settings.fec else percent)

    def encode(self, pcm: I16) -> bytes:
        whole = np.ascontiguousarray(pcm)
        size = self._lib.opus_encode(self._state, int(whole.ctypes.data), len(whole), self._pointer, MAX_PAYLOAD)
        if size < 0:
            raise ValueError(f"{len(whole)} samples are no Opus frame ({size})")
        return b"" if size <= 2 and self._settings.dtx else self._out[:size].tobytes()

    def close(self) -> None:
        state, self._state = self._state, None
        if state:
            self._lib.opus_encoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()
