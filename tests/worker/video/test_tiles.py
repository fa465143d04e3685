"""Tiles: one receiver sees another's own pictures, whatever becomes of either."""

from __future__ import annotations

import itertools
import random
import struct
from typing import Any

import numpy as np
import pytest

from bridge.media import relay, rtcp
from bridge.media.video import feedback
from bridge.media.video.arrivals import Arrivals
from bridge.media.wire import address_words
from bridge.worker.client import Spare
from bridge.worker.protocol import Address, Begin, Trouble
from bridge.worker.protocol_video import (
    DropVideoStream,
    SetSpeaker,
    SetTile,
    TileShows,
    VideoExtensions,
    VideoFormat,
    VideoLook,
    VideoReport,
)
from bridge.worker.video.client import VIDEO, VideoWorker
from bridge.worker.video.forwarding import kind_of, taker
from bridge.worker.video.tiles import STALLED
from tests.worker.video.terminals import FORMATS, SUITE, Terminal, split, ssim
from tests.worker.video.test_bundle import IDS, Booth, Browser, booth, browser

__all__ = ["booth"]

SMALL = (320, 180)
LAYERS = (("q", 4), ("h", 2), ("f", 1))
RTX = 110


class Screen(Terminal):
    """A receiver of one tile, on a transport of its own."""

    def __init__(self, booth: Booth, **changes: Any) -> None:
        booth.made += 1
        super().__init__(booth.made, booth.bundle_port, sending=False, **({"codec": "VP8"} | changes))
        self.writer, self.clock = booth.writer, 0.0
        self.headers: list[tuple[int, int, int, int]] = []
        """Sequence number, timestamp, payload type, SSRC of all that was sent to it."""
        self.bodies: dict[tuple[int, int], set[bytes]] = {}
        booth.terminals.append(self)

    def watching(self, participant: int = 0, **changes: Any) -> SetTile:
        format_ = VideoFormat(self.codec_name, self.format.payload_type, self.format.parameters, self.rtx)
        fields: dict[str, Any] = {
            "stream": self.stream,
            "room": 1,
            "port": self.port,
            "remote": Address(*self.sock.getsockname()[:2]),
            "formats": (format_,),
            "participant": participant,
            "owner": 1000 + self.stream,
            "bundle": 2000 + self.stream,
            "keyed": bool(self.suite),
            "mid": "7",
            "extensions": IDS,
        }
        if self.suite:
            fields |= {"srtp_receive": self.key_in, "srtp_send": self.key_out}
        return SetTile(**(fields | changes))

    def transmit(self, data: bytes) -> None:
        head = np.zeros(1, relay.HEAD)
        head["source"] = address_words(self.host, self.sock.getsockname()[1])
        head["stream"], head["arrival"] = 2000 + self.stream, self.clock
        self.writer.send(head.tobytes() + data)

    def send_rtcp(self, packets: list[rtcp.Packet]) -> None:
        data = rtcp.build(packets)
        self.transmit(self.tx.protect_rtcp(data) if self.tx else data)

    def play(self, now: float) -> None:
        self.clock = now

    def _receive(self, data: bytes, now: float) -> None:
        if 192 <= data[1] <= 223:
            super()._receive(data, now)
            return
        plain = self.rx.unprotect(data) if self.rx else data
        assert plain[0] == 0x90
        size = 16 + 4 * struct.unpack("!H", plain[14:16])[0]
        assert b"\x407" in plain[16:size]
        _, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", plain[:12])
        self.headers.append((sequence, timestamp, second & 0x7F, ssrc))
        self.bodies.setdefault((ssrc, sequence), set()).add(plain[size:])
        rx, self.rx = self.rx, None
        super()._receive(plain[:12] + plain[size:], now)
        self.rx = rx

    def sees(self, other: Terminal) -> float:
        """SSIM of what it sees and what another sent lately."""
        if self.picture is None:
            return 0.0
        seen = split(self.picture)[0]
        best = 0.0
        for picture in other.sources:
            height, width = seen.shape
            step = other.size[1] // height
            luma = split(picture)[0]
            small = luma.reshape(height, step, width, step).mean((1, 3)).astype(np.uint8)
            best = max(best, ssim(small, seen))
        return best

    def gapless(self) -> bool:
        """Each number follows the one before."""
        numbers = [sequence for sequence, _, kind, _ in self.headers if kind != RTX]
        return all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))


