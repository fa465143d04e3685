"""Phone to phone with no bridge between: real speech that one baresip plays, and what another one hears of it.

The phones' SIP and the talker's RTP pass a relay of our own, which loses and delays what the weather says: the same
packets of a sentence as on the way to a server. The phones run in real time, but what is judged is what the listener
decodes packet by packet, so a busy machine changes nothing.
"""

from __future__ import annotations

import contextlib
import heapq
import re
import select
import socket
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bridge.media.clip import resample
from tests.interop import phones
from tests.interop.ports import free_ports

Pcm = NDArray[np.int16]
Address = tuple[str, int]

CODECS = {"PCMU": "PCMU", "PCMA": "PCMA", "G722": "G722", "OPUS": "opus, mono"}
"""Our name -> the phone's."""
AT_ONCE = 15
"""Calls that run together: thirty phones take about half a core."""
LIMIT = 60.0
"""Seconds after which a call that has not ended is given up."""
TONE = 440
"""Hz that the listener's line sends; nobody listens."""


class RoadError(Exception):
    """The call did not go by the relay."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One call: what is said, and what becomes of it on the way."""

    pcm: Pcm
    """16 kHz"""
    codec: str
    fate: Mapping[int, float]
    """Packet, counted from the talker's first -> seconds by which it is late; those that are not in it are lost."""
    loss: float
    """The share that the talker has been told of; Opus protects itself against it."""
    bitrate: int
    """bit/s of Opus."""


def rewritten(message: bytes, port: int) -> tuple[bytes, int | None]:
    """A SIP message whose description names ``port`` for its audio, and the port that it named, if it had one."""
    head, blank, body = message.partition(b"\r\n\r\n")
    found = re.search(rb"^m=audio (\d+) ", body, re.MULTILINE)
    if found is None:
        return message, None
    body = body[: found.start(1)] + b"%d" % port + body[found.end(1) :]
    head = re.sub(rb"(?im)^(content-length|l)[ \t]*:[ \t]*\d+", rb"\1: %d" % len(body), head)
    return head + blank + body, int(found[1])


@dataclass(slots=True)
class _Road:
    """The way of one call."""

    callee: Address
    fate: Mapping[int, float]
    sip: socket.socket = field(default_factory=lambda: _bound())
    media: socket.socket = field(default_factory=lambda: _bound())
    caller: Address | None = None
    sink: Address | None = None
    first: int | None = None
    """RTP sequence number of the talker's first packet."""
    lost: int = 0
    passed: int = 0


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", free_ports(2)))
    sock.setblocking(False)
    return sock


