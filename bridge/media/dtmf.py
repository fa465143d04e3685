"""Keys pressed on a telephone: named events (RFC 4733) in and out, and the tones themselves (ITU-T Q.23, Q.24)."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .jitter import turns_of

Rows: TypeAlias = NDArray[np.intp]
Pcm: TypeAlias = NDArray[np.int16]
F32: TypeAlias = NDArray[np.float32]

DIGITS: Final = "0123456789*#ABCD"
"""The digits by their event codes (RFC 4733 §3.2)."""

# ------------------------------------------------------------------------------------------- events in

_END: Final = 0x80
_REMEMBERED: Final = 8
"""Events of a row whose late or repeated packets are known again: more than a second's worth of the fastest keys."""
_LONGEST: Final = 0xFFFF
"""Timestamp units of one segment (RFC 4733 §2.5.1.3)."""
_NEARLY: Final = _LONGEST - 0x2000
"""A segment heard for that long goes on in the next even where its last packets (three of 50 ms at 48 kHz) are lost."""
_AT_ONCE: Final = 128
"""Packets of one row that are looked at in a beat: two seconds' worth of events, which send one in 20 ms, and more. A
packet costs some 10 us, and whoever floods may not take the beat from all others."""
_BURST: Final = 32
_A_SECOND: Final = 16
"""Keys that a row may press: Q.24's fastest (40 ms on, 40 ms off) is 12.5 a second. Beyond that it is a flood."""


class EventReceiver:
    """One key for each event, however often, in whatever order and from whichever packet on it is heard.

    The packets of an event share the timestamp of its beginning (RFC 4733 §2.2), so that names it.
    """

    def __init__(self, capacity: int) -> None:
        self._stamps: NDArray[np.int64] = np.full((capacity, _REMEMBERED), -1, np.int64)
        """(rows, remembered) timestamps of the latest events; -1: none."""
        self._newest: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        """(rows,) timestamp of the event heard last."""
        self._code: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self._duration: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._ended: NDArray[np.bool_] = np.ones(capacity, np.bool_)
        self._next: NDArray[np.intp] = np.zeros(capacity, np.intp)
        self._credit: NDArray[np.float64] = np.full(capacity, float(_BURST))
        self._counted: NDArray[np.float64] = np.zeros(capacity)

    def reset(self, row: int) -> None:
        """The row's stream is another now."""
        self._stamps[row] = self._newest[row] = self._code[row] = -1
        self._duration[row] = self._next[row] = 0
        self._ended[row] = True
        self._credit[row] = _BURST

    def receive(
        self, rows: Rows, timestamps: NDArray[np.uint32], payload: NDArray[np.uint8], now: float
    ) -> list[tuple[int, str]]:
        """Event packets -> the keys that they press.

        Args:
            rows: (n,) whose packets they are, in the order of arrival.
            timestamps: (n,) of the RTP headers.
            payload: (n, 4) event, end bit and volume, duration (RFC 4733 §2.3).
        """
        codes = payload[:, 0].astype(np.int64)
        ends = (payload[:, 1] & _END) != 0
        durations = payload[:, 2].astype(np.int64) << 8 | payload[:, 3]
        keys = np.flatnonzero(codes < len(DIGITS))  # others (flash, fax tones) are no keys
        if keys.size > _AT_ONCE:
            keys = keys[turns_of(rows[keys]) < _AT_ONCE]
        pressed: list[tuple[int, str]] = []
        fields = (rows, timestamps.astype(np.int64), codes, ends, durations)
        for row, stamp, code, end, duration in zip(*(field[keys].tolist() for field in fields), strict=True):
            if self._is_news(row, stamp, code) and self._may(row, now):
                pressed.append((row, DIGITS[code]))
            if self._newest[row] == stamp:
                self._duration[row] = max(int(self._duration[row]), duration)
                self._ended[row] |= end
        return pressed

    def _is_news(self, row: int, stamp: int, code: int) -> bool:
        if self._newest[row] == stamp or (self._stamps[row] == stamp).any():
            return False
        goes_on = self._is_next_segment(row, stamp, code)
        self._stamps[row, self._next[row]] = stamp
        self._next[row] = (self._next[row] + 1) % _REMEMBERED
        self._newest[row], self._code[row] = stamp, code
        self._duration[row], self._ended[row] = 0, False
        return not goes_on

    def _is_next_segment(self, row: int, stamp: int, code: int) -> bool:
        """A key held for longer than the duration field can say goes on under a new timestamp (§2.5.1.3)."""
        if self._ended[row] or self._code[row] != code:
            return False
        held = int(self._duration[row])
        gap = (stamp - int(self._newest[row])) & 0xFFFFFFFF
        return (held >= _NEARLY and _NEARLY <= gap <= _LONGEST + 1) or (held > 0 and gap == held)

    def _may(self, row: int, now: float) -> bool:
        """Whether the row presses keys no faster than anybody can."""
        earned = max(now - float(self._counted[row]), 0.0) * _A_SECOND
        self._credit[row] = min(float(self._credit[row]) + earned, _BURST)
        self._counted[row] = now
        if self._credit[row] < 1:
            return False
        self._credit[row] -= 1
        return True