def shown(booth: Booth, screen: Screen) -> list[tuple[int, str]]:
    return [(each.participant, each.reason) for each in booth.of(TileShows) if each.stream == screen.stream]


def sender(booth: Booth, mid: str, *, participant: int, **changes: Any) -> Browser:
    """One who sends three layers; nobody sees him composed."""
    made = browser(booth, mid, **({"size": SMALL, "rate": 15} | changes))
    made.rids = LAYERS
    booth.tell(made.bundled(pli=True, participant=participant, send=None))
    return made


@pytest.mark.parametrize(("suite", "codec"), [("", "VP8"), (SUITE, "VP8"), (SUITE, "H264")])
def test_a_tile_shows_a_senders_own_pictures_and_nobody_decodes_them(booth: Booth, suite: str, codec: str) -> None:
    booth.room()
    size = SMALL if codec == "VP8" else (640, 360)  # x264 wants even heights of all layers
    a = sender(booth, "1", participant=71, suite=suite, codec=codec, size=size)
    screen = Screen(booth, codec=codec, suite=suite)
    booth.tell(screen.watching(71))
    booth.run(2.5)
    assert shown(booth, screen)[-1] == (71, "")
    assert screen.sees(a) > 0.8
    assert screen.picture is not None
    assert screen.picture.shape[1] == size[0]
    assert (screen.errors, screen.pictures > 20, screen.gapless()) == (0, True, True)
    assert not booth.beat.sources
    report = {each.stream: each for each in booth.of(VideoReport)[-1].streams}[screen.stream]
    assert (report.layer, report.sent_height, report.sent > 20) == ("f", size[1], True)
    assert a.keyframes_asked < 12


def test_another_layer_is_taken_at_a_keyframe_without_a_gap(booth: Booth) -> None:
    booth.room()
    a = sender(booth, "1", participant=71, suite=SUITE)
    screen = Screen(booth, suite=SUITE)
    booth.tell(screen.watching(71, max_height=90))
    booth.run(2.5)
    assert screen.picture is not None
    assert screen.picture.shape[1] == 160
    seen = []
    for height in (180, 90, 180, 90):
        booth.tell(screen.watching(71, max_height=height))
        booth.run(1.5)
        seen.append(screen.picture.shape[1])
        assert screen.sees(a) > 0.75
    assert seen == [320, 160, 320, 160]
    assert (screen.errors, screen.gapless()) == (0, True)
    times = np.diff([at for at in screen.seen_at if at > screen.seen_at[0] + 1])
    assert times.max() < 0.2
    assert [who for who, _ in shown(booth, screen)].count(71) == 1
    stamps = [stamp for _, stamp, _, _ in screen.headers]
    steps = np.diff(np.array(stamps, np.int64))
    assert 0 <= (steps & 0xFFFFFFFF).max() < 0.3 * 90000


def test_the_speaker_is_followed_and_sees_the_one_before(booth: Booth) -> None:
    booth.room()
    one, two = (booth.terminal(size=SMALL, rate=15, codec="VP8", join={"send": None}) for _ in range(2))
    screen, own = Screen(booth), Screen(booth)
    booth.tell(screen.watching(), own.watching(owner=two.stream))
    booth.run(1.0)
    assert shown(booth, screen)[-1] == (one.stream, "")
    booth.tell(SetSpeaker(1, one.stream))
    booth.run(0.5)
    booth.tell(SetSpeaker(1, two.stream))
    booth.run(1.0)
    assert shown(booth, screen)[-1] == (two.stream, "")
    assert screen.sees(two) > 0.8
    assert shown(booth, own)[-1] == (one.stream, "")
    booth.tell(SetSpeaker(1, 0))
    booth.run(0.7)
    assert shown(booth, screen)[-1] == (two.stream, "")
    assert (screen.errors, own.errors, screen.gapless()) == (0, 0, True)


@pytest.mark.parametrize("suite", ["", SUITE])
def test_what_a_receiver_loses_is_sent_again_from_what_is_kept(booth: Booth, suite: str) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screen = Screen(booth, suite=suite, loss_in=0.05, rtx=RTX)
    booth.tell(screen.watching(a.stream))
    booth.run(4.0)
    assert screen.errors == 0
    assert screen.pictures > 100
    assert screen.sees(a) > 0.8
    assert sum(kind == RTX for _, _, kind, _ in screen.headers) > 5
    assert all(len(bodies) == 1 for bodies in screen.bodies.values())
    assert not any(isinstance(p, rtcp.Feedback) and isinstance(feedback.read(p), feedback.Nack) for p in a.reports)


