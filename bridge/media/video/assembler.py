"""RTP packets of one sender to complete frames in decoding order, with what is to be asked for again.

Packets in sequence go straight into the frame that grows; only what comes out of order waits in a table. What is
missing is asked for (RFC 4585 §6.2.1) until its deadline; then its frame is abandoned, and none is given out until one
comes that decoding may begin with: the consumer holds the last good picture meanwhile. A complete keyframe that waits
behind something missing is taken at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from .payload import CONTINUES, KEYFRAME, Depacketiser, PayloadError

WINDOW: Final = 1024
"""Packets ahead of or behind the expected one that still belong to the stream; what is further is another's, or the
sender began anew. Two keyframes of 1080p at 600 kB, and below RFC 3550 A.1's MAX_DROPOUT (3000)."""
MOST_ASKED: Final = 256
"""Missing packets that are still asked for. Where more is lost a keyframe costs less than all of them; more at once are
not even waited for."""
KEYFRAMES: Final = 8
"""Keyframes that wait behind something missing; the latest count."""
LEAD: Final = 32
"""Packets that may be on their way before the first that came, unless a keyframe begins with it."""
FRAME_SIZE: Final = 4 << 20
"""Octets of a frame; 1080p intra coded at the worst quality setting anyone uses has 1 MB."""


@dataclass(frozen=True, slots=True)
class AssemblerSettings:
    nack: bool = True
    """The sender answers generic NACKs (``a=rtcp-fb`` told)."""
    deadline: float = 0.25
    """Seconds that something missing is waited for when it can be asked for: a picture that stands so long is seen to
    stand, a keyframe is quicker then."""
    reorder: float = 0.06
    """Seconds that it is waited for when it can't: three beats, what reordering in networks needs at most."""
    patience: float = 0.005
    """Seconds before the first NACK: much reordering is over by then (RFC 4585 §3.5.1 leaves the time to us between two
    parties: T_dither_max is 0)."""
    tries: int = 5
    """NACKs for one packet at most."""
    ask_again: float = 0.5
    """Seconds between two requests for a keyframe; two round trips if that is longer (RFC 5104 §4.3.1.2)."""
    resign: float = 6.0
    """Seconds without a keyframe after which frames are given out as they come: terminals that refresh bit by bit send
    none, and a picture with faults that heal is more than none."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to decode."""

    data: bytes
    """As libavcodec's decoder takes it."""
    timestamp: int
    """RTP timestamp, 32 bits."""
    keyframe: bool
    first: float
    """When its first packet came, monotonic seconds."""
    last: float
    """When its last packet came."""
    width: int
    """Pixels; 0 as long as no keyframe told."""
    height: int
    ssrc: int
    whole: bool = True
    """Every frame since the last keyframe was given out."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A keyframe is needed: hold the picture, ask the sender. Comes again, while packets do, until there is one."""

    ssrc: int
    since: float
    """Since when, monotonic seconds."""
    tries: int
    """How often it was said before."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Packets to be asked for now, in a generic NACK."""

    ssrc: int
    sequences: tuple[int, ...]
    """16 bits each, ascending from the oldest."""


Event: TypeAlias = Frame | Lost | Missing


@dataclass(slots=True)
class Figures:
    """Counters since the stream began."""

    packets: int = 0
    late: int = 0
    """Came twice, or after they were given up."""
    recovered: int = 0
    """Came after they were asked for."""
    abandoned: int = 0
    """Packets given up."""
    frames: int = 0
    keyframes: int = 0
    """Among the frames."""
    withheld: int = 0
    """Frames not given out for want of a keyframe."""
    damaged: int = 0
    """Frames that were none by their format, or too large."""
    restarts: int = 0
    """The sender began anew."""


@dataclass(slots=True)
class _Gap:
    since: float
    due: float
    tries: int = 0
    supposed: bool = False
    """Before the first packet that came; nobody knows whether it was sent, so it isn't asked for."""


_Held: TypeAlias = tuple[int, bool, bytes, float]
"""Timestamp, marker, payload, arrival."""


