"""H.264 over RTP (RFC 6184): single NAL unit mode (0) and non-interleaved mode (1)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from . import nal
from .h264_sps import Sps, parse_sps, unescaped
from .payload import BEGINS, CONTINUES, KEYFRAME, Bits, Limits, PayloadError, Picture, fragments

IDR: Final = 5
SEI: Final = 6
SPS: Final = 7
PPS: Final = 8
DELIMITER: Final = 9
FILLER: Final = 12
STAP_A: Final = 24
FU_A: Final = 28

_SLICES: Final = 0b111110
"""Bits of the NAL unit types 1 to 5, coded slices."""
_SETS: Final = 1 << SPS | 1 << PPS
# By the octet a NAL unit begins with: the start code and that octet.
_STARTS: Final = [nal.START + bytes([octet]) for octet in range(256)]


def slicing_hint(mtu: int) -> dict[str, str]:
    """Options for libx264 with which no NAL unit is longer than ``mtu``, as packetization-mode 0 needs.

    x264 keeps to its slice-max-size but for SEI and parameter sets, which are short.
    """
    return {"x264-params": f"slice-max-size={mtu}:sliced-threads=0"}


class H264Packetiser:
    """Annex B or AVCC access units to payloads."""

    def __init__(self, *, mode: int = 1) -> None:
        """Args:
        mode: ``packetization-mode`` of the receivers, 0 or 1.
        """
        if mode not in (0, 1):
            raise ValueError("packetization-mode 2 is not spoken")
        self.mode = mode

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`. In mode 0 every NAL unit must fit (see :func:`slicing_hint`)."""
        payloads: list[bytes] = []
        together: list[bytes] = []
        size = 1
        for unit in nal.units(frame):
            if unit[0] & 31 in (DELIMITER, FILLER):
                continue  # RFC 6184 §5.1 has no use for them: the marker delimits
            if self.mode == 0:
                if len(unit) > mtu:
                    raise PayloadError(f"a NAL unit of {len(unit)} octets in packetization-mode 0")
                payloads.append(unit)
                continue
            if together and size + 2 + len(unit) > mtu:
                payloads.append(_aggregate(together))
                together, size = [], 1
            if len(unit) > mtu:
                payloads += _fragment(unit, mtu)
            else:
                together.append(unit)
                size += 2 + len(unit)
        if together:
            payloads.append(_aggregate(together))
        if not payloads:
            raise PayloadError("no NAL unit to send")
        return payloads


def _aggregate(units: list[bytes]) -> bytes:
    """A STAP-A (§5.7.1), or the unit itself if it is alone."""
    if len(units) == 1:
        return units[0]
    reference = max(unit[0] & 0x60 for unit in units)
    return bytes([reference | STAP_A]) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def _fragment(unit: bytes, mtu: int) -> list[bytes]:
    """FU-As (§5.8)."""
    lead = bytes([unit[0] & 0xE0 | FU_A])
    kind = unit[0] & 31
    pieces = fragments(unit[1:], mtu - 2)
    middle = lead + bytes([kind])
    payloads = [middle + piece for piece in pieces]
    payloads[0] = lead + bytes([0x80 | kind]) + pieces[0]
    payloads[-1] = lead + bytes([0x40 | kind]) + pieces[-1]
    return payloads


def sprop_parameter_sets(text: str) -> list[bytes]:
    """The NAL units of an ``sprop-parameter-sets`` (§8.1).

    Raises:
        PayloadError: it is no list of base64.
    """
    try:
        units = [base64.b64decode(part, validate=True) for part in text.split(",") if part]
    except (binascii.Error, ValueError):
        raise PayloadError("sprop-parameter-sets in no base64") from None
    if len(units) > nal.MAX_SETS:
        raise PayloadError("too many parameter sets")
    return [unit for unit in units if unit]


def build_sprop(units: Sequence[bytes]) -> str:
    """What :func:`sprop_parameter_sets` reads: of the parameter sets among these NAL units."""
    return ",".join(base64.b64encode(unit).decode() for unit in units if unit[0] & 31 in (SPS, PPS))


