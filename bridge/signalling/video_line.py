"""One video m-line of a call, offer after offer: the main picture, or what is shown (``a=content:slides``, RFC 4796).

Whatever is wrong with it costs the call its picture only: the line is refused with port 0 (RFC 3264 §6).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from . import header_extension, image_attribute, simulcast, transport_line, video_codec
from .codec_list import Numbers
from .header_extension import Extensions
from .line_keys import LineKeys
from .media_line import SECURE, Unacceptable, line_address, line_direction, line_rtcp, unicast
from .sdes import Crypto, RandomBytes
from .sdp import Direction, Line, MediaDescription, SessionDescription, attribute
from .simulcast import Layer
from .transport_line import AgreedTransport, Carried
from .transport_parameters import Setup, TransportParameters
from .video_codec import CLOCK_RATE, Retransmission, VideoCapabilities, VideoCodec, VideoEntry, VideoPayload

CONTENT = frozenset(("slides", "alt"))
"""Of ``a=content``: what is shown."""
OVERHEAD = 20
"""b=AS counts IPv4, UDP and RTP headers (RFC 3550 §6.2): a twentieth of video in packets of 1,000 bytes and more."""
VOICE = 64_000
"""bit/s of a b= for the whole session that are the voice's."""
LEAST_BITRATE = 16_000
"""bit/s below which a b= is taken for none: some write 0, and mean nothing by it."""


@dataclass(frozen=True, slots=True)
class AgreedVideo:
    """What is in force on a video m-line."""

    send: VideoPayload | None
    """None: we must not send, or do nothing that they know."""
    receive: tuple[VideoPayload, ...]
    """Everything to take in: under our numbers, then under those that only they use. Empty: nothing."""
    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    rtcp_mux: bool
    direction: Direction
    """Ours."""
    on_hold: bool
    """They take in nothing from us."""
    max_bitrate: int
    """bit/s that they take at most (b=TIAS, b=AS); 0: they don't say."""
    label: str
    """``a=label`` in their description (RFC 4574): how INFO and BFCP name the stream."""
    extensions: Extensions
    """Header extension ids."""
    srtp_send: tuple[str, bytes] | None = field(repr=False)
    """Suite; master key and salt."""
    srtp_receive: tuple[str, bytes] | None = field(repr=False)
    transport: AgreedTransport | None = None
    """Keys come by DTLS, over this; None: by SDES, or there are none."""
    bundled: bool = False
    """The transport is the voice's (RFC 9143)."""
    mid: str = ""
    """Of the m-line, where it is bundled."""
    layers: tuple[Layer, ...] = ()
    """Encodings that they send at once; empty: one stream."""

    @property
    def orientation(self) -> int:
        return self.extensions.orientation

    @property
    def carried(self) -> tuple[Carried, ...]:
        """The line, as its transport has it."""
        return self.transport.lines if self.transport else ()


@dataclass(frozen=True, slots=True)
class VideoLine:
    """What they say, in their own view."""

    proto: str
    entries: tuple[VideoEntry, ...]
    """Those that we do, in their order; one at least."""
    media: MediaDescription
    address: tuple[str, int] | None
    rtcp: tuple[str, int] | None
    direction: Direction
    max_bitrate: int
    extensions: Extensions
    """Of what they send, or would."""
    layers: tuple[Layer, ...]
    transport: TransportParameters | None
    """None: it is not keyed by DTLS."""
    mid: str
    crypto: tuple[str, ...] = field(repr=False)

    @property
    def secure(self) -> bool:
        return self.proto in SECURE


def is_video(media: MediaDescription) -> bool:
    return media.kind == "video" and media.port != 0


def is_content(description: SessionDescription, media: MediaDescription) -> bool:
    """It is marked as what is shown, or named by the floor that governs what is shown (RFC 8856 §5.4)."""
    content = media.first("content")
    if content is not None:
        return bool(CONTENT.intersection(content.lower().replace(" ", "").split(",")))
    label = media.first("label")
    floors = (value for each in description.media if each.kind == "application" for value in each.all("floorid"))
    return label is not None and any(label in value.partition("strm:")[2].split() for value in floors)


