"""Browsers: pictures on the port of the voice, several encodings of one picture."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from av.codec import CodecContext
from av.video.frame import PictureType, VideoFrame

from bridge.media import relay, rtcp
from bridge.media.video import feedback
from bridge.media.video.formats import by_name
from bridge.media.wire import address_words, open_socket
from bridge.mixer.layout import Kind, lay_out
from bridge.worker.protocol_video import VideoExtensions, VideoLayer, VideoLook, VideoReport
from bridge.worker.video.simulcast import ASK_AGAIN, GONE, Simulcast
from tests.worker.video.terminals import ENCODERS, OPTIONS, Studio, Terminal

GRID = VideoLook("grid")
PAIR = lay_out(640, 360, Kind.GRID, 2).tiles
SMALL = (320, 180)
IDS = VideoExtensions(transport_sequence=3, mid=4, rid=5, repaired_rid=6)
VOICE = 900
"""The audio stream of the browser's transport."""


class Booth(Studio):
    """A studio with a bundle port, whose packets are handed in as the audio process does."""

    def __init__(self) -> None:
        self.shared = open_socket("127.0.0.1", 0)
        self.bundle_port = self.shared.getsockname()[1]
        self.writer, reader = relay.pair()
        super().__init__(bundle=(self.bundle_port,), descriptors=(self.shared.dup().detach(), reader.detach()))

    def close(self) -> None:
        super().close()
        self.shared.close()
        self.writer.close()


@pytest.fixture
def booth() -> Iterator[Booth]:
    made = Booth()
    yield made
    made.close()