class H264Depacketiser:
    """Payloads of modes 0 and 1 to Annex B access units.

    Every SPS is looked at, wherever it hides, before a decoder sees it. What is remembered goes before an IDR picture
    that comes without.
    """

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        """Args:
        parameters: the payload type's ``fmtp``, for its ``sprop-parameter-sets``; what is wrong there is passed over.
        """
        self._limits = limits or Limits()
        self._sets = nal.ParameterSets()
        self.sps: Sps | None = None
        """The latest."""
        try:
            for unit in sprop_parameter_sets((parameters or {}).get("sprop-parameter-sets", "")):
                self._look(unit)
        except PayloadError:
            pass  # they come in band as well, or the stream stays dark and asks for a keyframe

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        try:
            kind, second = payload[0] & 31, payload[1]
            if kind == FU_A:
                if not second & 0x80:
                    return CONTINUES
                kind, at = second & 31, 2
            elif kind == STAP_A:
                kinds = {unit[0] & 31 for unit in _aggregated(payload)}
                if SPS in kinds:
                    return KEYFRAME
                kind, at = payload[3] & 31, 4
            else:
                at = 1
            if kind == SPS:
                return KEYFRAME
            if kind in (SEI, PPS, DELIMITER):
                return BEGINS
            # first_mb_in_slice, the header's first number, is 0: one bit that is set (H.264 §7.3.3).
            return BEGINS if kind in (1, 2, IDR) and payload[at] & 0x80 else CONTINUES
        except (IndexError, PayloadError):
            return CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`. Interleaved packets (mode 2) are an error."""
        try:
            data, kinds, count = _joined(payloads)
        except IndexError:
            raise PayloadError("a payload cut short") from None
        codes = data.count(nal.CODE)
        if codes > nal.MAX_UNITS:
            raise PayloadError("too many NAL units")
        if kinds & _SETS or codes != count:
            # A start code inside of a NAL unit: some pack whole access units; whoever means ill hides an SPS there.
            kinds = self._look_through(data)
        if not kinds & _SLICES:
            return Picture(b"", False)
        keyframe = bool(kinds & 1 << IDR) or (bool(kinds & 1 << SEI) and _recovers(data))
        if keyframe and not kinds & 1 << SPS:
            data = self._sets.stream((SPS, PPS)) + data
        sps = self.sps
        return Picture(data, keyframe, sps.width if sps else 0, sps.height if sps else 0)

    def _look_through(self, data: bytes) -> int:
        kinds = new = 0
        for unit in nal.split(data):
            kinds |= 1 << (unit[0] & 31)
            new += self._look(unit)
            if new > nal.MAX_NEW:
                raise PayloadError("too many sequence parameter sets")
        return kinds

    def _look(self, unit: bytes) -> bool:
        """Check and remember a parameter set; whether it is an SPS never seen."""
        kind = unit[0] & 31
        if kind not in (SPS, PPS) or self._sets.known(kind, unit):
            return False
        if kind == SPS:
            self.sps = parse_sps(unit, self._limits)
            self._sets.keep(SPS, self.sps.identifier, unit)
        else:
            identifier = Bits(unit[1:6]).unsigned()
            if identifier > 255:
                raise PayloadError("a parameter out of range")
            self._sets.keep(PPS, identifier, unit)
        return kind == SPS


def _joined(payloads: Sequence[bytes]) -> tuple[bytes, int, int]:
    """An Annex B stream, the bits of the NAL unit types in it, and how many start codes were written."""
    parts: list[bytes] = []
    kinds = count = 0
    fragment = 0  # type of the NAL unit in pieces; 0: none is
    for payload in payloads:
        lead = payload[0]
        kind = lead & 31
        if kind == FU_A:
            head = payload[1]
            kind = head & 31
            if head & 0x80:
                if fragment or not 0 < kind < 24 or lead & 0x80:
                    raise PayloadError("a fragment inside of another")
                fragment = kind
                kinds |= 1 << kind
                count += 1
                parts.append(_STARTS[lead & 0xE0 | kind])
            elif fragment != kind:
                raise PayloadError("a fragment without its beginning")
            parts.append(payload[2:])
            if head & 0x40:
                fragment = 0
        elif fragment or lead & 0x80:
            raise PayloadError("a fragment without its end" if fragment else "a NAL unit marked as broken")
        elif 0 < kind < 24:
            kinds |= 1 << kind
            count += 1
            parts += (nal.START, payload)
        elif kind == STAP_A:
            if count > nal.MAX_UNITS:
                raise PayloadError("too many NAL units")
            for unit in _aggregated(payload):
                kinds |= 1 << (unit[0] & 31)
                count += 1
                parts += (nal.START, unit)
        else:
            raise PayloadError(f"a NAL unit of type {kind} in packetization-mode 0 or 1")
    if fragment:
        raise PayloadError("a fragment without its end")
    return b"".join(parts), kinds, count


def _aggregated(payload: bytes) -> list[bytes]:
    """The NAL units of a STAP-A, none empty.

    Raises:
        PayloadError: one is longer than the packet, or of a type that can't be in one.
    """
    found, at, end = [], 1, len(payload)
    while at + 2 < end:
        size = payload[at] << 8 | payload[at + 1]
        at += 2
        if size > end - at:
            raise PayloadError("an aggregated NAL unit longer than its packet")
        if size:
            if not 0 < payload[at] & 31 < 24 or payload[at] & 0x80:
                raise PayloadError("no NAL unit in an aggregate")
            found.append(payload[at : at + size])
        at += size
    if not found or at != end:
        raise PayloadError("an aggregate cut short")
    return found


def _recovers(data: bytes) -> bool:
    """Whether a recovery point SEI message says that decoding may begin here (H.264 D.2.8), at once."""
    for unit in nal.split(data):
        if unit[0] & 31 != SEI:
            continue
        body, at = unescaped(unit[1:257]), 0
        while at + 2 < len(body):
            kind, at = _sei_number(body, at)
            size, at = _sei_number(body, at)
            if kind == 6:
                return at < len(body) and bool(body[at] & 0x80)  # recovery_frame_cnt 0
            at += size
    return False


def _sei_number(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(body):
        value += body[at]
        at += 1
        if body[at - 1] != 255:
            break
    return value, at
