"""The pictures of calls: their ports and streams, and what the video workers are told of them and of rooms.

A room's pictures are composed in the video worker that goes with its media worker, so a call that moves between media
workers moves its pictures too. Participants have their own numbers there, rooms those of the media plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from bridge.signalling.bfcp_line import FloorAccess
from bridge.signalling.image_attribute import SIZES
from bridge.signalling.media_control import (
    MediaControl,
    MediaControlError,
    build_media_control,
    parse_media_control,
)
from bridge.signalling.offer import Agreed, Negotiator
from bridge.signalling.pictures import SLIDES
from bridge.signalling.transport_line import Kind
from bridge.signalling.video_codec import VideoCapabilities, VideoPayload
from bridge.signalling.video_line import AgreedVideo
from bridge.worker.protocol import Address, SendState, SrtpKey
from bridge.worker.protocol_video import (
    AskKeyframe,
    DropVideoRoom,
    DropVideoStream,
    SetVideoRoom,
    SetVideoStream,
    VideoCommand,
    VideoExtensions,
    VideoFormat,
    VideoLayer,
    VideoLook,
    VideoPlace,
    VideoStreamReport,
)

from .participant import Language
from .placement import Full, Placement
from .screen import Look
from .settings import RoomSettings
from .tiles import Gallery, Tile, Tiles
from .transports import Secured

log = structlog.get_logger("video")

WAITING: Mapping[Language, str] = {
    "fr-CA": "En attente des autres participants",
    "en-CA": "Waiting for the others",
}
HOSTS = 8
"""Addresses of a call's media that are kept: its voice's, its pictures', and where it moved to."""
REQUEST_INTERVAL = 1.0
"""Seconds between two requests for a keyframe by INFO in one call: each is a transaction, and takes as long to be
carried out as a picture takes to come."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a room decides about a participant's pictures."""

    room: int = 0
    """The media room; 0: none, or one without pictures: it is sent nothing."""
    participant: int = 0
    name: str = ""
    muted: bool = False
    look: Look | None = None
    """What it wants to see; None: what the room does."""
    waiting: str = ""
    """What it reads while it is alone."""


NOWHERE = Sight()


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """One of a participant's pictures, for people to read."""

    content: bool
    """What is shown, not who is seen."""
    sends: str
    """The format that we take in; empty: it sends none."""
    receives: str
    """The format that it is sent; empty: none."""
    secure: bool
    report: VideoStreamReport | None


@dataclass(slots=True)
class Port:
    """One of a call's pictures."""

    stream: int
    port: int
    numbers: SendState | None = None
    """What we begin to send with, where a description tells the SSRC."""
    told: SetVideoStream | None = None
    latched: bool = False
    """Something came, so that its true address is known."""


@dataclass(slots=True)
class LegVideo:
    """Where a call's pictures are."""

    worker: int
    main: Port | None = None
    content: Port | None = None
    asked: float = float("-inf")
    """When we asked for a keyframe by INFO last."""

    @property
    def ports(self) -> tuple[Port, ...]:
        return tuple(port for port in (self.main, self.content) if port is not None)


class Leg(Protocol):
    """A call's media, as far as it concerns pictures; see :class:`.leg.Leg`."""

    video: LegVideo | None
    floor: FloorAccess | None
    sight: Sight
    transports: dict[Kind, Secured]
    forwarding: bool
    tiles: dict[str, Tile]
    gallery: Gallery
    negotiator: Negotiator
    call: int
    stream: int
    peer: str
    hosts: frozenset[str]
    proved: bool
    cname: str

    @property
    def agreed(self) -> Agreed | None: ...
    @property
    def seen(self) -> AgreedVideo | None: ...
    @property
    def shown(self) -> AgreedVideo | None: ...


class Told(Protocol):
    """A video worker, as far as the focus cares."""

    def send(self, command: VideoCommand) -> None: ...


@dataclass(frozen=True, slots=True)
class VideoPorts:
    worker: Told
    ports: tuple[int, ...]
    """Its RTP ports, as it said when it was ready."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    capabilities: VideoCapabilities
    workers: Mapping[int, VideoPorts]
    streams: int = 512
    """That one worker holds."""
    max_bitrate: int = 0
    """bit/s that one receiver is sent at most; 0: what its size needs."""
    tiles: int = 0
    """Of one call; 0: nobody's pictures are passed on as they come."""
    tiles_held: int = 0
    """That one worker holds."""


