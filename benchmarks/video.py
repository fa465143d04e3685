"""How many video participants one core holds: ``python -m benchmarks.video [PARTICIPANTS...]``.

Every participant sends 640x360 H.264 at 30 fps, encoded beforehand, and is sent 1280x720 at 30 fps. The video process
has one CPU, the terminals another; of what they are sent the frames are counted (markers). Pictures are compared in the
tests.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec import CodecContext

from bridge.media.video.h264 import H264Packetiser
from bridge.worker.protocol import Address, Begin, Frames, Ready, Stop, pack
from bridge.worker.protocol_video import (
    SetSpeaker,
    SetVideoRoom,
    SetVideoStream,
    VideoCommand,
    VideoEvent,
    VideoFormat,
    VideoLook,
    VideoReport,
    unpack_video_event,
)

RATE = 30
CLIP = 90
"""Frames of a clip; it is sent over and over, and begins with a keyframe."""
CLIPS = 4
SIZE = (640, 360)
H264 = VideoFormat("H264", 96, {"packetization-mode": "1", "profile-level-id": "42e01f"})


def clip(seed: int, bitrate: int = 600_000) -> list[list[bytes]]:
    """Payloads, frame by frame, of a picture with moving texture: what a webcam sends, in bits and in motion."""
    width, height = SIZE
    chance = np.random.default_rng(seed)
    noise = chance.normal(0, 1, (height // 4, width // 2))
    smooth = np.kron(noise, np.ones((4, 4)))
    for axis in (0, 1):
        smooth = (smooth + np.roll(smooth, 2, axis) + np.roll(smooth, 4, axis)) / 3
    base = np.clip(126 + 60 * smooth, 16, 235).astype(np.uint8)
    encoder: Any = CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE, 1)
    encoder.bit_rate, encoder.gop_size = bitrate, CLIP
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    packetiser, frames = H264Packetiser(mode=1), []
    for n in range(CLIP):
        picture = np.full((height * 3 // 2, width), 100 + 20 * seed, np.uint8)
        shift = round(40 + 40 * np.sin(2 * np.pi * n / CLIP))
        picture[:height] = base[:, shift : shift + width]
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = n
        data = b"".join(bytes(packet) for packet in encoder.encode(frame))
        frames.append(packetiser.packetise(data, 1200))
    return frames


class Terminals:
    """All the far ends, in one process of one CPU."""

    def __init__(self, ports: Sequence[int], participants: int) -> None:
        self.clips = [clip(n) for n in range(CLIPS)]
        self.ports = [ports[n % len(ports)] for n in range(participants)]
        self.socks = []
        for _ in range(participants):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            self.socks.append(sock)
        self.sequences = [1000] * participants
        self.markers = [0] * participants
        self.packets = 0
        self.octets = 0

    def specs(self) -> list[SetVideoStream]:
        return [
            SetVideoStream(
                stream=n + 1,
                room=1,
                port=port,
                remote=Address(*sock.getsockname()[:2]),
                remote_rtcp=None,
                rtcp_mux=True,
                send=H264,
                receive=(H264,),
                name=f"Participant {n + 1}",
                nack=False,
                pli=True,
            )
            for n, (port, sock) in enumerate(zip(self.ports, self.socks, strict=True))
        ]

    def run(self, seconds: float) -> None:
        """Send and count in real time; the senders' frames are spread over the frame interval."""
        begin, frame, count = time.monotonic(), 0, len(self.socks)
        while frame < seconds * RATE:
            for n, sock in enumerate(self.socks):
                wait = begin + (frame + n / count) / RATE - time.monotonic()
                if wait > 0.001:
                    self._drain()
                    time.sleep(max(begin + (frame + n / count) / RATE - time.monotonic(), 0))
                self._play(n, sock, frame)
            frame += 1
        self._drain()

    def _play(self, n: int, sock: socket.socket, frame: int) -> None:
        payloads = self.clips[n % CLIPS][frame % CLIP]
        stamp = frame * 3000 & 0xFFFFFFFF
        for i, payload in enumerate(payloads):
            second = (i == len(payloads) - 1) << 7 | 96
            head = struct.pack("!BBHII", 0x80, second, self.sequences[n], stamp, 5000 + n)
            self.sequences[n] = (self.sequences[n] + 1) & 0xFFFF
            sock.sendto(head + payload, ("127.0.0.1", self.ports[n]))

    def _drain(self) -> None:
        for n, sock in enumerate(self.socks):
            try:
                while True:
                    data = sock.recv(2048)
                    if 192 <= data[1] <= 223:
                        continue
                    self.packets += 1
                    self.octets += len(data) - 12
                    self.markers[n] += data[1] >> 7
            except BlockingIOError:
                pass


