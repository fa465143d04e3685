"""What video adds in delay, and what it does to audio when it has too much to do."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec import CodecContext
from av.packet import Packet

from bridge.media.video.assembler import Assembler, Frame
from bridge.media.video.h264 import H264Depacketiser, H264Packetiser
from bridge.media.wire import SO_TIMESTAMPNS
from bridge.mixer.layout import Kind, lay_out
from bridge.worker.protocol import Address
from bridge.worker.protocol_video import SetSpeaker, SetVideoRoom, SetVideoStream, VideoLook
from tests.interop.picture import Clip, Seen

from .video import H264, VideoServer

FRAMES = 600
"""Numbered frames that are timed."""
PERIOD = 1 / 29.3
"""Seconds between two of them: not quite the bridge's own 30 a second, so that every phase of the two comes about."""
WARM = 90
"""Frames before anything is counted."""


def _payloads(clip: Clip) -> list[list[bytes]]:
    encoder: Any = CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = clip.width, clip.height, "yuv420p"
    encoder.time_base, encoder.bit_rate, encoder.gop_size = Fraction(1, 30), 1_000_000, 10_000
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    packetiser, found = H264Packetiser(mode=1), []
    for number in range(FRAMES + WARM):
        frame = av.VideoFrame.from_ndarray(clip.picture(number), format="yuv420p")
        frame.pts = number
        found.append(packetiser.packetise(b"".join(bytes(packet) for packet in encoder.encode(frame)), 1200))
    return found


class Camera:
    """Sends numbered frames, keeps what comes with the kernel's time of arrival."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.frames = clip, _payloads(clip)
        self.sock, self.screen = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self.sock, self.screen):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.sent: list[float] = []
        """Wall clock of each frame's sending."""
        self.came: list[tuple[float, bytes]] = []
        self._sequence = 100

    def send(self, number: int, port: int) -> None:
        payloads = self.frames[number]
        self.sent.append(time.time())
        for n, payload in enumerate(payloads):
            second = (n == len(payloads) - 1) << 7 | 96
            head = struct.pack("!BBHII", 0x80, second, self._sequence & 0xFFFF, number * 3072, 77)
            self._sequence += 1
            self.sock.sendto(head + payload, ("127.0.0.1", port))

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self.screen.recvmsg(2048, 64)
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
                if not 192 <= data[1] <= 223:
                    self.came.append((seconds + nanoseconds / 1e9, data))

    def delays(self) -> list[float]:
        """Milliseconds from a frame's sending to the last packet of the first picture that shows it."""
        assembler, decoder = Assembler(H264Depacketiser({})), CodecContext.create("h264", "r")
        whole = {struct.unpack("!I", data[4:8])[0]: at for at, data in self.came if data[1] >> 7}
        tile = lay_out(1280, 720, Kind.SINGLE, 1).tiles[0]
        found: dict[int, float] = {}
        for at, data in self.came:
            _, second, sequence, stamp, ssrc = struct.unpack("!BBHII", data[:12])
            assembler.feed(ssrc, sequence, stamp, second >> 7 == 1, data[12:], at)
            for event in assembler.take(at):
                if not isinstance(event, Frame) or event.timestamp not in whole:
                    continue
                for frame in decoder.decode(Packet(event.data)):
                    told = Seen(np.asarray(frame.to_ndarray())).number(tile, self.clip)
                    number = -1 if told is None else told % 1000
                    if WARM <= number < len(self.sent) and number not in found:
                        found[number] = 1000 * (whole[event.timestamp] - self.sent[number])
        return list(found.values())


def added_delay(port: int) -> dict[str, float]:
    """One who sends 640x360 and one who is sent him in 1280x720, both at 30 a second."""
    cpus = sorted(os.sched_getaffinity(0))
    server = VideoServer(range(port, port + 32, 2), cpus[0])
    camera = Camera(Clip(1))
    try:
        os.sched_setaffinity(0, {cpus[-1]})
        shows, sees = (Address(*sock.getsockname()[:2]) for sock in (camera.sock, camera.screen))
        at = server.ready.ports[0]
        sender = SetVideoStream(1, 1, at, shows, None, True, None, (H264,), name="One", pli=True)
        viewer = SetVideoStream(2, 1, server.ready.ports[1], sees, None, True, H264, (), name="Two", at_home=True)
        server.tell(SetVideoRoom(1, look=VideoLook("single")), sender, viewer, SetSpeaker(1, 1))
        begin = time.monotonic()
        for number in range(FRAMES + WARM):
            due = begin + number * PERIOD
            while (left := due - time.monotonic()) > 0:
                camera.drain()
                time.sleep(min(left, 0.005))
            camera.send(number, at)
        time.sleep(0.3)
        camera.drain()
        late = server.reports()[-1].late
    finally:
        os.sched_setaffinity(0, cpus)
        server.close()
    delays = camera.delays()
    camera.sock.close()
    camera.screen.close()
    return {
        "latency_p50_ms": float(np.percentile(delays, 50)),
        "latency_p99_ms": float(np.percentile(delays, 99)),
        "seen": len(delays) / FRAMES,
        "late": late,
    }


def _as_anybody() -> None:
    """Without the CPU and the priority of the generator of audio, whose child this is."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)


class Saturation:
    """A video process on the first CPU with one room of ``participants``, and their terminals on the last: several have
    more to do than a CPU can."""

    def __init__(self, participants: int, port: int, seconds: float) -> None:
        command = [sys.executable, "-m", "benchmarks.video", str(participants), "--layout", "grid", "--port", str(port)]
        self._process = subprocess.Popen(
            [*command, "--seconds", str(seconds)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            preexec_fn=_as_anybody,
        )

    def figures(self) -> dict[str, float]:
        """What it came to."""
        text, _ = self._process.communicate(timeout=120)
        cells = [cell.strip(" %") for cell in text.strip().splitlines()[-1].strip("|").split("|")]
        return {"video_core_share": float(cells[2]) / 100, "video_fps": float(cells[4]), "video_late": float(cells[6])}

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
