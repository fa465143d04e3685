"""The other side's audio m-line: is it one that we can talk to, and what does it say?"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from . import sdp
from .codec_list import COMFORT_NOISE, EVENTS, Capabilities, Listed, listed
from .sdp import Connection, Direction, MediaDescription, SessionDescription

LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
"""RFC 6464."""
PLAIN = frozenset(("RTP/AVP", "RTP/AVPF"))
SECURE = frozenset(("RTP/SAVP", "RTP/SAVPF"))
"""Keyed by SDES; DTLS has protos of its own (RFC 5764 §8)."""


_CLASS_E = ipaddress.IPv4Address("240.0.0.0")
"""From here on: reserved, and the broadcast address (RFC 1112 §4)."""


class Unacceptable(Exception):
    """There is no call to be had on this description."""

    def __init__(self, code: int, warn_code: int, warning: str) -> None:
        super().__init__(warning)
        self.code = code
        """SIP status: 400 for what is no session description, else 488."""
        self.warn_code = warn_code
        """Of RFC 3261 §20.43."""
        self.warning = warning
        """Warn-text."""

    def header(self, host: str) -> tuple[str, str]:
        """The header field that tells the caller why (RFC 3261 §20.43); ``host``: ours."""
        agent = f"[{host}]" if ":" in host else host
        text = self.warning.replace("\\", "\\\\").replace('"', '\\"')
        return "Warning", f'{self.warn_code} {agent} "{text}"'


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
    crypto: tuple[str, ...] = field(repr=False)

    @property
    def entries(self) -> tuple[Listed, ...]:
        """All that we speak."""
        return (*self.speech, *((self.noise,) if self.noise else ()), *self.events.values())

    @property
    def secure(self) -> bool:
        return self.proto in SECURE


def parsed(data: bytes) -> SessionDescription:
    """Raises :class:`Unacceptable` with 400."""
    try:
        return sdp.parse(data)
    except sdp.SdpError as error:
        raise Unacceptable(400, 399, f"bad session description: {error}") from None


def is_audio(media: MediaDescription) -> bool:
    return media.kind == "audio" and media.port != 0


def choose(description: SessionDescription, capabilities: Capabilities, first: int) -> tuple[int, AudioLine]:
    """The audio m-line to talk on, and its place: number ``first`` if it will do, else the first that does.

    Raises:
        Unacceptable: none will do; says what is wrong with the first of them.
    """
    places = [place for place, media in enumerate(description.media) if is_audio(media)]
    places.sort(key=lambda place: place != first)
    reason: Unacceptable | None = None
    for place in places:
        try:
            return place, read(description, description.media[place], capabilities)
        except Unacceptable as error:
            reason = reason or error
    raise reason or Unacceptable(488, 304, "no audio in the session description")


def read(description: SessionDescription, media: MediaDescription, capabilities: Capabilities) -> AudioLine:
    """Raises :class:`Unacceptable` for an m-line that we can't use."""
    if media.proto not in (PLAIN if capabilities.srtp == "off" else PLAIN | SECURE):
        raise Unacceptable(488, 302, f"transport {media.proto[:40]} not available")
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
        address=line_address(connection, media.port),
        rtcp=line_rtcp(connection, media),
        rtcp_mux=media.rtcp_mux,
        direction=line_direction(description, media, connection),
        ptime=media.ptime,
        maxptime=media.maxptime,
        level=level.id if level else 0,
        level_direction=level.direction if level else Direction.INACTIVE,
        xr=any("voip-metrics" in (part.rtcp_xr or ()) for part in (media, description)),
        crypto=media.crypto if capabilities.srtp != "off" else (),
    )


def unicast(description: SessionDescription, media: MediaDescription) -> Connection:
    """The m-line's connection. A stranger may not make us send to many, or to a network's broadcast address.

    Raises:
        Unacceptable: it has none, or such a one.
    """
    connection = description.connection_of(media)
    if connection is None:
        raise Unacceptable(400, 399, "no c= line")
    ip = connection.ip
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    broadcast = isinstance(ip, ipaddress.IPv4Address) and ip >= _CLASS_E
    if ip is not None and (ip.is_multicast or broadcast):
        raise Unacceptable(488, 330, "only unicast addresses are served")
    return connection


def line_direction(description: SessionDescription, media: MediaDescription, connection: Connection) -> Direction:
    """With 0.0.0.0 counted as not receiving (the hold of RFC 2543, RFC 3264 §8.4)."""
    direction = description.direction_of(media)
    if connection.ip is not None and connection.ip.is_unspecified:
        return Direction.of(direction.sends, False)
    return direction


def line_address(connection: Connection, port: int) -> tuple[str, int] | None:
    """Where they receive; None: nowhere (0.0.0.0), or at a name that we don't look up."""
    ip = connection.ip
    return None if ip is None or ip.is_unspecified or not 0 < port < 65_536 else (str(ip), port)


def line_rtcp(connection: Connection, media: MediaDescription) -> tuple[str, int] | None:
    """RFC 3605, else the next port. Another host than the media's isn't believed: nothing proves that it asked."""
    rtcp = media.rtcp
    return line_address(connection, rtcp.port if rtcp else media.port + 1)
