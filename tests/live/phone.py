"""Phones of our own for exact checks: every packet that came is kept, with the time at which the kernel got it.

One thread runs the event loop of all phones of a test; what a test calls runs in its own thread and waits. A
:class:`Line` is a SIP user agent (our own endpoint as UAC), a :class:`Phone` one call on it with an RTP socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
from pylibsrtp import Error, Policy, Session

from bridge.io import Driver, Listener
from bridge.media import rtcp
from bridge.media.codecs.g711 import PCMU
from bridge.media.wire import SO_TIMESTAMPNS
from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Agreed, Capabilities, Local, Negotiator
from tests.interop.process import until
from tests.interop.spectrum import Sound

if TYPE_CHECKING:
    from .camera import Camera

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
PACKET = 0.020
"""Seconds of sound in a packet."""
SAMPLES = 160
RATE = 8000
PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
DIGITS = "0123456789*#ABCD"
"""In the order of RFC 4733's event codes."""
CLICK = b"\x00\x80" * (SAMPLES // 2)
"""Full scale at 4 kHz, in u-law."""
Gait = Literal["talking", "mute", "gone"]


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet that came, decrypted."""

    arrival: float
    """Seconds of :func:`time.time`, by the kernel."""
    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What came within some time."""

    packets: Sequence[Packet]

    @property
    def gap(self) -> float:
        """The longest time between two arrivals, in seconds."""
        arrivals = [packet.arrival for packet in self.packets]
        return max((b - a for a, b in itertools.pairwise(arrivals)), default=float("inf"))

    @property
    def sources(self) -> set[int]:
        return {packet.ssrc for packet in self.packets}

    @property
    def skipped(self) -> int:
        """Sequence numbers that did not come, in the order sent; negative where it jumped back."""
        steps = np.diff([packet.sequence for packet in self.packets]) % 65536
        return int(np.where(steps < 32768, steps - 1, steps - 65537).sum())

    @property
    def backwards(self) -> bool:
        """Whether a sequence number or a timestamp ever went back or stood still."""
        sequence = np.diff([packet.sequence for packet in self.packets]) % 65536
        stamps = np.diff([packet.timestamp for packet in self.packets]) % 2**32
        return bool(((sequence == 0) | (sequence >= 32768)).any() or ((stamps == 0) | (stamps >= 2**31)).any())

    def tones(self, frequencies: Sequence[int]) -> set[int]:
        """Those of ``frequencies`` that are there; fails if one is neither loud nor gone.

        What :mod:`~tests.interop.spectrum` takes for gone is less than G.711 leaves of tones that repeat in each
        packet: all its noise lies on multiples of 50 Hz.
        """
        levels = self.sound.tones(tuple(frequencies))
        vague = {frequency: level for frequency, level in levels.items() if -45 < level < -25}
        assert not vague, f"neither heard nor absent: {vague} of {levels}"
        return {frequency for frequency, level in levels.items() if level >= -25}

    @property
    def sound(self) -> Sound:
        """The samples as a phone would play them: each packet where its timestamp says, silence where none came."""
        start = self.packets[0].timestamp
        places = [(packet.timestamp - start + 2**31) % 2**32 - 2**31 for packet in self.packets]
        first = min(places)  # two may come in the wrong order
        places = [place - first for place in places]
        assert max(places) < 600 * RATE, f"timestamps that jump by {max(places) / RATE:.0f} s"
        samples = np.zeros(max(places) + SAMPLES)
        for place, packet in zip(places, self.packets, strict=True):
            pcm = PCMU.decode_rows(np.frombuffer(packet.payload, np.uint8)[None])[0]
            samples[place : place + len(pcm)] = pcm / 32768
        return Sound(samples, RATE)

    def impurity(self, tones: Sequence[int], block: float = 0.1) -> float:
        """dB, relative to ``tones``, of the loudest that is anything else, in blocks of some seconds.

        In each block the tones' amplitudes and phases are fitted, so a slow drift is no impurity; a click, a hole,
        noise and another voice are.
        """
        samples, size = self.sound.samples, round(block * RATE)
        count = len(samples) // size
        assert count, "nothing was heard"
        blocks = samples[: count * size].reshape(count, size).T
        angles = 2 * np.pi * np.arange(size)[:, None] / RATE * np.asarray(tones, np.float64)
        basis = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        fit = basis @ np.linalg.lstsq(basis, blocks, rcond=None)[0]
        rest = ((blocks - fit) ** 2).mean(axis=0)
        return float(10 * np.log10(rest.max() / ((fit**2).mean() + 1e-12) + 1e-12))


class _Recorder:
    """The endpoint, with a list of what came in. (:class:`~bridge.signalling.flow.Core`)"""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.received: list[bytes] = []
        self.closed, self.expire, self.deadline = endpoint.closed, endpoint.expire, endpoint.deadline
        self.datagrams, self.events = endpoint.datagrams, endpoint.events

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.received.append(data)
        self._endpoint.receive(data, flow, now)


class Exchange:
    """The event loop of a test's phones, in a thread of its own, and their 20 ms."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.phones: list[Phone] = []
        self._lines: list[Line] = []
        self._late: list[tuple[float, float]] = []
        """When our own beat was late, and by how many seconds."""
        self._notes = Path(tempfile.mkstemp(prefix="canary")[1])
        self._canary = subprocess.Popen([sys.executable, "-m", "tests.live.canary", str(self._notes)], cwd=ROOT)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.call_soon_threadsafe(self._beat, time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines:
            self.wait(line.close())
        self.run(self._close_phones)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._canary.kill()
        self._canary.wait()
        self._notes.unlink()

    def held_up(self, since: float) -> float:
        """The longest, in seconds, that the machine kept a media worker from running, or us from sending: what a test
        measures is no better than this."""
        noted = [tuple(map(float, line.split())) for line in self._notes.read_text().splitlines()]
        return max((late for when, late in noted + self._late if when > since - 0.1), default=0.0)

    def _close_phones(self) -> None:
        for phone in self.phones:
            phone.close()

    def wait(self, work: Coroutine[Any, Any, T], seconds: float = 20.0) -> T:
        """Run a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def run(self, work: Callable[[], T]) -> T:
        """Call a function in the loop."""

        async def call() -> T:
            return work()

        return self.wait(call())

    def _beat(self, due: float) -> None:
        now = time.monotonic()
        if now - due > 0.010:
            self._late.append((time.time(), now - due))
        for phone in self.phones:
            phone.beat()
        # Those that we are late for are sent at once, as a phone does whose thread was held up.
        following = due + PACKET
        self._loop.call_at(following, self._beat, following)

    def line(self, host: str = "127.0.0.1", *, tcp: bool = False) -> Line:
        line = Line(self, host, tcp=tcp)
        self._lines.append(line)
        return line

    def phone(
        self, uri: str, tone: int = 0, *, srtp: bool = False, line: Line | None = None, seconds: float = 10.0
    ) -> Phone:
        """Call ``uri``, on a line of its own if none is given, and wait until the call is up."""
        phone = (line or self.line()).dial(uri, tone, srtp=srtp)
        phone.await_up(seconds)
        return phone


class Line:
    """A SIP user agent with one listener."""

    def __init__(self, exchange: Exchange, host: str, *, tcp: bool) -> None:
        self.exchange, self.host = exchange, host
        self.endpoint = Endpoint(
            EndpointSettings(user_agent="Test phone", rejections_per_minute=0), random.SystemRandom()
        )
        self._recorder = _Recorder(self.endpoint)
        self._driver: Driver[sip.Event] = Driver(self._recorder, self._deliver)
        kind = Transport.TCP if tcp else Transport.UDP
        self.listener = exchange.wait(self._driver.listen(Listener(kind, host, 0)))
        self.calls: dict[int, Phone] = {}
        self.incoming: list[sip.IncomingCall] = []

    @property
    def received(self) -> list[bytes]:
        """Every SIP datagram, or piece of a stream, that came."""
        return self._recorder.received

    @property
    def uri(self) -> str:
        return f"sip:test@{self.host}:{self.listener.port}"

    def dial(self, uri: str, tone: int = 0, *, srtp: bool = False, camera: Camera | None = None) -> Phone:
        """Call without waiting."""
        return self.exchange.run(lambda: self._dial(uri, tone, srtp, camera))

    def _dial(self, uri: str, tone: int, srtp: bool, camera: Camera | None) -> Phone:
        phone = Phone(self, tone, srtp=srtp, camera=camera)
        host, _, port = uri.partition("@")[2].partition(":")
        flow = Flow(self.listener.transport, (self.host, self.listener.port), (host, int(port)))
        sdp = phone.negotiator.offer(phone.local)
        phone.call = self.endpoint.dial(uri, [flow], sdp, time.monotonic(), from_uri=self.uri)
        self.calls[phone.call] = phone
        self.exchange.phones.append(phone)
        self._driver.drain()
        return phone

    def register(self, uri: str, password: str) -> None:
        """Register the user of ``uri`` at its host, and stay registered."""
        user, _, rest = uri.removeprefix("sip:").partition("@")
        host, _, port = rest.partition(":")
        flow = Flow(self.listener.transport, (self.host, self.listener.port), (host, int(port)))

        def work() -> None:
            self.endpoint.register(f"sip:{rest}", [flow], user, password, 600, time.monotonic())
            self._driver.drain()

        self.exchange.run(work)

    def offer(self, phone: Phone, *, hold: bool = False, replaced: tuple[bytes, bytes] = (b"", b"")) -> None:
        """Re-INVITE; ``replaced`` of the picture's m-line, where that is to be another than ours would be."""

        def work() -> None:
            audio, m, video = phone.negotiator.offer(phone.local, hold=hold).partition(b"m=video")
            self.endpoint.offer(phone.call, audio + m + video.replace(*replaced), time.monotonic())
            self._driver.drain()

        self.exchange.run(work)

    def info(self, phone: Phone, content_type: str, body: bytes) -> None:
        def work() -> None:
            self.endpoint.info(phone.call, content_type, body, time.monotonic())
            self._driver.drain()

        self.exchange.run(work)

    def hang_up(self, phone: Phone) -> None:
        def work() -> None:
            self.endpoint.hangup(phone.call, time.monotonic())
            self._driver.drain()

        self.exchange.run(work)

    def _deliver(self, event: sip.Event) -> None:
        now = time.monotonic()
        match event:
            case sip.IncomingCall():
                self.incoming.append(event)
                self._answer(event, now)
            case sip.CallAnswered(call, body) | sip.OfferAnswered(call, body):
                phone = self.calls[call]
                phone.agree(phone.negotiator.accept(body or b""))
            case sip.OfferReceived(call, body):
                phone = self.calls[call]
                sdp, agreed = phone.negotiator.answer(body or b"", Local(self.host, phone.port))
                self.endpoint.accept(call, sdp, now)
                phone.agree(agreed)
            case sip.CallEnded(call, code):
                self.calls.pop(call).over(code)
            case _:
                pass
        self._driver.drain()

    def _answer(self, event: sip.IncomingCall, now: float) -> None:
        phone = Phone(self, 0, srtp=False)
        phone.call = event.call
        self.calls[event.call] = phone
        self.exchange.phones.append(phone)
        sdp, agreed = phone.negotiator.answer(event.offer or b"", Local(self.host, phone.port))
        self.endpoint.answer(event.call, sdp, now)
        phone.agree(agreed)

    async def close(self) -> None:
        await self._driver.close()


class Phone:
    """One call."""

    def __init__(self, line: Line, tone: int, *, srtp: bool, camera: Camera | None = None) -> None:
        """``tone``: what it says, a multiple of 50 Hz, so that every packet is alike; 0: silence."""
        self.line, self.tone, self.call, self._camera = line, tone, 0, camera
        self.negotiator = Negotiator(
            Capabilities.of(["PCMU"], "required" if srtp else "off"),
            secrets.token_bytes,
            random.getrandbits(60),
            camera.capabilities if camera else None,
        )
        self._sock, self._rtcp = _pair(line.host)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.port = int(self._sock.getsockname()[1])
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sock, self._read)
        loop.add_reader(self._rtcp, self._read_report)
        at = np.arange(SAMPLES) / RATE
        pcm = np.rint(8000 * np.sin(2 * np.pi * tone * at)).astype(np.int16)
        self._payload = PCMU.encode_rows(pcm[None])[0].tobytes()
        self.ssrc, self.sequence, self.timestamp = (
            random.getrandbits(32),
            random.getrandbits(15),
            random.getrandbits(32),
        )
        self.agreed: Agreed | None = None
        self.ended: int | None = None
        """The code with which the call ended; None: it did not."""
        self.gait: Gait = "talking"
        self.packets: list[Packet] = []
        self.reports = 0
        """RTCP packets that came."""
        self.sender_reports: list[rtcp.SenderReport] = []
        self.clicks: list[float] = []
        """When (seconds of :func:`time.time`) it sent clicks."""
        self._clicking = False
        self.undecryptable = 0
        self._out: Session | None = None
        self._in: Session | None = None
        self._keys: list[tuple[int, int]] = []
        """(event code, packets still to send) of DTMF keys."""
        self._pressed_at = 0

    # The call

    @property
    def local(self) -> Local:
        return Local(self.line.host, self.port, video=self._camera.local_port if self._camera else 0)

    def agree(self, agreed: Agreed) -> None:
        before, self.agreed = self.agreed, agreed
        if self._camera is not None:
            self._camera.agree(agreed.video)
        if agreed.srtp_send and agreed.srtp_receive and (before is None or before.srtp_send != agreed.srtp_send):
            (suite, ours), (_, theirs) = agreed.srtp_send, agreed.srtp_receive
            profile = PROFILES[suite]
            self._out = Session(Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
            self._in = Session(Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def over(self, code: int) -> None:
        self.ended = code
        self.close()

    @property
    def up(self) -> bool:
        return self.agreed is not None and self.ended is None

    def await_up(self, seconds: float = 10.0) -> None:
        until(lambda: self.up or self.ended is not None, "an answer", seconds)
        assert self.up, f"the call was refused: {self.ended}"

    def await_end(self, seconds: float = 10.0) -> int:
        until(lambda: self.ended is not None, "the call's end", seconds)
        assert self.ended is not None
        return self.ended

    def hang_up(self) -> None:
        self.line.hang_up(self)
        self.await_end()

    @property
    def remote(self) -> tuple[str, int]:
        """Where its packets go."""
        assert self.agreed is not None
        assert self.agreed.remote is not None
        return self.agreed.remote

    def click(self) -> None:
        """In its next packet: 20 ms as loud as can be."""
        self._clicking = True

    def press(self, digits: str) -> None:
        """Send DTMF as telephone-events, 100 ms each and 100 ms between two."""
        for digit in digits:
            self._keys.append((DIGITS.index(digit), 7))
            self._keys.append((-1, 5))

    # Media

    def close(self) -> None:
        for sock in (self._sock, self._rtcp):
            if sock.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()

    def beat(self) -> None:
        """Send one packet."""
        agreed = self.agreed
        if agreed is None or agreed.send is None or agreed.remote is None or self.ended is not None:
            return
        if self.gait == "gone":
            return
        payload_type, payload, timestamp, marker = agreed.send.payload_type, self._payload, self.timestamp, 0
        if self.gait == "mute":
            payload = b"\xff" * SAMPLES
        if self._clicking:
            self._clicking, payload = False, CLICK
            self.clicks.append(time.time())
        if self._keys:
            code, left = self._keys.pop(0)
            if left > 1:
                self._keys.insert(0, (code, left - 1))
            if code >= 0 and agreed.send_event is not None:
                if left == 7:
                    self._pressed_at, marker = self.timestamp, 0x80
                payload_type, timestamp = agreed.send_event.payload_type, self._pressed_at
                duration = min(8 - left, 5) * SAMPLES
                payload = bytes([code, 0x80 * (left <= 3) | 10]) + duration.to_bytes(2, "big")
        data = struct.pack("!BBHII", 0x80, payload_type | marker, self.sequence, timestamp & 0xFFFFFFFF, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + SAMPLES) & 0xFFFFFFFF
        data += payload
        with contextlib.suppress(OSError):
            self._sock.sendto(self._out.protect(data) if self._out else data, agreed.remote)

    def _read_report(self) -> None:
        with contextlib.suppress(OSError):
            self._reported(self._rtcp.recv(2048))

    def _reported(self, data: bytes) -> None:
        try:
            if self._in is not None:
                data = self._in.unprotect_rtcp(data)
            self.reports += 1
        except Error:
            self.undecryptable += 1
            return
        with contextlib.suppress(rtcp.RtcpError):
            self.sender_reports += [each for each in rtcp.parse(data) if isinstance(each, rtcp.SenderReport)]

    def _read(self) -> None:
        for _ in range(64):
            try:
                data, ancillary, _, _ = self._sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except OSError:  # the ICMP error of a packet to a port that a dead worker had
                continue
            if 192 <= data[1] <= 223:  # RTCP on the same port (RFC 5761 §4)
                self._reported(data)
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            if self._in is not None:
                try:
                    data = self._in.unprotect(data)
                except Error:
                    self.undecryptable += 1
                    continue
            _, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
            arrival = seconds + nanoseconds / 1e9
            self.packets.append(Packet(arrival, ssrc, sequence, timestamp, second & 0x7F, data[12:]))

    def heard(self, since: float = 0.0, before: float = float("inf")) -> Heard:
        """What came from ``since`` on, in seconds of :func:`time.time`."""
        return Heard(
            [packet for packet in self.packets if since <= packet.arrival < before and packet.payload_type == 0]
        )

    def listen(self, seconds: float) -> Heard:
        """What comes from now on."""
        since = time.time()
        time.sleep(seconds)
        return self.heard(since)


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets on an even port and the odd one above it."""
    for _ in range(200):
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        port = random.randrange(30000, 32700, 2)
        try:
            rtp.bind((host, port))
            rtcp.bind((host, port + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            continue
        rtp.setblocking(False)
        rtcp.setblocking(False)
        return rtp, rtcp
    raise RuntimeError(f"no two free ports in a row on {host}")
