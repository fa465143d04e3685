"""Loss, tiers, keyframes, keys and strangers: what the network does to pictures."""

from __future__ import annotations

import random
import select
import socket
import struct

import pytest

from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.mixer.layout import Kind, lay_out
from bridge.worker.protocol import Latched, Silent
from bridge.worker.protocol_video import AskKeyframe, KeyframeWanted, SetSpeaker, SetVideoStream, VideoLook
from bridge.worker.video.beat import SLOT
from bridge.worker.video.rung import LADDER, PATIENCE, Climber, Rung, ladder
from tests.worker.video.terminals import SUITE, Studio, Terminal

GRID = VideoLook("grid")
SMALL = (320, 180)
PAIR = lay_out(640, 360, Kind.GRID, 2).tiles


def pair(studio: Studio, **changes: object) -> tuple[Terminal, Terminal]:
    studio.room(look=GRID, width=640, height=360)
    return studio.terminal(size=SMALL, **changes), studio.terminal(size=SMALL)  # type: ignore[arg-type]


def test_nacks_repair_what_a_sender_loses(studio: Studio) -> None:
    a, b = pair(studio, loss_out=0.05)
    studio.run(4.0)
    row = studio.beat.table.rows[1]
    source = studio.beat.sources[row]
    assert source.figures.recovered > 3
    assert source.decoded > 105
    assert source.frozen(studio.now) < 0.3
    assert b.likeness(a, PAIR[0]) > 0.9


def test_without_nack_the_last_good_picture_stands_until_a_keyframe(studio: Studio) -> None:
    a, b = pair(studio, loss_out=0.03, nack=False)
    studio.run(4.0)
    source = studio.beat.sources[studio.beat.table.rows[1]]
    assert source.figures.abandoned > 0
    assert a.keyframes_asked > 1
    assert source.refused == 0  # nothing broken got to the decoder
    assert source.decoded > 40
    a.loss_out = 0.0
    studio.run(0.8)
    assert b.likeness(a, PAIR[0]) > 0.9
    assert not [p for p in a.reports if isinstance(p, rtcp.Feedback) and p.kind == rtcp.RTPFB]


@pytest.mark.parametrize(("rtx", "suite"), [(0, ""), (110, ""), (0, SUITE), (110, SUITE)])
def test_what_a_receiver_asks_for_is_sent_again(studio: Studio, rtx: int, suite: str) -> None:
    a, b = pair(studio, loss_in=0.05, rtx=rtx, suite=suite)
    studio.run(3.0)
    assert a._assembler.figures.recovered > 3
    assert a.pictures > 70
    assert a.likeness(b, PAIR[1]) > 0.9


def test_heavy_loss_leads_down_the_ladder_and_a_calm_time_up_again(studio: Studio) -> None:
    a, b = pair(studio, loss_in=0.3, nack=False)
    studio.run(12.0)
    assert a.seen_size < (640, 360)
    assert b.seen_size == (640, 360)  # the other one does not pay for it
    before = a.seen_size
    a.loss_in = 0.0
    studio.run(PATIENCE + 3.0)
    assert a.seen_size > before


def test_an_estimate_sets_the_tier(studio: Studio) -> None:
    a, b = pair(studio)
    studio.run(2.2)
    a.ask(feedback.Remb(a.ssrc, 200_000, (a.peer_ssrc,)))
    b.ask(feedback.BitrateRequest(b.ssrc, (feedback.BitrateEntry(b.peer_ssrc, 450_000, 40),)))
    studio.run(1.5)
    assert a.seen_size == (320, 180)
    told = {stream.stream: (stream.sent_width, stream.sent_rate) for stream in studio.events[-1].streams}
    assert told == {1: (320, 15.0), 2: (640, 15.0)}
    answers = [feedback.read(p) for p in b.reports if isinstance(p, rtcp.Feedback)]
    notes = [m for m in answers if isinstance(m, feedback.BitrateNotification)]
    assert notes[-1].entries[0].ssrc == b.ssrc


def test_a_tier_changes_without_a_gap(studio: Studio) -> None:
    a, _ = pair(studio)
    studio.run(2.2)
    a.ask(feedback.Remb(a.ssrc, 200_000, (a.peer_ssrc,)))
    studio.run(1.5)
    assert a.seen_size == (320, 180)
    gaps = [later - before for before, later in zip(a.seen_at, a.seen_at[1:], strict=False)]
    assert max(gaps[10:]) < 0.15
    assert a._assembler.figures.abandoned == 0


