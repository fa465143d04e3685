"""What control and a media worker say to each other: the whole of it, typed and versioned.

Commands go from control to the worker, events come back. All are frozen :mod:`msgspec` structs, tagged by their
class name, sent as MessagePack with a 4-byte big-endian length over a socket pair. Commands that describe state
(:class:`SetRoom`, :class:`SetStream`) are *declarative and idempotent*: control keeps the last of each and replays
them to a fresh worker, which then is where the dead one was.
"""

from __future__ import annotations

import msgspec

VERSION = 1


class Address(msgspec.Struct, frozen=True, tag=False, array_like=True):
    """An IP address in text form (IPv4 or IPv6) and a UDP port."""

    host: str
    port: int


class CodecSpec(msgspec.Struct, frozen=True):
    """One payload type of one direction, as negotiated."""

    name: str
    """Upper case encoding name: PCMU PCMA G722 OPUS L16 CN TELEPHONE-EVENT."""
    payload_type: int
    clock_rate: int
    """RTP clock in Hz as in the SDP (G722 says 8000 although it samples at 16000, RFC 3551 §4.5.2)."""
    channels: int = 1
    fec: bool = False
    """Opus: the peer asked for in-band FEC (useinbandfec=1)."""
    dtx: bool = False
    """Opus: the peer allows DTX (usedtx=1)."""
    stereo: bool = False
    bitrate: int = 0
    """Opus: maxaveragebitrate in bit/s; 0 means our choice."""
    max_rate: int = 0
    """Opus: maxplaybackrate in Hz; 0 means 48000."""


class SrtpKey(msgspec.Struct, frozen=True):
    """Master key and salt of one direction (RFC 4568 §6.1), with where its packet index stands."""

    suite: str
    """AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM or AEAD_AES_256_GCM."""
    material: bytes
    """Key followed by salt."""
    rollover: int = 0
    """Rollover counter (RFC 3711 §3.3.1) to resume from."""


class SendState(msgspec.Struct, frozen=True):
    """Where the sending side of a stream stands, so that a restarted worker goes on and does not jump back."""

    ssrc: int
    sequence: int
    timestamp: int
    rollover: int = 0
    rtcp_index: int = 0


# ---------------------------------------------------------------------------------------------- commands


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first command a worker gets: where it listens and how much it holds."""

    host: str
    """IP address of the media sockets; empty: all."""
    ports: tuple[int, ...]
    """Even RTP ports to bind; those that are taken are left out of :class:`Ready`."""
    capacity: int = 4096
    """Streams at most."""
    seed: int = 0
    """0: from the operating system."""
    cpu: int = -1
    """Bind the process to this CPU; -1: wherever."""
    bundle_ports: tuple[int, ...] = ()
    """Ports shared with the other medium's process. Their sockets are control's, so that they outlive a process; with
    this command come a descriptor of each, then those of :attr:`relays`."""
    relays: int = 0
    """How many ends of :mod:`bridge.media.relay` come with it: an audio process has one to write to, a video process
    one to read from for each audio process that goes with it."""


class SetRoom(msgspec.Struct, frozen=True, tag=True):
    """Make a room, or change it."""

    room: int
    loudest: int = 8
    """How many are mixed at once in a large room."""
    agc: bool = False
    """Automatic gain control on everybody's voice."""


class DropRoom(msgspec.Struct, frozen=True, tag=True):
    room: int


