"""The codecs that we speak, those that a description lists, and the payload type numbers they go by."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from . import sdes
from .sdp import Line, MediaDescription, RtpMap, attribute

Key = tuple[str, int, int]
"""Encoding name in upper case, clock rate in Hz, channels."""

DYNAMIC = range(96, 128)
"""RFC 3551 §3. 64 to 95 stay free for RTCP on the same port (RFC 5761 §4)."""
OPUS_BITRATE = range(6_000, 510_001)
"""RFC 7587 §6.1, maxaveragebitrate in bit/s."""
OVERHEAD = 16_000
"""bit/s of IPv4, UDP and RTP headers at 50 packets a second, which b=AS counts and an Opus bit rate doesn't."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One that we speak."""

    name: str
    """Upper case."""
    clock_rate: int
    """RTP clock in Hz, as in rtpmap (G722 says 8000, RFC 3551 §4.5.2)."""
    channels: int = 1
    """As in rtpmap: 2 for Opus, whatever is in the packets (RFC 7587 §7)."""
    fmtp: str = ""
    """What we tell the peer about how to send to us."""
    static: int | None = None
    """Payload type of RFC 3551 §6."""
    usual: int = DYNAMIC.start
    """The dynamic payload type that we like for it."""
    ptimes: tuple[int, ...] = (10, 20, 30, 40, 60)
    """Milliseconds a packet can hold, within what an Ethernet frame carries."""

    @property
    def key(self) -> Key:
        return self.name, self.clock_rate, self.channels

    def packet_time(self, wanted: int, most: int) -> int:
        """The longest that we do within both, in ms; the shortest that we do if they leave none."""
        return max((time for time in self.ptimes if time <= min(wanted, most)), default=self.ptimes[0])

    def lines(self, number: int) -> Iterator[Line]:
        """rtpmap (for static payload types too, RFC 3264 §5.1) and fmtp."""
        name = _SPELLING.get(self.name, self.name)
        channels = f"/{self.channels}" if self.channels > 1 else ""
        yield attribute("rtpmap", f"{number} {name}/{self.clock_rate}{channels}")
        if self.fmtp:
            yield attribute("fmtp", f"{number} {self.fmtp}")


_SPELLING = {"OPUS": "opus", "TELEPHONE-EVENT": "telephone-event"}

OPUS = Codec("OPUS", 48_000, 2, "minptime=10; useinbandfec=1; usedtx=1", usual=111, ptimes=(10, 20, 40, 60))
"""Opus has no frames of 30 ms (RFC 7587 §4.2)."""
PCMU = Codec("PCMU", 8_000, static=0)
SPEECH = {
    "opus": OPUS,
    "G722": Codec("G722", 8_000, static=9),
    "PCMU": PCMU,
    "PCMA": Codec("PCMA", 8_000, static=8),
    "L16/48000": Codec("L16", 48_000, usual=112, ptimes=(10,)),
    "L16/16000": Codec("L16", 16_000, usual=113, ptimes=(10, 20, 30, 40)),
}
"""By their names in the settings. The packet times of L16 are those that fit into 1,400 bytes."""
COMFORT_NOISE = Codec("CN", 8_000, static=13)
"""RFC 3389."""
EVENTS = {
    rate: Codec("TELEPHONE-EVENT", rate, fmtp="0-16", usual=usual)
    for rate, usual in ((8_000, 101), (48_000, 102), (16_000, 103))
}
"""RFC 4733, by clock rate: that of the speech it stands beside (§2.1), though many phones know 8000 only."""

_STATIC = {codec.static: RtpMap(codec.static, codec.name, codec.clock_rate) for codec in (
    *SPEECH.values(), COMFORT_NOISE) if codec.static is not None}  # fmt: skip
"""What a payload type without rtpmap means, of those that we speak."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What we can do, whoever calls."""

    codecs: tuple[Codec, ...]
    """Best first."""
    srtp: Literal["off", "offered", "required"] = "offered"
    comfort_noise: bool = True
    events: bool = True
    ptime: int = 20
    """Milliseconds a packet, where the peer doesn't say."""
    suites: tuple[str, ...] = sdes.SUITES
    """SDES, in the order that we offer."""

    @classmethod
    def of(cls, names: Sequence[str], srtp: str) -> Capabilities:
        """From the settings' words. Raises :class:`ValueError` for one that we don't know, and for no codec."""
        known = {name.upper(): codec for name, codec in SPEECH.items()}
        unknown = [name for name in names if name.upper() not in known]
        if unknown or not names:
            raise ValueError(f"codecs: {', '.join(unknown) or 'none'}; there are {', '.join(SPEECH)}")
        codecs = tuple(dict.fromkeys(known[name.upper()] for name in names))
        if srtp == "off":
            return cls(codecs, "off")
        if srtp == "required":
            return cls(codecs, "required")
        if srtp != "offered":
            raise ValueError(f"srtp: {srtp!r}; it is off, offered or required")
        return cls(codecs)

    def all(self) -> tuple[Codec, ...]:
        """Everything that an offer lists, in its order: speech, comfort noise, events."""
        rates = {codec.clock_rate for codec in self.codecs}
        noise = (COMFORT_NOISE,) if self.comfort_noise and COMFORT_NOISE.clock_rate in rates else ()
        # 8000 first and always: simple phones know no other.
        events = tuple(codec for rate, codec in EVENTS.items() if rate == 8_000 or rate in rates)
        return (*self.codecs, *noise, *(events if self.events else ()))


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """One payload type of one direction, as negotiated. The Opus parameters are the receiver's wishes."""

    name: str
    payload_type: int
    clock_rate: int
    channels: int = 1
    fec: bool = False
    """useinbandfec=1."""
    dtx: bool = False
    """usedtx=1."""
    stereo: bool = False
    """stereo=1."""
    bitrate: int = 0
    """maxaveragebitrate in bit/s, or less where b= says so; 0: the sender's choice."""
    max_rate: int = 0
    """maxplaybackrate in Hz; 0: 48000."""


