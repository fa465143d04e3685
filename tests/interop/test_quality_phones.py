"""The way from phone to phone on which packets are lost as told."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality, quality_phones
from benchmarks.quality_phones import Relay, RoadError, Spoken, rewritten

ANSWER = (
    b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: 58\r\n\r\n"
    b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9000 RTP/AVP 0\r\na=sendrecv\r\n"
)


def test_an_answers_port_is_replaced_and_its_length_told_anew() -> None:
    message, port = rewritten(ANSWER, 24002)
    head, _, body = message.partition(b"\r\n\r\n")
    assert port == 9000
    assert b"m=audio 24002 RTP/AVP 0\r\na=sendrecv\r\n" in body
    assert head.endswith(b"Content-Length: %d" % len(body))


def test_what_describes_no_audio_stays_as_it_is() -> None:
    ringing = b"SIP/2.0 180 Ringing\r\nContent-Length: 0\r\n\r\n"
    assert rewritten(ringing, 24002) == (ringing, None)


def test_a_sentence_has_the_same_weather_every_time_and_another_has_other_weather() -> None:
    weather = quality.WEATHERS[-1]
    assert weather.on("fr 1", 500) == weather.on("fr 1", 500)
    assert weather.on("fr 1", 500) != weather.on("fr 2", 500) != weather.on("en 1", 500)


def test_a_road_loses_and_delays_what_it_is_told() -> None:
    relay = Relay()
    with quality_phones._bound() as talker, quality_phones._bound() as listener:
        road = relay.lay(("127.0.0.1", 9), {0: 0.03, 1: 0.0, 3: 0.0})
        road.sink = listener.getsockname()
        listener.settimeout(5.0)
        with relay:
            for n in range(5):
                sequence = 65534 + n & 0xFFFF
                talker.sendto(b"\x80\x00" + sequence.to_bytes(2, "big"), road.media.getsockname())
            came = [int.from_bytes(listener.recv(100)[2:4], "big") for _ in range(3)]
        assert came == [65535, 1, 65534]
        assert (road.passed, road.lost) == (3, 2)


@pytest.mark.interop
def test_what_one_phone_plays_is_heard_at_the_other_but_for_what_was_lost(tmp_path: Path) -> None:
    packets = 100
    tone = (8000 * np.sin(2 * np.pi * 700 * np.arange(320 * packets) / 16000)).astype(np.int16)
    whole = dict.fromkeys(range(packets + 50), 0.0)
    holed = {n: 0.0 for n in whole if not 40 <= n < 60}
    first, second = quality_phones.heard([Spoken(tone, "PCMU", fate, 0.0, 0) for fate in (whole, holed)], 8000)
    # At the end the phone hangs up, and what its jitter buffer holds is not heard.
    assert 8000 * 1.7 < len(first) <= 8000 * 2.1
    assert 8000 * 0.3 < len(first) - len(second) < 8000 * 0.5
    spectrum = np.abs(np.fft.rfft(first[800:8800]))
    assert np.argmax(spectrum) == pytest.approx(700, abs=2)


@pytest.mark.interop
def test_a_call_that_does_not_come_by_is_no_measurement() -> None:
    with pytest.raises(RoadError):
        quality_phones.heard([Spoken(np.zeros(16000, np.int16), "PCMU", {}, 0.0, 0)], 8000)
