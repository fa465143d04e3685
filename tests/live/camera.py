"""Phones of ours with a picture: the terminal of the worker's tests, in real time, beside the voice of .phone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from pylibsrtp import Policy, Session

from bridge.signalling.video_codec import VideoCapabilities
from bridge.signalling.video_line import AgreedVideo
from bridge.worker.protocol_video import VideoFormat
from tests.interop.picture import RATE, Clip, Seen
from tests.interop.process import until
from tests.worker.video.terminals import U8, Terminal

from .phone import PROFILES, Exchange, Phone


class Camera(Terminal):
    """One far end's picture: sends a clip, decodes what it is sent."""

    def __init__(self, clip: Clip, *, codec: str = "H264", srtp: bool = False) -> None:
        super().__init__(clip.source, 0, codec, (clip.width, clip.height), bitrate=1_500_000)
        self.capabilities = VideoCapabilities.of([codec], "required" if srtp else "off")
        self.clip, self._srtp = clip, srtp
        self.shown = 0
        """Number of the frame that was sent last."""
        self.began = time.monotonic()
        self.painting = self._paint
        self.up = False
        self.flashes: list[float] = []
        """When (seconds of :func:`time.time`) it sent the first picture of a flash."""
        self._flash = 0
        self.bright: list[tuple[int, float]] = []
        """RTP timestamp and mean luma of each picture that came."""
        self.mutate: Callable[[bytes], bytes] | None = None
        """What becomes of each payload on its way out."""

    def flash(self) -> None:
        """Its next three pictures are white."""
        self._flash = 3

    def send_payload(self, payload: bytes, *, marker: bool = True) -> None:
        super().send_payload(self.mutate(payload) if self.mutate else payload, marker=marker)

    def _receive(self, data: bytes, now: float) -> None:
        """Without the header extension, which the call may have."""
        if not 192 <= data[1] <= 223:
            plain = self.rx.unprotect(data) if self.rx else data
            if plain[0] & 0x10:
                begin = 16 + 4 * int.from_bytes(plain[14:16], "big")
                plain = bytes([plain[0] & ~0x10]) + plain[1:12] + plain[begin:]
            rx, self.rx = self.rx, None
            super()._receive(plain, now)
            self.rx = rx
            return
        super()._receive(data, now)

    def _decoded(self, data: bytes) -> list[Any]:
        found = super()._decoded(data)
        self.bright += [
            (self.frames[-1].timestamp, float(np.frombuffer(frame.planes[0], np.uint8)[::97].mean())) for frame in found
        ]
        return found

    def _paint(self, now: float) -> U8:
        self.shown = int((now - self.began) * RATE)
        if self._flash:
            if self._flash == 3:
                self.flashes.append(time.time())
            self._flash -= 1
            return np.full((self.clip.height * 3 // 2, self.clip.width), 235, np.uint8)
        return self.clip.picture(self.shown)

    @property
    def local_port(self) -> int:
        return int(self.sock.getsockname()[1])

    def agree(self, agreed: AgreedVideo | None) -> None:
        """What offer and answer came to."""
        self.up = agreed is not None and agreed.remote is not None
        if agreed is None or agreed.remote is None:
            return
        self.port = agreed.remote[1]
        self.sending = agreed.send is not None
        payload = agreed.send or (agreed.receive[0] if agreed.receive else None)
        if payload is not None:
            self.format = VideoFormat(payload.name, payload.payload_type, payload.fmtp)
            self.rtx = payload.rtx
        if agreed.srtp_send and agreed.srtp_receive and self.tx is None:
            (suite, ours), (_, theirs) = agreed.srtp_send, agreed.srtp_receive
            self.tx = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[suite]))
            self.rx = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=PROFILES[suite]))

    def step(self) -> None:
        """A few milliseconds of its life."""
        if not self.up:
            return
        self.play(time.monotonic())
        self.collect(time.monotonic())

    @property
    def seen(self) -> Seen:
        """What it sees now."""
        until(lambda: self.picture is not None, "a picture")
        return Seen(np.asarray(self.picture))

    def frame_rate(self, seconds: float) -> float:
        """Frames a second that come from now on, by their timestamps: that we are late ourselves does not count."""
        first = len(self.frames)
        until(lambda: len(self.frames) > first, "a frame")
        start = self.frames[first].timestamp
        span = round(seconds * 90000)
        until(lambda: (self.frames[-1].timestamp - start) % 2**32 >= span, f"{seconds:g} s of frames", 4 * seconds)
        return sum((frame.timestamp - start) % 2**32 < span for frame in self.frames[first:]) / seconds


class Cameras:
    """All of a test's, in a thread of their own. One thread: libavcodec's work is done without Python's lock."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._all: list[Camera] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.broken: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(5)
        for camera in self._all:
            camera.close()
        if error is None and self.broken is not None:
            raise self.broken

    def _run(self) -> None:
        try:
            while not self._ending.wait(0.003):
                for camera in list(self._all):
                    camera.step()
        except BaseException as error:
            self.broken = error

    def call(
        self, uri: str, clip: Clip, *, tone: int = 0, codec: Literal["H264", "VP8"] = "H264", srtp: bool = False
    ) -> tuple[Phone, Camera]:
        """Call with voice and picture, and wait until the call is up."""
        camera = Camera(clip, codec=codec, srtp=srtp)
        line = self._exchange.line()
        phone = line.dial(uri, tone, srtp=srtp, camera=camera)
        phone.await_up()
        self._all.append(camera)
        return phone, camera
