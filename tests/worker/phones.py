"""A worker's beat in virtual time, and phones on real sockets around it.

Datagrams over loopback are there when ``sendto`` returns, so what a phone sends before a beat is in that beat. The
kernel's receive timestamps are switched off: a packet arrives when its beat runs, and nothing depends on the machine.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from pylibsrtp import Policy, Session

from bridge.media.codecs import EncoderSettings
from bridge.media.codecs.g711 import PCMA, PCMU
from bridge.media.codecs.g722 import G722Decoder, G722Encoder
from bridge.media.codecs.l16 import MONO
from bridge.media.codecs.opus import OpusDecoder, OpusEncoder
from bridge.media.relay import pair as relay_pair
from bridge.media.wire import SO_TIMESTAMPNS, open_socket
from bridge.worker.beat import Beat
from bridge.worker.protocol import Address, Begin, CodecSpec, Event, SetRoom, SetStream, SrtpKey

FIRST_PORT = 22500 + 8 * (os.getpid() % 60)
"""Two runs at once should not meet."""
BEAT = 0.020

CODECS = {
    "PCMU": CodecSpec("PCMU", 0, 8000),
    "PCMA": CodecSpec("PCMA", 8, 8000),
    "G722": CodecSpec("G722", 9, 8000),
    "OPUS": CodecSpec("OPUS", 96, 48000, 2),
    "L16": CodecSpec("L16", 97, 16000),
    "L16/48": CodecSpec("L16", 98, 48000),
}
RATES = {"PCMU": 8000, "PCMA": 8000, "G722": 16000, "OPUS": 48000, "L16": 16000, "L16/48": 48000}
EVENT = CodecSpec("TELEPHONE-EVENT", 101, 8000)
CN = CodecSpec("CN", 13, 8000)

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}


@dataclass(frozen=True)
class Packet:
    """A received RTP packet."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def read(cls, data: bytes) -> Packet:
        first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
        assert first == 0x80
        return cls(second >> 7 == 1, second & 0x7F, sequence, timestamp, ssrc, data[12:])


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def drain(sock: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(sock.recv(4096))
    except BlockingIOError:
        return found


@dataclass
class Phone:
    """One far end: encodes, counts and sends; collects what comes back."""

    stream: int
    codec: str
    port: int
    host: str = "127.0.0.1"
    suite: str = ""
    mux: bool = False
    ssrc: int = 0
    sequence: int = 1000
    timestamp: int = 5000
    packets: list[Packet] = field(default_factory=list)
    reports: list[bytes] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sock = udp(self.host)
        self.rtcp = self.sock if self.mux else udp(self.host)
        self.ssrc = self.ssrc or 0x10000 + self.stream
        self._encoder: Any = None
        self._decoder: Any = None
        self._socks = {self.sock, self.rtcp}
        self.tx = self.rx = None
        if self.suite:
            profile, size = PROFILES[self.suite]
            ours = bytes((self.stream + 3 * n) % 256 for n in range(size))
            theirs = bytes((self.stream + 5 * n + 100) % 256 for n in range(size))
            self.key_in, self.key_out = SrtpKey(self.suite, ours), SrtpKey(self.suite, theirs)
            self.tx = Session(Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
            self.rx = Session(Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    @property
    def rate(self) -> int:
        return RATES[self.codec]

    @property
    def address(self) -> Address:
        return Address(*self.sock.getsockname()[:2])

    def spec(self, room: int, **changes: Any) -> SetStream:
        codec = CODECS[self.codec]
        fields: dict[str, Any] = {
            "stream": self.stream,
            "room": room,
            "port": self.port,
            "remote": self.address,
            "remote_rtcp": None if self.mux else Address(*self.rtcp.getsockname()[:2]),
            "rtcp_mux": self.mux,
            "send": codec,
            "receive": (codec, EVENT, CN),
        }
        if self.suite:
            fields |= {"srtp_receive": self.key_in, "srtp_send": self.key_out}
        return SetStream(**(fields | changes))

    # ------------------------------------------------------------------------------------- sending

    def encode(self, pcm: np.ndarray) -> bytes:
        pcm = np.ascontiguousarray(pcm, np.int16)
        if self.codec == "OPUS":
            self._encoder = self._encoder or OpusEncoder(EncoderSettings(bitrate=64000))
        elif self.codec == "G722":
            self._encoder = self._encoder or G722Encoder()
        else:
            rows = {"PCMU": PCMU, "PCMA": PCMA}.get(self.codec, MONO)
            return rows.encode_rows(pcm[None])[0].tobytes()
        return self._encoder.encode(pcm)

    def send(self, pcm: np.ndarray, **changes: int) -> bytes:
        """One packet of some samples at the codec's rate."""
        ticks = len(pcm) * CODECS[self.codec].clock_rate // self.rate
        return self.send_payload(self.encode(pcm), ticks=ticks, **changes)

    def header(self, payload_type: int = -1, *, marker: bool = False, timestamp: int = -1) -> bytes:
        payload_type = CODECS[self.codec].payload_type if payload_type < 0 else payload_type
        timestamp = self.timestamp if timestamp < 0 else timestamp
        second = payload_type | 0x80 * marker
        return struct.pack("!BBHII", 0x80, second, self.sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self.ssrc)

    def send_payload(self, payload: bytes, payload_type: int = -1, *, ticks: int = 0, timestamp: int = -1) -> bytes:
        data = self.header(payload_type, timestamp=timestamp) + payload
        data = self.tx.protect(data) if self.tx else data
        self.send_raw(data)
        self.sequence += 1
        self.timestamp += ticks
        return data

    def send_raw(self, data: bytes) -> None:
        self.sock.sendto(data, (self.host, self.port))

    def send_rtcp(self, data: bytes) -> None:
        data = self.tx.protect_rtcp(data) if self.tx else data
        self.rtcp.sendto(data, (self.host, self.port + (not self.mux)))

    def move(self) -> None:
        """Go on from another address."""
        self.sock = udp(self.host)
        self._socks.add(self.sock)
        if self.mux:
            self.rtcp = self.sock

    # ----------------------------------------------------------------------------------- receiving

    def collect(self) -> list[Packet]:
        """The RTP packets since the last call; RTCP goes to :attr:`reports`."""
        fresh = []
        for data in drain(self.sock):
            self.raw.append(data)
            if 192 <= data[1] <= 223:
                self.reports.append(self.rx.unprotect_rtcp(data) if self.rx else data)
            else:
                fresh.append(Packet.read(self.rx.unprotect(data) if self.rx else data))
        if self.rtcp is not self.sock:
            self.reports += [self.rx.unprotect_rtcp(data) if self.rx else data for data in drain(self.rtcp)]
        self.packets += fresh
        return fresh

    def decode(self, packets: list[Packet]) -> np.ndarray:
        """Samples of packets of the phone's own codec."""
        own = CODECS[self.codec].payload_type
        payloads = [packet.payload for packet in packets if packet.payload_type == own]
        if self.codec == "OPUS":
            self._decoder = self._decoder or OpusDecoder()
        elif self.codec == "G722":
            self._decoder = self._decoder or G722Decoder()
        else:
            rows = {"PCMU": PCMU, "PCMA": PCMA}.get(self.codec, MONO)
            parts = [rows.decode_rows(np.frombuffer(payload, np.uint8)[None])[0] for payload in payloads]
            return np.concatenate([np.zeros(0, np.int16), *parts])
        return np.concatenate([np.zeros(0, np.int16), *map(self._decoder.decode, payloads)])

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


class Bridge:
    """A beat, its clock, its events, and the phones around it."""

    video: socket.socket | None = None

    def __init__(self, *, host: str = "", ports: int = 4, capacity: int = 64, bundle: bool = False) -> None:
        """``bundle``: with a bundle port and a relay to a video process, whose end is :attr:`video`."""
        self.events: list[Event] = []
        self.now = 1000.0
        span = tuple(range(FIRST_PORT, FIRST_PORT + 2 * ports, 2))
        begin, descriptors = Begin(host, span, capacity, seed=7), []
        if bundle:
            shared = open_socket(host, 0)
            relay, self.video = relay_pair()
            self.bundle_port = shared.getsockname()[1]
            begin = msgspec.structs.replace(begin, bundle_ports=(self.bundle_port,), relays=1)
            descriptors = [shared.detach(), relay.detach()]
        self.beat = Beat(begin, self.events.append, self.now, descriptors)
        self.ports = self.events[0].ports
        for sock in (*self.beat._rtp, *self.beat._rtcp):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        self.phones: list[Phone] = []

    def obey(self, *commands: Any) -> None:
        for command in commands:
            self.beat.obey(command, self.now)

    def phone(self, codec: str = "PCMU", *, room: int = 1, port: int = 0, join: Any = None, **options: Any) -> Phone:
        """A phone in a room (made if need be), on ports in turn."""
        number = len(self.phones)
        phone = Phone(number + 1, codec, port or self.ports[number % len(self.ports)], **options)
        self.phones.append(phone)
        if room and room not in self.beat.table.rooms:
            self.obey(SetRoom(room))
        self.obey(phone.spec(room, **(join or {})))
        return phone

    def step(self, beats: int = 1) -> None:
        for _ in range(beats):
            self.now += BEAT
            self.beat.run(self.now, 1_700_000_000.0 + self.now, late=0.0)
            for phone in self.phones:
                phone.collect()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def free_slots(self) -> int:
        """Those that lie ready for the next batch too."""
        receivers = self.beat._media, self.beat._control
        return self.beat._pool.free + sum(each._posted - each._gone for each in receivers)

    def close(self) -> None:
        self.beat.close()
        if self.video is not None:
            self.video.close()
        for phone in self.phones:
            phone.close()


def sine(hertz: float, rate: int, blocks: int, level: float = 8000.0) -> np.ndarray:
    """(blocks, rate / 50) int16."""
    t = np.arange(blocks * rate // 50) / rate
    return np.rint(level * np.sin(2 * np.pi * hertz * t)).astype(np.int16).reshape(blocks, -1)


def strength(pcm: np.ndarray, hertz: float, rate: int) -> float:
    """Amplitude of a frequency in some sound."""
    t = np.arange(len(pcm)) / rate
    window = np.hanning(len(pcm))
    return float(2 * abs((pcm * window) @ np.exp(-2j * np.pi * hertz * t)) / window.sum()) if len(pcm) else 0.0


NOISE = np.random.default_rng(1)


def noise(blocks: int, rate: int, level: int = 4000) -> np.ndarray:
    return NOISE.integers(-level, level, (blocks, rate // 50)).astype(np.int16)


def talk(bridge: Bridge, said: dict[int, np.ndarray]) -> None:
    """Every phone (by its place) sends its blocks, one a beat."""
    for n in range(len(next(iter(said.values())))):
        for place, blocks in said.items():
            bridge.phones[place].send(blocks[n])
        bridge.step()


def heard(phone: Phone) -> np.ndarray:
    return phone.decode(phone.packets)


def press(bridge: Bridge, phone: Phone, code: int, beats: int = 5) -> None:
    start = phone.timestamp
    for n in range(beats + 2):
        end, duration = n >= beats - 1, min(n + 1, beats) * 160
        phone.send_payload(bytes([code, 0x80 * end | 10, duration >> 8, duration & 255]), 101, timestamp=start)
        phone.timestamp += 160
        bridge.step()
