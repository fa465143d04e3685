"""The FCIs of RTCP feedback for video: RFC 4585 (NACK, PLI, SLI), RFC 5104 (FIR, TMMBR, TMMBN), REMB
(draft-alvestrand-rmcat-remb), transport-wide congestion control (:mod:`.transport_cc`).

:func:`read` makes of a :class:`..rtcp.Feedback` one of this module's dataclasses, :func:`write` the reverse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..rtcp import PSFB, RTPFB, Feedback, RtcpError
from .transport_cc import TransportCc, read_transport_cc, write_transport_cc

NACK: Final = 1
TMMBR: Final = 3
TMMBN: Final = 4
TRANSPORT_CC: Final = 15
PLI: Final = 1
SLI: Final = 2
FIR: Final = 4
APPLICATION: Final = 15

MAX_NACKS: Final = 1024
"""Packets that one NACK may ask for; more are passed over. As many as a history keeps."""


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets missing (RFC 4585 §6.2.1)."""

    sender: int
    media: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PictureLoss:
    """PLI (RFC 4585 §6.3.1)."""

    sender: int
    media: int


@dataclass(frozen=True, slots=True)
class SliceLoss:
    """SLI (RFC 4585 §6.3.2), read only: we answer it as a PLI."""

    sender: int
    media: int
    slices: tuple[tuple[int, int, int], ...]
    """First macroblock, number of macroblocks, picture identity."""


@dataclass(frozen=True, slots=True)
class FullIntra:
    """FIR (RFC 5104 §4.3.1)."""

    sender: int
    requests: tuple[tuple[int, int], ...]
    """SSRC of the media sender, command sequence number (8 bits)."""


@dataclass(frozen=True, slots=True)
class BitrateEntry:
    ssrc: int
    """In a request whose bit rate is limited, in a notification who asked."""
    bitrate: int
    """Bits a second, with the overhead."""
    overhead: int
    """Octets a packet, measured; 9 bits."""


@dataclass(frozen=True, slots=True)
class BitrateRequest:
    """TMMBR (RFC 5104 §4.2.1)."""

    sender: int
    entries: tuple[BitrateEntry, ...]


@dataclass(frozen=True, slots=True)
class BitrateNotification:
    """TMMBN (RFC 5104 §4.2.2)."""

    sender: int
    entries: tuple[BitrateEntry, ...]
    """The bounding set; empty: nothing is limited."""


@dataclass(frozen=True, slots=True)
class Remb:
    """What the receiver estimates that it can receive in all."""

    sender: int
    bitrate: int
    """Bits a second."""
    ssrcs: tuple[int, ...]


Message: TypeAlias = (
    Nack | PictureLoss | SliceLoss | FullIntra | BitrateRequest | BitrateNotification | Remb | TransportCc
)

_PAIR = struct.Struct("!HH")
_ENTRY = struct.Struct("!II")

# ------------------------------------------------------------------------------------------------------ read


def read(feedback: Feedback) -> Message | None:
    """The message of a feedback packet; None: not one of those that are spoken (RPSI, application layer).

    Raises:
        RtcpError: its FCI is not of its format.
    """
    reader = _READERS.get((feedback.kind, feedback.fmt))
    return reader(feedback) if reader else None


def _whole(fci: bytes, size: int, least: int = 1) -> None:
    if len(fci) % size or len(fci) < size * least:
        raise RtcpError("a feedback message cut short")


def _read_nack(feedback: Feedback) -> Message:
    _whole(feedback.fci, 4)
    found: dict[int, None] = {}
    for first, mask in _PAIR.iter_unpack(feedback.fci[: 4 * MAX_NACKS]):
        found[first] = None
        if mask:
            found.update(((first + 1 + bit) & 0xFFFF, None) for bit in range(16) if mask >> bit & 1)
        if len(found) >= MAX_NACKS:
            break
    return Nack(feedback.sender, feedback.media, tuple(found)[:MAX_NACKS])


def _read_pli(feedback: Feedback) -> Message:
    return PictureLoss(feedback.sender, feedback.media)  # an FCI would have to be ignored (§6.3.1.2)


def _read_sli(feedback: Feedback) -> Message:
    _whole(feedback.fci, 4)
    slices = tuple((word >> 19, word >> 6 & 0x1FFF, word & 63) for (word,) in struct.iter_unpack("!I", feedback.fci))
    return SliceLoss(feedback.sender, feedback.media, slices)


def _read_fir(feedback: Feedback) -> Message:
    _whole(feedback.fci, 8)
    return FullIntra(feedback.sender, tuple((ssrc, word >> 24) for ssrc, word in _ENTRY.iter_unpack(feedback.fci)))


