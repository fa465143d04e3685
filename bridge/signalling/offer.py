"""Offer and answer (RFC 3264) for one call: descriptions in, descriptions and what is in force out.

>>> capabilities = Capabilities.of(["PCMU"], "off")
>>> ours, theirs = Negotiator(capabilities, bytes, 1), Negotiator(capabilities, bytes, 2)
>>> answer, _ = theirs.answer(ours.offer(Local("192.0.2.1", 4000)), Local("192.0.2.2", 5000))
>>> agreed = ours.accept(answer)
>>> agreed.send.name, agreed.remote
('PCMU', ('192.0.2.2', 5000))

One audio stream a call; beside it, where we have a port for it, one picture, a second one for what is shown, and floor
control. Whatever else is offered is refused with port 0 in its place (§6).

* The offerer's order of codecs is kept, so we send with the first of theirs that we speak (§6.1 SHOULD).
* SRTP where it is wished, not demanded: our offers are RTP/AVP with ``a=crypto`` lines. RFC 4568 §3.1.1 has keys in
  RTP/SAVP only, but a phone without SRTP refuses such an m-line, whereas it ignores an attribute; phones with SRTP
  (baresip, linphone) take the keys under either. ``offer(secure=...)`` says otherwise for one call.
* Inside a call, security stays as it was agreed, and so does everything that need not change: an offer that says
  nothing new is the very bytes of the description in force (§8).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import transport_line
from .audio_line import LEVEL_URI, AudioLine, choose, is_audio, read
from .bfcp_line import AgreedFloor, FloorAccess
from .codec_list import (
    Capabilities,
    Codec,
    Listed,
    Numbers,
    PayloadFormat,
    payload_format,
)
from .line_keys import LineKeys
from .media_line import SECURE, Unacceptable, parsed
from .pictures import Pictures, Planned
from .sdes import Crypto, RandomBytes
from .sdp import Direction, Line, MediaDescription, Origin, SessionDescription, attribute
from .tile_line import AgreedTile
from .transport_line import AgreedTransport, Bundle, Carried, Kind
from .transport_parameters import Setup, TransportParameters
from .video_codec import VideoCapabilities
from .video_line import AgreedVideo

__all__ = ["Agreed", "Capabilities", "Codec", "Local", "Negotiator", "PayloadFormat", "Unacceptable"]

LEVEL_ID = 1
"""Extension id that we offer for RFC 6464."""


@dataclass(frozen=True, slots=True)
class Local:
    """Where we receive, as the peer is to be told."""

    host: str
    """IP address."""
    port: int
    rtcp_port: int = 0
    """0: the next one, which then needs no a=rtcp."""
    video: int = 0
    """Port of the call's picture; 0: it gets none."""
    content: int = 0
    """Port of the second picture, for what is shown."""
    floor: FloorAccess | None = None
    """None: it can't show anything."""
    transport: TransportParameters | None = None
    """For DTLS (RFC 5763): our fingerprint and role; with ICE credentials, candidates and ``address``, that of the
    default candidate. Pictures that share it have ``video`` and ``content`` other than 0, whatever these are. None: the
    call has none, and DTLS is refused."""
    pictures: Mapping[Kind, TransportParameters] = field(default_factory=dict)
    """Of the pictures that have one of their own."""
    sources: Mapping[Kind, int] = field(default_factory=dict)
    """SSRCs that we send with, where descriptions are to tell (RFC 5576): with BUNDLE the peer finds a packet's m-line
    by it. Retransmissions of a picture have the next one."""
    tiles: Mapping[str, int] | None = None
    """Likewise of tiles (:mod:`.tile_line`), by mid: those which we have. None: there are none for this call."""
    cname: str = ""

    @property
    def connection(self) -> str:
        return f"IN IP{ipaddress.ip_address(self.host).version} {self.host}"


