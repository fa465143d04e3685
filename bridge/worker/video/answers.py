"""What the far ends ask for by RTCP, and what we ask of them: keyframes, packets again, less of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.media.video.feedback import (
    BitrateEntry,
    BitrateNotification,
    BitrateRequest,
    FullIntra,
    Nack,
    PictureLoss,
    Remb,
    SliceLoss,
)
from bridge.media.video.transport_cc import TransportCc

from .fanout import Fanout
from .room import Viewer
from .table import VideoTable

if TYPE_CHECKING:
    from .forwarding import Forwarding
    from .tiles import Tiles


class Answers:
    """Feedback (RFC 4585, RFC 5104) in both directions."""

    forwarding: Forwarding
    tiles: Tiles

    def __init__(self, table: VideoTable, fanout: Fanout) -> None:
        self._table, self._fanout = table, fanout
        self.viewers: dict[int, Viewer] = {}
        """By row."""
        self.now = 0.0
        self.reply: Callable[[int, list[rtcp.Packet]], None] = lambda row, packets: None
        self.round_trip: Callable[[int], float] = lambda row: 0.1
        self.told: Callable[[int, TransportCc], None] = lambda row, message: None
        """Feedback of transport-wide numbers came."""
        self.sharing: Callable[[int], list[int]] = lambda row: [row]
        """The rows of a row's transport."""
        self.malformed = 0

    def lost(self, row: int, fraction: float) -> None:
        """A report block says so of what we send."""
        viewer = self.viewers.get(row)
        if viewer is not None:
            viewer.climber.lost(fraction, self.now)

    def feedback(self, row: int, packet: rtcp.Feedback) -> None:
        """One feedback packet of a row's far end, of all that goes over its transport."""
        rows = self.sharing(row)
        if not any(each in self.viewers or self._table.tile[each] for each in rows):
            return
        try:
            message = feedback.read(packet)
        except rtcp.RtcpError:
            self.malformed += 1
            return
        match message:
            case TransportCc():
                self.told(row, message)
            case Remb():
                self._bear(row, rows, float(message.bitrate))
            case FullIntra():
                for ssrc, number in message.requests[:8]:
                    for each in rows:
                        if ssrc == int(self._table.ssrc[each]):
                            self._command(each, message.sender, number)
            case BitrateRequest():
                for each in rows:
                    viewer = self.viewers.get(each)
                    if viewer is not None:
                        self._limit(each, viewer, message, int(self._table.ssrc[each]))
            case Nack() | PictureLoss() | SliceLoss():
                named = [each for each in rows if message.media == int(self._table.ssrc[each])]
                # Who has a transport of his own may name what he likes: there is one thing to be had again.
                for each in named or (rows if len(rows) == 1 and not isinstance(message, Nack) else []):
                    self._repair(each, message)
            case _:
                pass

    def _repair(self, row: int, message: Nack | PictureLoss | SliceLoss) -> None:
        """Of one stream packets are lost, or a picture is."""
        tile = bool(self._table.tile[row])
        viewer = self.viewers.get(row)
        match message:
            case Nack() if tile:
                self.forwarding.repeat(row, message.sequences, self.now, self.round_trip(row))
            case Nack() if viewer is not None and viewer.spec.send is not None:
                rtx = viewer.spec.send.rtx_type
                self._fanout.repeat(row, message.sequences, self.now, self.round_trip(row), rtx)
            case PictureLoss() | SliceLoss() if tile:
                self.forwarding.refresh(row)
            case PictureLoss() | SliceLoss() if viewer is not None and viewer.encoding is not None:
                viewer.encoding.limiter.ask()
            case _:
                pass

    def _command(self, row: int, sender: int, number: int) -> None:
        """A FIR names a stream."""
        viewer = self.viewers.get(row)
        if self._table.tile[row]:
            self.forwarding.command(row, sender, number)
        elif viewer is not None and viewer.encoding is not None:
            viewer.encoding.limiter.command(row << 32 | sender, number)

    def _bear(self, row: int, rows: list[int], bits: float) -> None:
        """A REMB is of all that a receiver is sent."""
        self.tiles.remb(row, bits, self.now)
        left = max(bits - self.tiles.spent(row), bits / 2)
        for each in rows:
            viewer = self.viewers.get(each)
            if viewer is not None:
                viewer.climber.limited(left, self.now, estimate=True)

    def _limit(self, row: int, viewer: Viewer, message: BitrateRequest, ours: int) -> None:
        for entry in message.entries[:8]:
            if entry.ssrc == ours:
                viewer.climber.limited(entry.bitrate, self.now)
                # Who asked is the one who is bounded by it (RFC 5104 §4.2.2).
                told = BitrateNotification(ours, (BitrateEntry(message.sender, entry.bitrate, entry.overhead),))
                self.reply(row, [feedback.write(told)])

    # ------------------------------------------------------------------------------------------- ours

    @staticmethod
    def nack(ours: int, theirs: int, sequences: Iterable[int]) -> list[rtcp.Packet]:
        return [feedback.write(Nack(ours, theirs, tuple(sequences)))]

    @staticmethod
    def less(ours: int, theirs: int, bits: int) -> list[rtcp.Packet]:
        """The overhead is that of IPv4, UDP and RTP (RFC 5104 §4.2.1.2)."""
        return [feedback.write(BitrateRequest(ours, (BitrateEntry(theirs, bits, 40),)))]

    @staticmethod
    def at_most(ours: int, theirs: int, bits: int) -> list[rtcp.Packet]:
        """A REMB."""
        return [feedback.write(Remb(ours, bits, (theirs,)))]

    @staticmethod
    def keyframe(ours: int, theirs: int, number: int, *, pli: bool) -> list[rtcp.Packet]:
        """A PLI where it is understood; a FIR is for who knows nothing else."""
        if pli:
            return [feedback.write(PictureLoss(ours, theirs))]
        return [feedback.write(FullIntra(ours, ((theirs, number & 0xFF),)))]