# ------------------------------------------------------------------------------------------ events out

ON: Final = 5
OFF: Final = 5
"""Beats that a key is pressed, and that it is not: 100 ms each, above Q.24's 40 ms and what slow receivers want."""
_BEATS_A_SECOND: Final = 50
_ENDS: Final = 3
"""The last packet is sent three times (RFC 4733 §2.5.1.4)."""
_VOLUME: Final = 10
"""-10 dBm0."""


class EventSender:
    """The event packets of some digits, one beat after another.

    Raises:
        ValueError: there is no such digit.
    """

    def __init__(self, digits: str, clock_rate: int, timestamp_rate: int = 0) -> None:
        """Args:
        clock_rate: of the durations: the event payload type's.
        timestamp_rate: of the stream's timestamps, where that differs (opus/48000 beside telephone-event/8000).
        """
        self._codes = event_codes(digits)
        self._ticks = clock_rate // _BEATS_A_SECOND
        self._step = (timestamp_rate or clock_rate) // _BEATS_A_SECOND
        self._beat = 0

    def packets(self) -> list[tuple[bool, int, bytes]] | None:
        """What this beat sends: [(marker, how far back in timestamp units the event began, payload)].

        Nothing between two digits; None when all are sent. Durations grow with each packet (RFC 4733 §2.5.1.2), the
        timestamp stays that of the beginning, the marker is set on the first (§2.2).
        """
        index, beat = divmod(self._beat, ON + OFF)
        if index >= len(self._codes):
            return None
        self._beat += 1
        if beat >= ON - 1 + _ENDS:
            return []
        duration = min(beat + 1, ON) * self._ticks
        end = _END if beat >= ON - 1 else 0
        payload = bytes((self._codes[index], end | _VOLUME)) + duration.to_bytes(2, "big")
        return [(beat == 0, beat * self._step, payload)]


def event_codes(digits: str) -> list[int]:
    """Raises ValueError where one is no DTMF digit."""
    codes = [DIGITS.find(digit) for digit in digits.upper()]
    if -1 in codes:
        raise ValueError(f"{digits!r} has a key that no telephone has; there are {DIGITS}")
    return codes


# ---------------------------------------------------------------------------------------------- tones

LOW: Final = (697.0, 770.0, 852.0, 941.0)
HIGH: Final = (1209.0, 1336.0, 1477.0, 1633.0)
_PAD: Final = "123A456B789C*0#D"
_LEVELS: Final = (4100.0, 5200.0)
"""Amplitudes of the low and the high tone: -18 and -16 dBov, the 2 dB that lines take from the high one (Q.23)."""