@dataclass(slots=True)
class VideoPlane:
    """The control plane's side of all video workers."""

    settings: VideoSettings
    number: Callable[[], int]
    """Gives a stream number never given before."""
    draw: Callable[[], SendState]
    """Numbers to begin to send with."""
    access: Callable[[], FloorAccess | None] = lambda: None
    """How a new call reaches the floor; None: it can't."""
    forget_floor: Callable[[FloorAccess], None] = lambda access: None
    by_stream: dict[int, Leg] = field(default_factory=dict)
    reports: dict[int, VideoStreamReport] = field(default_factory=dict)
    """stream -> its last figures"""
    tiles: Tiles = field(init=False)
    _placement: Placement = field(init=False)

    def __post_init__(self) -> None:
        workers = self.settings.workers
        self._placement = Placement({number: each.ports for number, each in workers.items()}, self.settings.streams)
        self.tiles = Tiles(
            self.settings.tiles,
            self.settings.tiles_held,
            self.number,
            self.draw,
            lambda number, command: workers[number].worker.send(command),
            self.settings.max_bitrate,
        )

    @property
    def capabilities(self) -> VideoCapabilities:
        return self.settings.capabilities

    def worker_for(self, worker: int) -> int:
        """The video worker that goes with a media worker."""
        numbers = sorted(self.settings.workers)
        return numbers[worker % len(numbers)]

    def send(self, worker: int, command: VideoCommand) -> None:
        """``worker``: the media worker."""
        self.settings.workers[self.worker_for(worker)].worker.send(command)

    # Calls

    def prepare(self, leg: Leg, worker: int, offer: bytes | None) -> None:
        """Have ports for what ``offer`` has pictures for, before it is answered; None: we offer."""
        pictures = 2 if offer is None else offer.count(b"m=video")
        if not pictures:
            return
        if leg.video is None:
            leg.video = LegVideo(self.worker_for(worker))
        video = leg.video
        video.main = video.main or self._port(leg, video.worker)
        if pictures > 1 and self.capabilities.content:
            video.content = video.content or self._port(leg, video.worker)
            if leg.floor is None and (offer is None or b"/BFCP" in offer):
                leg.floor = self.access()
        self.tiles.prepare(leg, video.worker, offer)

    def _port(self, leg: Leg, worker: int) -> Port | None:
        stream = self.number()
        try:
            port = self._placement.put(worker, stream)
        except Full as error:
            log.warning("a call gets no picture", call=leg.call, reason=str(error))
            return None
        self.by_stream[stream] = leg
        if not leg.transports:
            return Port(stream, port)
        self._placement.latched(worker, stream)  # it comes to the bundle port: this one is for the next caller
        return Port(stream, port, self.draw())

    def tell(self, leg: Leg) -> None:
        """Describe the call's pictures to their worker, if there is news; give back what was not agreed."""
        video = leg.video
        if video is None or leg.agreed is None:
            return
        if leg.seen is None:
            self._give_back(video.worker, video.main)
            video.main = None
        if leg.shown is None:
            self._give_back(video.worker, video.content)
            video.content = None
        for port, agreed in ((video.main, leg.seen), (video.content, leg.shown)):
            if port is not None and agreed is not None:
                spec = self._description(leg, port, agreed, content=port is video.content)
                if spec != port.told:
                    port.told = spec
                    self.settings.workers[video.worker].worker.send(spec)
        self.tiles.tell(leg, video.worker)

    def drop(self, leg: Leg) -> None:
        """The call is over, or its pictures are elsewhere now."""
        video, leg.video = leg.video, None
        if video is not None:
            self.tiles.drop(leg, video.worker)
            for port in video.ports:
                self._give_back(video.worker, port)

    def take_over(self, leg: Leg, there: Leg) -> None:
        """The call's pictures are where ``there``'s were made ready for them."""
        leg.video, there.video = there.video, None
        self.tiles.take_over(leg, there)
        for port in leg.video.ports if leg.video else ():
            self.by_stream[port.stream] = leg

    def drop_floor(self, leg: Leg) -> None:
        floor, leg.floor = leg.floor, None
        if floor is not None:
            self.forget_floor(floor)

    def _give_back(self, worker: int, port: Port | None) -> None:
        if port is None:
            return
        if port.told is not None:
            self.settings.workers[worker].worker.send(DropVideoStream(stream=port.stream))
        self._placement.take_away(worker, port.stream)
        self.by_stream.pop(port.stream, None)
        self.reports.pop(port.stream, None)

    def _description(self, leg: Leg, port: Port, agreed: AgreedVideo, *, content: bool) -> SetVideoStream:
        sight = leg.sight
        send = agreed.send if leg.proved and self._at_its_own(leg, port, agreed) else None
        if not leg.gallery.composed and not content:
            send = None  # nothing is encoded for whom the tiles are enough
        width, height, rate = largest(send) if send else (*SIZES[0], 30.0)
        limits = [limit for limit in (agreed.max_bitrate, self.settings.max_bitrate) if limit]
        main = agreed.receive[0] if agreed.receive else agreed.send  # who has no camera tells us of ours all the same
        feedback = main.feedback if main else ()
        spec = SetVideoStream(
            stream=port.stream,
            room=sight.room,
            port=port.port,
            remote=_address(agreed.remote),
            remote_rtcp=_address(agreed.remote_rtcp),
            rtcp_mux=agreed.rtcp_mux,
            send=_format(send),
            receive=tuple(each for each in map(_format, agreed.receive) if each is not None),
            participant=sight.participant,
            name=sight.name,
            # The tile's mark is the main picture's; slides have no voice.
            muted=sight.muted and not content,
            content=content,
            look=look(sight.look) if sight.look is not None and not content else None,
            waiting=sight.waiting,
            max_width=width,
            max_height=height,
            max_rate=rate,
            max_bitrate=min(limits, default=0),
            nack="nack" in feedback,
            pli="nack pli" in feedback,
            fir="ccm fir" in feedback,
            tmmbr="ccm tmmbr" in feedback,
            remb="goog-remb" in feedback,
            transport_cc="transport-cc" in feedback,
            orientation=agreed.orientation,
            send_state=port.numbers,
            extensions=_extensions(agreed),
            mid=agreed.mid,
            layers=tuple(
                VideoLayer(rid=each.rid, max_width=each.max_width, max_height=each.max_height) for each in agreed.layers
            ),
            srtp_send=SrtpKey(*agreed.srtp_send) if agreed.srtp_send else None,
            srtp_receive=SrtpKey(*agreed.srtp_receive) if agreed.srtp_receive else None,
            at_home=agreed.remote is not None and agreed.remote[0] == leg.peer,
            cname=leg.cname,
        )
        kind: Kind = "content" if content else "video"
        over = leg.transports.get("audio" if agreed.bundled else kind)
        return spec if over is None or agreed.transport is None else _over(spec, over, over.carrier or leg.stream)

    @staticmethod
    def _at_its_own(leg: Leg, port: Port, agreed: AgreedVideo) -> bool:
        """Is that address the caller's? Pictures are forty times what voices are: nobody may point them at another
        host by writing it into a description. Its signalling, its voice or its picture has come from there, or it is
        sent to whence its picture comes; or a handshake says so before anything is sent."""
        return (
            port.latched
            or agreed.transport is not None
            or agreed.remote is None
            or agreed.remote[0] in {leg.peer} | leg.hosts
        )

    def latched(self, worker: int, stream: int, host: str) -> None:
        """``worker``: the video worker."""
        self._placement.latched(worker, stream)
        leg = self.by_stream.get(stream)
        if leg is not None and leg.video is not None:
            for port in leg.video.ports:
                port.latched |= port.stream == stream
            self.comes_from(leg, host)

    def comes_from(self, leg: Leg, host: str) -> None:
        """Media of the call has come from there."""
        if len(leg.hosts) < HOSTS:
            leg.hosts |= {host}
        self.tell(leg)

    def stream_of(self, leg: Leg, label: str = "") -> Port | None:
        """The picture that a label of theirs, or of ours, names; without one the main picture."""
        video = leg.video
        if video is None:
            return None
        if label and leg.shown is not None and label in (leg.shown.label, SLIDES):
            return video.content
        return video.main

    # Keyframes

    def asked(self, leg: Leg, body: bytes) -> None:
        """The terminal wants whole pictures (RFC 5168); what makes no sense is passed over."""
        try:
            control = parse_media_control(body)
        except MediaControlError:
            return
        if not control.fast_update or leg.video is None:
            return
        for label in control.streams[:2] or ("",):
            port = self.stream_of(leg, label)
            if port is not None:
                self.settings.workers[leg.video.worker].worker.send(AskKeyframe(stream=port.stream))

    def wish(self, stream: int, now: float) -> tuple[int, bytes] | None:
        """Call and body of an INFO that asks the sender of ``stream`` for a whole picture; None: none is due."""
        leg = self.by_stream.get(stream)
        if leg is None or leg.video is None or now - leg.video.asked < REQUEST_INTERVAL:
            return None
        leg.video.asked = now
        second = leg.video.content is not None and leg.video.content.stream == stream
        labels = (leg.shown.label,) if second and leg.shown is not None and leg.shown.label else ()
        return leg.call, build_media_control(MediaControl(fast_update=True, streams=labels))

    # Figures

    def reported(self, figures: Sequence[VideoStreamReport]) -> None:
        for report in figures:
            if report.stream in self.by_stream:
                self.reports[report.stream] = report

    def status(self, leg: Leg) -> tuple[VideoStatus, ...]:
        """What is shown of a call's pictures."""
        video = leg.video
        pairs = ((video.main, leg.seen), (video.content, leg.shown)) if video is not None else ()
        return tuple(
            VideoStatus(
                content=video is not None and port is video.content,
                sends=agreed.receive[0].name if agreed.receive else "",
                receives=agreed.send.name if agreed.send is not None else "",
                secure=agreed.srtp_send is not None or agreed.transport is not None,
                report=self.reports.get(port.stream),
            )
            for port, agreed in pairs
            if port is not None and agreed is not None
        )

    # Rooms

    def describe(self, worker: int, room: int, settings: RoomSettings, shown: Look, reserved: int, shows: int) -> None:
        """A room, made or changed.

        Args:
            reserved: the participant who stays in view; 0: none.
            shows: the participant whose content is shown; 0: none.
        """
        width, height = next((size for size in SIZES if size[1] <= settings.video_height), SIZES[-1])
        command = SetVideoRoom(
            room=room,
            look=look(shown),
            title=settings.title,
            waiting=WAITING[settings.language],
            logo=settings.logo,
            reserved=reserved,
            presenting=shows,
            width=width,
            height=height,
            rate=settings.video_rate,
        )
        self.send(worker, command)

    def close(self, worker: int, room: int) -> None:
        self.send(worker, DropVideoRoom(room=room))