class Assembler:
    """See the module. ``feed`` every packet, then ``take`` what came of it, at least once a beat.

    Memory is bounded: :data:`WINDOW` packets that wait, one frame of :data:`FRAME_SIZE`, and what was fed since the
    last ``take``.
    """

    def __init__(self, depacketiser: Depacketiser, settings: AssemblerSettings | None = None) -> None:
        self._depacketiser = depacketiser
        self.settings = settings or AssemblerSettings()
        self.round_trip = 0.1
        """Seconds, for the caller to keep; 0.1 until it is measured."""
        self._deadline = self.settings.deadline if self.settings.nack else self.settings.reorder
        self.figures = Figures()
        self.ssrc: int | None = None
        """Whose packets are taken; None: none came yet."""
        self._events: list[Event] = []
        self._suspect: tuple[int, int, _Held] | None = None
        self._cursor = 0  # extended sequence number expected next
        self._highest = 0  # extended, of those that came
        self._held: dict[int, _Held] = {}
        self._gaps: dict[int, _Gap] = {}
        self._keyframes: list[int] = []  # where keyframes begin among the held
        # The frame that grows.
        self._parts: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._first = 0.0
        self._skipping = False  # the rest of a frame whose beginning is lost
        # Whether a keyframe is needed, since when, and when to say so (next).
        self._dark = True
        self._dark_since = 0.0
        self._ask_due: float | None = None
        self._asked = 0
        self._heard = 0  # packets that had come when it was last said
        self._whole = False

    # ------------------------------------------------------------------------------------------ packets come

    def feed(self, ssrc: int, sequence: int, timestamp: int, marker: bool, payload: bytes, now: float) -> None:
        """A packet came.

        Args:
            payload: kept until its frame is out, so no view of memory that is given back. Empty ones (padding only)
                count for the sequence alone.
            now: its arrival, monotonic seconds.
        """
        if ssrc == self.ssrc:
            ahead = (sequence - self._cursor) & 0xFFFF
            if not ahead:
                self.figures.packets += 1
                if self._gaps:
                    self._fill(self._cursor)
                self._accept(timestamp, marker, payload, now)
                self._cursor += 1
                if self._held:
                    self._drain()
                return
            if ahead <= WINDOW:
                self._hold(self._cursor + ahead, (timestamp, marker, payload, now))
                return
            if ahead >= 0x10000 - WINDOW:
                self.figures.packets += 1
                self.figures.late += 1
                return
        self._meet(ssrc, sequence, (timestamp, marker, payload, now))

    def _meet(self, ssrc: int, sequence: int, packet: _Held) -> None:
        """The first packet of all begins the stream; another source, or numbers out of the window, must come twice in
        sequence to be believed (RFC 3550 A.1)."""
        suspect, self._suspect = self._suspect, None
        if self.ssrc is None:
            self._begin(ssrc, sequence, packet)
        elif suspect and suspect[:2] == (ssrc, (sequence - 1) & 0xFFFF):
            self.figures.restarts += 1
            self._begin(ssrc, suspect[1], suspect[2])
            self.feed(ssrc, sequence, *packet)
        else:
            self._suspect = ssrc, sequence, packet

    def _begin(self, ssrc: int, sequence: int, packet: _Held) -> None:
        self.ssrc = ssrc
        self._held.clear()
        self._gaps.clear()
        self._keyframes.clear()
        self._forget_frame()
        self._cursor, self._highest = sequence, sequence - 1
        self._dark, self._dark_since, self._asked, self._ask_due = True, packet[3], 0, None
        if self._depacketiser.begins(packet[2]) != KEYFRAME:
            # Its keyframe may have begun with packets that were overtaken: they are waited for as for reordering.
            self._cursor -= LEAD
            since = packet[3] - self._deadline + self.settings.reorder
            self._gaps = {number: _Gap(since, 0.0, 0, True) for number in range(self._cursor, sequence)}
        self.feed(ssrc, sequence, *packet)

    def _hold(self, number: int, packet: _Held) -> None:
        self.figures.packets += 1
        if number in self._held:
            self.figures.late += 1
            return
        now = packet[3]
        if number > self._highest:
            first = max(self._highest + 1, self._cursor)
            if number - first > MOST_ASKED:
                self.figures.abandoned += number - first
            else:
                due = now + self.settings.patience
                for gap in range(first, number):
                    self._gaps[gap] = _Gap(now, due)
            self._highest = number
        else:
            self._fill(number)
        self._held[number] = packet
        if self._depacketiser.begins(packet[2]) == KEYFRAME:
            same = [at for at in self._keyframes if at in self._held and self._held[at][0] == packet[0]]
            if not same or min(same) > number:  # a frame begins once, at its first such packet
                kept = [at for at in self._keyframes if at not in same]
                self._keyframes = sorted([*kept, number])[-KEYFRAMES:]

    def _fill(self, number: int) -> None:
        gap = self._gaps.pop(number, None)
        if gap and gap.tries:
            self.figures.recovered += 1

    def _drain(self) -> None:
        """Take held packets for as long as they are in sequence."""
        held = self._held
        while (packet := held.pop(self._cursor, None)) is not None:
            self._accept(*packet)
            self._cursor += 1

    def _accept(self, timestamp: int, marker: bool, payload: bytes, now: float) -> None:
        """The next packet in sequence."""
        if self._highest < self._cursor:
            self._highest = self._cursor
        if not payload:
            return
        if timestamp != self._timestamp:
            if self._parts:
                self._complete(now)  # its marker wasn't set
            self._timestamp = timestamp
            self._first = now
            self._skipping = False
        elif self._skipping:
            return
        elif not self._parts:
            self._first = now
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > FRAME_SIZE:
            self.figures.damaged += 1
            self._forget_frame(skipping=True)
            self._lose(now)
        elif marker:
            self._complete(now)

    # ------------------------------------------------------------------------------------------- frames leave

    def _complete(self, now: float) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        try:
            picture = self._depacketiser.frame(parts)
        except PayloadError:
            self.figures.damaged += 1
            self._lose(now)
            return
        if not picture.data:
            return
        if picture.keyframe:
            self._dark, self._whole, self._ask_due = False, True, None
            self.figures.keyframes += 1
        elif self._dark:
            if now - self._dark_since < self.settings.resign:
                self.figures.withheld += 1
                if self._ask_due is None:
                    self._ask_due = now
                return
            self._whole = False
        self.figures.frames += 1
        assert self._timestamp is not None
        assert self.ssrc is not None
        self._events.append(
            Frame(
                picture.data,
                self._timestamp,
                picture.keyframe,
                self._first,
                now,
                picture.width,
                picture.height,
                self.ssrc,
                self._whole,
            )
        )

    def _lose(self, now: float) -> None:
        if not self._dark:
            self._dark, self._dark_since, self._asked = True, now, 0
            self._ask_due = now
        elif self._ask_due is None:
            self._ask_due = now

    def _forget_frame(self, *, skipping: bool = False) -> None:
        self._parts, self._size, self._skipping = [], 0, skipping
        if not skipping:
            self._timestamp = None

    # ------------------------------------------------------------------------------------------ time passes

    def take(self, now: float) -> list[Event]:
        """What came of the packets and of the time, in order; NACKs and requests last."""
        if self._held:
            self._wait(now)
        if self._gaps and self.settings.nack and len(self._gaps) <= MOST_ASKED:
            self._report_missing(now)
        if self._ask_due is not None and now >= self._ask_due:
            if self.figures.packets != self._heard:  # who sends nothing has his camera off
                assert self.ssrc is not None
                self._events.append(Lost(self.ssrc, self._dark_since, self._asked))
                self._asked += 1
                self._heard = self.figures.packets
            self._ask_due = now + max(self.settings.ask_again, 2 * self.round_trip)
        events, self._events = self._events, []
        return events

    def _wait(self, now: float) -> None:
        if self._keyframes:
            self._leap()
        asked = self.settings.nack and len(self._gaps) <= MOST_ASKED
        deadline = self._deadline if asked else self.settings.reorder
        while self._held:
            gap = self._gaps.get(self._cursor)
            if gap and now - gap.since < deadline:
                return
            self._abandon(now)

    def _leap(self) -> None:
        """To the latest keyframe that is complete among the held, whatever is missing before it."""
        self._keyframes = [number for number in self._keyframes if number in self._held]
        for start in reversed(self._keyframes):
            timestamp, at = self._held[start][0], start
            while (packet := self._held.get(at)) is not None and packet[0] == timestamp and not packet[1]:
                at += 1
            if packet is None:
                continue
            for number in [number for number in self._held if number < start]:
                del self._held[number]
            self._give_up(start)
            self._forget_frame()
            self._drain()
            return

    def _give_up(self, upto: int) -> None:
        """Move on to a held packet; what is missing before it is no longer asked for."""
        for number in [number for number in self._gaps if number < upto]:
            self.figures.abandoned += not self._gaps.pop(number).supposed
        self._cursor = upto

    def _abandon(self, now: float) -> None:
        """What is missing doesn't come: its frame is given up, and the next one that begins is gone on with."""
        broken = self._timestamp if self._parts or self._skipping else None
        self._give_up(min(self._held))
        self._lose(now)
        packet = self._held[self._cursor]
        self._forget_frame()
        if packet[0] == broken:
            self._timestamp, self._skipping = broken, True
        else:
            self._resume(packet)
        self._drain()

    def _resume(self, packet: _Held) -> None:
        """Before a packet whose predecessor isn't known: unless a frame begins with it, the frame is not whole."""
        if packet[2] and self._depacketiser.begins(packet[2]) == CONTINUES:
            self._timestamp, self._skipping = packet[0], True
            self._lose(packet[3])

    def _report_missing(self, now: float) -> None:
        due: list[int] = []
        # A packet's answer takes a round trip; a little more is given for its sender's own beat.
        again = now + max(self.round_trip * 1.25, 0.02)
        for number, gap in self._gaps.items():
            if gap.due <= now and gap.tries < self.settings.tries and not gap.supposed:
                gap.tries += 1
                gap.due = again
                due.append(number)
        if due:
            assert self.ssrc is not None
            self._events.append(Missing(self.ssrc, tuple(number & 0xFFFF for number in due)))