class Relay:
    """All the roads of some calls, served by one thread."""

    def __init__(self) -> None:
        self.roads: list[_Road] = []
        self._late: list[tuple[float, int, int, bytes]] = []
        """(monotonic seconds, a number that orders equals, road, packet)"""
        self._count = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay")

    def lay(self, callee: Address, fate: Mapping[int, float]) -> _Road:
        """A road to a phone that is not yet on it; before the relay is entered."""
        self.roads.append(_Road(callee, fate))
        return self.roads[-1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for road in self.roads:
            road.sip.close()
            road.media.close()

    def _run(self) -> None:
        doors = {}
        with select.epoll() as poll:
            for number, road in enumerate(self.roads):
                for sock, take in ((road.sip, self._signalling), (road.media, self._packet)):
                    doors[sock.fileno()] = (sock, take, number)
                    poll.register(sock, select.EPOLLIN)
            while not self._ended.is_set():
                due = self._late[0][0] - time.monotonic() if self._late else 0.1
                for fd, _ in poll.poll(min(max(due, 0.0), 0.1)):
                    sock, take, number = doors[fd]
                    with contextlib.suppress(BlockingIOError):
                        take(number, *sock.recvfrom(65536))
                while self._late and self._late[0][0] <= time.monotonic():
                    _, _, number, data = heapq.heappop(self._late)
                    self._forward(number, data)

    def _signalling(self, number: int, data: bytes, source: Address) -> None:
        road = self.roads[number]
        if source != road.callee:
            road.caller = source
            road.sip.sendto(data, road.callee)
        elif road.caller is not None:
            # Only the answer: the talker sends to us, the listener straight back.
            data, port = rewritten(data, road.media.getsockname()[1])
            if port is not None:
                road.sink = (road.callee[0], port)
            road.sip.sendto(data, road.caller)

    def _packet(self, number: int, data: bytes, source: Address) -> None:
        road = self.roads[number]
        sequence = int.from_bytes(data[2:4], "big")
        road.first = sequence if road.first is None else road.first
        delay = road.fate.get(sequence - road.first & 0xFFFF)
        if delay is None:
            road.lost += 1
        elif delay:
            self._count += 1
            heapq.heappush(self._late, (time.monotonic() + delay, self._count, number, data))
        else:
            self._forward(number, data)

    def _forward(self, number: int, data: bytes) -> None:
        road = self.roads[number]
        assert road.sink is not None
        road.passed += 1
        road.media.sendto(data, road.sink)


def _write(path: Path, spoken: Spoken) -> Path:
    _, rate, channels = phones.CODECS[CODECS[spoken.codec]].split("/")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(int(channels))
        out.setsampwidth(2)
        out.setframerate(int(rate))
        out.writeframes(np.repeat(resample(spoken.pcm, 16000, int(rate)), int(channels)).astype("<i2").tobytes())
    return path


def _opus(spoken: Spoken) -> Iterator[str]:
    """As the talker's Opus is towards a server: FEC where there is loss."""
    yield f"opus_bitrate {spoken.bitrate}"
    if spoken.loss:
        yield from ("opus_inbandfec yes", f"opus_packet_loss {round(100 * spoken.loss)}")


def heard(calls: Sequence[Spoken], rate: int) -> list[Pcm]:
    """What the listener of each call heard, at ``rate``, from the first packet that came on.

    Raises:
        RoadError: a call's packets did not pass us.
    """
    found: list[Pcm] = []
    for at in range(0, len(calls), AT_ONCE):
        with tempfile.TemporaryDirectory() as directory:
            found += _some(calls[at : at + AT_ONCE], rate, Path(directory))
    return found


def _some(calls: Sequence[Spoken], rate: int, directory: Path) -> list[Pcm]:
    with contextlib.ExitStack() as stack:
        relay, pairs = Relay(), []
        for number, spoken in enumerate(calls):
            settings = [*_opus(spoken), "jitter_buffer_delay 5-10"]
            codec = CODECS[spoken.codec]
            played = _write(directory / f"{number}.wav", spoken)
            talker = phones.Baresip(
                directory, tone=TONE, codec=codec, user=f"a{number}", played=played, settings=settings
            )
            listener = phones.Baresip(
                *(directory,), tone=TONE, codec=codec, user=f"b{number}", auto_answer=True, settings=settings,
                filters=() if spoken.codec == "OPUS" else ("plc",),
            )  # fmt: skip
            road = relay.lay(("127.0.0.1", listener.port), spoken.fate)
            pairs.append((stack.enter_context(talker), stack.enter_context(listener), road))
        stack.enter_context(relay)
        for talker, listener, road in pairs:
            talker.dial(f"sip:{listener.user}@127.0.0.1:{road.sip.getsockname()[1]}")
        for _, listener, _ in pairs:
            listener.await_event("CALL_CLOSED", LIMIT)
        sounds = [listener.recorded() for _, listener, _ in pairs]
    for road in relay.roads:
        if not road.passed:
            raise RoadError(f"no packet of the call to {road.callee[1]} came by")
    return [resample(np.rint(sound.samples * 32768).astype(np.int16), sound.rate, rate) for sound in sounds]