@dataclass(frozen=True, slots=True)
class Agreed:
    """What is in force."""

    send: PayloadFormat | None
    """None: we must not send (hold, or no stream)."""
    receive: tuple[PayloadFormat, ...]
    """Everything to take in, speech, CN and TELEPHONE-EVENT: under our numbers, then under those that only they use.
    Empty: nothing."""
    send_event: PayloadFormat | None
    send_cn: PayloadFormat | None
    ptime: int
    """Milliseconds in a packet that we send: 10, 20, 30, 40 or 60."""
    remote: tuple[str, int] | None
    """None: they named no address (0.0.0.0, port 0, a host name)."""
    remote_rtcp: tuple[str, int] | None
    rtcp_mux: bool
    direction: Direction
    """Ours."""
    on_hold: bool
    """They take in nothing from us."""
    srtp_send: tuple[str, bytes] | None = field(repr=False)
    """Suite; master key and salt."""
    srtp_receive: tuple[str, bytes] | None = field(repr=False)
    levels: int
    """Header extension id of RFC 6464 in what they send; 0: none."""
    xr: bool
    """They asked for RTCP XR VoIP metrics."""
    inband_dtmf: bool
    """They know no telephone-event: keys may come as tones."""
    transport: AgreedTransport | None = None
    """The voice's, and that of all that are bundled with it; keys come by DTLS over it. None: by SDES, or none."""
    video: AgreedVideo | None = None
    """None: no picture either way."""
    content: AgreedVideo | None = None
    """The second one, for what is shown."""
    floor: AgreedFloor | None = None
    tiles: tuple[AgreedTile, ...] = ()
    """Others' pictures, passed on as they come."""


NOTHING = Agreed(None, (), None, None, 20, None, None, False, Direction.INACTIVE, True, None, None, 0, False, False)
"""The stream was ended with port 0 and the call goes on (RFC 3264 §8.2)."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A description of ours."""

    content: SessionDescription
    """With its version blanked."""
    data: bytes
    place: int
    """Number of the m-line that is the call's audio."""


@dataclass(frozen=True, slots=True)
class _Offered:
    """Our last offer."""

    described: _Described
    listed: tuple[Listed, ...]
    numbers: Numbers
    crypto: tuple[Crypto, ...]
    direction: Direction
    transport: TransportParameters | None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class _Ours:
    """Our side of what is being agreed."""

    listed: tuple[Listed, ...]
    direction: Direction
    """What we would do if they let us."""
    keys: tuple[Crypto, Crypto] | None
    """Theirs, ours."""
    over: AgreedTransport | None


