"""The whole beat between real sockets: who hears what, to the sample where the codec allows it."""

from __future__ import annotations

from itertools import combinations, pairwise

import av
import numpy as np
import pytest

from bridge.media.codecs import EncoderSettings
from bridge.media.codecs.opus import OpusEncoder
from bridge.worker import protocol as say
from bridge.worker.protocol import CodecSpec, DropRoom, DropStream, SetRoom, Silent, Trouble
from tests.worker.phones import CODECS, NOISE, Bridge, heard, noise, sine, strength, talk

# ---------------------------------------------------------------------------------------- N-1


def test_each_hears_the_sum_of_the_others_to_the_sample(bridge: Bridge) -> None:
    phones = [bridge.phone("L16") for _ in range(5)]
    said = noise(10, 16000)[None] + np.stack([noise(10, 16000, 900) for _ in phones]) // 2
    said = said.astype(np.int16)
    talk(bridge, dict(enumerate(said)))
    for place, phone in enumerate(phones):
        expected = said.sum(axis=0, dtype=int) - said[place]
        assert np.array_equal(heard(phone).reshape(10, -1)[1:], expected[1:])  # the first beat fades in


def test_a_listener_hears_the_sum_of_all(bridge: Bridge) -> None:
    phones = [bridge.phone("L16") for _ in range(3)]
    listeners = [bridge.phone("L16"), bridge.phone("L16")]
    said = np.stack([noise(6, 16000) for _ in phones])
    talk(bridge, dict(enumerate(said)))
    for listener in listeners:
        assert np.array_equal(heard(listener).reshape(6, -1)[1:], said.sum(axis=0, dtype=int)[1:])
    assert listeners[0].packets[3].payload == listeners[1].packets[3].payload


def test_what_is_received_ahead_of_the_beat_is_heard_as_if_it_were_not(bridge: Bridge) -> None:
    phones = [bridge.phone("L16") for _ in range(3)]
    listener = bridge.phone("L16")
    said = np.stack([noise(20, 16000) for _ in phones])
    for n in range(20):
        for place, phone in enumerate(phones):
            phone.send(said[place, n])
            if n % 4 >= place:
                bridge.beat.receive_ahead()
        bridge.step()
    assert np.array_equal(heard(listener).reshape(20, -1)[1:], said.sum(axis=0, dtype=int)[1:])
    assert bridge.beat._jitter.delay[:3].max() == 0.0


def test_a_beat_that_has_little_to_receive_is_not_woken_ahead(bridge: Bridge) -> None:
    bridge.step()
    bridge.beat._receiving = 0.0
    assert bridge.beat.lead == 0.0
    bridge.beat._receiving = 0.002
    assert 0.002 < bridge.beat.lead < 0.005
    bridge.beat.receive_ahead()
    assert bridge.beat.lead == 0.0  # once a beat
    bridge.step()
    assert bridge.beat.lead > 0.0


def test_rooms_do_not_hear_each_other(bridge: Bridge) -> None:
    here, there = [bridge.phone("L16", room=1) for _ in range(2)], [bridge.phone("L16", room=2) for _ in range(2)]
    said = np.stack([noise(6, 16000) for _ in range(4)])
    talk(bridge, dict(enumerate(said)))
    for phones, first in ((here, 0), (there, 2)):
        assert np.array_equal(heard(phones[0]).reshape(6, -1)[1:], said[first + 1, 1:])
        assert np.array_equal(heard(phones[1]).reshape(6, -1)[1:], said[first, 1:])


def test_the_muted_is_not_heard_and_the_deaf_hears_nothing(bridge: Bridge) -> None:
    a, b, c = (bridge.phone("L16") for _ in range(3))
    said = np.stack([noise(12, 16000) for _ in range(3)])
    talk(bridge, dict(enumerate(said[:, :4])))
    bridge.obey(a.spec(1, muted=True), c.spec(1, deaf=True))
    talk(bridge, dict(enumerate(said[:, 4:8])))
    assert np.array_equal(heard(b).reshape(-1, 320)[4:8], said[2, 4:8])
    assert np.array_equal(heard(a).reshape(-1, 320)[4:8], said[1, 4:8] + said[2, 4:8])
    assert not heard(c).reshape(-1, 320)[4:8].any()
    bridge.obey(a.spec(1), c.spec(1))
    talk(bridge, dict(enumerate(said[:, 8:])))
    assert np.array_equal(heard(b).reshape(-1, 320)[9:], said[0, 9:] + said[2, 9:])
    assert np.array_equal(heard(c).reshape(-1, 320)[9:], said[0, 9:] + said[1, 9:])


