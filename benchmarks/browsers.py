"""A crowd of simulated browsers: ICE, DTLS-SRTP, Opus with RFC 6464 levels, and simulcast VP8 of those who talk.

All are behind a few sockets, like :mod:`.crowd`'s phones; each joins by a call with a browser's description, checks the
path, shakes hands, and then sends as arrays. What comes back is counted by SSRC: sound, and pictures by their markers.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec import CodecContext
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.srtp import SrtpTable
from bridge.media.wire import PacketPool
from gateways.webrtc import stun
from gateways.webrtc.dtls import Dtls, Established
from gateways.webrtc.identity import Identity

from .callers import Callers
from .crowd import IP_PKTINFO, SEALED, Crowd, Script, Tally

OPUS, VP8 = 111, 96
MID, LEVEL, RID = 4, 1, 10
"""Header extension ids, Chromium's."""
LAYERS = (("q", 160, 90, 60_000), ("h", 320, 180, 150_000), ("f", 640, 360, 500_000))
RATE = 30
CLIP = 60
"""Frames that are sent over and over, the first a keyframe."""
CONSENT = 4.0
"""Seconds between two checks of a path (RFC 7675 §5.1: 5 s, less a fifth at random)."""
PATIENCE = 30.0
TALK, QUIET = 0x80 | 30, 127
"""RFC 6464 levels with and without voice."""


@dataclass(slots=True)
class Peer:
    """One browser until it is connected."""

    number: int
    offer: str
    ufrag: str = ""
    password: str = ""
    target: tuple[str, int] = ("", 0)
    checked: bool = False
    dtls: Dtls | None = None
    keys: Established | None = None
    began: float = 0.0
    joined: float = 0.0
    """Seconds from the offer to the keys."""