class SetStream(msgspec.Struct, frozen=True, tag=True):
    """Make a stream, or change it; the whole description every time."""

    stream: int
    """Control's number for it, never used twice in the life of the server."""
    room: int
    """0: in no room (in the lobby, keying a PIN): hears only what is played to it."""
    port: int
    """Local RTP port, one of those in :class:`Ready`. RTCP is on ``port + 1`` unless ``rtcp_mux``."""
    remote: Address | None
    """Where the SDP says to send. Until latched, packets are sent there; none: nowhere yet."""
    remote_rtcp: Address | None
    rtcp_mux: bool
    send: CodecSpec | None
    """What we encode; none: we send nothing (hold, or receive only)."""
    receive: tuple[CodecSpec, ...]
    """Payload types we accept, CN and TELEPHONE-EVENT included. Empty: we take nothing in."""
    send_event: CodecSpec | None = None
    """TELEPHONE-EVENT payload type to send with."""
    send_cn: CodecSpec | None = None
    ptime: int = 20
    """Milliseconds in a packet that we send: 10, 20, 30, 40 or 60."""
    send_state: SendState | None = None
    """None at first: the worker draws them at random."""
    srtp_send: SrtpKey | None = None
    srtp_receive: SrtpKey | None = None
    muted: bool = False
    """Nobody hears it (its keys are still heard by us)."""
    deaf: bool = False
    """It hears no mix (prompts only)."""
    gain_in: float = 0.0
    """dB on its voice."""
    gain_out: float = 0.0
    """dB on what it hears."""
    levels: int = 0
    """Header extension id of RFC 6464 in what it sends; 0: none."""
    inband_dtmf: bool = False
    """Look for tones in its G.711 audio (it offered no telephone-event)."""
    xr: bool = False
    """Send RTCP XR (RFC 3611) VoIP metrics: the peer asked with rtcp-xr."""
    at_home: bool = False
    """No NAT is between (its signalling comes from ``remote``'s host): its first packet comes from that host."""
    keyed: bool = False
    """Its keys come by DTLS (RFC 5764): without :attr:`srtp_receive` nothing is taken, without :attr:`srtp_send`
    nothing is sent, and what else comes to its port (STUN, DTLS) is :class:`Datagrams`."""
    fixed: bool = False
    """``remote`` is what ICE chose (RFC 8445): no packet moves it."""
    elsewhere: tuple[int, ...] = ()
    """Payload types that are video (BUNDLE, RFC 9143): handed on to the video process, as RTCP is besides."""
    cname: str = ""


class DropStream(msgspec.Struct, frozen=True, tag=True):
    stream: int


class Say(msgspec.Struct, frozen=True, tag=True):
    """Play clips one after another to one stream (its mix is ducked) or to a whole room."""

    say: int
    """Control's number, echoed in :class:`Said`."""
    clips: tuple[str, ...]
    """Absolute file names (.g722, .wav, .ulaw, .alaw, .sln16), ``tone:NAME`` (join, leave, beep), ``silence:MS`` or
    ``capture:N`` (what :class:`Capture` N recorded)."""
    stream: int = 0
    room: int = 0
    interrupt: bool = True
    """Cut what is being played to that stream; otherwise queue after it."""
    loop: bool = False


class Hush(msgspec.Struct, frozen=True, tag=True):
    """Stop playing; no :class:`Said` follows."""

    stream: int = 0
    room: int = 0


class Capture(msgspec.Struct, frozen=True, tag=True):
    """Keep what a stream says (its name, at most ``seconds``), ended by a key, by silence or by time."""

    capture: int
    stream: int
    seconds: float = 4.0


class SendKeys(msgspec.Struct, frozen=True, tag=True):
    """Send DTMF digits (RFC 4733, or tones in the audio where it was not negotiated)."""

    stream: int
    digits: str


class SetTalker(msgspec.Struct, frozen=True, tag=True):
    """A simulated talker (the demo's): plays its clips into a room in turn with the room's other talkers."""

    stream: int
    room: int
    clips: tuple[str, ...]
    turn: int
    """Its place in the round."""
    turns: int
    """How many share the round."""
    muted: bool = False
    """It goes on talking, and nobody hears it."""


class Datagram(msgspec.Struct, frozen=True, array_like=True):
    remote: Address
    data: bytes