def test_gains_are_applied_to_a_voice_and_to_what_is_heard(bridge: Bridge) -> None:
    phones = [bridge.phone("L16") for _ in range(3)]
    bridge.obey(phones[0].spec(1, gain_in=-20.0), phones[2].spec(1, gain_out=-6.0206))
    said = np.stack([noise(6, 16000) for _ in range(3)])
    talk(bridge, dict(enumerate(said)))
    first = np.rint(said[0, 1:] / 10.0)
    assert np.abs(heard(phones[1]).reshape(6, -1)[1:] - (first + said[2, 1:])).max() <= 1
    assert np.abs(heard(phones[2]).reshape(6, -1)[1:] - (first + said[1, 1:]) / 2).max() <= 1


def test_the_lobby_hears_prompts_only(bridge: Bridge) -> None:
    talker, waiting = bridge.phone("L16"), bridge.phone("L16", room=0)
    said = np.stack([noise(5, 16000), noise(5, 16000)])
    talk(bridge, dict(enumerate(said)))
    assert len(waiting.packets) == 5
    assert not heard(waiting).any()
    assert not heard(talker).any()


# -------------------------------------------------------------------------------- codecs and rates


@pytest.mark.parametrize(("one", "other"), [*combinations(CODECS, 2), *((c, c) for c in CODECS)])
def test_any_two_codecs_understand_each_other(bridge: Bridge, one: str, other: str) -> None:
    a, b = bridge.phone(one), bridge.phone(other)
    talk(bridge, {0: sine(440, a.rate, 50), 1: sine(1000, b.rate, 50)})
    for phone, own, theirs in ((a, 440, 1000), (b, 1000, 440)):
        pcm = heard(phone)
        assert len(pcm) == 50 * phone.rate // 50
        late = pcm[len(pcm) // 2 :]
        assert 6500 < strength(late, theirs, phone.rate) < 9000
        assert strength(late, own, phone.rate) < 60


def test_six_codecs_in_one_room_hear_five_tones_and_not_their_own(bridge: Bridge) -> None:
    phones = [bridge.phone(codec) for codec in CODECS]
    tones = [400 + 150 * n for n in range(6)]
    talk(bridge, {n: sine(tone, phones[n].rate, 60, 3000) for n, tone in enumerate(tones)})
    for place, phone in enumerate(phones):
        pcm = heard(phone)[-phone.rate // 2 :]
        for n, tone in enumerate(tones):
            level = strength(pcm, tone, phone.rate)
            assert level < 100 if n == place else 2200 < level < 3600, (phone.codec, phones[n].codec, level)


@pytest.mark.parametrize("codec", ["L16", "PCMU", "G722", "OPUS"])
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_every_packet_time_is_taken_and_sent(bridge: Bridge, codec: str, ptime: int) -> None:
    a = bridge.phone(codec, join={"ptime": ptime})
    ptime = 20 if codec == "OPUS" and ptime == 30 else ptime  # it has no frames of 30 ms (RFC 7587 §4.2)
    b = bridge.phone("L16")
    said = sine(500, a.rate, 120).reshape(-1)
    size, position = a.rate * ptime // 1000, 0
    for n in range(120):
        b.send(sine(900, 16000, 120)[n])
        while position + size <= (n + 1) * a.rate // 50 and position + size <= len(said):
            a.send(said[position : position + size])
            position += size
        bridge.step()
    pcm = heard(b)
    assert strength(pcm[-16000:], 500, 16000) > 6500
    tail = pcm[-16000:].astype(float)
    clean = strength(tail, 500, 16000)
    assert np.sqrt(np.mean(tail**2)) < 1.1 * clean / np.sqrt(2)  # nothing but the tone: no gaps, no repeats
    back = a.packets
    expected = {"OPUS": 48000}.get(codec, 16000 if codec == "L16" else 8000)
    steps = {(q.timestamp - p.timestamp) & 0xFFFFFFFF for p, q in pairwise(back)}
    assert steps == {expected * ptime // 1000}
    if codec != "OPUS":
        assert {len(p.payload) for p in back} == {ptime * (32 if codec == "L16" else 8)}
    assert [p.sequence for p in back] == list(range(back[0].sequence, back[0].sequence + len(back)))
    assert abs(len(back) - 120 * 20 // ptime) <= 1
    mine = heard(a)
    assert strength(mine[-a.rate :], 900, a.rate) > 6500
    assert strength(mine[-a.rate :], 500, a.rate) < 60


def test_a_listener_of_60_ms_packets_who_begins_to_talk_misses_nothing(bridge: Bridge) -> None:
    talker, other = bridge.phone("L16"), bridge.phone("L16", join={"ptime": 60})
    said = noise(60, 16000)
    for n in range(60):
        talker.send(said[n])
        if 20 <= n < 40 and n != 25:  # talks, pauses within, and stops
            other.send(np.zeros(320))
        bridge.step()
    assert {len(p.payload) for p in other.packets} == {1920}
    stamps = [p.timestamp for p in other.packets]
    assert {b - a for a, b in pairwise(stamps)} == {960}
    assert len(other.packets) == 20
    pcm = heard(other)
    start = int(np.flatnonzero(pcm == said[1, 0])[0])  # packets of 60 ms begin at every third beat
    assert start <= 640 + 320
    assert np.array_equal(pcm[start:], said[1:].reshape(-1)[: len(pcm) - start])


def test_opus_in_stereo_is_heard(bridge: Bridge) -> None:
    bridge.phone("OPUS")
    listener = bridge.phone("L16")
    left = av_opus(np.stack([sine(500, 48000, 60).reshape(-1), sine(800, 48000, 60).reshape(-1)]))
    for payload in left:
        bridge.phones[0].send_payload(payload, ticks=960)
        bridge.step()
    pcm = heard(listener)[-12000:]
    assert 3000 < strength(pcm, 500, 16000) < 5000
    assert 3000 < strength(pcm, 800, 16000) < 5000


def av_opus(pcm: np.ndarray) -> list[bytes]:
    """Stereo Opus packets of 20 ms by libavcodec's wrapper."""
    context = av.CodecContext.create("libopus", "w")
    context.layout, context.sample_rate, context.format = "stereo", 48000, "s16"
    context.bit_rate = 96000
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(pcm.T).reshape(1, -1).astype(np.int16), format="s16", layout="stereo"
    )
    frame.sample_rate = 48000
    return [bytes(packet) for packet in (*context.encode(frame), *context.encode(None))]


def test_the_codec_may_change_in_mid_call_both_ways(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("L16")
    both = (CODECS["PCMU"], CODECS["G722"], CODECS["OPUS"])
    bridge.obey(a.spec(1, receive=both))
    for codec in ("PCMU", "OPUS", "G722", "PCMU"):
        a.codec, a._encoder, a._decoder = codec, None, None
        bridge.obey(a.spec(1, receive=both))
        a.packets.clear()
        b.packets.clear()
        talk(bridge, {0: sine(600, a.rate, 40), 1: sine(1100, 16000, 40)})
        assert strength(heard(b)[-8000:], 600, 16000) > 6500, codec
        assert strength(heard(a)[-a.rate // 2 :], 1100, a.rate) > 6500, codec
        stamps = [p.timestamp for p in a.packets]
        assert len({(y - x) & 0xFFFFFFFF for x, y in pairwise(stamps)}) == 1


# --------------------------------------------------------------------------- rooms come and go


def test_a_dropped_rooms_people_hear_nothing_and_a_new_room_is_clean(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    said = {0: noise(5, 16000), 1: noise(5, 16000)}
    talk(bridge, said)
    bridge.obey(DropRoom(1))
    b.packets.clear()
    talk(bridge, said)
    assert not heard(b).any()
    bridge.obey(SetRoom(9), a.spec(9), b.spec(9))
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(5, -1)[1:], said[0][1:])


def test_people_move_to_another_room_without_dialling_again(bridge: Bridge) -> None:
    a, b, c = bridge.phone("L16"), bridge.phone("L16"), bridge.phone("L16", room=2)
    said = np.stack([noise(8, 16000) for _ in range(3)])
    talk(bridge, dict(enumerate(said[:, :4])))
    bridge.obey(a.spec(2))
    talk(bridge, dict(enumerate(said[:, 4:])))
    assert np.array_equal(heard(a).reshape(8, -1)[5:], said[2, 5:])
    assert np.array_equal(heard(c).reshape(8, -1)[5:], said[0, 5:])
    assert not heard(b).reshape(8, -1)[4:].any()


def test_silence_is_told_every_five_seconds(bridge: Bridge) -> None:
    bridge.phone("PCMU")
    bridge.phone("PCMU")
    for _ in range(600):
        bridge.phones[0].send(np.zeros(160))
        bridge.step()
    silent = bridge.of(Silent)
    assert [event.stream for event in silent] == [2, 2]
    assert 5 <= silent[0].seconds < 6.1


def test_a_full_worker_says_so() -> None:
    bridge = Bridge(capacity=2)
    try:
        for _ in range(3):
            bridge.phone("PCMU")
        assert [t.stream for t in bridge.of(Trouble)] == [3]
        bridge.obey(DropStream(1), bridge.phones[2].spec(1))
        assert len(bridge.of(Trouble)) == 1
    finally:
        bridge.close()


def test_a_command_for_nothing_known_is_trouble_and_hurts_nobody(bridge: Bridge) -> None:
    a = bridge.phone("L16")
    bridge.phone("L16")
    bridge.obey(
        a.spec(77),
        a.spec(1, port=1),
        a.spec(1, receive=(CodecSpec("GSM", 3, 8000),)),
        say.Capture(1, 99),
        say.Say(1, ("tone:beep",), stream=99),
        DropStream(99),
        DropRoom(99),
        say.Hush(stream=99),
    )
    assert len(bridge.of(Trouble)) == 5
    said = {0: noise(4, 16000), 1: noise(4, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(a).reshape(4, -1)[1:], said[1][1:])


def test_the_speaker_is_named_within_300_ms(bridge: Bridge) -> None:
    for _ in range(3):
        bridge.phone("PCMU")
    quiet = NOISE.normal(0, 20, (100, 160)).astype(np.int16)
    talk(bridge, {0: quiet, 1: quiet, 2: quiet})
    before = len(bridge.of(say.Speaking))
    talk(bridge, {0: quiet[:15], 1: sine(300, 8000, 15) + quiet[:15], 2: quiet[:15]})
    assert [e.stream for e in bridge.of(say.Speaking)[before:]] == [2]


def test_a_speaker_who_leaves_the_room_speaks_there_no_more(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("PCMU")
    loud = sine(300, 8000, 40)
    talk(bridge, {0: loud[:20]})
    assert bridge.of(say.Speaking)[-1] == say.Speaking(1, 1)
    bridge.obey(a.spec(0))
    bridge.step()
    assert bridge.of(say.Speaking)[-1] == say.Speaking(1, 0)
    bridge.obey(a.spec(1))
    talk(bridge, {0: loud[20:]})
    assert bridge.of(say.Speaking)[-1] == say.Speaking(1, 1)
    bridge.obey(DropRoom(1), SetRoom(2), a.spec(0), b.spec(2))  # under the index that room 1 had
    talk(bridge, {1: loud[:20] // 8})
    assert bridge.of(say.Speaking)[-1] == say.Speaking(2, 2), "somebody who is softer than the one before"


@pytest.mark.parametrize("codec", ["PCMU", "G722", "L16", "OPUS"])
@pytest.mark.parametrize("fast", [True, False])
def test_a_clock_that_is_off_is_followed_without_a_step(bridge: Bridge, codec: str, fast: bool) -> None:
    """2,500 ppm: every 400 beats a packet too many, or one too few."""
    a, b = bridge.phone(codec), bridge.phone("L16")
    said = sine(310, a.rate, 2100)
    sent = 0
    for beat in range(1600):
        count = 1
        if beat % 400 == 399:
            count = 2 if fast else 0
        for _ in range(count):
            a.send(said[sent])
            sent += 1
        bridge.step()
        if beat == 60:
            b.packets.clear()
    pcm = heard(b)
    natural = np.abs(np.diff(sine(310, 16000, 50).reshape(-1).astype(int))).max()
    assert np.abs(np.diff(pcm.astype(int))).max() < 1.6 * natural
    row = bridge.beat.table.rows[1]
    assert bridge.beat._jitter.delay[row] <= 0.0441
    assert bridge.beat._jitter.held[row] <= 2
    if codec == "OPUS":  # its own concealment is made for voices and lets tones fade
        return
    level = np.sqrt((pcm.reshape(-1, 320).astype(float) ** 2).mean(axis=1))
    assert level.min() > 0.6 * np.median(level)


def test_losses_that_fec_tells_of_cost_one_step_in_time_and_no_more(bridge: Bridge) -> None:
    a, _ = bridge.phone("OPUS"), bridge.phone("L16")
    a._encoder = OpusEncoder(EncoderSettings(bitrate=32000, fec=True))
    a._encoder.adapt(0.1, None)
    voice = sum(sine(170.0 * n, 48000, 600, 9000 / n) for n in range(1, 9))
    voice = (voice * np.abs(np.sin(np.arange(voice.size) / 8000)).reshape(voice.shape)).astype(np.int16)
    lost = {60, *range(100, 600, 50), *range(101, 600, 50)}
    for n, block in enumerate(voice):
        if n in lost:
            a.encode(block)
            a.sequence += 1
            a.timestamp += 960
        else:
            a.send(block)
        bridge.step()
    row, jitter = bridge.beat.table.rows[1], bridge.beat._jitter
    assert jitter.recoverable[row]
    assert jitter.concealed[row] == len(lost) + 1
    assert jitter.delay[row] <= 0.021  # as deep as it must be for that, counted from the beat