def test_what_never_came_is_asked_for_at_its_sender_once_for_all(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", loss_out=0.05, join={"send": None})
    screens = [Screen(booth, rtx=RTX) for _ in range(3)]
    booth.tell(*[screen.watching(a.stream) for screen in screens])
    booth.run(4.0)
    for screen in screens:
        assert screen.errors == 0
        assert screen.pictures > 100
    asked = [
        sequence
        for p in a.reports
        if isinstance(p, rtcp.Feedback) and isinstance(m := feedback.read(p), feedback.Nack)
        for sequence in m.sequences
    ]
    assert 3 < len(asked) <= 2 * len(set(asked))


def test_formats_that_do_not_fit_show_nothing_and_say_so(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="H264", join={"send": None})
    screen = Screen(booth, codec="VP8")
    booth.tell(screen.watching(a.stream))
    booth.run(0.5)
    assert shown(booth, screen)[-1] == (0, "format")
    assert not screen.packets
    booth.tell(screen.watching(a.stream, formats=(FORMATS["H264-0"],)))
    booth.run(0.7)
    assert shown(booth, screen)[-1] == (0, "format")


def test_stall_mute_leave_and_pause_are_told(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screen = Screen(booth)
    booth.tell(screen.watching(99))
    booth.run(0.3)
    assert shown(booth, screen) == [(0, "absent")]
    booth.tell(screen.watching(a.stream))
    booth.run(0.7)
    assert shown(booth, screen)[-1] == (a.stream, "")
    a.sending = False
    booth.run(STALLED + 0.7)
    assert shown(booth, screen)[-1] == (0, "stalled")
    a.sending = True
    booth.run(0.8)
    assert shown(booth, screen)[-1] == (a.stream, "")
    booth.tell(screen.watching(a.stream, paused=True))
    booth.run(0.2)
    assert shown(booth, screen)[-1] == (0, "paused")
    packets = screen.packets
    booth.run(0.3)
    assert screen.packets == packets
    booth.tell(screen.watching(a.stream), a.spec(1, send=None, receive=()))
    booth.run(0.2)
    assert shown(booth, screen)[-1] == (0, "absent")
    booth.tell(a.spec(1, send=None))
    booth.run(1.0)
    assert shown(booth, screen)[-1] == (a.stream, "")
    assert screen.errors == 0
    booth.tell(DropVideoStream(a.stream))
    booth.run(0.2)
    assert shown(booth, screen)[-1] == (0, "absent")
    booth.tell(DropVideoStream(screen.stream))
    booth.run(0.1)
    assert not booth.beat.tiles.tiles
    assert any(isinstance(p, rtcp.Bye) for p in screen.reports)


def test_a_narrow_path_gets_smaller_layers_and_larger_ones_again(booth: Booth) -> None:
    booth.room()
    a = sender(booth, "1", participant=71, size=(640, 360))
    screen = Screen(booth, size=SMALL)
    booth.tell(screen.watching(71))
    booth.run(2.5)
    assert screen.picture is not None
    assert screen.picture.shape[1] == 640
    for _ in range(5):
        screen.ask(feedback.Remb(screen.ssrc, 150_000, (screen.peer_ssrc,)))
        booth.run(0.6)
    assert screen.picture.shape[1] == 160
    for _ in range(14):
        screen.ask(feedback.Remb(screen.ssrc, 5_000_000, (screen.peer_ssrc,)))
        booth.run(0.6)
    assert screen.picture.shape[1] == 640
    assert (screen.errors, screen.gapless()) == (0, True)
    assert screen.sees(a) > 0.8


def test_many_who_ask_for_keyframes_cost_the_sender_few(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screens = [Screen(booth) for _ in range(5)]
    booth.tell(*[screen.watching(a.stream) for screen in screens])
    booth.run(1.0)
    before = a.keyframes_asked
    for n in range(30):
        for screen in screens:
            screen.ask(feedback.PictureLoss(screen.ssrc, screen.peer_ssrc))
            screen.ask(feedback.FullIntra(screen.ssrc, ((screen.peer_ssrc, n),)))
        booth.run(0.1)
    assert 4 <= a.keyframes_asked - before <= 7


class Hostile(Terminal):
    """One who sends what he likes: leaps of all numbers, one number for two packets, nonsense as payload."""

    def send_payload(self, payload: bytes, *, marker: bool = True) -> None:
        match self.chance.choices(range(6), (1, 8, 4, 1, 4, 40))[0]:
            case 0:
                self.sequence = self.chance.randrange(65536)
            case 1:
                self.sequence = (self.sequence - 1) & 0xFFFF
                payload = self.chance.randbytes(self.chance.randrange(1, 200))
            case 2:
                self.timestamp = self.chance.randrange(1 << 32)
            case 3:
                self.ssrc ^= 1
            case 4:
                payload = payload[: self.chance.randrange(1, len(payload) + 1)]
            case _:
                pass
        super().send_payload(payload, marker=marker)


@pytest.mark.parametrize("suite", [SUITE])
def test_a_hostile_sender_hurts_only_his_own_tile(booth: Booth, suite: str) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    booth.made += 1
    evil = Hostile(booth.made, booth.ports[booth.made % len(booth.ports)], codec="VP8", size=SMALL)
    booth.terminals.append(evil)
    booth.tell(evil.spec(1, send=None))
    good, bad = Screen(booth, suite=suite), Screen(booth, suite=suite)
    booth.tell(good.watching(a.stream), bad.watching(evil.stream))
    booth.run(4.0)
    assert (good.errors, good.gapless(), good.sees(a) > 0.8) == (0, True, True)
    assert bad.packets > 30
    assert all(len(bodies) == 1 for bodies in bad.bodies.values())
    # and it was not led astray: the next one is seen in it at once
    booth.tell(bad.watching(a.stream))
    booth.run(1.0)
    assert shown(booth, bad)[-1] == (a.stream, "")
    assert bad.sees(a) > 0.8
    assert not booth.of(Trouble)


def test_random_feedback_to_tiles_breaks_nothing(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screen = Screen(booth, rtx=RTX)
    booth.tell(screen.watching(a.stream))
    booth.run(0.7)
    chance = random.Random(4)
    for _ in range(40):
        screen.ask(feedback.Nack(1, screen.peer_ssrc, tuple(chance.randrange(65536) for _ in range(20))))
        screen.ask(feedback.Nack(1, chance.randrange(1 << 32), (1, 2)))
        body = rtcp.build([rtcp.ReceiverReport(1), feedback.write(feedback.PictureLoss(1, screen.peer_ssrc))])
        screen.transmit(bytes(octet if chance.random() > 0.1 else chance.randrange(256) for octet in body))
        booth.run(0.03)
    assert screen.errors == 0
    assert screen.sees(a) > 0.8


def test_tiles_of_one_transport_share_what_it_bears_and_the_speaker_comes_first(booth: Booth) -> None:
    booth.room()
    senders = [sender(booth, str(n), participant=70 + n) for n in range(2)]
    one, two = Screen(booth), Screen(booth)
    booth.tell(one.watching(70, bundle=2000 + one.stream), two.watching(bundle=2000 + one.stream))
    booth.tell(SetSpeaker(1, 71))
    booth.run(2.0)
    assert one.picture is not None
    assert two.picture is not None
    assert (one.picture.shape[1], two.picture.shape[1]) == (320, 320)
    layers = booth.beat.simulcasts[booth.beat.table.rows[senders[1].stream]]
    bits = 1.3 * (layers.bits(2) + layers.bits(0))
    for _ in range(6):
        one.ask(feedback.Remb(one.ssrc, int(bits), (one.peer_ssrc,)))
        booth.run(0.5)
    assert two.picture.shape[1] > one.picture.shape[1]
    assert (one.errors, two.errors) == (0, 0)


class Measured(Screen):
    """Behind a link of its own, with transport-wide feedback."""

    bits = float("inf")
    queue = 0.3

    def __init__(self, booth: Booth, **changes: Any) -> None:
        super().__init__(booth, **changes)
        self.seen = Arrivals(1)
        self.seen.open(0)
        self.free = self.told = 0.0
        self.over = 0

    def _receive(self, data: bytes, now: float) -> None:
        if not 192 <= data[1] <= 223:
            self.free = max(self.free, now)
            if self.free - now > self.queue:
                self.over += 1
                return
            self.free += 8 * len(data) / self.bits
            assert data[12:17] == b"\xbe\xde\x00\x02\x31"
            number = int.from_bytes(data[17:19], "big")
            self.seen.add(np.array([0]), np.array([number]), np.array([self.free + 0.02]))
        super()._receive(data, now)

    def collect(self, now: float) -> None:
        super().collect(now)
        if now - self.told > 0.1:
            self.told = now
            message = self.seen.take(0, self.ssrc, self.peer_ssrc)
            if message:
                self.ask(message)


def test_a_queue_that_feedback_shows_lowers_the_layer_and_drains(booth: Booth) -> None:
    booth.room()
    sender(booth, "1", participant=71, size=(640, 360))
    screen = Measured(booth, rtx=RTX)
    screen.bits = 350_000
    booth.tell(screen.watching(71, transport_cc=True))
    booth.run(6.0)
    screen.over, errors = 0, screen.errors
    booth.run(5.0)
    assert screen.picture is not None
    assert screen.picture.shape[1] < 640
    assert (screen.over, screen.errors) == (0, errors)
    report = {each.stream: each for each in booth.of(VideoReport)[-1].streams}[screen.stream]
    assert report.layer in ("q", "h")
    assert 0 < report.estimate < 600_000


@pytest.mark.parametrize("suite", ["", SUITE])
def test_pictures_are_composed_and_forwarded_at_once(booth: Booth, suite: str) -> None:
    """One transport: the composed picture, small, and a tile; what its end says is for either."""
    booth.room(look=VideoLook("single"), width=640, height=360)
    a = browser(booth, "1", size=(640, 360), rate=15, suite=suite)
    a.rids = LAYERS
    b = browser(booth, "2", size=SMALL, rate=15, suite=suite)
    b.sending = False
    screen = Screen(booth, suite=suite, rtx=RTX, loss_in=0.03)
    if suite:
        b.tx, b.rx, b.key_in, b.key_out = screen.tx, screen.rx, screen.key_in, screen.key_out
    whole = 2000 + screen.stream
    booth.tell(
        a.bundled(pli=True, send=None),
        b.bundled(bundle=whole, max_width=320, max_height=180),
        screen.watching(a.stream, bundle=whole),
    )
    booth.run(3.0)
    assert (screen.errors, b.errors) == (0, 0)
    assert screen.sees(a) > 0.8
    assert screen.picture is not None
    assert b.picture is not None
    assert (screen.picture.shape[1], b.picture.shape[1]) == (640, 320)
    assert min(screen.pictures, b.pictures) > 25
    report = {each.stream: each for each in booth.of(VideoReport)[-1].streams}
    assert report[a.stream].layer == "h"
    assert any(kind == RTX for _, _, kind, _ in screen.headers)


def test_a_sender_s_own_retransmissions_are_sent_on_under_the_number_that_was_missed(booth: Booth) -> None:
    booth.room()

    class Repeating(Terminal):
        """It loses packets, and answers NACKs by RTX."""

        def transmit(self, data: bytes) -> None:
            sequence, gone = int.from_bytes(data[2:4], "big"), self.__dict__.setdefault("gone", set())
            if 192 <= data[1] <= 223:
                super().transmit(data)
            elif sequence in gone:
                self.repeated += 1
                head = struct.pack("!BBH", 0x80, data[1] & 0x80 | RTX, self.repeated) + data[4:8]
                super().transmit(head + struct.pack("!I", self.ssrc + 1) + data[2:4] + data[12:])
            else:
                gone.add(sequence)
                if self.chance.random() > 0.05:
                    super().transmit(data)

        repeated = 7

    booth.made += 1
    a = Repeating(booth.made, booth.ports[0], codec="VP8", size=SMALL, rtx=RTX)
    booth.terminals.append(a)
    booth.tell(a.spec(1, send=None))
    screen = Screen(booth)
    booth.tell(screen.watching(a.stream))
    booth.run(4.0)
    assert screen.pictures > 100
    assert screen.errors == 0
    assert a.repeated > 10
    assert all(len(bodies) == 1 for bodies in screen.bodies.values())


def test_a_fresh_worker_is_told_the_tiles_with_their_numbers_going_on() -> None:
    worker = VideoWorker(1, Begin("127.0.0.1", ()), lambda number, event: None, Spare(VIDEO, keep=False))
    tile = SetTile(5, 1, 34000, Address("127.0.0.1", 9), (FORMATS["VP8"],), participant=3)
    worker.send(tile)
    worker.send(SetTile(6, 1, 34000, None, ()))
    worker.send(DropVideoStream(6))
    (first,) = [each for each in worker._known(0.0) if isinstance(each, SetTile)]
    (again,) = [each for each in worker._known(0.0) if isinstance(each, SetTile)]
    assert first.send_state is not None
    assert again.send_state is not None
    assert first.send_state.ssrc == again.send_state.ssrc
    assert (again.send_state.sequence - first.send_state.sequence) & 0xFFFF >= 4096
    assert worker.streams == 1


def test_a_tile_that_can_not_be_is_refused(booth: Booth) -> None:
    booth.room()
    screen = Screen(booth)
    for changes in ({"port": 1}, {"fixed": False}, {"extensions": VideoExtensions(mid=15)}):
        booth.tell(screen.watching(5, **changes))
    assert len(booth.of(Trouble)) == 3
    assert not booth.beat.table.rows


def test_formats_are_matched() -> None:
    def h264(mode: str, profile: str, payload_type: int) -> VideoFormat:
        parameters = {"packetization-mode": mode, "profile-level-id": profile}
        return VideoFormat("H264", payload_type, parameters)

    theirs = (h264("0", "42e01f", 100), h264("1", "42e01f", 101), h264("1", "640c1f", 102), VideoFormat("VP8", 103))
    found = [
        taker(kind_of(ours), theirs)
        for ours in (
            h264("1", "42001f", 1),
            h264("0", "42001f", 1),
            h264("1", "64001f", 1),
            h264("0", "4d001f", 1),
            VideoFormat("VP8", 1),
            VideoFormat("VP9", 1),
        )
    ]
    assert [each.payload_type if each else 0 for each in found] == [101, 100, 102, 100, 103, 0]
    assert taker(kind_of(h264("1", "42001f", 1)), theirs[:1]) is None
    assert kind_of(VideoFormat("H261", 31)) == 0


def test_a_flood_of_one_sender_is_not_sent_on_to_all(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screens = [Screen(booth) for _ in range(3)]
    booth.tell(*[screen.watching(a.stream) for screen in screens])
    booth.run(0.7)
    before, keyframe = booth.beat.forwarding.packets, b"\x10" + bytes(3) + b"\x9d\x01\x2a\x40\x01\xb4\x00"
    for _ in range(60):
        for _ in range(100):
            a.send_payload(keyframe)
        booth.run(1 / 60)
    assert booth.beat.forwarding.packets - before < 3 * 2200
    assert booth.beat.forwarding.refused > 3000


def test_a_sender_who_begins_anew_all_the_time_occupies_nobody(booth: Booth) -> None:
    booth.room()
    a = booth.terminal(size=SMALL, codec="VP8", join={"send": None})
    screen = Screen(booth)
    screen.answers = False
    booth.tell(screen.watching(a.stream))
    booth.run(0.7)
    for n in range(120):
        a.ssrc ^= 1
        a.send_payload(b"\x10" + bytes(3) + b"\x9d\x01\x2a\x40\x01\xb4\x00" if n % 2 else b"\x10\x01\0\0")
        booth.run(1 / 60)
    assert len(shown(booth, screen)) <= 12


def test_a_beat_that_has_no_time_gives_smaller_layers_and_the_larger_ones_back(booth: Booth) -> None:
    booth.room()
    sender(booth, "1", participant=71)
    named, speaker = Screen(booth), Screen(booth)
    booth.tell(named.watching(71), speaker.watching())
    booth.run(2.0)
    tiles = booth.beat.tiles

    def widths() -> tuple[int, int]:
        assert named.picture is not None
        assert speaker.picture is not None
        return named.picture.shape[1], speaker.picture.shape[1]

    assert widths() == (320, 320)
    tiles.busy(0.95, booth.now)
    booth.run(1.2)
    assert widths() == (160, 320)
    tiles.busy(0.95, booth.now)
    booth.run(1.2)
    assert widths() == (80, 160)
    for _ in range(30):
        tiles.busy(0.1, booth.now)
        booth.run(0.8)
    assert widths() == (320, 320)
    assert (named.errors, speaker.errors, named.gapless()) == (0, 0, True)
