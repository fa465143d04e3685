"""What control and the video worker say to each other; in the manner of :mod:`.protocol`, some of whose words it uses.

Participants have numbers of control's choosing, the same in :class:`SetVideoStream`, :class:`SetVoice` and
:class:`SetSpeaker`: one participant may have a stream of himself and one of content.
"""

from __future__ import annotations

import msgspec

from .protocol import Address, Begin, Latched, Ready, SendState, Silent, SrtpKey, Stop, Trouble


class VideoFormat(msgspec.Struct, frozen=True):
    """One payload type of one direction, as negotiated."""

    name: str
    """As in ``a=rtpmap``: H264 VP8 VP9 H265 H263-1998 H263-2000 H263 H261."""
    payload_type: int
    parameters: dict[str, str] = {}
    """Its ``fmtp``, names in lower case: of what we receive, ours and the peer's sprop; of what we send, the peer's."""
    rtx_type: int = 0
    """Payload type of its retransmissions (RFC 4588); 0: none."""


class VideoPlace(msgspec.Struct, frozen=True, array_like=True):
    """A tile that the host has drawn, in parts of the canvas from its upper left corner."""

    x: float
    y: float
    w: float
    h: float
    letterbox: bool = False


class VideoLook(msgspec.Struct, frozen=True):
    """What a room or a participant wants to see."""

    kind: str = "strip"
    """single, strip, grid, side-by-side, fixed. Content has the large tile whatever this is."""
    places: tuple[VideoPlace, ...] = ()
    """For fixed."""
    pinned: tuple[int, ...] = ()
    """For fixed: the participant of each place; 0: whoever speaks."""
    voices: bool = False
    """Participants without pictures have tiles with their names."""


class VideoExtensions(msgspec.Struct, frozen=True):
    """Ids of RTP header extensions as negotiated, 1 to 14 (RFC 8285 §4.2), the same in both directions; 0: none."""

    transport_sequence: int = 0
    """``http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01``"""
    absolute_time: int = 0
    """``http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time``"""
    mid: int = 0
    """``urn:ietf:params:rtp-hdrext:sdes:mid`` (RFC 9143)"""
    rid: int = 0
    """``urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`` (RFC 8852); the next is ``repaired-rtp-stream-id``."""
    repaired_rid: int = 0


class VideoLayer(msgspec.Struct, frozen=True):
    """One of the encodings of one picture that a sender offers at once (simulcast, RFC 8853)."""

    rid: str
    """As in ``a=rid`` and in the header extension (RFC 8851, RFC 8852)."""
    ssrc: int = 0
    """Where SDP tells (``a=ssrc-group:SIM``); 0: the header extension does."""
    max_width: int = 0
    max_height: int = 0
    """Of its restrictions (RFC 8851 §5); 0: none given."""


# ---------------------------------------------------------------------------------------------- commands


class SetVideoRoom(msgspec.Struct, frozen=True, tag=True):
    """Make a room, or change it; the whole description every time."""

    room: int
    look: VideoLook = VideoLook()
    title: str = ""
    waiting: str = ""
    """Said to whoever is alone."""
    logo: str = ""
    """Absolute name of a PNG file with transparency."""
    reserved: int = 0
    """Participant who stays in view whoever speaks."""
    presenting: int = 0
    """Participant whose content is shown; 0: none is."""
    width: int = 1280
    height: int = 720
    """The largest picture that anybody is sent: 1920x1080, 1280x720, 640x360 or 320x180."""
    rate: int = 30
    """Frames a second at most: 30, 25 or 15."""


class DropVideoRoom(msgspec.Struct, frozen=True, tag=True):
    room: int