class Negotiator:
    """One call's. Either side may offer at any time; that offers don't cross is the session's business."""

    def __init__(
        self,
        capabilities: Capabilities,
        random_bytes: RandomBytes,
        session_id: int,
        video: VideoCapabilities | None = None,
    ) -> None:
        """``video``: None: calls have no picture."""
        self.agreed: Agreed | None = None
        self._capabilities = capabilities
        self._session_id, self._version = session_id, 0
        self._origin_host = ""
        """That of the first description, for good (RFC 3264 §8)."""
        self._in_force: _Described | None = None
        self._offered: _Offered | None = None
        self._read: tuple[bytes, SessionDescription] | None = None
        """Their last offer, asked about before it is answered: a browser's takes milliseconds to parse."""
        self._numbers = Numbers()
        self._wanted = Direction.SENDRECV
        """SENDONLY: we hold them."""
        self._keys = LineKeys(capabilities.suites, capabilities.srtp, random_bytes)
        self._pictures = Pictures(video, random_bytes) if video else None

    # Theirs

    def _parsed(self, offer: bytes) -> SessionDescription:
        """Raises :class:`Unacceptable`."""
        if self._read is None or self._read[0] != offer:
            self._read = offer, transport_line.unfolded(parsed(offer))
        return self._read[1]

    def answer(self, offer: bytes, local: Local) -> tuple[bytes, Agreed]:
        """Our answer, and what it puts in force.

        Raises:
            Unacceptable: nothing changes; the offer is to be refused with its code.
        """
        description, self._read = self._parsed(offer), None
        if self.agreed is not None and not any(map(is_audio, description.media)):
            return self._end(description, local)
        before = self._in_force.place if self._in_force else 0
        place, line = choose(description, self._capabilities, before, dtls=local.transport is not None)
        _refuse_other_family(line, local)
        over = self._over(line, local)
        keys = None if over else self._keys.answer(line.crypto, secure=line.secure)
        numbers = self._reserved()
        ours = _Ours(self._answered(line, numbers), self._wanted, keys, over)
        if not ours.listed:
            raise Unacceptable(488, 305, "all payload types are used up")
        agreed = _agreement(line, ours, self._capabilities)
        bundle = _bundle(over, transport_line.beside(description, place))
        answered = MediaDescription(
            "audio",
            over.local.address[1] if over and over.local.address else local.port,
            line.proto,
            tuple(str(entry.number) for entry in ours.listed),
            tuple(self._answer_lines(line, ours, agreed, local, mid=line.mid if bundle else "")),
        )
        pictures = self._pictures.answer(description, local, bundle) if self._pictures else Planned()
        mine = {**pictures.media, place: answered}
        media = [mine.get(number) or _refused(other) for number, other in enumerate(description.media)]
        shared = _grouped(bundle, mine)
        described = self._described(media, place, local, over, shared)
        self._numbers, self._in_force = numbers, described
        self.refused()  # an offer of ours that is open still is void: theirs was first
        return described.data, self._put_in_force(agreed, keys, pictures)

    def _end(self, description: SessionDescription, local: Local) -> tuple[bytes, Agreed]:
        place = self._in_force.place if self._in_force else 0
        described = self._described([_refused(media) for media in description.media], place, local, None, ())
        self._in_force = described
        self.refused()
        return described.data, self._put_in_force(NOTHING, None, Planned())

    def _answered(self, line: AudioLine, numbers: Numbers) -> tuple[Listed, ...]:
        """Theirs under their numbers, as far as these are free."""
        rates = {entry.codec.clock_rate for entry in line.speech}
        noise = (line.noise,) if line.noise and line.noise.codec.clock_rate in rates else ()
        clocks = dict.fromkeys((line.speech[0].codec.clock_rate, 8_000))
        events = [event for rate in clocks if (event := line.events.get(rate))]
        events = events or list(line.events.values())[:1]
        chosen: list[Listed] = []
        for entry in (*line.speech, *noise, *events):
            number = numbers.take(entry.codec, entry.number)
            if number is not None:
                chosen.append(Listed(entry.codec, number))
        return tuple(chosen) if any(entry.codec in self._capabilities.codecs for entry in chosen) else ()

    def _over(self, line: AudioLine, local: Local) -> AgreedTransport | None:
        """What keys the voice; None: SDES, or nothing."""
        if line.transport is None or local.transport is None:
            return None
        before = self.agreed.transport if self.agreed else None
        ours = local.transport
        if not line.transport.ufrag:
            ours = transport_line.without_ice(ours, local.host, local.port)
        role = transport_line.role(ours, line.transport, before)
        return AgreedTransport(replace(ours, setup=role), line.transport)

    def transports(self, offer: bytes) -> Mapping[Kind, TransportParameters]:
        """What theirs says of the transports that an answer would put in force: of the voice, and of the pictures that
        do not share it. So our side of each can be made before it is answered.

        Raises:
            Unacceptable: it is no session description, or has no voice that we can use.
        """
        description = self._parsed(offer)
        if not any(map(is_audio, description.media)):
            return {}
        place, line = choose(description, self._capabilities, self._in_force.place if self._in_force else 0, dtls=True)
        if line.transport is None:
            return {}
        shared = transport_line.beside(description, place) if line.transport.ufrag else frozenset()
        found: dict[Kind, TransportParameters] = {"audio": line.transport}
        return found | (self._pictures.transports(description, shared) if self._pictures else {})

    def tiles(self, offer: bytes) -> tuple[str, ...]:
        """Mids of the tiles in which an answer to theirs would send, those in force first. So they can have sources
        before it is answered. Empty for what is no offer."""
        try:
            description = self._parsed(offer)
            place, line = choose(
                description, self._capabilities, self._in_force.place if self._in_force else 0, dtls=True
            )
        except Unacceptable:
            return ()
        if self._pictures is None or line.transport is None or not line.transport.ufrag:
            return ()
        return self._pictures.wanted(description, transport_line.beside(description, place))

    def _answer_lines(self, line: AudioLine, ours: _Ours, agreed: Agreed, local: Local, *, mid: str) -> Iterable[Line]:
        yield from _format_lines(ours.listed)
        yield attribute("ptime", agreed.ptime)
        yield attribute("maxptime", max(ours.listed[0].codec.ptimes))
        if line.rtcp_mux:
            yield attribute("rtcp-mux")
        elif local.rtcp_port not in (0, local.port + 1):
            yield attribute("rtcp", local.rtcp_port)
        if agreed.levels:
            yield attribute("extmap", f"{agreed.levels}/recvonly {LEVEL_URI}")
        direction = line.direction.reversed.within(ours.direction)
        if ours.over is not None:
            if line.rtcp_rsize:
                yield attribute("rtcp-rsize")
            yield from _transport_lines(ours.over.local, mid, direction, local)
        if ours.keys is not None:
            yield attribute("crypto", str(ours.keys[1]))
        yield attribute(direction.value)

    # Ours

    def offer(self, local: Local, *, hold: bool = False, secure: bool | None = None) -> bytes:
        """The first offer, or a renewed one.

        Args:
            hold: we put them on hold, until an offer without it.
            secure: True: RTP/SAVP and nothing else; False: no keys (after a 488 to an offer with some); None: in a
                call as it is, before it as the settings say.

        Raises:
            ValueError: ``secure=False`` though SRTP is required, or True though it is off.
        """
        self._keys.check(secure)
        transport = self._transport_to_offer(local)
        bundled = transport is not None and bool(transport.ufrag)
        proto, crypto = self._security(secure, transport)
        direction = Direction.SENDONLY if hold else Direction.SENDRECV
        numbers = self._reserved()
        numbers.avoid = self._pictures.numbers if self._pictures and bundled else ()
        entries: list[Listed] = []
        for codec in self._preferred():
            number = numbers.take(codec)
            if number is not None:
                entries.append(Listed(codec, number))
        audio = MediaDescription(
            "audio",
            transport.address[1] if transport and transport.address else local.port,
            proto,
            tuple(str(entry.number) for entry in entries),
            tuple(self._offer_lines(entries, crypto, direction, local, transport)),
        )
        media, place = self._placed(audio)
        if self._pictures:
            self._pictures.offer(
                media,
                local,
                hold=hold,
                secure=secure,
                again=self.agreed is not None,
                transport=transport,
                bundled=bundled,
                avoid=numbers.meaning.keys(),
            )
        # That of the voice speaks for the group, so it comes first in it.
        shared = sorted((number for number, each in enumerate(media) if each.mid), key=lambda number: number != place)
        described = self._described(media, place, local, transport, [media[number].mid or "" for number in shared])
        self._offered = _Offered(described, tuple(entries), numbers, crypto, direction, transport)
        return described.data

    def accept(self, answer: bytes) -> Agreed:
        """Their answer to our last offer; a second one (a 200 after a 183) counts anew.

        Raises:
            Unacceptable: it is no answer to that; what was in force stays.
        """
        offered = self._offered
        if offered is None:
            raise Unacceptable(400, 399, "an answer without an offer")
        description = transport_line.unfolded(parsed(answer))
        if len(description.media) <= offered.described.place:
            raise Unacceptable(488, 304, "no audio in the answer")
        media = description.media[offered.described.place]
        if not is_audio(media):
            if self.agreed is None:
                raise Unacceptable(488, 304, "audio was refused")
            self._settle(offered)
            return self._put_in_force(NOTHING, None, Planned())
        line = read(description, media, self._capabilities, dtls=offered.transport is not None)
        over = self._accepted_transport(offered.transport, line)
        proto = offered.described.content.media[offered.described.place].proto
        keys = None
        if over is None:
            keys = self._keys.accepted(offered.crypto, line.crypto, secure=line.secure or proto in SECURE)
        theirs = {entry.codec for entry in line.entries}
        ours = _Ours(tuple(entry for entry in offered.listed if entry.codec in theirs), offered.direction, keys, over)
        agreed = _agreement(line, ours, self._capabilities)
        self._settle(offered)
        bundle = _bundle(over, transport_line.beside(description, offered.described.place))
        pictures = self._pictures.accept(description, bundle) if self._pictures else Planned()
        return self._put_in_force(agreed, keys, pictures)

    def refused(self) -> None:
        """Our offer was refused, or is void: what was in force stays (RFC 3264 §8)."""
        self._offered = None
        if self._pictures:
            self._pictures.refused()

    def _accepted_transport(self, ours: TransportParameters | None, line: AudioLine) -> AgreedTransport | None:
        if ours is None:
            return None
        if line.transport is None or bool(line.transport.ufrag) != bool(ours.ufrag):
            raise Unacceptable(488, 305, "the answer has not the transport that was offered")
        before = self.agreed.transport if self.agreed else None
        role = transport_line.role(ours, line.transport, before)
        return AgreedTransport(replace(ours, setup=role), line.transport)

    def _reserved(self) -> Numbers:
        """Payload types that mean something, or would if our open offer were answered."""
        return Numbers({**self._numbers.meaning, **(self._offered.numbers.meaning if self._offered else {})})

    def _settle(self, offered: _Offered) -> None:
        self._in_force, self._wanted = offered.described, offered.direction
        self._numbers = self._reserved()
        self._offered = replace(offered, answered=True)

    def _preferred(self) -> Iterable[Codec]:
        """All that we do, what we send with now first: a renewed offer isn't to change the codec by itself."""
        codecs = self._capabilities.all()
        send = self.agreed.send if self.agreed else None
        if send is None:
            return codecs
        current = (send.name, send.clock_rate, send.channels)
        return sorted(codecs, key=lambda codec: codec.key != current)

    def _transport_to_offer(self, local: Local) -> TransportParameters | None:
        """None: SDES, or nothing: in a call as it is."""
        ours, before = local.transport, self.agreed.transport if self.agreed else None
        if ours is None or (self.agreed is not None and before is None):
            return None
        if before is not None and not before.ice:
            ours = transport_line.without_ice(ours, local.host, local.port)
        # RFC 8842 §5.5: the answer says who keeps which role.
        return replace(ours, setup=Setup.ACTPASS)

    def _security(self, secure: bool | None, transport: TransportParameters | None) -> tuple[str, tuple[Crypto, ...]]:
        before = self._proto_in_force()
        if transport is None:
            return self._keys.security(secure, before)
        return before or transport_line.PROTO, ()

    def _proto_in_force(self) -> str | None:
        """Of our audio; "": it has none; None: nothing is in force."""
        if self.agreed is None or self._in_force is None:
            return None
        media = self._in_force.content.media
        return media[self._in_force.place].proto if self._in_force.place < len(media) else ""

    def _offer_lines(
        self,
        entries: list[Listed],
        crypto: tuple[Crypto, ...],
        direction: Direction,
        local: Local,
        transport: TransportParameters | None,
    ) -> Iterable[Line]:
        yield from _format_lines(entries)
        first = entries[0].codec
        yield attribute("ptime", first.packet_time(self._capabilities.ptime, 60))
        yield attribute("maxptime", max(first.ptimes))
        if transport is None and local.rtcp_port not in (0, local.port + 1):
            yield attribute("rtcp", local.rtcp_port)
        yield attribute("rtcp-mux")
        if level := self._level_to_offer():
            yield attribute("extmap", f"{level}/recvonly {LEVEL_URI}")
        if transport is not None:
            yield from _transport_lines(transport, self._mid() if transport.ufrag else "", direction, local)
        for key in crypto:
            yield attribute("crypto", str(key))
        yield attribute(direction.value)

    def _mid(self) -> str:
        """Of our audio's m-line, for an offer."""
        if self._in_force is None or self._in_force.place >= len(self._in_force.content.media):
            return "0"
        return self._in_force.content.media[self._in_force.place].mid or str(self._in_force.place)

    def _level_to_offer(self) -> int:
        """The extension id in use; none where they, or we, didn't name the extension before."""
        if self.agreed is None:
            return LEVEL_ID
        media = self._in_force.content.media if self._in_force else ()
        offered = any(extmap.uri == LEVEL_URI for audio in media for extmap in audio.extmaps)
        return self.agreed.levels or (LEVEL_ID if offered else 0)

    def _placed(self, audio: MediaDescription) -> tuple[list[MediaDescription], int]:
        """Among the m-lines that the session has had: none may go, or change place (RFC 3264 §8)."""
        if self._in_force is None:
            return [audio], 0
        media = [replace(_refused(other), port=0) for other in self._in_force.content.media]
        place = min(self._in_force.place, len(media))
        return [*media[:place], audio, *media[place + 1 :]], place

    # Both

    def _described(
        self,
        media: list[MediaDescription],
        place: int,
        local: Local,
        transport: AgreedTransport | TransportParameters | None,
        bundled: Sequence[str],
    ) -> _Described:
        """With the version of the description in force, or of our offer, if it says the same (RFC 3264 §8).

        Args:
            bundled: mids of the m-lines on the voice's transport.
        """
        family, host = local.connection.split(" ")[1:]
        self._origin_host = self._origin_host or f"{family} {host}"
        origin_family, origin_host = self._origin_host.split(" ")
        origin = Origin("-", str(self._session_id), "", "IN", origin_family, origin_host)
        lines = [Line("s", "-"), Line("c", local.connection), Line("t", "0 0")]
        ours = transport.local if isinstance(transport, AgreedTransport) else transport
        if ours is not None and ours.ufrag and ours.lite:
            lines.append(attribute("ice-lite"))
        if bundled:
            lines.append(attribute("group", f"BUNDLE {' '.join(bundled)}"))
        content = SessionDescription(origin, tuple(lines), tuple(media))
        for known in (self._in_force, self._offered.described if self._offered else None):
            if known is not None and known.content == content:
                return replace(known, place=place)
        self._version += 1
        stamped = replace(content, origin=replace(origin, version=str(self._version)))
        return _Described(content, bytes(stamped), place)

    def _put_in_force(self, agreed: Agreed, keys: tuple[Crypto, Crypto] | None, pictures: Planned) -> Agreed:
        self._keys.use(keys)
        if self._pictures:
            self._pictures.commit(pictures)
            mine, over = self._pictures, agreed.transport
            if over is not None and mine.shared:
                over = replace(over, lines=(*over.lines, *mine.shared))
            agreed = replace(
                agreed, transport=over, video=mine.video, content=mine.content, floor=mine.floor, tiles=mine.tiles
            )
        self.agreed = agreed
        return agreed


