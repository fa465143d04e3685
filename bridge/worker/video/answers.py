"""What the far ends ask for by RTCP, and what we ask of them: keyframes, packets again, less of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


class Answers:
    """Feedback (RFC 4585, RFC 5104) in both directions."""

    def __init__(self, table: VideoTable, fanout: Fanout) -> None:
        self._table, self._fanout = table, fanout
        self.viewers: dict[int, Viewer] = {}
        """By row."""
        self.now = 0.0
        self.reply: Callable[[int, list[rtcp.Packet]], None] = lambda row, packets: None
        self.round_trip: Callable[[int], float] = lambda row: 0.1
        self.told: Callable[[int, TransportCc], None] = lambda row, message: None
        """Feedback of transport-wide numbers came."""
        self.malformed = 0

    def lost(self, row: int, fraction: float) -> None:
        """A report block says so of what we send."""
        viewer = self.viewers.get(row)
        if viewer is not None:
            viewer.climber.lost(fraction, self.now)

    def feedback(self, row: int, packet: rtcp.Feedback) -> None:
        """One feedback packet of a row's far end."""
        viewer = self.viewers.get(row)
        if viewer is None:
            return
        try:
            message = feedback.read(packet)
        except rtcp.RtcpError:
            self.malformed += 1
            return
        ours = int(self._table.ssrc[row])
        encoding = viewer.encoding
        if viewer.spec.bundle and isinstance(message, PictureLoss | SliceLoss) and message.media != ours:
            return  # of another section of his transport
        match message:
            case Nack() if message.media == ours and viewer.spec.send is not None:
                rtx = viewer.spec.send.rtx_type
                self._fanout.repeat(row, message.sequences, self.now, self.round_trip(row), rtx)
            case PictureLoss() | SliceLoss() if encoding is not None:
                encoding.limiter.ask()
            case FullIntra() if encoding is not None:
                for ssrc, number in message.requests[:8]:
                    if ssrc == ours:
                        encoding.limiter.command(row << 32 | message.sender, number)
            case Remb():
                viewer.climber.limited(message.bitrate, self.now, estimate=True)
            case TransportCc():
                self.told(row, message)
            case BitrateRequest():
                self._limit(row, viewer, message, ours)
            case _:
                pass

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