class SetVideoStream(msgspec.Struct, frozen=True, tag=True):
    """Make a stream, or change it; the whole description every time."""

    stream: int
    """Control's number for it, never used twice in the life of the server, by no audio stream either."""
    room: int
    """0: in no room: it is sent nothing."""
    port: int
    """Local RTP port, one of those in :class:`Ready`. RTCP is on ``port + 1`` unless ``rtcp_mux``."""
    remote: Address | None
    remote_rtcp: Address | None
    rtcp_mux: bool
    send: VideoFormat | None
    """What we encode; none: we send nothing."""
    receive: tuple[VideoFormat, ...]
    """Payload types we accept. Empty: we take nothing in."""
    participant: int = 0
    """Whose it is; 0: the stream's own number is the participant's."""
    name: str = ""
    """Shown in the tile."""
    muted: bool = False
    """His voice is muted: the tile says so."""
    content: bool = False
    """Slides, in or out."""
    look: VideoLook | None = None
    """What he wants to see; none: what the room does."""
    waiting: str = ""
    """As the room's, in his language; empty: the room's."""
    max_width: int = 1920
    max_height: int = 1080
    """The largest picture he takes."""
    max_rate: float = 30.0
    """Frames a second."""
    max_bitrate: int = 0
    """Bits a second (``b=TIAS`` or ``AS``); 0: unlimited."""
    mtu: int = 1200
    """Octets of payload in a packet that we send."""
    nack: bool = False
    """He answers generic NACKs; likewise the next three: PLI (RFC 4585), FIR and TMMBR (RFC 5104). What *he* sends of
    these is answered in any case."""
    pli: bool = False
    fir: bool = False
    tmmbr: bool = False
    remb: bool = False
    """Likewise REMB (``a=rtcp-fb:* goog-remb``): he adapts what he sends to ours."""
    transport_cc: bool = False
    """Likewise transport-wide feedback (``a=rtcp-fb:* transport-cc``), with ``extensions.transport_sequence``: ours of
    what he sends, his, which chooses his tier, of what we send."""
    orientation: int = 0
    """Header extension id of ``urn:3gpp:video-orientation`` in what he sends; 0: none."""
    extensions: VideoExtensions = VideoExtensions()
    mid: str = ""
    """The media section's identification (RFC 5888), put into what we send where ``extensions.mid`` is negotiated."""
    layers: tuple[VideoLayer, ...] = ()
    """Simulcast that he sends, in the order of his SDP; empty: one stream. The one is decoded that fits the size in
    which he is shown."""
    bundle: int = 0
    """The audio stream with which it shares a transport (BUNDLE, RFC 9143); 0: it has one of its own. Then ``port`` is
    a bundle port, whose socket the audio process reads and we send on; its packets come from that process as they came
    to it, and ``remote`` is the address that ICE chose, which no packet changes."""
    send_state: SendState | None = None
    """None at first: the worker draws them at random. Retransmissions have its SSRC plus one."""
    srtp_send: SrtpKey | None = None
    srtp_receive: SrtpKey | None = None
    at_home: bool = False
    keyed: bool = False
    """Likewise :class:`.protocol.SetStream`'s, as is the next."""
    fixed: bool = False
    cname: str = ""
    """The same as his audio stream's: players then keep lips and voice together (RFC 3550 §6.5.1)."""


class DropVideoStream(msgspec.Struct, frozen=True, tag=True):
    stream: int


class SetTile(msgspec.Struct, frozen=True, tag=True):
    """Make a tile, or change it; the whole description every time. A tile is a stream of our own sending in which one
    receiver is forwarded one sender's pictures as that sender made them (RFC 7667 §3.7). Dropped by
    :class:`DropVideoStream`, which ends it with a BYE."""

    stream: int
    """Control's number for it, of the same numbers as :class:`SetVideoStream`'s."""
    room: int
    """0: in no room: it is sent nothing."""
    port: int
    remote: Address | None
    formats: tuple[VideoFormat, ...]
    """Payload types that the receiver takes, as he negotiated them for this tile, the preferred ones first. VP8, VP9,
    H264 and H265 can be forwarded: where the sender's format is none of them (H264: by packetization-mode, VP9: by
    profile-id), the tile shows nothing."""
    owner: int = 0
    """Participant who receives it: he is never shown himself as whoever speaks."""
    participant: int = 0
    """Whose pictures; 0: whoever speaks, the one before for whoever speaks, somebody until anybody has spoken."""
    content: bool = False
    """His slides; with :attr:`participant` 0 those of whoever presents."""
    max_height: int = 0
    """Of the tile on his screen, in pixels: no layer above what that needs is sent; 0: whatever the path bears."""
    paused: bool = False
    """It is out of sight: nothing is sent until it is described without."""
    rtcp_mux: bool = True
    remote_rtcp: Address | None = None
    bundle: int = 0
    """As :class:`SetVideoStream`'s, as are all that follow."""
    keyed: bool = False
    fixed: bool = True
    """Must be true: nothing comes in by which an address could be learnt."""
    srtp_send: SrtpKey | None = None
    srtp_receive: SrtpKey | None = None
    mid: str = ""
    extensions: VideoExtensions = VideoExtensions()
    transport_cc: bool = False
    remb: bool = False
    max_bitrate: int = 0
    """Bits a second of this tile; 0: unlimited."""
    send_state: SendState | None = None
    cname: str = ""


class SetVoice(msgspec.Struct, frozen=True, tag=True):
    """A participant without video, for looks that show voices."""

    participant: int
    room: int
    name: str
    muted: bool = False


class DropVoice(msgspec.Struct, frozen=True, tag=True):
    participant: int
    room: int