def look(shown: Look) -> VideoLook:
    return VideoLook(
        kind=shown.layout,
        places=tuple(VideoPlace(place.x, place.y, place.w, place.h, place.letterbox) for place in shown.places),
        pinned=tuple(place.participant for place in shown.places),
        voices=shown.voices,
    )


def largest(send: VideoPayload) -> tuple[int, int, float]:
    """Width, height and rate of the largest picture that their parameters allow, but for H.264's levels, which the
    worker knows."""
    width, height = SIZES[0]
    fmtp = send.fmtp
    if send.name in ("VP8", "VP9"):
        # RFC 7741 §6.1: max-fs in macroblocks.
        most = _whole(fmtp.get("max-fs")) or 1 << 30
        width, height = next((size for size in SIZES if -(-size[0] // 16) * -(-size[1] // 16) <= most), SIZES[-1])
    if send.width and send.height:
        width, height = min(width, send.width), min(height, send.height)
    return width, height, float(min(_whole(fmtp.get("max-fr")) or 30, 30))


def _whole(text: str | None) -> int:
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdigit() else 0


def _over(spec: SetVideoStream, over: Secured, carrier: int) -> SetVideoStream:
    """The same by a transport that keys by DTLS."""
    send, receive = over.keys or (None, None)
    mux = spec.rtcp_mux
    return msgspec.structs.replace(
        spec,
        bundle=carrier,
        port=over.port,
        remote=over.remote,
        # Without rtcp-mux RTCP has an association of its own (RFC 5764 §4.1), which we have not: keyframes are asked
        # for by INFO then.
        remote_rtcp=over.remote if mux else None,
        nack=spec.nack and mux,
        pli=spec.pli and mux,
        fir=spec.fir and mux,
        tmmbr=spec.tmmbr and mux,
        remb=spec.remb and mux,
        transport_cc=spec.transport_cc and mux,
        srtp_send=send,
        srtp_receive=receive,
        keyed=True,
        fixed=True,
        at_home=False,
    )


def _extensions(agreed: AgreedVideo) -> VideoExtensions:
    ids = agreed.extensions
    return VideoExtensions(
        transport_sequence=ids.transport_sequence,
        absolute_time=ids.absolute_time,
        mid=ids.mid,
        rid=ids.rid,
        repaired_rid=ids.repaired_rid,
    )


def _address(address: tuple[str, int] | None) -> Address | None:
    return Address(*address) if address else None


def _format(payload: VideoPayload | None) -> VideoFormat | None:
    if payload is None:
        return None
    return VideoFormat(
        name=payload.name, payload_type=payload.payload_type, parameters=payload.fmtp, rtx_type=payload.rtx
    )
