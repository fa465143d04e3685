"""Senders told what their packets met, receivers sent what their paths bear."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.media.video.arrivals import Arrivals
from bridge.media.video.transport_cc import TransportCc
from bridge.worker.protocol import Trouble
from bridge.worker.protocol_video import VideoExtensions, VideoLook, VideoReport
from bridge.worker.video.rung import LADDER, Climber
from tests.worker.video.terminals import Studio, Terminal

SMALL = (320, 180)
GRID = VideoLook("grid")
NUMBERED = {"transport_cc": True, "extensions": VideoExtensions(transport_sequence=3, mid=4), "mid": "1"}


class Numbered(Terminal):
    """A terminal that numbers what it sends and answers numbers, behind a link of its own."""

    bits = float("inf")
    room = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.number = 65500
        self.seen = Arrivals(1)
        self.seen.open(0)
        self.free = self.told = 0.0
        self.over = 0
        self.headers: list[bytes] = []
        """Of all that came, lost or not."""

    def send_payload(self, payload: bytes, *, marker: bool = True) -> None:
        self.extension = bytes([0x31]) + (self.number & 0xFFFF).to_bytes(2, "big") + b"\0"
        self.number += 1
        super().send_payload(payload, marker=marker)

    def _receive(self, data: bytes, now: float) -> None:
        if not 192 <= data[1] <= 223:
            plain = self.rx.unprotect(data) if self.rx else data
            assert plain[0] == 0x90
            self.headers.append(plain[:12])
            assert plain[12:17] == b"\xbe\xde\x00\x02\x31"
            assert plain[19:21] == b"\x40" + b"1"
            self.free = max(self.free, now)
            if self.free - now > self.room:
                self.over += 1
                return
            self.free += 8 * len(data) / self.bits
            number = int.from_bytes(plain[17:19], "big")
            self.seen.add(np.array([0]), np.array([number]), np.array([self.free + 0.02]))
            tx, self.rx = self.rx, None
            super()._receive(plain[:12] + plain[24:], now)
            self.rx = tx
            return
        super()._receive(data, now)

    def collect(self, now: float) -> None:
        super().collect(now)
        if now - self.told > 0.1:
            self.told = now
            message = self.seen.take(0, self.ssrc, self.peer_ssrc)
            if message:
                self.ask(message)


def numbered(studio: Studio, **changes: object) -> Numbered:
    n = studio.made
    studio.made += 1
    made = Numbered(n + 1, studio.ports[n % len(studio.ports)], **changes)  # type: ignore[arg-type]
    studio.terminals.append(made)
    studio.tell(made.spec(1, nack=False, **NUMBERED))
    return made


@pytest.mark.parametrize("suite", ["", "AES_CM_128_HMAC_SHA1_80"])
def test_senders_are_told_when_their_numbered_packets_came(studio: Studio, suite: str) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = numbered(studio, size=SMALL, suite=suite, loss_out=0.05)
    b = studio.terminal(size=SMALL)
    studio.run(3.0)
    told = [
        message
        for packet in a.reports
        if isinstance(packet, rtcp.Feedback) and isinstance(message := feedback.read(packet), TransportCc)
    ]
    assert 20 <= len(told) <= 31
    assert [each.count for each in told] == list(range(len(told)))
    arrivals = [at for each in told for at in each.arrivals]
    assert len(arrivals) == pytest.approx(a.number - 65500, abs=12)
    assert 0 < arrivals.count(None) < 0.12 * len(arrivals)
    assert not any(isinstance(feedback.read(p), TransportCc) for p in b.reports if isinstance(p, rtcp.Feedback))
    assert a.pictures > 60
    assert b.pictures > 60
    assert a.errors == b.errors == 0


@pytest.mark.parametrize("rtx", [0, 110])
def test_no_number_of_srtp_has_two_headers(studio: Studio, rtx: int) -> None:
    """RFC 7714 §8.1: a repeated packet has another transport-wide number, so it needs a number of its own too."""
    studio.room(look=GRID, width=640, height=360)
    a = numbered(studio, size=SMALL, suite="AES_CM_128_HMAC_SHA1_80", rtx=rtx, loss_in=0.05)
    studio.terminal(size=SMALL)
    studio.run(3.0)
    numbers = [(header[1] & 0x7F, header[2:4], header[8:]) for header in a.headers]
    assert len(set(numbers)) == len(numbers) > 100
    assert any(kind == rtx for kind, *_ in numbers) is bool(rtx)


def test_a_narrow_path_is_found_by_feedback_and_gets_less(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = numbered(studio, size=SMALL, rate=15)
    a.bits = 120_000
    b = studio.terminal(size=SMALL, rate=15)
    studio.run(8.0)
    report = {each.stream: each for each in studio.of(VideoReport)[-1].streams}
    assert 0 < report[1].estimate < 200_000
    assert report[1].sent_width < 640
    assert (report[2].estimate, report[2].sent_width) == (0, 640)
    assert b.errors == 0


def test_a_wide_path_is_limited_by_nothing(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = numbered(studio, size=SMALL, rate=15)
    a.bits = 5_000_000
    studio.terminal(size=SMALL, rate=15)
    studio.run(6.0)
    report = {each.stream: each for each in studio.of(VideoReport)[-1].streams}
    assert (report[1].estimate, report[1].sent_width) == (0, 640)


def rembs(terminal: Terminal) -> list[feedback.Remb]:
    found = [feedback.read(p) for p in terminal.reports if isinstance(p, rtcp.Feedback)]
    return [each for each in found if isinstance(each, feedback.Remb)]


def test_senders_that_take_remb_are_told_of_what_is_lost(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(size=SMALL, join={"remb": True, "nack": False}, loss_out=0.25, bitrate=400_000)
    b = studio.terminal(size=SMALL, join={"remb": True})
    studio.run(6.0)
    assert 4 <= len(rembs(a)) <= 6
    assert rembs(a)[-1].ssrcs == (a.ssrc,)
    assert rembs(a)[-1].bitrate < 500_000
    assert rembs(b)[-1].bitrate > 1_900_000
    a.loss_out = 0.0
    studio.run(4.0)
    assert rembs(a)[-1].bitrate > 1.2 * rembs(a)[-4].bitrate


def test_senders_that_take_remb_are_asked_for_less_while_nobody_sees_them(studio: Studio) -> None:
    studio.room(look=VideoLook("single"), width=640, height=360)
    terminals = [studio.terminal(size=SMALL, rate=15, join={"remb": True}) for _ in range(4)]
    studio.run(9.0)
    told = sorted(rembs(each)[-1].bitrate for each in terminals)
    assert told[0] < 70_000
    assert told[-1] > 1_900_000


def test_ids_that_are_none_are_refused(studio: Studio) -> None:
    studio.room()
    studio.terminal(join={"transport_cc": True, "extensions": VideoExtensions(transport_sequence=15)})
    assert "header extensions" in studio.of(Trouble)[-1].reason


def test_an_estimate_made_of_a_standing_picture_is_no_reason_to_send_less() -> None:
    climber = Climber(LADDER[1:], 0.0)
    climber.sending = 90_000
    climber.limited(150_000, 1.0, estimate=True)
    climber.step(2.0)
    assert climber.rung == LADDER[1]
    climber.sending = 900_000  # it moves again
    climber.step(3.0)
    assert climber.rung.bits <= 150_000 or climber.rung == LADDER[-1]


def test_an_estimate_bounded_by_what_is_sent_lets_a_receiver_up_again() -> None:
    climber = Climber(LADDER[1:], 0.0)
    climber.limited(450_000, 0.0)
    low = climber.rung
    now = 0.0
    for _ in range(40):
        now += 1.0
        climber.sending = 0.9 * climber.rung.bits
        climber.limited(1.5 * climber.sending, now, estimate=True)
        climber.step(now)
    assert climber.rung.bits > low.bits
