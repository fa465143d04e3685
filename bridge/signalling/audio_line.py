"""The other side's audio m-line: is it one that we can talk to, and what does it say?"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import transport_line
from .codec_list import COMFORT_NOISE, EVENTS, Capabilities, Listed, listed
from .media_line import SECURE, Unacceptable, line_address, line_direction, line_rtcp, unicast
from .sdp import Direction, MediaDescription, SessionDescription
from .transport_parameters import TransportParameters

LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
"""RFC 6464."""


@dataclass(frozen=True, slots=True)
class AudioLine:
    """What they say, in their own view."""

    proto: str
    speech: tuple[Listed, ...]
    """Those that we speak, in their order; one at least."""
    noise: Listed | None
    """CN/8000."""
    events: dict[int, Listed]
    """telephone-event by clock rate."""
    has_events: bool
    """At whatever rate."""
    fmtp: dict[int, dict[str, str]]
    """By number, of the speech."""
    bandwidth: dict[str, int]
    address: tuple[str, int] | None
    """Where they receive; None: nowhere (0.0.0.0), or at a name that we don't look up."""
    rtcp: tuple[str, int] | None
    rtcp_mux: bool
    direction: Direction
    """With 0.0.0.0 counted as not receiving (the hold of RFC 2543, RFC 3264 §8.4)."""
    ptime: int | None
    maxptime: int | None
    level: int
    """Extension id of the audio levels that they send, or would; 0: none."""
    level_direction: Direction
    xr: bool
    """They ask for VoIP metrics (RFC 3611 §5)."""
    transport: TransportParameters | None
    """None: it is not keyed by DTLS."""
    mid: str
    rtcp_rsize: bool
    """They take RTCP of reduced size (RFC 5506)."""
    crypto: tuple[str, ...] = field(repr=False)

    @property
    def entries(self) -> tuple[Listed, ...]:
        """All that we speak."""
        return (*self.speech, *((self.noise,) if self.noise else ()), *self.events.values())

    @property
    def secure(self) -> bool:
        return self.proto in SECURE


def is_audio(media: MediaDescription) -> bool:
    return media.kind == "audio" and media.port != 0


def choose(
    description: SessionDescription, capabilities: Capabilities, first: int, *, dtls: bool
) -> tuple[int, AudioLine]:
    """The audio m-line to talk on, and its place: number ``first`` if it will do, else the first that does.

    Args:
        dtls: we have a transport for it.

    Raises:
        Unacceptable: none will do; says what is wrong with the first of them.
    """
    places = [place for place, media in enumerate(description.media) if is_audio(media)]
    places.sort(key=lambda place: place != first)
    reason: Unacceptable | None = None
    for place in places:
        try:
            return place, read(description, description.media[place], capabilities, dtls=dtls)
        except Unacceptable as error:
            reason = reason or error
    raise reason or Unacceptable(488, 304, "no audio in the session description")


def read(
    description: SessionDescription, media: MediaDescription, capabilities: Capabilities, *, dtls: bool
) -> AudioLine:
    """Raises :class:`Unacceptable` for an m-line that we can't use."""
    transport = transport_line.keying(description, media, srtp=capabilities.srtp != "off", dtls=dtls)
    ice = transport is not None and bool(transport.ufrag)
    speech = listed(media, capabilities.codecs)
    if not speech:
        raise Unacceptable(488, 305, "no codec in common")
    connection = unicast(description, media)
    levels = [extmap for part in (media, description) for extmap in part.extmaps if extmap.uri == LEVEL_URI]
    # Longer ids need two-byte headers (RFC 8285 §4.2), which we don't read.
    level = next((extmap for extmap in levels if 1 <= extmap.id <= 14), None)
    noise = listed(media, (COMFORT_NOISE,)) if capabilities.comfort_noise else ()
    events = listed(media, EVENTS.values())
    return AudioLine(
        proto=media.proto,
        speech=speech,
        noise=noise[0] if noise else None,
        events={event.codec.clock_rate: event for event in events} if capabilities.events else {},
        has_events=any(rtpmap.name.upper() == "TELEPHONE-EVENT" for rtpmap in media.rtpmaps.values()),
        fmtp={entry.number: media.fmtp(entry.number) for entry in speech},
        bandwidth=media.bandwidth or description.bandwidth,
        # With ICE that is one candidate among several, or none.
        address=None if ice else line_address(connection, media.port),
        rtcp=None if ice else line_rtcp(connection, media),
        rtcp_mux=media.rtcp_mux,
        direction=description.direction_of(media) if ice else line_direction(description, media, connection),
        ptime=media.ptime,
        maxptime=media.maxptime,
        level=level.id if level else 0,
        level_direction=level.direction if level else Direction.INACTIVE,
        xr=any("voip-metrics" in (part.rtcp_xr or ()) for part in (media, description)),
        transport=transport,
        mid=transport_line.mid_of(media),
        rtcp_rsize=media.has("rtcp-rsize"),
        crypto=media.crypto if capabilities.srtp != "off" else (),
    )