def payload_format(
    codec: Codec, number: int, fmtp: Mapping[str, str] | None = None, bandwidth: Mapping[str, int] | None = None
) -> PayloadFormat:
    """``codec`` under ``number`` with the receiver's ``fmtp`` and b= lines; what makes no sense there is left out."""
    if codec.name != "OPUS":
        return PayloadFormat(codec.name, number, codec.clock_rate, codec.channels)
    fmtp = fmtp or {}
    wishes = (_number(fmtp.get("maxaveragebitrate")), _ceiling(bandwidth or {}))
    limits = [limit for limit in wishes if limit]
    max_rate = _number(fmtp.get("maxplaybackrate"))
    return PayloadFormat(
        codec.name,
        number,
        codec.clock_rate,
        codec.channels,
        fec=fmtp.get("useinbandfec") == "1",
        dtx=fmtp.get("usedtx") == "1",
        stereo=fmtp.get("stereo") == "1",
        bitrate=min(max(min(limits), OPUS_BITRATE.start), OPUS_BITRATE[-1]) if limits else 0,
        max_rate=max_rate if 8_000 <= max_rate < 48_000 else 0,
    )


def _number(text: str | None) -> int:
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdigit() else 0


def _ceiling(bandwidth: Mapping[str, int]) -> int:
    """bit/s for the codec out of b=TIAS (RFC 3890) or b=AS, 0 for none. What leaves no room for a voice counts as none:
    some phones put 0 there, and mean nothing by it."""
    ceiling = bandwidth.get("TIAS", 0) or bandwidth.get("AS", 0) * 1_000 - OVERHEAD
    return ceiling if ceiling >= OPUS_BITRATE.start else 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A payload type in a description that is one of our codecs."""

    codec: Codec
    number: int


def listed(media: MediaDescription, codecs: Collection[Codec]) -> tuple[Listed, ...]:
    """Those of the m-line that we do, in its order, each codec once: the number that it has first."""
    by_key = {codec.key: codec for codec in codecs}
    rtpmaps = media.rtpmaps
    found: dict[Codec, Listed] = {}
    for number in media.payload_types:
        codec = by_key.get(_key(rtpmaps.get(number) or _STATIC.get(number)))
        if codec is not None:
            found.setdefault(codec, Listed(codec, number))
    return tuple(found.values())


def _key(rtpmap: RtpMap | None) -> Key:
    if rtpmap is None:
        return "", 0, 0
    name = rtpmap.name.upper()
    # Some leave Opus's "/2" away; it means nothing (RFC 7587 §7).
    return name, rtpmap.clock_rate, 2 if name == "OPUS" else rtpmap.channels


class Numbered(Protocol):
    """What goes by a payload type."""

    @property
    def key(self) -> Hashable: ...
    @property
    def static(self) -> int | None: ...
    @property
    def usual(self) -> int: ...


@dataclass(slots=True)
class Numbers:
    """Our payload types of one m-line. What a number has meant, it means for good (RFC 3264 §8.3.2)."""

    meaning: dict[int, Hashable] = field(default_factory=dict)
    avoid: Collection[int] = ()
    """Those of other m-lines of the same BUNDLE group: a new one must be none of these (RFC 9143 §9.1)."""

    def take(self, codec: Numbered, wished: int | None = None) -> int | None:
        """A number for ``codec``: the one wished, else what it had before, else its static or usual one, else any.

        Args:
            wished: their number for it (RFC 3264 §6.1 wants the same in an answer).

        Returns: None if all numbers are used up.
        """
        before = [number for number, key in self.meaning.items() if key == codec.key]
        candidates: tuple[int | None, ...] = (wished, *before, codec.static, codec.usual, *DYNAMIC)
        for number in candidates:
            if number is None or (number in self.avoid and number not in self.meaning):
                continue
            if self.meaning.setdefault(number, codec.key) == codec.key:
                return number
        return None