def read(
    description: SessionDescription, media: MediaDescription, capabilities: VideoCapabilities, *, dtls: bool
) -> VideoLine:
    """Raises :class:`Unacceptable` for an m-line that we can't use."""
    transport = transport_line.keying(description, media, srtp=capabilities.srtp != "off", dtls=dtls)
    ice = transport is not None and bool(transport.ufrag)
    entries = video_codec.entries(media, capabilities)
    if not entries:
        raise Unacceptable(488, 305, "no video codec in common")
    connection = unicast(description, media)
    extensions = header_extension.read(description, media)
    # Transport-wide feedback is about the numbers in that extension.
    if not extensions.transport_sequence:
        entries = tuple(replace(each, feedback=_without(each.feedback, "transport-cc")) for each in entries)
    elif not any("transport-cc" in each.feedback for each in entries):
        extensions = replace(extensions, transport_sequence=0)
    layers = simulcast.read(media, [entry.number for entry in entries]) if extensions.rid else ()
    return VideoLine(
        proto=media.proto,
        entries=entries,
        media=media,
        # With ICE that is one candidate among several, or none.
        address=None if ice else line_address(connection, media.port),
        rtcp=None if ice else line_rtcp(connection, media),
        direction=description.direction_of(media) if ice else line_direction(description, media, connection),
        max_bitrate=_limit(media.bandwidth) or _session_limit(description.bandwidth),
        extensions=extensions if layers else replace(extensions, rid=0, repaired_rid=0),
        layers=layers,
        transport=transport,
        mid=transport_line.mid_of(media),
        crypto=media.crypto if capabilities.srtp != "off" else (),
    )


def _without(feedback: tuple[str, ...], what: str) -> tuple[str, ...]:
    return tuple(each for each in feedback if each != what)