def _entries(feedback: Feedback, least: int) -> tuple[BitrateEntry, ...]:
    _whole(feedback.fci, 8, least)
    return tuple(
        BitrateEntry(ssrc, (word >> 9 & 0x1FFFF) << (word >> 26), word & 0x1FF)
        for ssrc, word in _ENTRY.iter_unpack(feedback.fci)
    )


def _read_tmmbr(feedback: Feedback) -> Message:
    return BitrateRequest(feedback.sender, _entries(feedback, 1))


def _read_tmmbn(feedback: Feedback) -> Message:
    return BitrateNotification(feedback.sender, _entries(feedback, 0))


def _read_application(feedback: Feedback) -> Message | None:
    fci = feedback.fci
    if fci[:4] != b"REMB":
        return None
    if len(fci) < 8 or len(fci) < 8 + 4 * fci[4]:
        raise RtcpError("a REMB cut short")
    word = int.from_bytes(fci[5:8], "big")
    return Remb(feedback.sender, (word & 0x3FFFF) << (word >> 18), struct.unpack_from(f"!{fci[4]}I", fci, 8))


_READERS: Final[dict[tuple[int, int], Callable[[Feedback], Message | None]]] = {
    (RTPFB, NACK): _read_nack,
    (RTPFB, TMMBR): _read_tmmbr,
    (RTPFB, TMMBN): _read_tmmbn,
    (RTPFB, TRANSPORT_CC): read_transport_cc,
    (PSFB, PLI): _read_pli,
    (PSFB, SLI): _read_sli,
    (PSFB, FIR): _read_fir,
    (PSFB, APPLICATION): _read_application,
}

# ----------------------------------------------------------------------------------------------------- write


def write(message: Message) -> Feedback:
    """The feedback packet of a message, for :func:`..rtcp.build`.

    Raises:
        ValueError: a number that its field doesn't hold, or a :class:`SliceLoss`.
    """
    match message:
        case Nack():
            return Feedback(RTPFB, NACK, message.sender, message.media, _nack_fci(message.sequences))
        case PictureLoss():
            return Feedback(PSFB, PLI, message.sender, message.media)
        case FullIntra():
            fci = b"".join(_ENTRY.pack(ssrc, (number & 0xFF) << 24) for ssrc, number in message.requests)
            return Feedback(PSFB, FIR, message.sender, 0, fci)
        case BitrateRequest():
            return Feedback(RTPFB, TMMBR, message.sender, 0, _entries_fci(message.entries))
        case BitrateNotification():
            return Feedback(RTPFB, TMMBN, message.sender, 0, _entries_fci(message.entries))
        case Remb():
            exponent, mantissa = _scaled(message.bitrate, 18)
            head = b"REMB" + (len(message.ssrcs) << 24 | exponent << 18 | mantissa).to_bytes(4, "big")
            return Feedback(
                PSFB, APPLICATION, message.sender, 0, head + struct.pack(f"!{len(message.ssrcs)}I", *message.ssrcs)
            )
        case TransportCc():
            return Feedback(RTPFB, TRANSPORT_CC, message.sender, message.media, write_transport_cc(message))
        case SliceLoss():
            raise ValueError("slice losses are not reported")


def _nack_fci(sequences: Iterable[int]) -> bytes:
    """Pairs of PID and BLP, as few as their order allows; sequence numbers ascend, across a wrap too."""
    pairs: list[list[int]] = []
    for sequence in sequences:
        distance = (sequence - pairs[-1][0]) & 0xFFFF if pairs else 17
        if 1 <= distance <= 16:
            pairs[-1][1] |= 1 << (distance - 1)
        elif distance:
            pairs.append([sequence & 0xFFFF, 0])
    return b"".join(_PAIR.pack(*pair) for pair in pairs)


def _entries_fci(entries: Iterable[BitrateEntry]) -> bytes:
    words = []
    for entry in entries:
        if not 0 <= entry.overhead < 512:
            raise ValueError("an overhead of more than nine bits")
        exponent, mantissa = _scaled(entry.bitrate, 17)
        words.append(_ENTRY.pack(entry.ssrc, exponent << 26 | mantissa << 9 | entry.overhead))
    return b"".join(words)


def _scaled(bitrate: int, width: int) -> tuple[int, int]:
    """Exponent of six bits and mantissa, rounded down: a limit must not grow on its way."""
    exponent = max(bitrate.bit_length() - width, 0)
    if bitrate < 0 or exponent > 63:
        raise ValueError(f"a bit rate of {bitrate}")
    return exponent, bitrate >> exponent
