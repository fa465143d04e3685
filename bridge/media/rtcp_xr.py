"""RTCP extended reports (RFC 3611): VoIP metrics, receiver reference time and DLRR; the E-model."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .rtcp import RtcpError
from .wire import F64

REFERENCE_TIME: Final = 4
DLRR: Final = 5
VOIP: Final = 7
GMIN: Final = 16
"""Packets without loss that end a burst (§4.7.2: recommended)."""
UNKNOWN: Final = 127
"""Signal, noise, echo, R factors and MOS: not available (§4.7)."""

_VOIP = struct.Struct("!IBBBBHHHHbbBBBBBBBBHHH")
_REPORT = struct.Struct("!III")


@dataclass(frozen=True, slots=True)
class ReferenceTime:
    """§4.4."""

    ntp: int


@dataclass(frozen=True, slots=True)
class DelaySinceReference:
    """One sub-block of a DLRR block (§4.5)."""

    ssrc: int
    lrr: int
    dlrr: int


@dataclass(frozen=True, slots=True)
class DelayReport:
    """DLRR: when reference times were last received (§4.5)."""

    delays: tuple[DelaySinceReference, ...]


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """§4.7, fields in the order of the block. Rates and densities are 256ths, times are milliseconds."""

    ssrc: int
    loss_rate: int = 0
    discard_rate: int = 0
    burst_density: int = 0
    gap_density: int = 0
    burst_duration: int = 0
    gap_duration: int = 0
    round_trip: int = 0
    end_system_delay: int = 0
    signal_level: int = UNKNOWN
    """dBm0, -127 to 0."""
    noise_level: int = UNKNOWN
    rerl: int = UNKNOWN
    gmin: int = GMIN
    r_factor: int = UNKNOWN
    external_r_factor: int = UNKNOWN
    mos_lq: int = UNKNOWN
    """Listening quality, MOS times 10."""
    mos_cq: int = UNKNOWN
    """Conversational quality, MOS times 10."""
    configuration: int = 0
    """Kind of concealment, adaptive buffer and its rate (§4.7.6)."""
    nominal: int = 0
    """Jitter buffer, ms."""
    maximum: int = 0
    absolute_maximum: int = 0


@dataclass(frozen=True, slots=True)
class OtherBlock:
    kind: int
    specific: int
    body: bytes
    """Whole words."""


Block: TypeAlias = ReferenceTime | DelayReport | VoipMetrics | OtherBlock

ADAPTIVE_STANDARD_PLC: Final = 0b10 << 6 | 0b11 << 4
"""``configuration``: enhanced concealment is 0b11, standard 0b10, none told 0b00; adaptive jitter buffer 0b11."""


def parse_blocks(body: bytes) -> list[Block]:
    """The blocks of an :class:`.rtcp.ExtendedReport`.

    Raises:
        RtcpError: a block that does not fit, or whose length is not its type's.
    """
    blocks: list[Block] = []
    at = 0
    while at < len(body):
        if at + 4 > len(body):
            raise RtcpError("octets after the last block")
        kind, specific, words = struct.unpack_from("!BBH", body, at)
        end = at + 4 + 4 * words
        if end > len(body):
            raise RtcpError("a block longer than its packet")
        blocks.append(_parse_block(kind, specific, body[at + 4 : end]))
        at = end
    return blocks


def _parse_block(kind: int, specific: int, body: bytes) -> Block:
    if kind == REFERENCE_TIME:
        if len(body) != 8:
            raise RtcpError("a reference time block has two words")
        return ReferenceTime(int.from_bytes(body, "big"))
    if kind == DLRR:
        if len(body) % _REPORT.size:
            raise RtcpError("DLRR sub-blocks have three words")
        return DelayReport(tuple(DelaySinceReference(*fields) for fields in _REPORT.iter_unpack(body)))
    if kind == VOIP:
        if len(body) != 32:
            raise RtcpError("a VoIP metrics block has eight words")
        fields = _VOIP.unpack(body)
        return VoipMetrics(*fields[:18], *fields[19:])  # the octet between is reserved
    return OtherBlock(kind, specific, body)


def build_blocks(blocks: Iterable[Block]) -> bytes:
    """The body of an :class:`.rtcp.ExtendedReport`; raises :class:`ValueError` for what does not fit its field."""
    try:
        return b"".join(map(_build_block, blocks))
    except struct.error as error:
        raise ValueError(str(error)) from error


def _build_block(block: Block) -> bytes:
    specific = 0
    match block:
        case ReferenceTime():
            kind, body = REFERENCE_TIME, struct.pack("!Q", block.ntp)
        case DelayReport():
            kind, body = DLRR, b"".join(_REPORT.pack(d.ssrc, d.lrr, d.dlrr) for d in block.delays)
        case VoipMetrics():
            values = [getattr(block, name) for name in VoipMetrics.__slots__]
            kind, body = VOIP, _VOIP.pack(*values[:18], 0, *values[18:])
        case OtherBlock():
            kind, specific, body = block.kind, block.specific, block.body
    if len(body) % 4:
        raise ValueError("a block has whole words")
    return struct.pack("!BBH", kind, specific, len(body) // 4) + body


# ---------------------------------------------------------------------------------------------- the E-model

PLC_G711: Final = (0.0, 25.1)
"""Ie and Bpl of G.711 with concealment (ITU-T G.113 table I.4)."""


def r_factor(loss: NDArray[Any] | float, delay_ms: NDArray[Any] | float, codec: tuple[float, float] = PLC_G711) -> F64:
    """R of the E-model (ITU-T G.107), all defaults but delay and loss; 0 to 93.2.

    Args:
        loss: fraction of packets lost or discarded, 0 to 1, taken as random (BurstR 1).
        delay_ms: one way, mouth to ear.
        codec: its equipment impairment Ie and packet-loss robustness Bpl (G.113 appendix I).
    """
    ie, robustness = codec
    percent = 100.0 * np.asarray(loss, np.float64)
    delay = np.asarray(delay_ms, np.float64)
    # Idd of G.107 as a line with one bend (Cole and Rosenbluth 2001): within 1 of the formula up to 400 ms.
    delayed = 0.024 * delay + 0.11 * np.maximum(delay - 177.3, 0.0)
    equipment = ie + (95.0 - ie) * percent / (percent + robustness)
    return np.clip(93.2 - delayed - equipment, 0.0, 100.0)


def mos(r: NDArray[Any] | float) -> F64:
    """Mean opinion score of an R factor (ITU-T G.107 annex B), 1.0 to 4.5."""
    r = np.clip(np.asarray(r, np.float64), 0.0, 100.0)
    return np.maximum(1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6, 1.0)