def _agreement(line: AudioLine, ours: _Ours, capabilities: Capabilities) -> Agreed:
    """What both sides' descriptions come to."""
    direction = line.direction.reversed.within(ours.direction)
    mine = {entry.codec: entry.number for entry in ours.listed}
    chosen = next((entry for entry in line.speech if entry.codec in mine), line.speech[0])
    rate = chosen.codec.clock_rate
    event = line.events.get(rate) or line.events.get(8_000) or next(iter(line.events.values()), None)
    noise = line.noise if line.noise and line.noise.codec.clock_rate == rate else None
    sends = direction.sends
    level = line.level if line.level_direction.sends else 0
    return Agreed(
        send=payload_format(chosen.codec, chosen.number, line.fmtp[chosen.number], line.bandwidth) if sends else None,
        receive=_receivable(line, ours) if direction.receives else (),
        send_event=payload_format(event.codec, event.number) if event and sends else None,
        send_cn=payload_format(noise.codec, noise.number) if noise and sends else None,
        ptime=chosen.codec.packet_time(line.ptime or capabilities.ptime, line.maxptime or 60),
        remote=line.address,
        remote_rtcp=line.address if line.rtcp_mux else line.rtcp,
        rtcp_mux=line.rtcp_mux,
        direction=direction,
        on_hold=not line.direction.receives,
        srtp_send=(ours.keys[1].suite, ours.keys[1].material) if ours.keys else None,
        srtp_receive=(ours.keys[0].suite, ours.keys[0].material) if ours.keys else None,
        levels=level,
        xr=line.xr,
        inband_dtmf=not line.has_events,
        transport=_carrying(line, ours, direction),
    )