class Browser(Terminal):
    """One media section of a browser; sections share a socket."""

    mid = ""
    rids: tuple[tuple[str, int], ...] = ()
    """Layers, and by what each is smaller."""
    writer: socket.socket
    number = 5

    def bundled(self, **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "bundle": VOICE,
            "fixed": True,
            "keyed": bool(self.suite),
            "mid": self.mid,
            "extensions": IDS,
            "transport_cc": True,
            "layers": tuple(VideoLayer(rid) for rid, _ in self.rids),
        }
        return self.spec(1, **(fields | changes))

    def transmit(self, data: bytes) -> None:
        head = np.zeros(1, relay.HEAD)
        head["source"] = address_words(self.host, self.sock.getsockname()[1])
        head["stream"], head["arrival"] = VOICE, self.clock
        self.writer.send(head.tobytes() + data)

    def send_rtcp(self, packets: list[rtcp.Packet]) -> None:
        data = rtcp.build(packets)
        self.transmit(self.tx.protect_rtcp(data) if self.tx else data)

    def send_payload(self, payload: bytes, *, marker: bool = True) -> None:
        self.send_layer(self.ssrc, "", payload, marker)

    def send_layer(self, ssrc: int, rid: str, payload: bytes, marker: bool) -> None:
        elements = bytes([0x31]) + struct.pack("!H", self.number & 0xFFFF)
        self.number += 1
        counts = self.__dict__.setdefault("counts", {})
        count = counts[ssrc] = counts.get(ssrc, 100) + 1
        if count < 110:  # what browsers do until a report says that they were understood
            elements += bytes([0x40 | len(self.mid) - 1]) + self.mid.encode() if self.mid else b""
            elements += bytes([0x50 | len(rid) - 1]) + rid.encode() if rid else b""
        elements += bytes(-len(elements) % 4)
        head = struct.pack("!BBHII", 0x90, marker << 7 | self.format.payload_type, count & 0xFFFF, self.timestamp, ssrc)
        data = head + struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements + payload
        self.transmit(self.tx.protect(data) if self.tx else data)

    clock = 0.0

    def play(self, now: float) -> None:
        self.clock = now
        if not self.rids:
            super().play(now)
            return
        if now < self._due:
            return
        self._due = max(self._due + 1 / self.rate, now)
        self.source = self.painting(now)
        self.sources.append(self.source)
        self.timestamp = int(now * 90000) & 0xFFFFFFFF
        layers = self.__dict__.setdefault("layers", {})
        for n, (rid, less) in enumerate(self.rids):
            if rid not in layers:
                layers[rid] = self._layer(less)
            encoder, packetiser = layers[rid]
            frame = VideoFrame.from_ndarray(self.source, format="yuv420p")
            frame = frame.reformat(width=self.size[0] // less, height=self.size[1] // less)
            frame.pts = int(now * 90000)
            if self.ssrc + 10 * n in self.forced:
                self.forced -= {self.ssrc + 10 * n}
                frame.pict_type = PictureType.I
            payloads = packetiser.packetise(b"".join(bytes(p) for p in encoder.encode(frame)), 1100)
            for i, payload in enumerate(payloads):
                self.send_layer(self.ssrc + 10 * n, rid, payload, i == len(payloads) - 1)

    forced: frozenset[int] = frozenset()

    def _layer(self, less: int) -> tuple[Any, Any]:
        from fractions import Fraction

        name = ENCODERS[self.codec_name]
        encoder: Any = CodecContext.create(name, "w")
        encoder.width, encoder.height, encoder.pix_fmt = self.size[0] // less, self.size[1] // less, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 90000), Fraction(self.rate, 1)
        encoder.bit_rate, encoder.gop_size, encoder.thread_count = 800_000 // less**2, 100000, 1
        encoder.options = OPTIONS[name]
        return encoder, by_name(self.codec_name).packetiser({"packetization-mode": "1"})  # type: ignore[misc]

    def _heed(self, packet: rtcp.Packet) -> None:
        if isinstance(packet, rtcp.Feedback) and self.rids:
            message = feedback.read(packet)
            if isinstance(message, feedback.PictureLoss):
                self.forced |= {message.media}
        super()._heed(packet)

    def _receive(self, data: bytes, now: float) -> None:
        if not 192 <= data[1] <= 223:
            plain = self.rx.unprotect(data) if self.rx else data
            size = 16 + 4 * struct.unpack("!H", plain[14:16])[0]
            rx, self.rx = self.rx, None
            super()._receive(plain[:12] + plain[size:], now)
            self.rx = rx
            return
        super()._receive(data, now)


def browser(booth: Booth, mid: str, codec: str = "VP8", join: dict[str, Any] | None = None, **changes: Any) -> Browser:
    booth.made += 1
    made = Browser(booth.made, booth.bundle_port, codec=codec, **changes)
    made.mid, made.writer = mid, booth.writer
    booth.terminals.append(made)
    return made


@pytest.mark.parametrize("suite", ["", "AES_CM_128_HMAC_SHA1_80"])
def test_two_sections_of_one_transport_are_told_apart_by_mid(booth: Booth, suite: str) -> None:
    booth.room(look=GRID, width=640, height=360)
    a = browser(booth, "1", size=SMALL, suite=suite)
    b = browser(booth, "2", size=SMALL, suite=suite)
    if suite:
        b.tx, b.rx, b.key_in, b.key_out = a.tx, a.rx, a.key_in, a.key_out
    booth.tell(a.bundled(), b.bundled())
    booth.run(2.5)
    report = {each.stream: each for each in booth.of(VideoReport)[-1].streams}
    assert report[1].lost == report[2].lost == 0
    assert min(report[1].decoded, report[2].decoded) > 60
    assert a.likeness(a, PAIR[0]) > 0.85
    assert a.likeness(b, PAIR[1]) > 0.85
    assert b.pictures > 50
    told = [
        m for p in a.reports if isinstance(p, rtcp.Feedback) and isinstance(m := feedback.read(p), feedback.TransportCc)
    ]
    assert told


def test_pictures_are_sent_from_the_bundle_port(booth: Booth) -> None:
    booth.room(width=640, height=360)
    a = browser(booth, "1", size=SMALL)
    booth.tell(a.bundled())
    heard: list[int] = []
    receive = a.sock.recv

    class Ear:
        def __getattr__(self, name: str) -> Any:
            return getattr(sock, name)

        def recv(self, size: int) -> bytes:
            data, source = sock.recvfrom(size)
            heard.append(source[1])
            return data

    sock, a.sock = a.sock, Ear()  # type: ignore[assignment]
    a.rtcp = a.sock
    booth.run(0.5)
    assert set(heard) == {booth.bundle_port}
    assert receive is not None


def test_who_drops_one_section_keeps_the_other(booth: Booth) -> None:
    from bridge.worker.protocol_video import DropVideoStream

    booth.room(look=GRID, width=640, height=360)
    a, b = browser(booth, "1", size=SMALL), browser(booth, "2", size=SMALL)
    booth.tell(a.bundled(), b.bundled())
    booth.run(1.0)
    booth.tell(DropVideoStream(1))
    booth.terminals.remove(a)
    count = b.pictures
    booth.run(1.0)
    assert b.pictures - count > 20
    assert booth.beat.fanout.departures.place[booth.beat.table.rows[2]] >= 0
    a.close()


def test_a_section_that_nobody_sees_leaves_the_other_its_bits(booth: Booth) -> None:
    """A browser takes REMB for the whole of its transport, whichever SSRC it names."""
    booth.room(look=VideoLook("single"), width=640, height=360)
    sections = [browser(booth, mid, size=SMALL, rate=15) for mid in "123"]
    booth.tell(*(each.bundled(remb=True) for each in sections))
    booth.run(9.0)
    assert booth.beat.table.watched[list(booth.beat.table.rows.values())].sum() == 2  # the speaker sees another one
    told = [
        message.bitrate
        for each in sections
        for packet in each.reports
        if isinstance(packet, rtcp.Feedback) and isinstance(message := feedback.read(packet), feedback.Remb)
    ]
    assert told
    assert min(told) > 1_900_000


def test_packets_of_no_section_are_counted_and_dropped(booth: Booth) -> None:
    booth.room(look=GRID, width=640, height=360)
    a, b = browser(booth, "1", size=SMALL), browser(booth, "2", size=SMALL)
    booth.tell(a.bundled(), b.bundled())
    stray = browser(booth, "7", size=SMALL)
    free = booth.beat._pool.free
    booth.run(1.0)
    assert booth.beat.strangers > 10
    assert booth.beat._pool.free > free - 6000
    assert b.pictures > 20
    assert stray.pictures == 0


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_the_layer_is_decoded_that_fits_the_tile(booth: Booth, codec: str) -> None:
    booth.room(look=GRID, width=640, height=360)
    a = browser(booth, "1", codec=codec, size=(640, 360), rate=15)
    a.rids = (("q", 4), ("h", 2), ("f", 1))
    b = booth.terminal(size=SMALL, rate=15)
    booth.tell(a.bundled(pli=True))
    booth.run(4.0)

    def figures() -> Any:
        return next(each for each in booth.of(VideoReport)[-1].streams if each.stream == a.stream)

    tile = next(tile for tile in PAIR)
    assert tile.inner.h < 360
    assert (figures().layer, figures().height) == ("h", 180)
    assert b.likeness(a, PAIR[1]) > 0.8 or b.likeness(a, PAIR[0]) > 0.8
    errors = figures().errors
    booth.room(look=VideoLook("single"), width=640, height=360)
    gap = booth.beat.sources[booth.beat.table.rows[a.stream]].decoded
    booth.run(3.0)
    assert (figures().layer, figures().height) == ("f", 360)
    assert figures().errors == errors
    assert booth.beat.sources[booth.beat.table.rows[a.stream]].decoded - gap > 40
    assert b.likeness(a, lay_out(640, 360, Kind.SINGLE, 1).tiles[0]) > 0.8


# --------------------------------------------------------------------------------------------------- layers


def layers(*names: str) -> Simulcast:
    return Simulcast([VideoLayer(name) for name in names])


def feed(simulcast: Simulcast, now: float, *, keyframe: bool = False, silent: tuple[str, ...] = ()) -> list[str]:
    """A frame of each layer; which were let through."""
    sizes = {"q": 200, "h": 700, "f": 2400}
    return [
        rid
        for n, rid in enumerate(sizes)
        if rid not in silent and simulcast.take(n + 1, rid, sizes[rid], now, keyframe=keyframe)
    ]


def test_one_layer_at_a_time_is_let_through() -> None:
    simulcast = layers("q", "h", "f")
    now = 0.0
    for frame in range(90):
        now = frame / 30
        simulcast.show(180, now)
        assert len(feed(simulcast, now, keyframe=frame % 15 == 0)) <= 1
    assert simulcast.rid == "q"  # 180 of 720
    for frame in range(90):
        now = 3 + frame / 30
        simulcast.show(700, now)
        feed(simulcast, now, keyframe=frame == 40)
        assert simulcast.rid == ("q" if frame < 40 else "f")


def test_a_layer_that_is_no_longer_sent_gives_way() -> None:
    simulcast = layers("q", "h", "f")
    for frame in range(60):
        simulcast.show(700, frame / 30)
        feed(simulcast, frame / 30, keyframe=frame % 15 == 0)
    assert simulcast.rid == "f"
    asked = set()
    for frame in range(60):
        now = 2 + frame / 30
        simulcast.show(700, now)
        asked.add(simulcast.wants(now))
        feed(simulcast, now, keyframe=bool(frame > GONE * 30 + 3 and frame % 5 == 0), silent=("f",))
    assert simulcast.rid == "h"
    assert 2 in asked


def test_a_keyframe_is_asked_for_now_and_then_until_it_comes() -> None:
    simulcast = layers("q", "h", "f")
    for frame in range(60):
        simulcast.show(100, frame / 30)
        feed(simulcast, frame / 30, keyframe=frame % 15 == 0)
    simulcast.show(700, 2.0)
    asked = [now for n in range(100) if simulcast.wants(now := 2 + n / 50)]
    assert len(asked) == pytest.approx(2 / ASK_AGAIN, abs=1)


def test_layers_that_sdp_names_by_ssrc_need_no_extension() -> None:
    simulcast = Simulcast([VideoLayer("a", 11, 640, 360), VideoLayer("b", 12, 320, 180)])
    for frame in range(30):
        simulcast.take(11, "", 500, frame / 30, keyframe=frame % 10 == 0)
        simulcast.take(12, "", 900, frame / 30, keyframe=frame % 10 == 0)
        simulcast.show(170, frame / 30)
    assert simulcast.rid == "b"


def test_strangers_among_the_ssrcs_are_few_and_let_through_never() -> None:
    simulcast = layers("q", "h")
    for ssrc in range(1000):
        assert not simulcast.take(ssrc, "", 10, 0.0, keyframe=True)
    for ssrc in range(1000):
        simulcast.take(ssrc, "q", 10, 0.0, keyframe=False)
    assert len(simulcast._by_ssrc) <= 8
