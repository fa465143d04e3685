"""RTCP reports of many streams at once, written as arrays (RFC 3550 §6.4, §6.5, §6.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rtcp import BYE, CNAME, RR, SDES, SR
from .wire import I32, U8

_Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class SenderColumns:
    """Sender information of n streams, (n,) each."""

    ntp: NDArray[np.uint64]
    timestamp: _Column
    packets: _Column
    octets: _Column


@dataclass(frozen=True, slots=True)
class ReceptionColumns:
    """One report block a stream, (n,) each; fields as in :class:`.rtcp.ReportBlock`."""

    ssrc: _Column
    fraction: _Column
    lost: _Column
    highest: _Column
    jitter: _Column
    lsr: _Column
    dlsr: _Column


@dataclass(frozen=True, slots=True)
class Names:
    """Canonical names of n streams."""

    text: U8
    """(n, width), zeros behind each name."""
    lengths: I32
    """(n,) octets."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        """Names as UTF-8, cut at 255 octets (§6.5)."""
        raw = [name.encode()[:255] for name in names]
        width = max(map(len, raw), default=0)
        text = np.frombuffer(b"".join(name.ljust(width, b"\0") for name in raw), np.uint8)
        return cls(text.reshape(len(raw), width).copy(), np.array([len(name) for name in raw], np.int32))

    def rows(self, index: _Column) -> Names:
        return Names(self.text[index], self.lengths[index])


def build_reports(
    ssrc: _Column,
    names: Names,
    sender: SenderColumns | None,
    reception: ReceptionColumns | None,
    *,
    bye: bool = False,
) -> tuple[U8, I32]:
    """Compounds of n streams: SR (or RR when ``sender`` is none) with a block (or none), SDES with CNAME, maybe BYE.

    Args:
        ssrc: (n,) our SSRCs.
        sender: for streams that have sent since their report before last (§6.4); group the others apart.
        reception: for streams that hear a source; group the others apart.

    Returns:
        (n, size) uint8, size a multiple of 4 with 64 spare octets for SRTCP; and (n,) int32 lengths.
    """
    n = len(ssrc)
    ssrc = np.asarray(ssrc, np.uint32)
    fixed = (7 if sender is not None else 2) + (6 if reception is not None else 0)
    chunk = (2 + names.lengths + 4) // 4  # words of type, length, text and one to four nulls
    total = fixed + 2 + chunk + (2 if bye else 0)
    out = np.zeros((n, int(total.max(initial=0)) + 16), ">u4")
    out[:, 0] = (0x80000000 | (reception is not None) << 24) | (SR if sender is not None else RR) << 16 | fixed - 1
    out[:, 1] = ssrc
    if sender is not None:
        out[:, 2] = sender.ntp >> np.uint64(32)
        out[:, 3] = sender.ntp & np.uint64(0xFFFFFFFF)
        for column, values in enumerate((sender.timestamp, sender.packets, sender.octets), 4):
            out[:, column] = _wrapped(values)
    if reception is not None:
        _write_block(out[:, fixed - 6 : fixed], reception)
    out[:, fixed] = 0x81000000 | SDES << 16 | (1 + chunk).astype(np.uint32)
    out[:, fixed + 1] = ssrc
    octets = out.view(np.uint8)
    at = 4 * (fixed + 2)
    octets[:, at] = CNAME
    octets[:, at + 1] = names.lengths
    octets[:, at + 2 : at + 2 + names.text.shape[1]] = names.text
    if bye:
        rows = np.arange(n)
        out[rows, total - 2] = 0x81000000 | BYE << 16 | 1
        out[rows, total - 1] = ssrc
    return octets, (4 * total).astype(np.int32)


def _wrapped(values: _Column) -> NDArray[np.uint32]:
    """Counters wrap at 32 bits (§6.4.1)."""
    return (np.asarray(values).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def _write_block(out: _Column, block: ReceptionColumns) -> None:
    lost = np.clip(np.asarray(block.lost, np.int64), -0x800000, 0x7FFFFF) & 0xFFFFFF
    out[:, 0] = _wrapped(block.ssrc)
    out[:, 1] = _wrapped(np.clip(np.asarray(block.fraction, np.int64), 0, 255) << 24 | lost)
    for column, values in enumerate((block.highest, block.jitter, block.lsr, block.dlsr), 2):
        out[:, column] = _wrapped(values)
