"""H.265 over RTP (RFC 7798) as received: single units, aggregates and fragments, without decoding order numbers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from . import nal
from .h264_sps import Sps, parse_h265_sps
from .payload import BEGINS, CONTINUES, KEYFRAME, Bits, Limits, PayloadError, Picture

VPS: Final = 32
SPS: Final = 33
PPS: Final = 34
AP: Final = 48
FU: Final = 49

_SETS: Final = 1 << VPS | 1 << SPS | 1 << PPS
_SLICES: Final = (1 << 32) - 1
_IRAP: Final = 0xFF << 16
"""Types 16 to 23: decoding may begin there."""


class H265Depacketiser:
    """Payloads to Annex B access units; every SPS is looked at before a decoder sees it."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        """Args:
        parameters: the payload type's ``fmtp``, for its ``sprop-vps``, ``sprop-sps`` and ``sprop-pps``.
        """
        self._limits = limits or Limits()
        self._sets = nal.ParameterSets()
        self.sps: Sps | None = None
        for name in ("sprop-vps", "sprop-sps", "sprop-pps"):
            for text in (parameters or {}).get(name, "").split(",")[: nal.MAX_SETS]:
                try:
                    unit = base64.b64decode(text, validate=True)
                    if len(unit) > 2:
                        self._look(unit)
                except (PayloadError, binascii.Error, ValueError):
                    continue  # they come in band as well

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        try:
            kind, at = payload[0] >> 1 & 63, 2
            if kind == FU:
                if not payload[2] & 0x80:
                    return CONTINUES
                kind, at = payload[2] & 63, 3
            elif kind == AP:
                kind, at = payload[4] >> 1 & 63, 6
            if kind in (VPS, SPS):
                return KEYFRAME
            if kind < 32:  # first_slice_segment_in_pic_flag (H.265 §7.3.6.1)
                return BEGINS if payload[at] & 0x80 else CONTINUES
            return BEGINS if kind in (PPS, 35, 39) else CONTINUES
        except IndexError:
            return CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`."""
        try:
            data, kinds, count = _joined(payloads)
        except IndexError:
            raise PayloadError("a payload cut short") from None
        codes = data.count(nal.CODE)
        if codes > nal.MAX_UNITS:
            raise PayloadError("too many NAL units")
        if kinds & _SETS or codes != count:
            kinds = new = 0
            for unit in nal.split(data):
                kinds |= 1 << (unit[0] >> 1 & 63)
                new += self._look(unit)
                if new > nal.MAX_NEW:
                    raise PayloadError("too many sequence parameter sets")
        if not kinds & _SLICES:
            return Picture(b"", False)
        keyframe = bool(kinds & _IRAP)
        if keyframe and not kinds & 1 << SPS:
            data = self._sets.stream((VPS, SPS, PPS)) + data
        sps = self.sps
        return Picture(data, keyframe, sps.width if sps else 0, sps.height if sps else 0)

    def _look(self, unit: bytes) -> bool:
        """Check and remember a parameter set; whether it is an SPS never seen."""
        kind = unit[0] >> 1 & 63
        if kind not in (VPS, SPS, PPS) or self._sets.known(kind, unit):
            return False
        if kind == SPS:
            self.sps = parse_h265_sps(unit, self._limits)
            self._sets.keep(SPS, self.sps.identifier, unit)
        elif kind == VPS:
            self._sets.keep(VPS, Bits(unit[2:3]).take(4), unit)
        else:
            self._sets.keep(PPS, min(Bits(unit[2:7]).unsigned(), 63), unit)
        return kind == SPS


def _joined(payloads: Sequence[bytes]) -> tuple[bytes, int, int]:
    parts: list[bytes] = []
    kinds = count = 0
    fragment = -1
    for payload in payloads:
        kind = payload[0] >> 1 & 63
        if payload[0] & 0x80 or len(payload) < 3:
            raise PayloadError("a NAL unit marked as broken, or none")
        if kind == FU:
            head = payload[2]
            kind = head & 63
            if head & 0x80:
                if fragment >= 0 or kind >= AP:
                    raise PayloadError("a fragment inside of another")
                fragment = kind
                kinds |= 1 << kind
                count += 1
                parts += (nal.START, bytes([payload[0] & 0x81 | kind << 1, payload[1]]))
            elif fragment != kind:
                raise PayloadError("a fragment without its beginning")
            parts.append(payload[3:])
            if head & 0x40:
                fragment = -1
        elif fragment >= 0:
            raise PayloadError("a fragment without its end")
        elif kind < AP:
            kinds |= 1 << kind
            count += 1
            parts += (nal.START, payload)
        elif kind == AP:
            if count > nal.MAX_UNITS:
                raise PayloadError("too many NAL units")
            for unit in _aggregated(payload):
                kinds |= 1 << (unit[0] >> 1 & 63)
                count += 1
                parts += (nal.START, unit)
        else:
            raise PayloadError(f"a NAL unit of type {kind}")
    if fragment >= 0:
        raise PayloadError("a fragment without its end")
    return b"".join(parts), kinds, count


def _aggregated(payload: bytes) -> list[bytes]:
    found, at = [], 2
    while at + 2 < len(payload):
        size = payload[at] << 8 | payload[at + 1]
        unit = payload[at + 2 : at + 2 + size]
        if len(unit) < max(size, 2) or unit[0] >> 1 & 63 >= AP:
            raise PayloadError("no NAL unit in an aggregate")
        found.append(unit)
        at += 2 + size
    if not found or at != len(payload):
        raise PayloadError("an aggregate cut short")
    return found