@dataclass(slots=True)
class Seen:
    """What the crowd got."""

    frames: NDArray[np.float64]
    """(k,) frames a second of each picture that came."""
    pictures: int
    joined: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(n,) seconds from offer to keys."""


def offer(number: int, identity: Identity, *, sends: bool) -> str:
    """As Chromium writes it, with what matters here."""
    common = (
        f"c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:b{number:05d}\r\na=ice-pwd:{'p' * 24}\r\n"
        f"a=fingerprint:{identity.fingerprint}\r\na=setup:actpass\r\na=rtcp-mux\r\n"
        f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    )
    layers = ";".join(rid for rid, *_ in LAYERS)
    simulcast = "".join(f"a=rid:{rid} send\r\n" for rid, *_ in LAYERS) + f"a=simulcast:send {layers}\r\n"
    return (
        f"v=0\r\no=- {number + 1} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
        f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\n{common}a=mid:0\r\na=sendrecv\r\n"
        f"a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
        f"a=rtpmap:{OPUS} opus/48000/2\r\na=fmtp:{OPUS} minptime=10;useinbandfec=1\r\n"
        f"m=video 9 UDP/TLS/RTP/SAVPF {VP8}\r\n{common}a=mid:1\r\na={'sendrecv' if sends else 'recvonly'}\r\n"
        f"a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
        f"a=rtpmap:{VP8} VP8/90000\r\na=rtcp-fb:{VP8} nack\r\na=rtcp-fb:{VP8} nack pli\r\na=rtcp-fb:{VP8} ccm fir\r\n"
        + (simulcast if sends else "")
    )


class Browsers(Crowd):
    """N browsers, of whom the first ``talkers`` talk and have cameras."""

    def __init__(self, n: int, *, talkers: int = 3) -> None:
        super().__init__(n)
        self.talkers = min(talkers, n)
        self._identity = Identity(datetime.now(UTC))
        self.peers = [Peer(i, offer(i, self._identity, sends=i < talkers)) for i in range(n)]
        self._extension = np.zeros((n, 8), np.uint8)
        self._extension[:] = np.frombuffer(bytes((0xBE, 0xDE, 0, 1, LEVEL << 4, QUIET, 0, 0)), np.uint8)
        self._extension[: self.talkers, 5] = TALK
        self._cameras = [Camera(row, 1 + row) for row in range(self.talkers)]
        self._asked = np.linspace(0, CONSENT, n, endpoint=False)
        """(n,) seconds until each one's next check, from the beginning on."""
        self._begun = 0.0
        self.seen: PictureTally | None = None

    # Joining

    def join(self, callers: Callers) -> None:
        """Call, check, shake hands.

        Raises:
            OSError: somebody could not join.
        """
        callers.call(self.addresses, [peer.offer for peer in self.peers])
        for peer in self.peers:
            answer = callers.answer(peer.number)
            ufrag, password = re.search(r"a=ice-ufrag:(\S+)", answer), re.search(r"a=ice-pwd:(\S+)", answer)
            path = re.search(r"a=candidate:\S+ 1 udp \d+ (127\S+) (\d+) typ host", answer)
            if not (ufrag and password and path):
                raise OSError(f"the answer is no browser's:\n{answer}")
            peer.ufrag, peer.password, peer.target = ufrag[1], password[1], (path[1], int(path[2]))
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._shake_hands()
        for sock in self._sockets:  # from now on the time stamp is the only control message
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 0)
        self.aim([peer.target for peer in self.peers])
        self._srtp = SrtpTable(self.n)
        self._sealed = np.zeros((self.n, SEALED), np.uint8)
        for peer in self.peers:
            assert peer.keys is not None
            self._srtp.set_send(peer.number, peer.keys.send.suite, peer.keys.send.material)
        for camera in self._cameras:
            keys = self.peers[camera.row].keys
            assert keys is not None
            camera.encrypt(keys.send.suite, keys.send.material)

    def _shake_hands(self) -> None:
        by_host = {address: i for i, address in enumerate(self.addresses)}
        end = time.monotonic() + PATIENCE
        waiting = list(self.peers)
        while waiting:
            now = time.monotonic()
            if now > end:
                raise OSError(f"{len(waiting)} of {self.n} browsers got no keys")
            for peer in waiting[:20]:  # so many join at once, as they do
                if not peer.began or (not peer.checked and now - peer.began > 0.25):
                    peer.began = peer.began or now
                    self._check(peer)
                if peer.dtls is not None:
                    peer.dtls.expire(now)
                    self._flush(peer)
            for sock in select.select(self._sockets, [], [], 0.01)[0]:
                self._take(sock, by_host)
            waiting = [peer for peer in waiting if peer.keys is None]

    def _check(self, peer: Peer) -> None:
        attributes = (
            (stun.USERNAME, f"{peer.ufrag}:b{peer.number:05d}".encode()),
            (stun.PRIORITY, (1 << 24).to_bytes(4, "big")),
            (stun.ICE_CONTROLLING, peer.number.to_bytes(8, "big")),
            (stun.USE_CANDIDATE, b""),
        )
        message = stun.build(stun.REQUEST, os.urandom(12), attributes, password=peer.password.encode())
        self._post(peer, message)

    def _post(self, peer: Peer, data: bytes) -> None:
        control = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("!i4s4x", 0, socket.inet_aton(self._host(peer))))
        self._sockets[self._socket_of[peer.number]].sendmsg([data], [control], 0, peer.target)

    def _host(self, peer: Peer) -> str:
        return self.addresses[peer.number][0]

    def _take(self, sock: socket.socket, by_host: dict[tuple[str, int], int]) -> None:
        port = sock.getsockname()[1]
        while True:
            try:
                data, control, _, _ = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            info = next((body for _, kind, body in control if kind == IP_PKTINFO), b"")
            number = by_host.get((socket.inet_ntoa(info[8:12]), port)) if info else None
            if number is None:
                continue
            self._read(self.peers[number], data)

    def _read(self, peer: Peer, data: bytes) -> None:
        now = time.monotonic()
        if data[0] < 4 and peer.dtls is None and stun.parse(data).kind == stun.SUCCESS:
            peer.checked = True
            peer.dtls = Dtls(self._identity, client=True, now=now)
        elif 20 <= data[0] < 64 and peer.dtls is not None:
            peer.dtls.receive(data, now)
            for event in peer.dtls.events():
                if isinstance(event, Established):
                    peer.keys, peer.joined = event, now - peer.began
        self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        if peer.dtls is not None:
            for datagram in peer.dtls.datagrams():
                self._post(peer, datagram)

    # Talking

    def _seal(
        self, srtp: SrtpTable, script: Script, group: NDArray[np.intp], chosen: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """With the level in a header extension."""
        width = script.payloads.shape[1]
        self._sealed[group, :12] = self._heads.view(np.uint8).reshape(-1, 12)[group]
        self._sealed[group, 0] |= 0x10
        self._sealed[group, 12:20] = self._extension[group]
        self._sealed[group, 20 : 20 + width] = script.payloads[chosen]
        addresses = (self._sealed.ctypes.data + group * SEALED).astype(np.uint64)
        lengths = (script.lengths[chosen] + 20).astype(np.int32)
        srtp.protect(group, addresses, lengths)
        return addresses, lengths

    def _hear(self, tally: Tally, fds: list[int]) -> None:
        now = time.monotonic()
        if self.seen is None:
            self.seen, self._begun = PictureTally(self._pool), now
        for number in (self._asked <= now - self._begun).nonzero()[0].tolist():
            self._asked[number] += CONSENT
            self._check(self.peers[number])
        for camera in self._cameras:
            for datagram in camera.due(now):
                self._post(self.peers[camera.row], datagram)
        batch = self._receiver.receive(fds, now, time.time())
        if not len(batch.slots):
            return
        is_rtp, _ = rtp.classify(self._pool, batch.slots, batch.lengths)
        slots = batch.slots[is_rtp]
        picture = (self._pool.memory[slots, 1] & 0x7F) == VP8
        tally.take(slots[~picture], batch.arrivals[is_rtp][~picture])
        self.seen.take(slots[picture], tally.counting)
        self._pool.give(batch.slots)

    def outcome(self, seconds: float) -> Seen:
        """Of the pictures, in the time that was counted."""
        assert self.seen is not None
        frames = self.seen.frames() / seconds
        return Seen(frames, len(frames), np.array([peer.joined for peer in self.peers]))


class Camera:
    """What a browser's camera gives: three layers, encoded beforehand."""

    def __init__(self, row: int, seed: int) -> None:
        self.row = row
        self._clips = [_clip(width, height, bits, seed) for _, width, height, bits in LAYERS]
        self._heads = [_extension(rid) for rid, *_ in LAYERS]
        self._ssrc = [1_000_000 + 10 * row + n for n in range(len(LAYERS))]
        self._sequence = [1000] * len(LAYERS)
        self._frame = 0
        self._begun = 0.0
        self._srtp: Any = None

    def encrypt(self, suite: str, material: bytes) -> None:
        self._srtp = SrtpTable(1)
        self._srtp.set_send(0, suite, material)

    def due(self, now: float) -> list[bytes]:
        """The packets of the frame whose time has come."""
        self._begun = self._begun or now - self.row / RATE / 3
        if now < self._begun + self._frame / RATE:
            return []
        found = []
        for layer, clip in enumerate(self._clips):
            payloads = clip[self._frame % CLIP]
            for n, payload in enumerate(payloads):
                second = (n == len(payloads) - 1) << 7 | VP8
                stamp = self._frame * 90_000 // RATE & 0xFFFFFFFF
                head = struct.pack("!BBHII", 0x90, second, self._sequence[layer], stamp, self._ssrc[layer])
                self._sequence[layer] = (self._sequence[layer] + 1) & 0xFFFF
                found.append(self._sealed(head + self._heads[layer] + payload))
        self._frame += 1
        return found

    def _sealed(self, packet: bytes) -> bytes:
        buffer = np.zeros(len(packet) + 64, np.uint8)
        buffer[: len(packet)] = np.frombuffer(packet, np.uint8)
        lengths = np.array([len(packet)], np.int32)
        self._srtp.protect(np.zeros(1, np.intp), np.array([buffer.ctypes.data], np.uint64), lengths)
        return buffer[: lengths[0]].tobytes()


class PictureTally:
    """Markers of pictures that come, by SSRC."""

    def __init__(self, pool: PacketPool) -> None:
        self._pool = pool
        self._marked: list[NDArray[np.uint32]] = []

    def take(self, slots: NDArray[np.int32], counting: bool) -> None:
        if counting and len(slots):
            last = self._pool.memory[slots, 1] >= 0x80
            self._marked.append(self._pool.words[slots[last], 2])

    def frames(self) -> NDArray[np.float64]:
        _, each = np.unique(np.concatenate([np.zeros(0, np.uint32), *self._marked]), return_counts=True)
        return each.astype(np.float64)


def _extension(rid: str) -> bytes:
    """MID 1 and the RID (RFC 8285 §4.2)."""
    elements = bytes((MID << 4, ord("1"), RID << 4 | len(rid) - 1)) + rid.encode()
    elements += bytes(-len(elements) & 3)
    return b"\xbe\xde" + (len(elements) // 4).to_bytes(2, "big") + elements


def _clip(width: int, height: int, bits: int, seed: int) -> list[list[bytes]]:
    """RTP payloads, frame by frame, of something that moves."""
    chance = np.random.default_rng(seed)
    base = np.kron(chance.integers(60, 200, (height // 10, width // 5)), np.ones((10, 10))).astype(np.uint8)
    encoder: Any = CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE, 1)
    encoder.bit_rate, encoder.gop_size = bits, CLIP
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    frames = []
    for n in range(CLIP):
        shift = round((width // 2) * (0.5 + 0.5 * np.sin(2 * np.pi * n / CLIP)))
        picture = np.full((height * 3 // 2, width), 90 + 20 * seed, np.uint8)
        picture[:height] = base[:height, shift : shift + width]
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = n
        data = b"".join(bytes(packet) for packet in encoder.encode(frame))
        parts = [data[at : at + 1100] for at in range(0, len(data), 1100)]
        # RFC 7741 §4.2: X and S, a PictureID of 15 bits
        heads = [bytes((0x80 | 0x10 * (i == 0), 0x80, 0x80 | n >> 8, n & 255)) for i in range(len(parts))]
        frames.append([head + part for head, part in zip(heads, parts, strict=True)])
    return frames
