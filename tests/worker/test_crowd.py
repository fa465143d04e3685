"""Many at once: each room hears what it would hear alone, and large rooms mix their loudest."""

from __future__ import annotations

import struct

import numpy as np

from bridge.media import rtcp, rtcp_xr
from bridge.worker.protocol import SetRoom
from tests.worker.phones import CN, CODECS, EVENT, Bridge, Phone, heard, noise, sine, strength

ROOMS = (
    ("PCMU", "PCMU", "L16"),
    ("G722", "OPUS"),
    ("L16/48", "PCMA", "G722", "PCMU"),
    ("OPUS", "OPUS", "L16"),
    ("L16",),
)


def listen(rooms: dict[int, tuple[str, ...]], loss: np.ndarray) -> dict[tuple[int, int], tuple[list[int], np.ndarray]]:
    """What everybody of some rooms is sent: timestamps since the first, and the sound."""
    bridge = Bridge(ports=4)
    try:
        phones: dict[tuple[int, int], Phone] = {}
        for room, codecs in rooms.items():
            for place, codec in enumerate(codecs):
                joined = {"send_cn": CN, "ptime": (20, 40, 10)[place % 3] if codec == "PCMU" else 20}
                phones[room, place] = bridge.phone(codec, room=room, join=joined)
        for beat in range(60):
            for (room, place), phone in phones.items():
                rng = np.random.default_rng([room, place, beat])
                block = sine(300 + 50 * place, phone.rate, 1)[0] + rng.normal(0, 100, phone.rate // 50)
                if loss[room, place, beat]:
                    phone.encode(block)
                    phone.sequence += 1
                    phone.timestamp += CODECS[phone.codec].clock_rate // 50
                else:
                    phone.send(block)
            bridge.step()
        return {
            key: ([(p.timestamp - phone.packets[0].timestamp) & 0xFFFFFFFF for p in phone.packets], heard(phone))
            for key, phone in phones.items()
        }
    finally:
        bridge.close()


def test_every_room_hears_what_it_would_hear_alone() -> None:
    loss = np.random.default_rng(5).random((len(ROOMS) + 1, 4, 60)) < 0.05
    rooms = dict(enumerate(ROOMS, 1))
    together = listen(rooms, loss)
    for room, codecs in rooms.items():
        for key, (stamps, pcm) in listen({room: codecs}, loss).items():
            assert stamps == together[key][0]
            # resampled sums come from one product of matrices, whose last bit depends on its shape, and encoders differ
            # by what follows from that
            error = pcm.astype(float) - together[key][1]
            assert (error**2).mean() <= 1e-3 * (pcm.astype(float) ** 2).mean(), key


def test_in_a_large_room_the_loudest_are_mixed_and_no_others(bridge: Bridge) -> None:
    bridge.obey(SetRoom(1, loudest=3))
    phones = [bridge.phone("L16") for _ in range(7)]
    levels = [400, 500, 600, 700, 3000, 4000, 5000]
    tones = [300 + 200 * n for n in range(7)]
    said = [sine(tone, 16000, 60, level) for tone, level in zip(tones, levels, strict=True)]
    for n in range(60):
        for phone, blocks in zip(phones, said, strict=True):
            phone.send(blocks[n])
        bridge.step()
    pcm = heard(phones[0])[-8000:]
    for tone, level in zip(tones, levels, strict=True):
        found = strength(pcm, tone, 16000)
        assert abs(found - level) < 0.1 * level if level >= 3000 else found < 20
    own = heard(phones[6])[-8000:]
    assert strength(own, tones[6], 16000) < 20
    assert strength(own, tones[5], 16000) > 3600


def test_the_levels_that_senders_tell_decide_without_decoding(bridge: Bridge) -> None:
    """RFC 6464: the one who says it is loud is mixed, whatever its samples are."""
    bridge.obey(SetRoom(1, loudest=1))
    phones = [bridge.phone("L16", join={"levels": 1}) for _ in range(3)]
    for n in range(40):
        for phone, told, hertz in ((phones[0], 60, 500), (phones[1], 20, 900)):
            head = bytearray(phone.header())
            head[0] |= 0x10
            extension = struct.pack("!HHBBH", 0xBEDE, 1, 0x10, 0x80 | told, 0)
            phone.send_raw(bytes(head) + extension + phone.encode(sine(hertz, 16000, 40)[n]))
            phone.sequence += 1
            phone.timestamp += 320
        bridge.step()
    pcm = heard(phones[2])[-6400:]
    assert strength(pcm, 900, 16000) > 7500
    assert strength(pcm, 500, 16000) < 20


def test_a_quiet_voice_is_raised_where_the_room_wants_it(bridge: Bridge) -> None:
    bridge.obey(SetRoom(1, agc=True))
    a, b = bridge.phone("L16"), bridge.phone("L16")
    rng = np.random.default_rng(1)
    for n in range(400):
        voice = sine(300, 16000, 400, 600)[n] if n % 20 < 14 else np.zeros(320)
        a.send(voice + rng.normal(0, 3, 320))
        bridge.step()
    pcm = heard(b).astype(float)
    assert np.abs(pcm[-32000:]).max() > 1.5 * np.abs(pcm[6400:12800]).max()
    assert np.abs(pcm).max() < 32767


def test_who_asked_for_extended_reports_gets_voip_metrics(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", join={"xr": True})
    bridge.phone("PCMU")
    for n in range(400):
        if n % 20:
            a.send(noise(1, 8000)[0])
        else:
            a.sequence += 1
            a.timestamp += 160
        bridge.step()
    found = [packet for data in a.reports for packet in rtcp.parse(data) if isinstance(packet, rtcp.ExtendedReport)]
    assert found
    (metrics,) = rtcp_xr.parse_blocks(found[-1].body)
    assert isinstance(metrics, rtcp_xr.VoipMetrics)
    assert metrics.ssrc == a.ssrc
    assert 8 <= metrics.loss_rate <= 16  # a twentieth of 256
    assert 60 <= metrics.r_factor <= 95
    assert not any(
        isinstance(packet, rtcp.ExtendedReport) for data in bridge.phones[1].reports for packet in rtcp.parse(data)
    )
    assert EVENT.payload_type == 101