class VideoServer:
    """One video process, told by its own protocol."""

    def __init__(self, ports: range, cpu: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bridge.worker.video.process", str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        self._sock, self._frames = ours, Frames()
        self.tell(Begin("127.0.0.1", tuple(ports), 512, cpu=cpu))
        self.ready = next(event for event in self._events() if isinstance(event, Ready))

    def tell(self, *commands: VideoCommand) -> None:
        self._sock.sendall(b"".join(pack(command) for command in commands))

    def _events(self) -> list[VideoEvent]:
        return [unpack_video_event(body) for body in self._frames.feed(self._sock.recv(1 << 20))]

    def reports(self) -> list[VideoReport]:
        """Those that came since the last call."""
        self._sock.setblocking(False)
        found: list[VideoReport] = []
        try:
            while True:
                found += [event for event in self._events() if isinstance(event, VideoReport)]
        except BlockingIOError:
            return found
        finally:
            self._sock.setblocking(True)

    def close(self) -> None:
        self.tell(Stop())
        self._process.wait(10)
        self._sock.close()


@dataclass(frozen=True, slots=True)
class Figure:
    participants: int
    layout: str
    cores: float
    """CPU seconds a second."""
    rate: float
    """Frames a second that the least served participant got."""
    megabits: float
    """Sent to each, a second."""
    late: int
    beat_p50_ms: float
    beat_p99_ms: float

    def __str__(self) -> str:
        share = 100 * self.cores
        return (
            f"| {self.layout} | {self.participants} | {share:.0f} % | {share / self.participants:.2f} % "
            f"| {self.rate:.1f} | {self.megabits:.2f} | {self.late} | {self.beat_p50_ms:.2f} | {self.beat_p99_ms:.2f} |"
        )


def measure(participants: int, layout: str, *, seconds: float, port: int) -> Figure:
    """One room."""
    cpus = sorted(os.sched_getaffinity(0))
    server = VideoServer(range(port, port + 32, 2), cpus[0])
    try:
        if len(cpus) > 1:
            os.sched_setaffinity(0, {cpus[-1]})
        terminals = Terminals(server.ready.ports, participants)
        server.tell(SetVideoRoom(1, look=VideoLook(layout)), *terminals.specs(), SetSpeaker(1, 1))
        terminals.run(4.0)
        before = server.reports()[-1]
        terminals.markers, terminals.octets = [0] * participants, 0
        terminals.run(seconds)
        after = server.reports()[-1]
        reports = round(seconds)  # one a second
        return Figure(
            participants,
            layout,
            (after.cpu_seconds - before.cpu_seconds) / reports,
            min(terminals.markers) / seconds,
            8e-6 * terminals.octets / participants / seconds,
            after.late - before.late,
            after.beat_p50_ms,
            after.beat_p99_ms,
        )
    finally:
        os.sched_setaffinity(0, cpus)
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description=__doc__)
    parser.add_argument("participants", nargs="*", type=int, default=[2, 9, 40])
    parser.add_argument("--layout", default="strip", help="strip, grid, ...")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--port", type=int, default=20200)
    asked = parser.parse_args()
    print("| layout | participants | core | core each | least fps | Mbit/s each | late | beat p50 ms | beat p99 ms |")
    print("|---" * 9 + "|")
    for n in asked.participants:
        print(measure(n, asked.layout, seconds=asked.seconds, port=asked.port), flush=True)


if __name__ == "__main__":
    main()