class Datagrams(msgspec.Struct, frozen=True, tag=True):
    """STUN and DTLS, to or from one of our ports (RFC 7983): the worker carries them and reads none."""

    port: int
    packets: tuple[Datagram, ...]


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Send RTCP BYE for all streams and end."""


Command = (
    Begin | SetRoom | DropRoom | SetStream | DropStream | Say | Hush | Capture | SendKeys | SetTalker | Datagrams | Stop
)

# ------------------------------------------------------------------------------------------------ events


class Ready(msgspec.Struct, frozen=True, tag=True):
    version: int
    pid: int
    ports: tuple[int, ...]
    """Even RTP ports that are bound (each with its odd RTCP neighbour)."""


class Latched(msgspec.Struct, frozen=True, tag=True):
    """The stream's true source address is known (or moved, with proof)."""

    stream: int
    remote: Address


class Key(msgspec.Struct, frozen=True, tag=True):
    """A DTMF key was pressed: once per press, in whatever form it arrived."""

    stream: int
    digit: str
    source: str
    """event (RFC 4733) or tone (in-band)."""


class Speaking(msgspec.Struct, frozen=True, tag=True):
    """The room's active speaker changed; 0: nobody."""

    room: int
    stream: int


class Silent(msgspec.Struct, frozen=True, tag=True):
    """No packet (RTP or RTCP) of this stream for ``seconds``; said again at each further interval of 5 s."""

    stream: int
    seconds: float


class Said(msgspec.Struct, frozen=True, tag=True):
    """What :class:`Say` asked was played to its end, or could not be (``error`` says why)."""

    say: int
    error: str = ""


class Captured(msgspec.Struct, frozen=True, tag=True):
    capture: int
    stream: int
    seconds: float
    """0.0: nothing was heard."""


class StreamReport(msgspec.Struct, frozen=True, array_like=True):
    """One stream's figures. Counters run from the stream's start in this worker."""

    stream: int
    received: int
    lost: int
    late: int
    jitter_ms: float
    """Interarrival jitter (RFC 3550 §6.4.1)."""
    delay_ms: float
    """What the jitter buffer adds now."""
    level_dbov: float
    """Its voice (RFC 6464: 0 is loudest, -127 silence)."""
    sent: int
    remote_lost: float
    """Fraction that the far end says it lost (its last RR), 0.0 to 1.0."""
    round_trip_ms: float
    concealed_ms: int
    discarded: int
    """Packets refused: not authentic, from a stranger, malformed."""
    send_state: SendState
    receive_rollover: int


class Report(msgspec.Struct, frozen=True, tag=True):
    """Once a second."""

    streams: tuple[StreamReport, ...]
    beat_p50_ms: float
    beat_p99_ms: float
    beat_max_ms: float
    beats_late: int
    """Beats that began more than one beat late, so far."""
    cpu_seconds: float
    strangers: int
    """Datagrams from nobody we know, so far."""
    malformed: int
    made: float = 0.0
    """When, on the machine's monotonic clock, which all processes share; 0.0: not said."""


class Trouble(msgspec.Struct, frozen=True, tag=True):
    """A command could not be carried out; nothing else is affected."""

    reason: str
    stream: int = 0
    room: int = 0


Event = Ready | Latched | Key | Speaking | Silent | Said | Captured | Datagrams | Report | Trouble

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


class Frames:
    """Length-prefixed messages out of a byte stream, either direction.

    >>> frames = Frames()
    >>> [bytes(b) for b in frames.feed(pack(Stop()))] == [msgspec.msgpack.encode(Stop())]
    True
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        found: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= 4:
            size = int.from_bytes(self._buffer[start : start + 4], "big")
            if len(self._buffer) - start - 4 < size:
                break
            found.append(bytes(self._buffer[start + 4 : start + 4 + size]))
            start += 4 + size
        del self._buffer[:start]
        return found


def pack(message: msgspec.Struct) -> bytes:
    """One message with its length prefix."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def unpack_command(body: bytes) -> Command:
    """Raises :class:`msgspec.DecodeError` or :class:`msgspec.ValidationError` on anything else."""
    return _commands.decode(body)


def unpack_event(body: bytes) -> Event:
    """Raises :class:`msgspec.DecodeError` or :class:`msgspec.ValidationError` on anything else."""
    return _events.decode(body)
