"""One call's media: what was negotiated, where it is, and how that is told to a worker."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from bridge.signalling.bfcp_line import FloorAccess
from bridge.signalling.offer import Agreed, Local, Negotiator, PayloadFormat
from bridge.signalling.transport_line import Kind
from bridge.signalling.video_line import AgreedVideo
from bridge.worker.protocol import Address, CodecSpec, SendState, SetStream, SrtpKey

from .tiles import COMPOSED, Gallery, Tile
from .transports import Secured
from .video import NOWHERE, LegVideo, Sight


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a room decides about a participant's sound."""

    room: int = 0
    """The media room; 0: none (the lobby, the PIN): hears prompts only."""
    muted: bool = False
    deaf: bool = False
    voice: float = 0.0
    """dB on what it says."""
    volume: float = 0.0
    """dB on what it hears."""


@dataclass(slots=True, eq=False)
class Leg:
    """A signalling call joined to a stream of a media worker."""

    call: int
    stream: int
    worker: int
    port: int
    host: str
    """Our media address as this peer reaches it."""
    negotiator: Negotiator
    cname: str
    peer: str
    """The address that its signalling comes from."""
    hearing: Hearing = field(default_factory=Hearing)
    sight: Sight = NOWHERE
    pictures: bool = True
    """Where it is bound for, or is, there are pictures; else its m-lines of video are refused."""
    numbers: SendState | None = None
    """What we begin to send its sound with, where a description tells the SSRC."""
    transports: dict[Kind, Secured] = field(default_factory=dict)
    """Those that key by DTLS: of the voice, and of pictures that don't share it."""
    video: LegVideo | None = None
    """Where its pictures are; None: it has none."""
    forwarding: bool = False
    """It may have tiles."""
    tiles: dict[str, Tile] = field(default_factory=dict)
    """By mid."""
    gallery: Gallery = COMPOSED
    """What its page wants to see."""
    hosts: frozenset[str] = frozenset()
    """Where its media has come from."""
    floor: FloorAccess | None = field(default=None, repr=False)
    """How it asks for the right to show something."""
    proved: bool = True
    """The peer showed that it gets what is sent to its address. Until then nothing is: an INVITE with a forged source
    must not turn us on somebody else."""
    told: SetStream | None = None
    """The last description that the worker got."""
    moving: Leg | None = None
    """Where the stream is to go as soon as the peer agreed to the new address."""
    call_id: str = field(default="", repr=False)
    """Of a call by WebSocket: what else its browser tells us is known by it."""
    listened: bool = False
    """It has taken sound in before. What comes from it when it no longer does is its music on hold, which is not for
    the room; from one that never did, like a radio's feed, it is what it has to say."""

    @property
    def local(self) -> Local:
        video = self.video if self.pictures else None
        voice = self.transports.get("audio")
        if voice is not None:
            return Local(
                self.host,
                voice.port,
                video=voice.port if video and video.main else 0,
                content=voice.port if video and video.content else 0,
                transport=voice.ours,
                pictures={kind: each.ours for kind, each in self.transports.items() if each is not voice},
                sources=self._sources(),
                tiles={mid: tile.numbers.ssrc for mid, tile in self.tiles.items()} if self.forwarding else None,
                cname=self.cname,
            )
        return Local(
            self.host,
            self.port,
            self.port + 1,
            video=video.main.port if video and video.main else 0,
            content=video.content.port if video and video.content else 0,
            floor=self.floor if video else None,
        )

    def _sources(self) -> dict[Kind, int]:
        video = self.video
        numbers: tuple[tuple[Kind, SendState | None], ...] = (
            ("audio", self.numbers),
            ("video", video.main.numbers if video and video.main else None),
            ("content", video.content.numbers if video and video.content else None),
        )
        return {kind: each.ssrc for kind, each in numbers if each is not None}

    @property
    def seen(self) -> AgreedVideo | None:
        """What is agreed of its picture."""
        return self.agreed.video if self.agreed else None

    @property
    def shown(self) -> AgreedVideo | None:
        """What is agreed of its second picture, for what is shown."""
        return self.agreed.content if self.agreed else None

    @property
    def agreed(self) -> Agreed | None:
        return self.negotiator.agreed

    @property
    def keyed(self) -> bool:
        """Sound can pass: there are keys, or none are needed."""
        voice = self.transports.get("audio")
        return voice is None or voice.keys is not None

    @property
    def reached(self) -> bool:
        """There is a path to it, as far as one can know."""
        voice = self.transports.get("audio")
        return voice is None or voice.remote is not None

    @property
    def codec(self) -> str:
        """What we hear it in, for people to read."""
        agreed = self.negotiator.agreed
        first = next((f for f in agreed.receive if f.name not in ("CN", "TELEPHONE-EVENT")), None) if agreed else None
        return f"{first.name}/{first.clock_rate}" if first else ""

    def description(self) -> SetStream | None:
        """What the worker must know; None while nothing is agreed."""
        agreed = self.negotiator.agreed
        if agreed is None:
            return None
        hearing = self.hearing
        spec = SetStream(
            stream=self.stream,
            room=hearing.room,
            port=self.port,
            remote=_address(agreed.remote),
            remote_rtcp=_address(agreed.remote_rtcp),
            rtcp_mux=agreed.rtcp_mux,
            send=_codec(agreed.send) if self.proved else None,
            receive=tuple(spec for spec in map(_codec, agreed.receive) if spec is not None),
            send_event=_codec(agreed.send_event),
            send_cn=_codec(agreed.send_cn),
            ptime=agreed.ptime,
            send_state=self.numbers,
            srtp_send=SrtpKey(*agreed.srtp_send) if agreed.srtp_send else None,
            srtp_receive=SrtpKey(*agreed.srtp_receive) if agreed.srtp_receive else None,
            muted=hearing.muted or (agreed.on_hold and self.listened),
            deaf=hearing.deaf,
            gain_in=hearing.voice,
            gain_out=hearing.volume,
            levels=agreed.levels,
            inband_dtmf=agreed.inband_dtmf,
            xr=agreed.xr,
            at_home=agreed.remote is not None and agreed.remote[0] == self.peer,
            cname=self.cname,
        )
        voice = self.transports.get("audio")
        return spec if voice is None or agreed.transport is None else _over(spec, voice, agreed)


def _over(spec: SetStream, voice: Secured, agreed: Agreed) -> SetStream:
    """The same by a transport that keys by DTLS."""
    assert agreed.transport is not None
    pictures = (line for line in agreed.transport.lines if line.kind != "audio")
    send, receive = voice.keys or (None, None)
    return msgspec.structs.replace(
        spec,
        port=voice.port,
        remote=voice.remote,
        # Without rtcp-mux RTCP has an association of its own (RFC 5764 §4.1), which we have not.
        remote_rtcp=voice.remote if agreed.rtcp_mux else None,
        srtp_send=send,
        srtp_receive=receive,
        keyed=True,
        fixed=True,
        elsewhere=tuple(dict.fromkeys(number for line in pictures for number in line.payload_types)),
        at_home=False,
    )


def _address(address: tuple[str, int] | None) -> Address | None:
    return Address(*address) if address else None


def _codec(chosen: PayloadFormat | None) -> CodecSpec | None:
    if chosen is None:
        return None
    return CodecSpec(
        name=chosen.name,
        payload_type=chosen.payload_type,
        clock_rate=chosen.clock_rate,
        channels=chosen.channels,
        fec=chosen.fec,
        dtx=chosen.dtx,
        stereo=chosen.stereo,
        bitrate=chosen.bitrate,
        max_rate=chosen.max_rate,
    )