def _carrying(line: AudioLine, ours: _Ours, direction: Direction) -> AgreedTransport | None:
    if ours.over is None:
        return None
    receive = _receivable(line, ours) if direction.receives else ()
    voice = Carried("audio", line.mid, tuple(each.payload_type for each in receive))
    return replace(ours.over, lines=(voice,))


def _receivable(line: AudioLine, ours: _Ours) -> tuple[PayloadFormat, ...]:
    """Our numbers; and theirs where these mean nothing else, for phones that send with their own."""
    taken = {entry.number for entry in ours.listed}
    codecs = {entry.codec for entry in ours.listed}
    more = [entry for entry in line.entries if entry.codec in codecs and entry.number not in taken]
    return tuple(_as_we_wish(entry) for entry in (*ours.listed, *more))


def _as_we_wish(entry: Listed) -> PayloadFormat:
    pairs = (part.strip().partition("=") for part in entry.codec.fmtp.split(";"))
    return payload_format(entry.codec, entry.number, {name: value for name, _, value in pairs})


def _format_lines(entries: Iterable[Listed]) -> Iterable[Line]:
    for entry in entries:
        yield from entry.codec.lines(entry.number)


def _refused(media: MediaDescription) -> MediaDescription:
    return MediaDescription(media.kind, 0, media.proto, media.formats)


