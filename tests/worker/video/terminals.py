"""The video beat in virtual time, and terminals on real sockets around it.

Each terminal encodes a picture of its own with libavcodec, sends it over loopback, and decodes what comes back.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from av.codec import CodecContext
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from pylibsrtp import Policy, Session

from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.media.video.assembler import Assembler, AssemblerSettings, Frame, Lost, Missing
from bridge.media.video.formats import by_name
from bridge.media.video.history import unwrap_rtx
from bridge.media.video.payload import Limits
from bridge.media.video.swscale import Swscale, planes
from bridge.media.wire import SO_TIMESTAMPNS
from bridge.mixer.layout import Rect, Tile, fitted
from bridge.mixer.scale import NumpyScaler
from bridge.worker.protocol import Address, Begin, SrtpKey
from bridge.worker.protocol_video import SetVideoRoom, SetVideoStream, VideoFormat
from bridge.worker.video.beat import SLOT, VideoBeat

FIRST_PORT = 20000 + 16 * (os.getpid() % 28)
"""Two runs at once should not meet."""
SUITE = "AES_CM_128_HMAC_SHA1_80"
FORMATS = {
    "H264": VideoFormat("H264", 96, {"packetization-mode": "1", "profile-level-id": "42e01f"}),
    "H264-0": VideoFormat("H264", 96, {"profile-level-id": "42e01f"}),
    "VP8": VideoFormat("VP8", 97),
    "H263-1998": VideoFormat("H263-1998", 98),
}
ENCODERS = {"H264": "libx264", "VP8": "libvpx", "H263-1998": "h263p"}
OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "forced-idr": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"},
    "h263p": {"ps": "1000"},
}

U8 = np.ndarray[Any, np.dtype[np.uint8]]


def painting(seed: int, width: int, height: int) -> Callable[[float], U8]:
    """Bars and rings in colours of one's own that drift to the left: (height * 3/2, width) I420 at a time."""
    wide = 2 * width
    y, x = np.mgrid[0:height, 0:wide] / height
    turn = 2 * np.pi * height / width  # once around after a width: it may drift for ever
    rings = np.sin(6 * np.sin(x * turn) + (9 + seed) * y)
    base = (126 + 50 * np.sin(x * turn * (2 + seed % 5) + seed) + 45 * rings).astype(np.uint8)
    hue = (37 * seed) % 200

    def at(time: float) -> U8:
        picture = np.empty((height * 3 // 2, width), np.uint8)
        shift = int(time * width / 16) % width
        picture[:height] = base[:, shift : shift + width]
        chroma = picture[height:].reshape(-1)
        half = len(chroma) // 2
        chroma[:half], chroma[half:] = 28 + hue, 228 - hue
        return picture

    return at


def ssim(one: U8, other: U8) -> float:
    """Mean structural similarity of two luma planes, blocks of 8 by 8."""
    h, w = one.shape[0] // 8 * 8, one.shape[1] // 8 * 8

    def blocks(plane: U8) -> Any:
        return plane[:h, :w].reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2).reshape(-1, 64).astype(float)

    a, b = blocks(one), blocks(other)
    ma, mb = a.mean(1), b.mean(1)
    va, vb = a.var(1), b.var(1)
    cov = ((a - ma[:, None]) * (b - mb[:, None])).mean(1)
    c1, c2 = 6.5025, 58.5225
    return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def split(picture: U8) -> tuple[U8, U8, U8]:
    """An I420 picture's planes."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    flat = picture.reshape(-1)
    luma, chroma = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(half),
        flat[luma + chroma :].reshape(half),
    )


def scaled(picture: U8, width: int, height: int) -> U8:
    """Luma of an I420 picture at another size."""
    into = np.zeros((height * 3 // 2, width), np.uint8)
    Swscale(NumpyScaler())(split(picture), split(into), False)
    return split(into)[0]


def udp(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


@dataclass
class Terminal:
    """One far end."""

    stream: int
    port: int
    codec: str = "H264"
    size: tuple[int, int] = (640, 360)
    host: str = "127.0.0.1"
    mux: bool = True
    suite: str = ""
    rate: int = 30
    bitrate: int = 900_000
    nack: bool = True
    rtx: int = 0
    loss_in: float = 0.0
    """Of what it is sent."""
    loss_out: float = 0.0
    """Of what it sends."""
    mtu: int = 1200
    sending: bool = True
    answers: bool = True
    """It answers keyframe requests and NACKs."""
    packets: int = 0
    longest: int = 0
    frames: list[Frame] = field(default_factory=list)
    keyframes_asked: int = 0
    reports: list[rtcp.Packet] = field(default_factory=list)
    extension: bytes = b""
    """A header extension's elements (RFC 8285), four octets."""

    def __post_init__(self) -> None:
        self.sock = udp(self.host)
        self.rtcp = self.sock if self.mux else udp(self.host)
        self.format = FORMATS[self.codec]
        self.codec_name = self.format.name
        self.ssrc = 0x20000 + self.stream
        self.sequence, self.timestamp = 65000, 777
        self.chance = random.Random(self.stream)
        self.painting = painting(self.stream, *self.size)
        self.source: U8 | None = None
        """What it sent last."""
        self.sources: deque[U8] = deque(maxlen=12)
        self.picture: U8 | None = None
        """What it sees, I420."""
        self.pictures = 0
        self.errors = 0
        self.seen_at: list[float] = []
        self._encoder: Any = None
        self._force = False
        self._packetiser: Any = None
        self._kept: dict[int, bytes] = {}
        codec = by_name(self.codec_name)
        self._assembler = Assembler(codec.depacketiser({}, Limits()), AssemblerSettings(nack=self.nack))
        self._decoder: Any = CodecContext.create(codec.decoder, "r")
        self._due = 0.0
        self._reported = 0.0
        self._got = self._missed = 0
        self._highest = -1
        self.peer_ssrc = 0
        self.tx = self.rx = None
        if self.suite:
            ours, theirs = (
                bytes((self.stream + n) % 256 for n in range(30)),
                bytes((self.stream + 7 * n) % 256 for n in range(30)),
            )
            profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
            self.key_in, self.key_out = SrtpKey(self.suite, ours), SrtpKey(self.suite, theirs)
            self.tx = Session(Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
            self.rx = Session(Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def spec(self, room: int, **changes: Any) -> SetVideoStream:
        format_ = self.format
        if self.rtx:
            format_ = VideoFormat(format_.name, format_.payload_type, format_.parameters, self.rtx)
        fields: dict[str, Any] = {
            "stream": self.stream,
            "room": room,
            "port": self.port,
            "remote": Address(*self.sock.getsockname()[:2]),
            "remote_rtcp": None if self.mux else Address(*self.rtcp.getsockname()[:2]),
            "rtcp_mux": self.mux,
            "send": format_,
            "receive": (format_,) if self.sending else (),
            "name": f"Émile {self.stream}",
            "nack": self.nack,
            "pli": True,
            "mtu": self.mtu,
            "cname": f"terminal{self.stream}",
        }
        if self.suite:
            fields |= {"srtp_receive": self.key_in, "srtp_send": self.key_out}
        return SetVideoStream(**(fields | changes))

    # ------------------------------------------------------------------------------------- sending

    def resize(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.painting = painting(self.stream, width, height)
        self._encoder = None

    def _open(self) -> Any:
        name = ENCODERS[self.codec_name]
        encoder: Any = CodecContext.create(name, "w")
        encoder.width, encoder.height = self.size
        encoder.pix_fmt = "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(self.rate, 1)
        encoder.bit_rate = self.bitrate
        encoder.gop_size = 100000
        encoder.thread_count = 1
        encoder.options = OPTIONS[name]
        self._packetiser = by_name(self.codec_name).packetiser({"packetization-mode": "1"})  # type: ignore[misc]
        self._count = 0
        return encoder

    def play(self, now: float) -> None:
        """Send a frame if its time has come."""
        if not self.sending or now < self._due:
            return
        self._due = max(self._due + 1 / self.rate, now)
        self.source = self.painting(now)
        self.sources.append(self.source)
        frame = VideoFrame.from_ndarray(self.source, format="yuv420p")
        if self._encoder is None:
            self._encoder = self._open()
        frame.pts = self._count
        self._count += 1
        if self._force:
            frame.pict_type, self._force = PictureType.I, False
        data = b"".join(bytes(p) for p in self._encoder.encode(frame))
        self.timestamp = int(now * 90000) & 0xFFFFFFFF
        payloads = self._packetiser.packetise(data, 1200)
        for n, payload in enumerate(payloads):
            self.send_payload(payload, marker=n == len(payloads) - 1)

    def send_payload(self, payload: bytes, *, marker: bool = True) -> None:
        first = 0x90 if self.extension else 0x80
        extension = b"\xbe\xde\0\x01" + self.extension if self.extension else b""
        head = struct.pack(
            "!BBHII", first, marker << 7 | self.format.payload_type, self.sequence, self.timestamp, self.ssrc
        )
        data = head + extension + payload
        self._kept[self.sequence] = data
        self._kept.pop((self.sequence - 600) & 0xFFFF, None)
        self.sequence = (self.sequence + 1) & 0xFFFF
        if self.chance.random() >= self.loss_out:
            self.transmit(self.tx.protect(data) if self.tx else data)

    def transmit(self, data: bytes) -> None:
        self.sock.sendto(data, (self.host, self.port))

    def send_rtcp(self, packets: list[rtcp.Packet]) -> None:
        data = rtcp.build(packets)
        self.rtcp.sendto(self.tx.protect_rtcp(data) if self.tx else data, (self.host, self.port + (not self.mux)))

    def ask(self, message: feedback.Message) -> None:
        self.send_rtcp([rtcp.ReceiverReport(self.ssrc), feedback.write(message)])

    # ------------------------------------------------------------------------------------- receiving

    def collect(self, now: float) -> None:
        for sock in {self.sock, self.rtcp}:
            try:
                while True:
                    self._receive(sock.recv(4096), now)
            except BlockingIOError:
                pass
        for event in self._assembler.take(now):
            match event:
                case Frame():
                    self.frames.append(event)
                    for frame in self._decoded(event.data):
                        self.picture = np.concatenate([p.reshape(-1) for p in planes(frame)]).reshape(-1, frame.width)
                        self.pictures += 1
                        self.seen_at.append(now)
                case Lost():
                    self.ask(feedback.PictureLoss(self.ssrc, self.peer_ssrc))
                case Missing():
                    self.ask(feedback.Nack(self.ssrc, self.peer_ssrc, event.sequences))
        if now - self._reported > 1.0:
            self._report(now)

    def _decoded(self, data: bytes) -> list[Any]:
        try:
            return list(self._decoder.decode(_packet(data)))
        except FFmpegError:
            self.errors += 1
            return []

    def _report(self, now: float) -> None:
        self._reported = now
        if self.peer_ssrc and self._got + self._missed:
            fraction = int(256 * self._missed / (self._got + self._missed))
            self.send_rtcp(
                [rtcp.ReceiverReport(self.ssrc, (rtcp.ReportBlock(self.peer_ssrc, fraction, 0, 0, 0, 0, 0),))]
            )
        self._got = self._missed = 0

    def _receive(self, data: bytes, now: float) -> None:
        if 192 <= data[1] <= 223:
            for packet in rtcp.parse(self.rx.unprotect_rtcp(data) if self.rx else data):
                self._heed(packet)
            return
        if self.chance.random() < self.loss_in:
            self._missed += 1
            return
        if self.rx:
            data = self.rx.unprotect(data)
        self._got += 1
        _, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
        self.packets += 1
        self.longest = max(self.longest, len(data) - 12)
        payload = data[12:]
        if self.rtx and second & 0x7F == self.rtx:
            sequence, payload = unwrap_rtx(payload)
            ssrc = self.peer_ssrc
        else:
            assert second & 0x7F == self.format.payload_type
            self.peer_ssrc = ssrc
        self._assembler.feed(ssrc, sequence, timestamp, second >> 7 == 1, payload, now)

    def _heed(self, packet: rtcp.Packet) -> None:
        self.reports.append(packet)
        if not isinstance(packet, rtcp.Feedback) or not self.answers:
            return
        match feedback.read(packet):
            case feedback.PictureLoss() | feedback.FullIntra():
                self.keyframes_asked += 1
                self._force = True
            case feedback.Nack(sequences=sequences):
                for sequence in sequences:
                    if sequence in self._kept:
                        data = self._kept[sequence]
                        self.transmit(data)
            case _:
                pass

    def tile(self, rect: Rect) -> U8:
        """Luma of a part of what it sees."""
        assert self.picture is not None
        return split(self.picture)[0][rect.y : rect.bottom, rect.x : rect.right]

    def hue(self, rect: Rect) -> float:
        """Mean Cb there."""
        assert self.picture is not None
        part = split(self.picture)[1][rect.y // 2 : rect.bottom // 2, rect.x // 2 : rect.right // 2]
        return float(part[part.shape[0] // 4 : -part.shape[0] // 4].mean())

    def likeness(self, other: Terminal, tile: Tile, *, turn: int = 0) -> float:
        """SSIM of a tile of what it sees and what another one sent lately; above the label."""
        width, height = other.size
        fit = fitted(width, height, tile.inner, tile.fit, turn=turn)
        target, crop = fit.target, fit.crop
        high = target.h - (tile.label.h if tile.label else 0)
        seen = self.tile(target)[:high]
        best = 0.0
        for source in list(other.sources)[::2]:
            part = source[: height * 2 // 3 * 3 // 2][crop.y : crop.bottom, crop.x : crop.right]
            if turn:
                part = np.rot90(part, -turn // 90)
            into = np.zeros((target.h, target.w), np.uint8)
            NumpyScaler().plane(np.ascontiguousarray(part), into)
            best = max(best, ssim(into[:high], seen))
        return best

    @property
    def seen_size(self) -> tuple[int, int]:
        return (self.picture.shape[1], self.picture.shape[0] * 2 // 3) if self.picture is not None else (0, 0)

    def close(self) -> None:
        self.sock.close()
        self.rtcp.close()


def _packet(data: bytes) -> Any:
    from av.packet import Packet

    return Packet(data)


class Studio:
    """A beat and its terminals, in virtual time."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        capacity: int = 64,
        threads: int = 0,
        bundle: tuple[int, ...] = (),
        descriptors: tuple[int, ...] = (),
    ) -> None:
        self.now, self.wall = 1000.0, 1.7e9
        self.events: list[Any] = []
        self.host = host
        ports = tuple(range(FIRST_PORT, FIRST_PORT + 16, 2))
        relays = len(descriptors) - len(bundle)
        begin = Begin(host, ports, capacity, seed=1, bundle_ports=bundle, relays=relays)
        self.beat = VideoBeat(begin, self.events.append, self.now, descriptors, threads=threads)
        for sock in (*self.beat._rtp, *self.beat._rtcp):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        self.ports = self.events[0].ports
        self.terminals: list[Terminal] = []
        self.made = 0
        """Terminals so far."""

    def tell(self, *commands: Any) -> None:
        for command in commands:
            self.beat.obey(command, self.now)

    def room(self, number: int = 1, **changes: Any) -> None:
        self.tell(SetVideoRoom(number, **changes))

    def terminal(self, *, room: int = 1, join: dict[str, Any] | None = None, **changes: Any) -> Terminal:
        n = self.made
        self.made += 1
        made = Terminal(n + 1, self.ports[n % len(self.ports)], host=self.host, **changes)
        self.terminals.append(made)
        self.tell(made.spec(room, **(join or {})))
        return made

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / SLOT)):
            self.now += SLOT
            self.wall += SLOT
            for terminal in self.terminals:
                terminal.play(self.now)
            self.beat.run(self.now, self.wall)
            for terminal in self.terminals:
                terminal.collect(self.now)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self) -> None:
        self.beat.close()
        for terminal in self.terminals:
            terminal.close()