def _limit(bandwidth: Mapping[str, int]) -> int:
    """RFC 3890 before RFC 8866 §5.8; bit/s."""
    limit = bandwidth.get("TIAS", 0) or bandwidth.get("AS", 0) * (1000 - 1000 // OVERHEAD)
    return limit if LEAST_BITRATE <= limit < 1 << 40 else 0


def _session_limit(bandwidth: Mapping[str, int]) -> int:
    limit = _limit({"TIAS": bandwidth.get("TIAS", 0), "AS": bandwidth.get("AS", 0) or bandwidth.get("CT", 0)})
    return max(limit - VOICE, LEAST_BITRATE) if limit else 0


@dataclass(frozen=True, slots=True)
class _Offered:
    """Our last offer of this line."""

    place: int
    proto: str
    listed: tuple[VideoEntry, ...]
    crypto: tuple[Crypto, ...]
    direction: Direction
    numbers: Numbers
    transport: TransportParameters | None
    bundled: bool


@dataclass(frozen=True, slots=True)
class Takings:
    """How they send, when they do."""

    layers: tuple[Layer, ...] = ()
    extensions: Extensions = field(default_factory=Extensions)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of ours, or theirs, that is not in force yet."""

    media: MediaDescription | None
    """Ours."""
    place: int
    agreed: AgreedVideo
    numbers: Numbers
    keys: tuple[Crypto, Crypto] | None = field(repr=False)
    """Theirs, ours."""
    theirs: Takings
    """Of their description."""


class VideoStream:
    """The state of one of a call's video m-lines."""

    def __init__(self, capabilities: VideoCapabilities, random_bytes: RandomBytes, *, content: str, label: str) -> None:
        """
        Args:
            content: ``main`` or ``slides``.
            label: our ``a=label`` for it.
        """
        self._capabilities = capabilities
        self._keys = LineKeys(capabilities.suites, capabilities.srtp, random_bytes)
        self._content, self.label = content, label
        self.place: int | None = None
        """Number of the m-line; None: the call has none."""
        self.agreed: AgreedVideo | None = None
        self._theirs = Takings()
        """As they said last. A camera that is off, or a call on hold, says nothing of it; what an offer of ours leaves
        out then, it leaves out for good."""
        self._proto = ""
        self._numbers = Numbers()
        self._offered: _Offered | None = None
        self._wanted = Direction.SENDRECV

    # Theirs

    def answer(
        self,
        description: SessionDescription,
        place: int,
        host: str,
        port: int,
        *,
        labelled: bool,
        transport: TransportParameters | None = None,
        bundled: bool = False,
        source: tuple[int, str] = (0, ""),
    ) -> Answered:
        """Our answer to their m-line number ``place``; :meth:`commit` puts it in force.

        Args:
            transport: the voice's, or what it would be; None: we do no DTLS.
            bundled: the line shares it.
            source: SSRC and CNAME to be told of what we send; 0: none is.

        Raises:
            Unacceptable: the line is to be refused.
        """
        line = read(description, description.media[place], self._capabilities, dtls=transport is not None)
        theirs = line.address[0] if line.address else host
        if ipaddress.ip_address(theirs).version != ipaddress.ip_address(host).version:
            raise Unacceptable(488, 301, "the address is of another family than ours")
        over = self._over(line, transport, host, port, bundled=bundled)
        keys = None if over else self._keys.answer(line.crypto, secure=line.secure)
        numbers = self._reserved()
        listed = tuple(_numbered(line.entries, numbers))
        if not listed:
            raise Unacceptable(488, 305, "all payload types are used up")
        wanted = self._wanted
        if not any(entry.codec.sends for entry in listed):
            wanted = wanted.within(Direction.RECVONLY)
        agreed = self._agreement(line, listed, wanted, keys, over, bundled=bundled, offered=True)
        media = MediaDescription(
            "video",
            port,
            line.proto,
            formats(listed),
            tuple(self._answer_lines(line, listed, agreed, keys, labelled, source)),
        )
        return Answered(media, place, agreed, numbers, keys, Takings(line.layers, line.extensions))

    def _over(
        self, line: VideoLine, transport: TransportParameters | None, host: str, port: int, *, bundled: bool
    ) -> AgreedTransport | None:
        if line.transport is None or transport is None:
            return None
        if bundled:
            return AgreedTransport(transport, line.transport)
        before = self.agreed.transport if self.agreed else None
        role = transport_line.role(transport, line.transport, before)
        ours = replace(transport_line.without_ice(transport, host, port), setup=role)
        return AgreedTransport(ours, replace(line.transport, ufrag="", password=""))

    def _answer_lines(
        self,
        line: VideoLine,
        listed: tuple[VideoEntry, ...],
        agreed: AgreedVideo,
        keys: tuple[Crypto, Crypto] | None,
        labelled: bool,
        source: tuple[int, str],
    ) -> Iterator[Line]:
        offered = {entry.codec: entry for entry in line.entries}
        yield from self._bandwidth()
        for entry in listed:
            yield from format_lines(
                entry, video_codec.our_fmtp(entry.codec, self._capabilities, offered[entry.codec].fmtp)
            )
            size = image_attribute.answered(
                line.media, offered[entry.codec].number, entry.number, self._capabilities.max_fs
            )
            if size is not None:
                yield attribute("imageattr", size)
        yield from feedback_lines(listed, together=video_codec.all_formats(line.media))
        if line.media.rtcp_mux:
            yield attribute("rtcp-mux")
            if agreed.transport is not None and line.media.has("rtcp-rsize"):
                yield attribute("rtcp-rsize")
        # Layers are taken though nothing is sent now: a browser whose camera is closed can't have them later otherwise.
        named = replace(agreed.extensions, rid=line.extensions.rid, repaired_rid=line.extensions.repaired_rid)
        yield from header_extension.lines(named)
        yield from simulcast.lines(line.layers)
        yield from self._marks(labelled or line.media.has("content"), labelled)
        if agreed.transport is not None:
            yield from self._transport_lines(agreed.transport.local, agreed.mid, agreed.direction)
            if agreed.send is not None:
                yield from transport_line.sources(*source, again=bool(agreed.send.rtx))
        if keys is not None:
            yield attribute("crypto", str(keys[1]))
        yield attribute(agreed.direction.value)

    def _bandwidth(self) -> Iterator[Line]:
        kilobits = -(-self._capabilities.max_bitrate // 1000)
        yield Line("b", f"AS:{kilobits + kilobits // OVERHEAD}")
        yield Line("b", f"TIAS:{self._capabilities.max_bitrate}")

    def _marks(self, content: bool, labelled: bool) -> Iterator[Line]:
        if content:
            yield attribute("content", self._content)
        if labelled:
            yield attribute("label", self.label)

    def _transport_lines(self, ours: TransportParameters, mid: str, direction: Direction) -> Iterator[Line]:
        """``mid``: empty: it is not bundled."""
        if mid:
            yield attribute("mid", mid)
        if direction.sends:
            yield attribute("msid", f"{self._content} {self._content}-picture")
        yield from transport_line.lines(ours, candidates=False)

    # Ours

    def offer(
        self,
        place: int,
        host: str,
        port: int,
        *,
        hold: bool,
        secure: bool | None,
        labelled: bool,
        transport: TransportParameters | None = None,
        bundled: bool = False,
        avoid: Collection[int] = (),
        source: tuple[int, str] = (0, ""),
    ) -> MediaDescription:
        """The line for an offer.

        Args:
            secure: as for :meth:`.offer.Negotiator.offer`.
            transport: the voice's; None: DTLS is not offered.
            bundled: the line is to share it.
            avoid: payload types of the voice, where it does.
            source: see :meth:`answer`.
        """
        proto, crypto = self._security(secure, transport)
        if transport is not None and not bundled:
            transport = transport_line.without_ice(transport, host, port)
        direction = Direction.SENDONLY if hold else Direction.SENDRECV
        numbers = self._reserved(avoid)
        listed = tuple(self._listed(numbers, bundled=bundled))
        self._offered = _Offered(place, proto, listed, crypto, direction, numbers, transport, bundled)
        lines = tuple(self._offer_lines(listed, self._offered, labelled, source))
        return MediaDescription("video", port, proto, formats(listed), lines)

    def _security(self, secure: bool | None, transport: TransportParameters | None) -> tuple[str, tuple[Crypto, ...]]:
        before = self._proto if self.agreed is not None else None
        if transport is None:
            return self._keys.security(secure, before)
        return before or transport_line.PROTO, ()

    def _listed(self, numbers: Numbers, *, bundled: bool) -> Iterator[VideoEntry]:
        sent = self.agreed.send if self.agreed else None
        known = set(numbers.meaning.values()) if bundled and self.agreed else None
        codecs = self._capabilities.offered_to_browsers() if bundled else self._capabilities.offered()
        cc = self._ids(bundled=bundled).transport_sequence
        feedback = video_codec.FEEDBACK if cc else _without(video_codec.FEEDBACK, "transport-cc")
        for codec in sorted(codecs, key=lambda codec: not _is(codec, sent)):
            # Inside a bundled call no format is new: its number might mean something on another m-line.
            number = numbers.take(codec) if known is None or codec in known else None
            if number is None:
                continue
            repeats = codec.repeats if known is None else Retransmission(number) in known
            again = numbers.take(Retransmission(number)) if repeats else None
            yield VideoEntry(codec, number, {}, again or 0, feedback)

    def _ids(self, *, bundled: bool) -> Extensions:
        """Extension ids to offer: those in use, inside a call."""
        if self.agreed is not None:
            theirs = _extensions(self._theirs.extensions, receives=True, bundled=self.agreed.bundled)
            taken = {"rid": theirs.rid, "repaired_rid": theirs.repaired_rid, "orientation": theirs.orientation}
            return replace(self.agreed.extensions, **taken)
        return header_extension.FIRST_BUNDLED if bundled else header_extension.FIRST

    def _offer_lines(
        self, listed: tuple[VideoEntry, ...], offered: _Offered, labelled: bool, source: tuple[int, str]
    ) -> Iterator[Line]:
        yield from self._bandwidth()
        for entry in listed:
            yield from format_lines(entry, video_codec.our_fmtp(entry.codec, self._capabilities))
        yield attribute("imageattr", image_attribute.offered(self._capabilities.max_fs))
        yield from feedback_lines(listed, together=True)
        yield attribute("rtcp-mux")
        yield from header_extension.lines(self._ids(bundled=offered.bundled))
        if self.agreed is not None:
            yield from simulcast.lines(self._theirs.layers)
        yield from self._marks(labelled or (offered.bundled and self._content != "main"), labelled)
        if offered.transport is not None:
            mid = self.mid(offered.place) if offered.bundled else ""
            yield from self._transport_lines(replace(offered.transport, setup=Setup.ACTPASS), mid, offered.direction)
            yield from transport_line.sources(*source, again=any(entry.rtx for entry in listed))
        for key in offered.crypto:
            yield attribute("crypto", str(key))
        yield attribute(offered.direction.value)

    @property
    def kind(self) -> transport_line.Kind:
        return "video" if self._content == "main" else "content"

    def mid(self, place: int) -> str:
        """Of the line in an offer of ours."""
        return (self.agreed.mid if self.agreed else "") or str(place)

    def accept(self, description: SessionDescription, bundle: transport_line.Bundle | None = None) -> Answered | None:
        """Their answer to our last offer of this line; None: it was not offered, or they refused it.

        Args:
            bundle: the voice's transport, and who shares it; None: there is none.

        Raises:
            Unacceptable: it can't be used.
        """
        offered = self._offered
        if offered is None or offered.place >= len(description.media):
            return None
        media = description.media[offered.place]
        if not is_video(media):
            return None
        line = read(description, media, self._capabilities, dtls=offered.transport is not None)
        over = self._accepted_transport(offered, line, bundle)
        keys = None
        if over is None:
            secure = line.secure or offered.proto in SECURE
            keys = self._keys.accepted(offered.crypto, line.crypto, secure=secure)
        listed, line = _matched(offered.listed, line)
        if not listed:
            raise Unacceptable(488, 305, "the answer has none of our video codecs")
        agreed = self._agreement(
            line, listed, offered.direction, keys, over, bundled=offered.bundled and over is not None, offered=False
        )
        return Answered(None, offered.place, agreed, self._reserved(), keys, Takings(line.layers, line.extensions))

    def _accepted_transport(
        self, offered: _Offered, line: VideoLine, bundle: transport_line.Bundle | None
    ) -> AgreedTransport | None:
        if offered.transport is None:
            return None
        if line.transport is None:
            raise Unacceptable(488, 305, "the answer has no DTLS")
        if not offered.bundled:
            before = self.agreed.transport if self.agreed else None
            role = transport_line.role(offered.transport, line.transport, before)
            ours = replace(offered.transport, setup=role)
            return AgreedTransport(ours, replace(line.transport, ufrag="", password=""))
        if bundle is None or offered.place not in bundle.places:
            raise Unacceptable(488, 305, "the answer has the picture on a transport of its own")
        return AgreedTransport(bundle.ours, bundle.theirs)

    def refused(self) -> None:
        """Our offer was: what was in force stays."""
        self._offered = None

    # Both

    def commit(self, answered: Answered | None) -> None:
        """What was answered is in force; None: the line is refused, by them or by us, or there is none."""
        if answered is None:
            if self._offered is not None and self.place is None:
                self.place = self._offered.place
            self._numbers = self._reserved()
            self.agreed, self._theirs = None, Takings()
            self._keys.use(None)
            return
        if self._offered is not None and answered.media is None:
            self._wanted, self._proto = self._offered.direction, self._offered.proto
        elif answered.media is not None:
            self._proto = answered.media.proto
        self.place, self._numbers, self.agreed = answered.place, answered.numbers, answered.agreed
        if answered.theirs.layers or answered.agreed.direction.receives:
            self._theirs = answered.theirs
        self._keys.use(answered.keys)

    def _reserved(self, avoid: Collection[int] = ()) -> Numbers:
        offered = self._offered.numbers.meaning if self._offered else {}
        return Numbers({**self._numbers.meaning, **offered}, avoid)

    @property
    def numbers(self) -> frozenset[int]:
        """Payload types that mean something, or would."""
        return frozenset(self._reserved().meaning)

    def _agreement(
        self,
        line: VideoLine,
        listed: tuple[VideoEntry, ...],
        wanted: Direction,
        keys: tuple[Crypto, Crypto] | None,
        over: AgreedTransport | None,
        *,
        bundled: bool,
        offered: bool,
    ) -> AgreedVideo:
        """``offered``: the line is an offer of theirs."""
        direction = line.direction.reversed.within(wanted)
        mine = {entry.codec: entry for entry in listed}
        chosen = next((entry for entry in line.entries if entry.codec.sends and entry.codec in mine), None)
        send = None
        if chosen is not None and direction.sends:
            width, height = image_attribute.wished_size(line.media, chosen.number)
            parameters = video_codec.sending(chosen.codec, chosen.fmtp, self._capabilities, offered=offered)
            feedback = tuple(what for what in chosen.feedback if what in mine[chosen.codec].feedback)
            send = VideoPayload(
                chosen.codec.name, chosen.number, parameters, chosen.rtx, feedback, width=width, height=height
            )
        receivable = tuple(_receivable(line, listed))
        receive = receivable if direction.receives else ()
        mid = line.mid if bundled else ""
        if over is not None:
            numbers = (number for each in receivable for number in (each.payload_type, each.rtx) if number)
            over = replace(over, lines=(Carried(self.kind, mid, tuple(dict.fromkeys(numbers))),))
        return AgreedVideo(
            send=send,
            receive=receive,
            remote=line.address,
            remote_rtcp=line.address if line.media.rtcp_mux else line.rtcp,
            rtcp_mux=line.media.rtcp_mux,
            direction=direction,
            on_hold=not line.direction.receives,
            max_bitrate=line.max_bitrate,
            label=line.media.first("label") or "",
            extensions=_extensions(line.extensions, receives=direction.receives, bundled=bundled),
            srtp_send=(keys[1].suite, keys[1].material) if keys else None,
            srtp_receive=(keys[0].suite, keys[0].material) if keys else None,
            transport=over,
            bundled=bundled,
            mid=mid,
            layers=line.layers,  # a browser tells the RIDs of its streams once, not again when its camera opens
        )


def _extensions(theirs: Extensions, *, receives: bool, bundled: bool) -> Extensions:
    """In force: those of their description that make sense on this line."""
    found = theirs if bundled else replace(theirs, mid=0)
    return found if receives else replace(found, orientation=0, rid=0, repaired_rid=0)


def _numbered(entries: Iterable[VideoEntry], numbers: Numbers) -> Iterator[VideoEntry]:
    """Theirs under their numbers, as far as these are free."""
    for entry in entries:
        number = numbers.take(entry.codec, entry.number)
        if number is not None:
            again = numbers.take(Retransmission(number), entry.rtx) if entry.rtx else None
            yield VideoEntry(entry.codec, number, entry.fmtp, again or 0, entry.feedback)


def _matched(offered: tuple[VideoEntry, ...], line: VideoLine) -> tuple[tuple[VideoEntry, ...], VideoLine]:
    """Ours that they took; and their line with its formats named as ours are.

    Another profile under the number of our offer means that offer: phones answer 42801f to 42e01f.
    """
    by_number = {entry.number: entry.codec for entry in offered}
    codecs = set(by_number.values())
    theirs: dict[VideoCodec, VideoEntry] = {}
    for entry in line.entries:
        ours = by_number.get(entry.number)
        codec = entry.codec
        if codec not in codecs and ours is not None and (ours.name, ours.mode) == (codec.name, codec.mode):
            codec = ours
        if codec in codecs:
            theirs.setdefault(codec, VideoEntry(codec, entry.number, entry.fmtp, entry.rtx, entry.feedback))
    # Retransmissions that they don't name are none, either way.
    listed = tuple(
        entry if theirs[entry.codec].rtx else replace(entry, rtx=0) for entry in offered if entry.codec in theirs
    )
    found = replace(line, entries=tuple(theirs.values()))
    return listed, found


def _receivable(line: VideoLine, listed: tuple[VideoEntry, ...]) -> Iterator[VideoPayload]:
    """Our numbers; and theirs where these mean nothing else, for phones that send with their own."""
    theirs = {entry.codec: entry for entry in line.entries}
    taken = {entry.number for entry in listed} | {entry.rtx for entry in listed}
    for entry in listed:
        yield _payload(entry, theirs[entry.codec])
    for entry in listed:
        other = theirs[entry.codec]
        if other.number not in taken:
            yield _payload(other, other)


def _payload(entry: VideoEntry, theirs: VideoEntry) -> VideoPayload:
    feedback = tuple(what for what in entry.feedback if what in theirs.feedback)
    return VideoPayload(entry.codec.name, entry.number, tuple(theirs.fmtp.items()), entry.rtx, feedback)


def formats(listed: tuple[VideoEntry, ...]) -> tuple[str, ...]:
    again = [entry.rtx for entry in listed if entry.rtx]
    return tuple(map(str, [*(entry.number for entry in listed), *again]))


def format_lines(entry: VideoEntry, fmtp: str) -> Iterator[Line]:
    yield attribute("rtpmap", f"{entry.number} {entry.codec.name}/{CLOCK_RATE}")
    if fmtp:
        yield attribute("fmtp", f"{entry.number} {fmtp}")
    if entry.rtx:
        yield attribute("rtpmap", f"{entry.rtx} rtx/{CLOCK_RATE}")
        yield attribute("fmtp", f"{entry.rtx} apt={entry.number}")


def feedback_lines(listed: tuple[VideoEntry, ...], *, together: bool) -> Iterator[Line]:
    """``together``: with ``*`` where it is the same for all, as they wrote it."""
    if together and len({entry.feedback for entry in listed}) == 1:
        for what in listed[0].feedback:
            yield attribute("rtcp-fb", f"* {what}")
        return
    for entry in listed:
        for what in entry.feedback:
            yield attribute("rtcp-fb", f"{entry.number} {what}")


def _is(codec: VideoCodec, sent: VideoPayload | None) -> bool:
    """Is that what we send with now? A renewed offer isn't to change the codec by itself."""
    if sent is None or codec.name != sent.name:
        return False
    if codec.name != "H264":
        return True
    mode = sent.fmtp.get("packetization-mode", "0")
    return mode == str(codec.mode) and video_codec.profile_of(sent.fmtp["profile-level-id"]) == codec.profile
