"""Comfort noise, discontinuous transmission and DTMF through the whole beat, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.media.dtmf import EventReceiver, InbandDetector, tones
from bridge.worker import protocol as say
from bridge.worker.protocol import CodecSpec, Key, Trouble
from tests.worker.phones import CN, EVENT, Bridge, heard, noise, press, sine, strength, talk

# ------------------------------------------------------------------------------------ silence


def test_a_silent_room_sends_comfort_noise_and_speech_ends_it_with_a_marker(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("PCMU", join={"send_cn": CN})
    bridge.step(100)
    assert len(a.packets) == 100
    noises = [p for p in b.packets if p.payload_type == 13]
    assert 2 <= len(noises) <= 6
    assert len(noises[0].payload) == 1
    assert len(b.packets) < 25
    b.packets.clear()
    talk(bridge, {0: sine(700, 8000, 25)})
    first = next(p for p in b.packets if p.payload_type == 0)
    assert first.marker
    assert strength(heard(b)[-2000:], 700, 8000) > 6500
    # 100 beats have passed on the clock too
    assert (first.timestamp - noises[0].timestamp) % 160 == 0
    assert 80 * 160 <= (first.timestamp - noises[0].timestamp) & 0xFFFFFFFF <= 100 * 160


def test_comfort_noise_in_is_heard_as_noise_of_that_level(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("L16")
    talk(bridge, {0: sine(700, 8000, 10)})
    a.send_payload(bytes([50]), 13, ticks=160)
    bridge.step(20)
    a.timestamp += 19 * 160
    tail = heard(b)[-3200:].astype(float)
    assert 0.3 < np.sqrt(np.mean(tail**2)) / (32768 * 10 ** (-50 / 20)) < 1.5
    talk(bridge, {0: sine(700, 8000, 10)})
    assert strength(heard(b)[-1600:], 700, 16000) > 6500


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
def test_a_voice_that_came_too_deep_is_shortened_where_it_pauses(bridge: Bridge, codec: str) -> None:
    a, _ = bridge.phone(codec), bridge.phone("L16")
    said = noise(400, a.rate)
    pause = np.arange(400) % 37 >= 31
    said[pause] //= 1000
    delay, deep = bridge.beat._jitter.delay, []
    for n in range(400):
        if n not in (54, 55):  # what they should have brought comes with the next
            for block in said[n - 2 * (n == 56) : n + 1]:
                a.send(block)
        bridge.step()
        deep.append(float(delay[bridge.beat.table.rows[1]]))
    steps = np.flatnonzero(np.diff(deep) < -0.01)
    assert max(deep) > 0.039
    assert deep[-1] < 0.021
    assert len(steps) == 1
    # Heard two packets after it came; the one before it was as quiet.
    assert pause[steps[0] + 1 - 2 : steps[0] + 1].all()


def test_opus_dtx_pauses_cost_no_packets_and_no_time(bridge: Bridge) -> None:
    bridge.phone("L16")
    b = bridge.phone("OPUS", join={"send": CodecSpec("OPUS", 96, 48000, 2, dtx=True)})
    talk(bridge, {0: sine(700, 16000, 50)})
    bridge.step(100)
    quiet = len(b.packets) - 50
    assert quiet < 60
    last = b.packets[-1]
    talk(bridge, {0: sine(700, 16000, 25)})
    spoken = b.packets[-25:]
    assert len(spoken) == 25
    assert (spoken[-1].timestamp - b.packets[0].timestamp) & 0xFFFFFFFF == 174 * 960
    assert spoken[-1].sequence == (b.packets[0].sequence + len(b.packets) - 1) & 0xFFFF
    assert last.timestamp != spoken[0].timestamp


def test_opus_dtx_in_is_no_loss(bridge: Bridge) -> None:
    a, b = bridge.phone("OPUS"), bridge.phone("L16")
    said = sine(600, 48000, 100)
    for n in range(100):
        if n < 30 or n >= 70:
            a.send(said[n])
        else:
            a.timestamp += 960
        bridge.step()
    assert strength(heard(b)[-8000:], 600, 16000) > 6500
    report = bridge.of(say.Report)[-1].streams[0]
    assert report.lost == 0


# --------------------------------------------------------------------------------------- keys


def keys(bridge: Bridge) -> list[tuple[int, str, str]]:
    return [(key.stream, key.digit, key.source) for key in bridge.of(Key)]


def test_a_key_sent_as_an_event_is_told_once_and_is_silent(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("L16")
    talk(bridge, {0: sine(500, 8000, 10)})
    b.packets.clear()
    press(bridge, a, 11)
    press(bridge, a, 1)
    assert keys(bridge) == [(1, "#", "event"), (1, "1", "event")]
    assert strength(heard(b)[640:], 697, 16000) < 50
    talk(bridge, {0: sine(500, 8000, 10)})
    assert bridge.of(say.Report) == [] or bridge.of(say.Report)[-1].streams[0].lost == 0


def test_a_key_in_the_audio_is_told_where_it_was_asked_for(bridge: Bridge) -> None:
    bridge.phone("PCMA", room=0, join={"inband_dtmf": True})
    bridge.phone("PCMA", room=0)
    pcm = tones("42#", 8000).reshape(-1, 160)
    talk(bridge, {0: pcm, 1: pcm})
    bridge.step(5)
    assert keys(bridge) == [(1, digit, "tone") for digit in "42#"]


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
@pytest.mark.parametrize("speaking", [True, False])
def test_keys_are_sent_as_events_whatever_else_is_sent(bridge: Bridge, ptime: int, speaking: bool) -> None:
    joined = {"send_event": EVENT, "send_cn": CN, "ptime": ptime}
    a = bridge.phone("PCMU", join=joined)
    bridge.phone("L16")
    talk(bridge, {1: sine(500, 16000, 10)})
    if not speaking:
        bridge.step(60)
    bridge.obey(say.SendKeys(1, "1#"))
    a.packets.clear()
    if speaking:
        talk(bridge, {1: sine(500, 16000, 45)})
    else:
        bridge.step(45)
    events = [p for p in a.packets if p.payload_type == 101]
    first, second = events[:7], events[7:]
    assert [p.payload[0] for p in events] == [1] * 7 + [11] * 7
    assert [p.payload[1] >> 7 for p in first] == [0] * 4 + [1] * 3
    assert [p.marker for p in first] == [True] + [False] * 6
    assert len({p.timestamp for p in first}) == len({p.timestamp for p in second}) == 1
    assert 1600 - 480 <= second[0].timestamp - first[0].timestamp <= 1600 + 480
    receiver = EventReceiver(1)
    heard_keys = receiver.receive(
        np.zeros(14, np.intp),
        np.array([p.timestamp for p in events], np.uint32),
        np.frombuffer(b"".join(p.payload for p in events), np.uint8).reshape(14, 4),
        0.0,
    )
    assert [digit for _, digit in heard_keys] == ["1", "#"]
    assert [p.sequence for p in a.packets] == list(range(a.packets[0].sequence, a.packets[0].sequence + len(a.packets)))
    if speaking:
        audio = [p for p in a.packets if p.payload_type == 0]
        behind = next(p for p in audio if p.sequence > events[-1].sequence)
        ahead = [p for p in audio if p.sequence < events[0].sequence]
        assert (behind.timestamp - second[0].timestamp) & 0xFFFFFFFF >= 800
        if ahead:
            assert ahead[-1].timestamp < first[0].timestamp


def test_keys_are_sent_as_tones_where_events_were_not_agreed(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", room=0)
    bridge.obey(say.SendKeys(1, "47"))
    bridge.step(30)
    detector = InbandDetector(1)
    blocks = heard(a).reshape(-1, 1, 160)
    assert [d for block in blocks for _, d in detector.receive(np.array([0]), block)] == ["4", "7"]


def test_a_key_that_no_telephone_has_is_trouble(bridge: Bridge) -> None:
    bridge.phone("PCMU", room=0)
    bridge.obey(say.SendKeys(1, "4x"), say.SendKeys(9, "1"))
    assert len(bridge.of(Trouble)) == 2


def test_a_key_is_no_jitter(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    talk(bridge, {0: sine(500, 8000, 10)})
    press(bridge, a, 5, beats=40)
    jitter = bridge.beat._jitter
    row = bridge.beat.table.rows[1]
    assert jitter.jitter[row] < 0.001
    assert (jitter._transit_high - jitter._transit_low)[:, row].max() < 0.001
