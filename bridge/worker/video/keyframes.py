"""Requests for keyframes to senders, whoever needs them: a decoder of ours, or receivers who are forwarded to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import protocol_video as show

if TYPE_CHECKING:
    from .beat import VideoBeat

APART: Final = 0.3
"""Seconds between two requests for one encoding, whoever makes them: shorter than the time after which each repeats
its own (RFC 5104 §4.3.1.2), so that this stops nobody's but another's."""
ASK_BY_INFO: Final = 2.0
"""Seconds between two requests by SIP INFO: they go through signalling, and old terminals choke on many."""
REMEMBERED: Final = 64
"""Encodings of one stream whose last request is remembered: SSRCs are the sender's choice."""


class Keyframes:
    """Of all streams of a worker."""

    def __init__(self, beat: VideoBeat) -> None:
        self._beat = beat
        self._asked: dict[int, dict[int, float]] = {}
        """When, by row and SSRC; 0: by SIP INFO."""
        self._commands: dict[int, int] = {}
        """FIR command sequence numbers (RFC 5104 §4.3.1.1)."""

    def ask(self, row: int, ssrc: int, now: float) -> bool:
        """Ask a stream's sender for a keyframe of one of its encodings; returns whether he was asked."""
        table = self._beat.table
        spec = table.specs[int(table.stream[row])]
        by_info = not (spec.pli or spec.fir)
        asked = self._asked.setdefault(row, {})
        key = 0 if by_info else ssrc
        if now - asked.get(key, float("-inf")) < (ASK_BY_INFO if by_info else APART):
            return False
        asked[key] = now
        if len(asked) > REMEMBERED:
            del asked[next(iter(asked))]
        if by_info:
            self._beat.emit(show.KeyframeWanted(stream=spec.stream))
            return True
        number = self._commands[row] = (self._commands.get(row, 0) + 1) & 0xFF
        packets = self._beat.answers.keyframe(int(table.ssrc[row]), ssrc, number, pli=spec.pli)
        self._beat.reporter.send_one(row, packets)
        return True

    def forget(self, row: int) -> None:
        self._asked.pop(row, None)
        self._commands.pop(row, None)
