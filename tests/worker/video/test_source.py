"""One sender's pictures, whatever he sends."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.media.video.formats import names
from bridge.worker.protocol_video import VideoFormat
from bridge.worker.video.crew import Crew
from bridge.worker.video.encoder import Encoder, Kind
from bridge.worker.video.reception import Reception
from bridge.worker.video.rung import Rung
from bridge.worker.video.source import Source
from tests.media.video.streams import ENCODERS, encoded
from tests.media.video.test_formats import packetiser
from tests.worker.video.terminals import painting, ssim

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def crew():  # type: ignore[no-untyped-def]
    made = Crew(0)
    yield made
    made.close()


def stream(name: str, frames: int, bits: int = 300_000) -> list[list[bytes]]:
    rung = Rung(176, 144, 15, bits)
    encoder, paint = Encoder(Kind(name, "1" if name == "H264" else "", 400, rung)), painting(3, 176, 144)
    return [encoder.encode(paint(n / 15), n * 6000, keyframe=n == 0) for n in range(frames)]


@pytest.mark.parametrize("name", ["H264", "VP8", "H263-1998", "H263", "H261"])
def test_every_format_that_is_sent_is_understood(name: str, crew: Crew) -> None:
    pictures: list[None] = []
    source = Source(crew, (VideoFormat(name, 96),), nack=True, pictured=lambda: pictures.append(None))
    sequence = 0
    for n, payloads in enumerate(stream(name, 12)):
        assert payloads
        for i, payload in enumerate(payloads):
            source.feed(1, 7, sequence, n * 6000, i == len(payloads) - 1, payload, n / 15)
            sequence += 1
        source.take(n / 15, 0, 0.05)
    assert len(pictures) == 12
    assert source.size == (176, 144)
    assert source.asked == 0
    assert source.refused == 0


@pytest.mark.parametrize("name", names())
@QUICK
@given(data=st.data())
def test_anything_may_come(name: str, crew: Crew, data: st.DataObject) -> None:
    sent = ["H264", "VP8", "H263-1998", "H263", "H261"]
    base = [p for payloads in stream(name if name in sent else "H264", 3) for p in payloads]
    source = Source(crew, (VideoFormat(name, 96),), nack=True, pictured=lambda: None)
    for n in range(30):
        payload = bytearray(base[n % len(base)])
        for _ in range(data.draw(st.integers(0, 3))):
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.integers(0, 9)) == 0:
            payload = bytearray(data.draw(st.binary(max_size=40)))
        source.feed(1, 7, n, n // 3 * 3000, n % 3 == 2, bytes(payload), n / 90)
        source.take(n / 90, 0, 0.05)
    assert source.decoded <= 30


def test_frames_beyond_what_a_screen_shows_are_left_out_up_to_a_keyframe(crew: Crew) -> None:
    source = Source(crew, (VideoFormat("H264", 96),), nack=True, pictured=lambda: None)
    sequence = asked = 0
    for n, payloads in enumerate(stream("H264", 60)):
        for i, payload in enumerate(payloads):
            source.feed(1, 7, sequence, n * 100, i == len(payloads) - 1, payload, n / 900)
            sequence += 1
        asked += source.take(n / 900, 0, 0.05).keyframe
    assert 30 <= source.decoded <= 45
    assert source.dropped > 10
    assert asked == 1


def test_reception_counts_loss_wraps_and_restarts() -> None:
    import numpy as np

    reception = Reception(4)
    rows = np.array([2])

    def add(*sequences: int, ssrc: int = 9) -> None:
        n = len(sequences)
        reception.add(
            np.full(n, 2),
            np.array(sequences, np.int32),
            np.arange(n, dtype=np.uint32) * 3000,
            np.full(n, ssrc, np.uint32),
            np.arange(n) / 30,
        )

    add(65533, 65534, 1, 2)  # two lost over the wrap
    assert (int(reception.expected(rows)[0]), int(reception.received[2])) == (6, 4)
    add(0, 65535)  # they were only late
    assert (int(reception.expected(rows)[0]), int(reception.received[2])) == (6, 6)
    add(500, 501, ssrc=10)
    assert (int(reception.expected(rows)[0]), int(reception.received[2])) == (2, 2)
    assert reception.jitter[2] < 0.02
    assert reception.expected(np.array([1]))[0] == 0


def test_rubbish_that_never_makes_a_picture_is_told_as_a_frozen_one(crew: Crew) -> None:
    source = Source(crew, (VideoFormat("VP8", 96),), nack=True, pictured=lambda: None)
    for n in range(150):
        source.feed(1, 7, n, n * 3000, True, bytes([0x10, 0x00, 0x9D, 0x01, n]), n / 30)
        source.take(n / 30, 0, 0.05)
    assert source.decoded == 0
    assert source.frozen(5.0) > 4.0


def test_packets_that_end_no_frame_are_told_as_a_frozen_picture(crew: Crew) -> None:
    source = Source(crew, (VideoFormat("H264", 96),), nack=True, pictured=lambda: None)
    for n in range(150):
        source.feed(1, 7, n, 0, False, b"\x7c\x05" + bytes(20), n / 30)
        source.take(n / 30, 0, 0.05)
    assert source.frozen(5.0) > 4.0


def test_who_has_sent_nothing_has_no_frozen_picture(crew: Crew) -> None:
    source = Source(crew, (VideoFormat("VP8", 96),), nack=True, pictured=lambda: None)
    for n in range(150):
        source.take(n / 30, 0, 0.05)
    assert source.frozen(5.0) == 0


@pytest.mark.parametrize("level", ["42e01f", "64001f", "640c1f"])
def test_high_is_for_who_takes_it(level: str) -> None:
    told = VideoFormat("H264", 96, {"packetization-mode": "1", "profile-level-id": level})
    kind = Kind.of(told, 1200, Rung(640, 360, 30, 400_000))
    encoder, paint = Encoder(kind), painting(3, 640, 360)
    sets = [p for p in encoder.encode(paint(0), 0, keyframe=True) if p[0] & 31 in (7, 24)]
    at = sets[0].index(b"\x67") + 1
    assert sets[0][at] == (100 if level.startswith("64") else 66)


def test_receivers_of_one_profile_share_an_encoding() -> None:
    def kind(level: str) -> Kind:
        return Kind.of(VideoFormat("H264", 96, {"profile-level-id": level}), 1200, Rung(640, 360, 30, 400_000))

    assert kind("42e01f") == kind("4d001f") == kind("42801f")
    assert kind("64001f") == kind("64002a") != kind("42e01f")


def test_high_gives_a_better_picture_of_the_same_bits(crew: Crew) -> None:
    """What is decoded of both, beside what was encoded."""
    import numpy as np

    quality = {}
    for level in ("42e01f", "64001f"):
        told = VideoFormat("H264", 96, {"packetization-mode": "1", "profile-level-id": level})
        encoder, paint = Encoder(Kind.of(told, 1200, Rung(640, 360, 30, 200_000))), painting(3, 640, 360)
        source = Source(crew, (VideoFormat("H264", 96),), nack=True, pictured=lambda: None)
        sequence, found = 0, []
        for n in range(45):
            payloads = encoder.encode(paint(n / 30), n * 3000, keyframe=n == 0)
            for i, payload in enumerate(payloads):
                source.feed(1, 7, sequence, n * 3000, i == len(payloads) - 1, payload, n / 30)
                sequence += 1
            source.take(n / 30, 0, 0.05)
            assert source.picture is not None
            if n >= 15:
                found.append(ssim(paint(n / 30)[:360], source.picture.planes[0]))
        quality[level] = float(np.mean(found))
    assert quality["64001f"] > quality["42e01f"]


@pytest.mark.parametrize("name", ["vp9", "h265", "vp8", "baseline"])
def test_after_a_loss_the_last_good_picture_is_held_and_a_keyframe_asked_for(name: str, crew: Crew) -> None:
    """The far end answers no NACK; its keyframes come every 15 frames."""
    pictures: list[int] = []
    wanted = ENCODERS[name]
    formats = (VideoFormat(wanted.sdp, 96, dict(wanted.parameters)),)
    source = Source(crew, formats, nack=False, pictured=lambda: pictures.append(n))
    packets, frames, sequence, asked, n = packetiser(name), encoded(name), 0, 0, 0
    for n, frame in enumerate(frames):
        payloads = packets.packetise(frame, 600)
        for i, payload in enumerate(payloads):
            if not (n == 5 and i == len(payloads) // 2):  # one packet is lost
                source.feed(1, 7, sequence, n * 3000, i == len(payloads) - 1, payload, n / 30)
            sequence += 1
        asked += source.take(n / 30, 0, 0.05).keyframe
        if n == 14:
            held = source.picture
            assert held is not None
    assert set(pictures) >= set(range(5))
    assert not set(pictures) & set(range(5, 15)), "a picture was shown that was decoded after the loss"
    assert set(pictures) >= set(range(15, 30)), "the keyframe did not bring it back"
    assert asked >= 1
    assert source.refused == 0
    assert 0.2 < source.frozen(1.0) <= 10 / 30 + 0.05
