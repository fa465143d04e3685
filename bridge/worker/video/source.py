"""One sender's pictures: his packets made to frames, his frames decoded in their order, the last good picture kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from bridge.media.video.assembler import Assembler, AssemblerSettings, Figures, Frame, Lost, Missing
from bridge.media.video.formats import by_name
from bridge.media.video.history import unwrap_rtx
from bridge.media.video.payload import KEYFRAME, Depacketiser, Limits, PayloadError
from bridge.mixer.compose import Picture

from ..protocol_video import VideoFormat
from .crew import Crew
from .decoder import Decoder

LIMITS = Limits()
BEHIND = 8
"""Frames that wait for the decoder, a quarter of a second: beyond that they are left out up to the next keyframe."""
RATE = 75.0
"""Frames a second that are decoded of one sender: screens show 60, and nobody may take a core for himself."""
PATIENT = 0.3
"""Seconds that a stream may take to say what it is: a frame that is no keyframe leads to a request at once, but of a
camera that stands still none comes for long."""
ASK_AGAIN = 0.5
"""Seconds between two keyframes that we ask one sender for, whatever the reason; two round trips if that is longer
(RFC 5104 §4.3.1.2)."""


@dataclass(slots=True)
class Wants:
    """What is to be asked of the sender now."""

    keyframe: bool = False
    missing: tuple[int, ...] = ()
    ssrc: int = 0


class Source:
    """The receiving side of one stream that is watched. All methods are for the loop's thread."""

    def __init__(self, crew: Crew, formats: Sequence[VideoFormat], *, nack: bool, pictured: Callable[[], None]) -> None:
        """Args:
        pictured: called when a new picture is there.
        """
        self._crew = crew
        self._pictured = pictured
        self._formats: tuple[VideoFormat, ...] = ()
        self._nack = nack
        self._assembler: Assembler | None = None
        self._decoder: Decoder | None = None
        self._kind = 0
        self._epoch = 0
        """Grows when the decoder is another: results of the old one are nobody's."""
        self._begun = False
        """The decoder has had a frame."""
        self._queue: deque[tuple[Frame, int]] = deque()
        self._working = False
        self._want_keyframe = False
        self._asked_at = float("-inf")
        self._patient_until: float | None = None
        """Until then the first keyframe may be on its way without having been asked for."""
        self.picture: Picture | None = None
        self.picture_at = 0.0
        self.size = (0, 0)
        self.decoded = 0
        self.errors = 0
        self.asked = 0
        self.dropped = 0
        """Frames left out because decoding was behind."""
        self._number = 0
        self._allowance = RATE / 2
        self._skipping = False
        """Frames were left out: what follows them is of no use up to a keyframe."""
        self._filled = 0.0
        self.dark_since: float | None = None
        self._frozen = 0.0
        self.set_formats(formats, nack=nack)

    def set_formats(self, formats: Sequence[VideoFormat], *, nack: bool) -> None:
        if tuple(formats) != self._formats:
            self._formats = tuple(formats)
            self._kind = 0
        if nack != self._nack:
            self._nack = nack
            self._kind = 0

    def renew(self) -> None:
        """Take the next packet for the beginning of a stream: nothing up to its next keyframe is of use."""
        self._kind = 0

    @property
    def figures(self) -> Figures:
        return self._assembler.figures if self._assembler else Figures()

    def _begin(self, kind: int) -> None:
        """Packets of another format come."""
        format_ = self._formats[kind - 1]
        codec = by_name(format_.name)
        self.errors += self._decoder.errors if self._decoder else 0
        self._kind = kind
        self._assembler = Assembler(codec.depacketiser(format_.parameters, LIMITS), AssemblerSettings(nack=self._nack))
        self._decoder = Decoder(codec, LIMITS)
        self._epoch += 1
        self._begun = False
        self._queue.clear()
        self._patient_until = None

    def feed(
        self, kind: int, ssrc: int, sequence: int, timestamp: int, marker: bool, payload: bytes, now: float
    ) -> None:
        """A packet of the stream's format ``kind`` (from 1) came."""
        if kind != self._kind:
            if not 0 < kind <= len(self._formats):
                return
            self._begin(kind)
        assert self._assembler is not None
        self._assembler.feed(ssrc, sequence, timestamp, marker, payload, now)

    def feed_again(self, kind: int, timestamp: int, marker: bool, payload: bytes, now: float) -> None:
        """A retransmission of that format came (RFC 4588)."""
        if kind != self._kind or self._assembler is None or self._assembler.ssrc is None:
            return
        try:
            sequence, payload = unwrap_rtx(payload)
        except PayloadError:
            return
        if payload:
            self._assembler.feed(self._assembler.ssrc, sequence, timestamp, marker, payload, now)

    def take(self, now: float, turn: int, round_trip: float) -> Wants:
        """What came of it: frames go to the decoder; what is to be asked of the sender comes back."""
        wants = Wants()
        assembler = self._assembler
        if assembler is not None:
            if round_trip:
                assembler.round_trip = round_trip
            for event in assembler.take(now):
                match event:
                    case Frame():
                        self._add(event, turn, now)
                    case Lost():
                        self._want_keyframe = True
                        self.dark_since = self.dark_since or now
                    case Missing():
                        wants.missing, wants.ssrc = event.sequences, event.ssrc
        if self._patient_until is None:
            self._patient_until = now + PATIENT
        if now >= self._patient_until and not self._begun:
            self._want_keyframe = True
            if assembler is not None:
                self.dark_since = self.dark_since or now
        if self._decoder is not None and self._decoder.broken:
            self._want_keyframe = True
            self.dark_since = self.dark_since or now
        if self._want_keyframe and now - self._asked_at >= max(ASK_AGAIN, 2 * round_trip):
            self._asked_at = now
            self.asked += 1
            wants.keyframe = True
        return wants

    def _add(self, frame: Frame, turn: int, now: float) -> None:
        self._allowance = min(self._allowance + RATE * (now - self._filled), RATE / 2)
        self._filled = now
        if self._allowance < 1:
            self.dropped += 1
            self._want_keyframe = self._skipping = True
            return
        self._allowance -= 1
        self._begun = True
        if frame.keyframe:
            self._want_keyframe = self._skipping = False
            self.dropped += len(self._queue)
            self._queue.clear()
        elif len(self._queue) >= BEHIND or self._skipping:
            self.dropped += 1 + len(self._queue)
            self._queue.clear()
            self._want_keyframe = self._skipping = True
            return
        if self.dark_since is not None:
            self._frozen += now - self.dark_since
            self.dark_since = None
        self._queue.append((frame, turn))
        self._work()

    def _work(self) -> None:
        """Have the next frame decoded, unless one is: a stream's frames go one after the other."""
        if self._working or not self._queue:
            return
        decoder, epoch = self._decoder, self._epoch
        assert decoder is not None
        self._working = True
        batch = list(self._queue)
        self._queue.clear()

        def job() -> Callable[[], None]:
            picture = None
            for frame, turn in batch:
                picture = decoder.decode(frame.data, keyframe=frame.keyframe, turn=turn) or picture
            last = batch[-1][0].last
            return lambda: self._finish(picture, len(batch), epoch, last)

        self._crew.run(job)

    def _finish(self, picture: Picture | None, frames: int, epoch: int, came: float) -> None:
        self._working = False
        if epoch == self._epoch:
            self.decoded += frames
            if picture is not None:
                # One count for all decoders of the stream: a number never comes twice.
                self._number += 1
                self.picture = Picture(picture.planes, self._number, picture.turn, picture.pixel, picture.full_range)
                self.picture_at = came
                high, wide = picture.planes[0].shape
                self.size = (wide, high)
                self._pictured()
        self._work()

    def frozen(self, now: float) -> float:
        """Seconds that the picture stood for want of a keyframe, up to now."""
        return self._frozen + (now - self.dark_since if self.dark_since is not None else 0.0)

    @property
    def refused(self) -> int:
        """Frames that were none, or that the decoder refused."""
        return self.errors + (self._decoder.errors if self._decoder else 0) + self.figures.damaged


def begins_keyframe(format_: VideoFormat, payload: bytes) -> tuple[bool, int]:
    """Whether a keyframe begins with a payload, and the height that it tells, 0: none."""
    codec = by_name(format_.name)
    if _probe(codec.name).begins(payload) != KEYFRAME:
        return False, 0
    depacketiser = codec.depacketiser({}, LIMITS)
    try:
        picture = depacketiser.frame([payload])
        height = picture.height
    except PayloadError:
        height = 0
    sps = getattr(depacketiser, "sps", None)  # it may have come without a slice
    return True, height or (sps.height if sps else 0)


@cache
def _probe(name: str) -> Depacketiser:
    """One of each format, which is asked nothing that it would remember."""
    return by_name(name).depacketiser({}, LIMITS)