def test_keyframes_that_many_ask_for_are_few(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    for _ in range(4):
        studio.terminal(size=SMALL)
    studio.run(1.5)
    before = [sum(frame.keyframe for frame in terminal.frames) for terminal in studio.terminals]
    for n in range(30):
        for terminal in studio.terminals:
            terminal.ask(feedback.PictureLoss(terminal.ssrc, terminal.peer_ssrc))
            terminal.ask(feedback.FullIntra(terminal.ssrc, ((terminal.peer_ssrc, n),)))
        studio.run(0.05)
    after = [sum(frame.keyframe for frame in terminal.frames) for terminal in studio.terminals]
    assert all(2 <= late - early <= 4 for early, late in zip(before, after, strict=True))


def test_keyframes_by_sip_info_both_ways(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(size=SMALL)
    b = studio.terminal(size=SMALL, join={"pli": False}, loss_out=1.0)
    studio.run(0.5)
    b.loss_out = 0.0
    studio.run(0.6)
    assert studio.of(KeyframeWanted) == [KeyframeWanted(2)]
    assert b.keyframes_asked == 0
    keys = sum(frame.keyframe for frame in a.frames)
    studio.tell(AskKeyframe(1))
    studio.run(0.6)
    assert sum(frame.keyframe for frame in a.frames) == keys + 1


def test_who_knows_no_pli_is_asked_by_fir(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(size=SMALL, join={"pli": False, "fir": True}, loss_out=1.0)
    studio.run(0.5)
    a.loss_out = 0.0
    studio.run(0.5)
    firs = [feedback.read(p) for p in a.reports if isinstance(p, rtcp.Feedback)]
    assert isinstance(firs[0], feedback.FullIntra)
    assert firs[0].requests[0][0] == a.ssrc


def test_feedback_comes_in_whole_compounds(studio: Studio) -> None:
    """RFC 4585 §3.1: a report first, a CNAME, then the feedback."""
    a, _ = pair(studio, loss_out=0.1)
    seen: list[bytes] = []
    real = a._receive

    def receive(data: bytes, now: float) -> None:
        if 192 <= data[1] <= 223:
            seen.append(data)
        real(data, now)

    a._receive = receive  # type: ignore[method-assign]
    studio.run(1.5)
    found = [rtcp.parse(data) for data in seen]
    told = [packets for packets in found if any(isinstance(p, rtcp.Feedback) for p in packets)]
    assert told
    for packets in told:
        assert isinstance(packets[0], rtcp.ReceiverReport | rtcp.SenderReport)
        assert isinstance(packets[1], rtcp.SourceDescription)


@pytest.mark.parametrize(("codec", "mtu"), [("H264", 500), ("H264-0", 700), ("VP8", 300), ("H263-1998", 600)])
def test_no_packet_is_longer_than_agreed(studio: Studio, codec: str, mtu: int) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(codec=codec, size=(352, 288), mtu=mtu)
    studio.run(1.5)
    assert a.longest <= mtu
    assert a.pictures > 30
    if codec == "H264-0":
        assert not [frame for frame in a.frames if frame.data[4] & 31 >= 24]


def test_srtp_both_ways(studio: Studio) -> None:
    a, b = pair(studio, suite=SUITE, mux=False)
    studio.run(6.0)
    assert a.likeness(b, PAIR[1]) > 0.9
    assert b.likeness(a, PAIR[0]) > 0.9
    assert any(isinstance(p, rtcp.SenderReport) for p in a.reports)


def test_ipv6() -> None:
    studio = Studio(host="::1")
    try:
        a, b = pair(studio)
        studio.run(1.5)
        assert a.likeness(b, PAIR[1]) > 0.9
    finally:
        studio.close()


def settle(studio: Studio) -> None:
    """Wait for the threads' results, as the process does."""
    beat = studio.beat
    for _ in range(100):
        panes = [pane for room in beat.rooms.values() for pane in room.panes.values()]
        if not any(pane.busy for pane in panes) and not any(source._working for source in beat.sources.values()):
            return
        select.select([beat.crew], [], [], 1.0)
        beat.crew.collect()


def test_threads_see_the_same() -> None:
    threaded = Studio(threads=2)
    try:
        a, b = pair(threaded)
        for _ in range(200):
            threaded.run(SLOT)
            settle(threaded)
        assert a.pictures > 30
        assert a.likeness(b, PAIR[1]) > 0.9
    finally:
        threaded.close()


def test_lips_and_voice_by_sender_reports(studio: Studio) -> None:
    """A frame's timestamp and the report's say the same instant of the wall clock."""
    a, _ = pair(studio)
    studio.run(8.0)
    reports = [p for p in a.reports if isinstance(p, rtcp.SenderReport)]
    assert len(reports) >= 1
    last = reports[-1]
    wall = last.ntp / 2**32 - rtcp.NTP_EPOCH
    frame = a.frames[-1]
    told = wall + ((frame.timestamp - last.timestamp + 0x80000000) % 0x100000000 - 0x80000000) / 90000
    shown = studio.wall - (studio.now - frame.last)
    assert abs(told - shown) < 0.045
    names = [chunk.cname for p in a.reports if isinstance(p, rtcp.SourceDescription) for chunk in p.chunks]
    assert names[-1] == "terminal1"


def test_who_is_behind_nat_is_found_and_told(studio: Studio) -> None:
    from bridge.worker.protocol import Address

    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(size=SMALL, join={"remote": Address("192.0.2.1", 9), "at_home": False})
    studio.run(1.5)
    assert studio.of(Latched)[-1].remote.port == a.sock.getsockname()[1]
    assert a.pictures > 20


def test_who_says_nothing_is_told_of(studio: Studio) -> None:
    studio.room()
    studio.terminal(sending=False)
    studio.run(6.0)
    assert not studio.of(Silent)  # it reports, by RTCP
    studio.terminals[0]._reported = float("inf")
    studio.run(6.5)
    assert studio.of(Silent)[0].stream == 1


def test_packets_are_spread_over_the_frame(studio: Studio) -> None:
    studio.room(look=GRID)
    a = studio.terminal(size=(640, 360), bitrate=3_000_000)
    studio.run(1.0)
    times: list[float] = []
    for _ in range(60):
        before = a.packets
        studio.run(1 / 150)
        times.append(a.packets - before)
    assert max(times) <= 12


def test_who_is_unseen_is_asked_for_less(studio: Studio) -> None:
    studio.room(look=VideoLook("single"), width=640, height=360)
    for _ in range(3):
        studio.terminal(size=SMALL, join={"tmmbr": True})
    studio.tell(SetSpeaker(1, 1))
    studio.run(4.0)
    asked = []
    for terminal in studio.terminals:
        heard = [feedback.read(p) for p in terminal.reports if isinstance(p, rtcp.Feedback)]
        asked.append([m.entries[0].bitrate for m in heard if isinstance(m, feedback.BitrateRequest)][-1])
    # The speaker sees another one; the third is seen by nobody.
    least, *others = sorted(asked)
    assert least == 64_000
    assert min(others) > 1_000_000
    studio.tell(SetSpeaker(1, 3))
    studio.run(1.5)
    heard = [feedback.read(p) for p in studio.terminals[2].reports if isinstance(p, rtcp.Feedback)]
    assert [m for m in heard if isinstance(m, feedback.BitrateRequest)][-1].entries[0].bitrate > 1_000_000


def test_nobody_takes_a_core_for_himself(studio: Studio) -> None:
    a, b = pair(studio)
    studio.run(1.0)
    a.rate = 600
    studio.run(1.0)
    source = studio.beat.sources[studio.beat.table.rows[1]]
    assert source.decoded < 200
    assert source.dropped
    a.rate, a._due = 30, studio.now
    before = b.pictures
    studio.run(1.5)
    assert b.pictures - before > 40
    assert b.likeness(a, PAIR[0]) > 0.85


# ------------------------------------------------------------------------------------------------ bad input


def huge_sps() -> bytes:
    """An SPS of 16384x16384, baseline."""
    bits = "".join(["01000010", "11100000", "00110011", "1", "1", "011", "010", "0"])  # id, log2, poc 2, refs 1, gaps

    def exp_golomb(value: int) -> str:
        text = f"{value + 1:b}"
        return "0" * (len(text) - 1) + text

    bits = "01000010" + "11100000" + "00110011" + exp_golomb(0) + exp_golomb(0) + exp_golomb(2) + exp_golomb(1) + "0"
    bits += exp_golomb(1023) + exp_golomb(1023) + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    return b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_a_huge_picture_is_refused_and_hurts_nobody(studio: Studio) -> None:
    a, b = pair(studio)
    studio.run(1.0)
    sps = huge_sps()
    for _ in range(20):
        a.sending = False
        a.send_payload(b"\x78" + len(sps).to_bytes(2, "big") + sps + b"\x00\x04\x68\xce\x38\x80", marker=False)
        a.send_payload(b"\x65\x88\x84\x00\x10" * 50)
        a.timestamp += 3000
        studio.run(0.05)
    source = studio.beat.sources[studio.beat.table.rows[1]]
    assert source.refused > 5
    before = b.pictures
    studio.run(1.0)
    assert b.pictures - before > 25
    assert b.likeness(b, PAIR[1]) > 0.9
    a.sending, a._due, a._force = True, studio.now, True
    studio.run(1.0)
    assert b.likeness(a, PAIR[0]) > 0.9


@pytest.mark.parametrize("codec", ["H264", "VP8", "H263-1998"])
def test_mutated_streams_leave_the_others_alone(studio: Studio, codec: str) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(codec=codec, size=(352, 288))
    b = studio.terminal(size=SMALL)
    studio.run(1.0)
    chance = random.Random(3)
    real = a.transmit

    def spoilt(data: bytes) -> None:
        wrong = bytearray(data)
        for _ in range(chance.choice((0, 0, 1, 3, 20))):
            wrong[chance.randrange(12, len(wrong))] = chance.randrange(256)
        if chance.random() < 0.1:
            del wrong[chance.randrange(12, len(wrong)) :]
        real(bytes(wrong))

    a.transmit = spoilt  # type: ignore[method-assign]
    before = b.pictures
    studio.run(3.0)
    assert b.pictures - before > 85
    assert b.likeness(b, PAIR[1]) > 0.9
    a.transmit = real  # type: ignore[method-assign]
    a._force = True
    studio.run(1.5)
    assert b.likeness(a, PAIR[0]) > 0.8


def test_strangers_and_junk_are_counted(studio: Studio) -> None:
    a, b = pair(studio)
    studio.run(1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for n in range(300):
            stranger.sendto(struct.pack("!BBHII", 0x80, 96, n * 7 & 0xFFFF, n, n) + bytes(100), ("127.0.0.1", a.port))
        studio.run(0.1)
    chance = random.Random(1)
    for _ in range(200):
        a.sock.sendto(chance.randbytes(chance.randrange(1, 200)), ("127.0.0.1", a.port))
        a.rtcp.sendto(b"\x81\xce" + chance.randbytes(30), ("127.0.0.1", a.port))
    studio.run(1.0)
    assert studio.beat.strangers >= 290
    assert studio.beat.malformed > 50
    assert a.likeness(b, PAIR[1]) > 0.9


# ------------------------------------------------------------------------------------------------ the ladder


def described(**changes: object) -> SetVideoStream:
    from tests.worker.video.terminals import FORMATS

    fields: dict[str, object] = {
        "stream": 1,
        "room": 1,
        "port": 2,
        "remote": None,
        "remote_rtcp": None,
        "rtcp_mux": True,
        "send": FORMATS["VP8"],
        "receive": (),
    }
    return SetVideoStream(**(fields | changes))  # type: ignore[arg-type]


def rungs(**changes: object) -> list[tuple[int, int]]:
    from bridge.worker.protocol_video import SetVideoRoom

    return [(rung.width, rung.rate) for rung in ladder(described(**changes), SetVideoRoom(1, width=1920, height=1080))]


def test_a_ladder_keeps_to_what_a_terminal_takes() -> None:
    from bridge.worker.protocol_video import VideoFormat

    assert rungs() == [(rung.width, rung.rate) for rung in LADDER]
    assert rungs(max_width=1280)[0] == (1280, 30)
    assert rungs(max_rate=25.0)[0] == (1920, 25)
    assert rungs(max_rate=15.0) == [(1920, 15), (1280, 15), (640, 15), (320, 15), (160, 15)]
    assert rungs(max_bitrate=1_000_000)[0] == (1280, 15)
    assert rungs(max_bitrate=10_000) == [(160, 10)]
    cif = VideoFormat("H264", 96, {"profile-level-id": "42e00c"})  # level 1.2: 396 macroblocks, 6,000 a second
    assert rungs(send=cif) == [(320, 15), (160, 15)]
    assert rungs(send=VideoFormat("H261", 31))[0] == (352, 30)


def test_a_climber_does_not_flap() -> None:
    climber = Climber(LADDER[:4], 0.0)
    climber.lost(0.5, 4.0)
    climber.lost(0.5, 4.5)
    assert climber.rung == LADDER[1]
    tries = 0
    for second in range(5, 400):  # the higher rung always loses
        before = climber.rung
        climber.lost(0.2 if climber.rung == LADDER[0] else 0.0, float(second))
        climber.step(float(second))
        tries += climber.rung == LADDER[0] != before
    assert 2 <= tries <= 6


def test_an_estimate_holds_a_climber_down_until_it_is_stale() -> None:
    climber = Climber(LADDER[:4], 0.0)
    climber.limited(800_000, 1.0)
    assert climber.rung == LADDER[3]
    climber.step(25.0)
    assert climber.rung == LADDER[3]
    climber.limited(5_000_000, 26.0)
    climber.step(40.0)
    assert climber.rung == LADDER[2]
    assert isinstance(climber.rung, Rung)