def tones(digits: str, rate: int) -> Pcm:
    """The sound of digits, (samples,) at ``rate`` Hz: 100 ms each and as long a pause behind.

    Raises:
        ValueError: there is no such digit.
    """
    event_codes(digits)
    t = np.arange(ON * rate // _BEATS_A_SECOND)
    edge = np.minimum(1.0, np.minimum(t, t[::-1]) / (0.002 * rate))
    pause = np.zeros(OFF * rate // _BEATS_A_SECOND)
    parts = [np.zeros(0)]
    for digit in digits.upper():
        low, high = divmod(_PAD.index(digit), 4)
        pair = zip(_LEVELS, (LOW[low], HIGH[high]), strict=True)
        parts += [edge * sum(level * np.sin(2 * np.pi * hertz / rate * t) for level, hertz in pair), pause]
    return np.rint(np.concatenate(parts)).astype(np.int16)


RATE: Final = 8000
_WINDOW: Final = 128
"""Samples looked at together: 16 ms tells the eight frequencies apart and fits twice into the shortest tone."""
_HOP: Final = 40
"""Samples from one window to the next (5 ms)."""
_HITS: Final = 5
"""Windows in a row that hear one key: any tone of 40 ms fills them, none below 23 ms does (Q.24)."""
_MISSES: Final = 5
"""Windows without it that end it: a pause of 40 ms does, an interruption of 10 ms does not (Q.24)."""
_PURITY: Final = 0.72
"""Share of all energy that lies in the two tones: 1 for a key, 0.8 where both are off by 1.5 %, less for speech."""
_OFF: Final = 0.025
"""Frequencies are taken up to 1.5 %, and refused from 3.5 % on (Q.24); between is where the noise may lie."""
_QUIETEST: Final = 2.0e4
"""Mean square of both tones: -47 dBov (Q.24 asks for about -29 dBm0 each)."""
_TWIST: Final = 10 ** (9.0 / 10)
"""The low tone may be 8 dB above the high one, and 1 dB for measuring."""
_REVERSE: Final = 10 ** (5.0 / 10)
"""The high tone may be 4 dB above the low one, and 1 dB for measuring."""


class InbandDetector:
    """Keys in the audio of many rows at once.

    Goertzel's sums of all rows, windows and frequencies are one product of matrices. What speech can't counterfeit for
    25 ms: two tones and nothing else, of about one level, whose phases go on as those of exact frequencies.
    """

    def __init__(self, capacity: int) -> None:
        n = np.arange(_WINDOW)
        window = np.hanning(_WINDOW + 2)[1:-1]
        turns = np.outer(n, np.array(LOW + HIGH)) * (2 * np.pi / RATE)
        basis = window[:, None] * np.concatenate((np.cos(turns), -np.sin(turns)), axis=1)
        self._basis: F32 = basis.astype(np.float32)
        self._weight: F32 = (window**2).astype(np.float32)
        self._full = float(window.sum() ** 2 / (2 * (window**2).sum()))
        """Power of one tone's sum over the window's energy."""
        self._mean = float(window.sum() ** 2 / 4)
        self._frequencies = np.array(LOW + HIGH, np.float32)
        self._turn = np.exp(-2j * np.pi * self._frequencies * _HOP / RATE).astype(np.complex64)
        self._past: F32 = np.zeros((capacity, _WINDOW - _HOP), np.float32)
        self._phasor: NDArray[np.complex64] = np.zeros((capacity, 8), np.complex64)
        self._key: NDArray[np.int8] = np.full(capacity, -1, np.int8)
        """(rows,) index on the pad; -1: none."""
        self._hits: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self._misses: NDArray[np.int32] = np.zeros(capacity, np.int32)

    def reset(self, row: int) -> None:
        """The row's stream is another now."""
        self._past[row] = 0
        self._phasor[row] = 0
        self._key[row] = -1
        self._hits[row] = self._misses[row] = 0

    def receive(self, rows: Rows, pcm: Pcm) -> list[tuple[int, str]]:
        """One beat of some rows -> the keys that they press.

        Args:
            rows: (n,) each at most once.
            pcm: (n, 160) at 8 kHz.
        """
        sound: F32 = np.concatenate((self._past[rows], pcm.astype(np.float32)), axis=1)
        self._past[rows] = sound[:, pcm.shape[1] :]
        windows = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW, axis=1)[:, ::_HOP]
        count = windows.shape[1]
        flat = np.ascontiguousarray(windows).reshape(-1, _WINDOW)
        sums = (flat @ self._basis).reshape(len(rows), count, 16)
        energy: F32 = (flat * flat @ self._weight).reshape(len(rows), count).astype(np.float32)
        phasors: NDArray[np.complex64] = (sums[..., :8] + 1j * sums[..., 8:]).astype(np.complex64)
        pressed: list[tuple[int, str]] = []
        for step in range(count):  # four
            heard = self._look(rows, phasors[:, step], energy[:, step])
            pressed += [(int(rows[n]), _PAD[int(heard[n])]) for n in self._count(rows, heard).tolist()]
        return pressed

    def _look(self, rows: Rows, phasor: NDArray[np.complex64], energy: F32) -> NDArray[np.int8]:
        """(n,) the key that each row's window holds, -1 for none."""
        each = np.arange(len(rows))
        power = np.abs(phasor) ** 2
        low, high = power[:, :4].argmax(axis=1), power[:, 4:].argmax(axis=1) + 4
        below, above = power[each, low], power[each, high]
        drift = np.angle(phasor * np.conj(self._phasor[rows]) * self._turn) * (RATE / _HOP / (2 * math.pi))
        off = np.abs(drift) / self._frequencies
        self._phasor[rows] = phasor
        is_key = (below + above) > _PURITY * self._full * energy
        is_key &= (below + above) > _QUIETEST * 2 * self._mean
        is_key &= (below <= above * _TWIST) & (above <= below * _REVERSE)
        is_key &= (off[each, low] < _OFF) & (off[each, high] < _OFF)
        return np.where(is_key, low * 4 + high - 4, -1).astype(np.int8)

    def _count(self, rows: Rows, heard: NDArray[np.int8]) -> Rows:
        """Indices of the rows for which this window makes a key certain."""
        key = self._key[rows]
        same = (heard >= 0) & (heard == key)
        hits = self._hits[rows] + same
        misses = np.where(same, 0, self._misses[rows] + 1)
        over = ~same & (misses >= _MISSES)
        # While a key is not certain, another one takes its place at once; a certain one has to end first.
        changed = ~same & (over | ((heard >= 0) & (hits < _HITS)) | (hits < _HITS) & (misses > 1))
        self._key[rows] = np.where(changed, heard, key)
        hits = np.where(changed, (heard >= 0).astype(np.int32), hits)
        self._misses[rows] = np.where(changed, 0, misses)
        certain = same & (hits == _HITS)
        self._hits[rows] = hits
        return np.flatnonzero(certain)