class SetPainted(msgspec.Struct, frozen=True, tag=True):
    """A simulated participant (the demo's): moving pictures painted here. Dropped by :class:`DropVideoStream`."""

    stream: int
    room: int
    name: str
    participant: int = 0
    muted: bool = False


class SetSpeaker(msgspec.Struct, frozen=True, tag=True):
    """The room's active speaker; 0: nobody."""

    room: int
    participant: int


class AskKeyframe(msgspec.Struct, frozen=True, tag=True):
    """The far end needs a keyframe (SIP INFO, RFC 5168)."""

    stream: int


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """Write what the room sees as PNG."""

    snapshot: int
    """Control's number, echoed in :class:`SnapshotDone`."""
    room: int
    path: str
    """Absolute."""
    width: int = 1280
    height: int = 720


VideoCommand = (
    Begin
    | SetVideoRoom
    | DropVideoRoom
    | SetVideoStream
    | DropVideoStream
    | SetTile
    | SetVoice
    | DropVoice
    | SetPainted
    | SetSpeaker
    | AskKeyframe
    | Snapshot
    | Stop
)

# ------------------------------------------------------------------------------------------------ events


class KeyframeWanted(msgspec.Struct, frozen=True, tag=True):
    """We need a keyframe of a stream whose sender takes no RTCP for that: ask by SIP INFO (RFC 5168)."""

    stream: int


class SnapshotDone(msgspec.Struct, frozen=True, tag=True):
    snapshot: int
    error: str = ""


class TileShows(msgspec.Struct, frozen=True, tag=True):
    """What a tile shows has changed."""

    stream: int
    participant: int
    """Whose pictures it is sent from now on; 0: nobody's."""
    reason: str = ""
    """Why nobody's: ``absent`` (there are no such pictures: he left, or his camera is off), ``waiting`` (for a
    keyframe), ``stalled`` (his pictures stopped coming), ``format`` (the receiver takes none of his), ``path`` (the way
    to the receiver does not bear it), ``paused``."""


class VideoStreamReport(msgspec.Struct, frozen=True, array_like=True):
    """One stream's figures, a tile's too. Counters run from the stream's start in this worker."""

    stream: int
    received: int
    """Packets."""
    lost: int
    jitter_ms: float
    bitrate: int
    """Bits a second that came in, payload."""
    width: int
    """Of what he sends; 0 unless it is decoded."""
    height: int
    rate: float
    """Pictures decoded a second; 0 if nobody sees him."""
    decoded: int
    errors: int
    """Frames that the decoder refused, or that were no frames."""
    keyframes_asked: int
    frozen_ms: int
    """How long a picture stood for want of a keyframe."""
    sent: int
    """Packets."""
    sent_bitrate: int
    sent_width: int
    sent_height: int
    sent_rate: float
    """Frames a second of the encoding that he is sent."""
    remote_lost: float
    """Fraction that the far end says it lost, 0.0 to 1.0."""
    round_trip_ms: float
    discarded: int
    send_state: SendState
    receive_rollover: int
    estimate: int = 0
    """Bits a second that the way to him bears, as his feedback or REMB says; 0: nothing is known."""
    layer: str = ""
    """The RID that is decoded of his simulcast; of a tile, the one that is sent."""


class VideoReport(msgspec.Struct, frozen=True, tag=True):
    """Once a second."""

    streams: tuple[VideoStreamReport, ...]
    beat_p50_ms: float
    beat_p99_ms: float
    encodings: int
    """Encodings that somebody watches."""
    encoded: int
    """Frames, so far."""
    still: int
    """Frames not encoded because nothing had changed, so far."""
    decoded: int
    late: int
    """Frames left out because encoding was behind, so far."""
    cpu_seconds: float
    strangers: int
    malformed: int
    made: float = 0.0
    """When, on the machine's monotonic clock; 0.0: not said."""
    lowered: int = 0
    """Steps by which encodings are below what their receivers could take, in all, for want of processor time."""
    load: float = 0.0
    """Processor time that painting, encoding and decoding took in the last second, as a part of what there is."""


VideoEvent = Ready | Latched | Silent | Trouble | KeyframeWanted | TileShows | SnapshotDone | VideoReport

_commands: msgspec.msgpack.Decoder[VideoCommand] = msgspec.msgpack.Decoder(VideoCommand)
_events: msgspec.msgpack.Decoder[VideoEvent] = msgspec.msgpack.Decoder(VideoEvent)


def unpack_video_command(body: bytes) -> VideoCommand:
    """Raises :class:`msgspec.DecodeError` or :class:`msgspec.ValidationError` on anything else."""
    return _commands.decode(body)


def unpack_video_event(body: bytes) -> VideoEvent:
    """Raises :class:`msgspec.DecodeError` or :class:`msgspec.ValidationError` on anything else."""
    return _events.decode(body)