def _bundle(over: AgreedTransport | None, places: frozenset[int]) -> Bundle | None:
    """With ICE: a transport without it is an m-line's own."""
    return Bundle(over.local, over.remote, places) if over is not None and over.ice and places else None


def _grouped(bundle: Bundle | None, mine: Mapping[int, MediaDescription]) -> list[str]:
    """Mids of the lines of ours in the group, as they are in our answer."""
    if bundle is None:
        return []
    return [media.mid for place, media in sorted(mine.items()) if place in bundle.places and media.mid]


def _transport_lines(ours: TransportParameters, mid: str, direction: Direction, local: Local) -> Iterable[Line]:
    """Of the voice's m-line. ``mid``: empty: it has none."""
    if ours.address is not None and ours.address[0] != local.host:
        yield Line("c", replace(local, host=ours.address[0]).connection)
    if mid:
        yield attribute("mid", mid)
    if direction.sends:
        yield attribute("msid", "main main-voice")
        yield from transport_line.sources(local.sources.get("audio", 0), local.cname)
    yield from transport_line.lines(ours, candidates=True)


def _refuse_other_family(line: AudioLine, local: Local) -> None:
    theirs = line.address[0] if line.address else local.host
    if ipaddress.ip_address(theirs).version != ipaddress.ip_address(local.host).version:
        raise Unacceptable(488, 301, "the address is of another family than ours")
