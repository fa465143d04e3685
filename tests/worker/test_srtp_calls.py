"""Encrypted calls through the whole beat, with libsrtp on the far side."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.media import rtcp
from bridge.worker.protocol import Address, DropStream, Latched, SendState, SrtpKey
from tests.worker.phones import PROFILES, Bridge, Phone, drain, heard, noise, talk

ELSEWHERE = Address("192.0.2.7", 4000)


@pytest.mark.parametrize("suite", PROFILES)
@pytest.mark.parametrize("mux", [True, False])
def test_each_suite_both_ways(bridge: Bridge, suite: str, mux: bool) -> None:
    a, b = bridge.phone("L16", suite=suite, mux=mux), bridge.phone("L16")
    said = {0: noise(20, 16000), 1: noise(20, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(20, -1)[1:], said[0][1:])
    assert np.array_equal(heard(a).reshape(20, -1)[1:], said[1][1:])
    assert a.packets[0].payload not in a.raw[0]
    a.send_rtcp(rtcp.build([rtcp.ReceiverReport(a.ssrc)]))
    bridge.step(400)
    assert a.reports
    kinds = {type(packet) for data in a.reports for packet in rtcp.parse(data)}
    assert rtcp.SenderReport in kinds
    assert bridge.beat._intake.counters.unauthentic == 0


def test_listeners_with_and_without_srtp_share_an_encoding(bridge: Bridge) -> None:
    talker = bridge.phone("L16")
    phones = [bridge.phone("L16", suite=suite) for suite in ("", *PROFILES)]
    said = noise(10, 16000)
    talk(bridge, {0: said})
    for phone in phones:
        assert np.array_equal(heard(phone).reshape(10, -1)[1:], said[1:])
    assert not heard(talker).any()


def test_what_is_not_authentic_is_not_heard(bridge: Bridge) -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    a, b = bridge.phone("L16", suite=suite), bridge.phone("L16")
    said = noise(20, 16000)
    rng = np.random.default_rng(2)
    for n in range(20):
        data = a.send(said[n])
        a.send_raw(data)  # a replay
        forged = bytearray(data)
        forged[3] += 1
        a.send_raw(bytes(forged))
        a.send_raw(a.header() + rng.bytes(330))
        bridge.step()
    assert np.array_equal(heard(b).reshape(20, -1)[1:], said[1:])
    assert bridge.beat._intake.counters.unauthentic == 60


def test_a_secure_caller_behind_nat_is_adopted_at_his_first_packet(bridge: Bridge) -> None:
    a = bridge.phone("L16", suite="AEAD_AES_128_GCM", join={"remote": ELSEWHERE})
    b = bridge.phone("L16")
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(10, -1)[1:], said[0][1:])
    assert Latched(1, a.address) in bridge.events


def test_a_stranger_cannot_take_a_secure_call_not_even_a_silent_one(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", suite="AES_CM_128_HMAC_SHA1_32", join={"remote": ELSEWHERE})
    stranger = Phone(1, "PCMU", a.port)
    bridge.phones.append(stranger)
    for _ in range(20):
        stranger.send(np.zeros(160))
        bridge.step()
    assert not stranger.packets
    assert not bridge.of(Latched)
    talk(bridge, {0: np.zeros((10, 160))})
    stranger.ssrc, stranger.sequence = a.ssrc, a.sequence
    for _ in range(50):
        stranger.send(np.zeros(160))
        bridge.step()
    assert not stranger.packets
    assert [e.remote for e in bridge.of(Latched)] == [a.address]


def test_a_secure_caller_moves_with_proof_and_is_heard_all_the_while(bridge: Bridge) -> None:
    a, b = bridge.phone("L16", suite="AES_CM_128_HMAC_SHA1_80", mux=True), bridge.phone("L16")
    said = {0: noise(50, 16000), 1: noise(50, 16000)}
    for n in range(50):
        if n == 15:
            a.move()
        a.send(said[0][n])
        b.send(said[1][n])
        bridge.step()
    assert np.array_equal(heard(b).reshape(50, -1)[1:], said[0][1:])
    assert bridge.of(Latched)[-1] == Latched(1, a.address)
    assert np.array_equal(heard(a).reshape(-1, 320)[-18:], said[1][32:])


def test_copied_packets_from_elsewhere_move_nobody(bridge: Bridge) -> None:
    a, b = bridge.phone("L16", suite="AEAD_AES_128_GCM"), bridge.phone("L16")
    thief = Phone(9, "L16", a.port)
    bridge.phones.append(thief)
    said = noise(60, 16000)
    sealed = []
    for block in said:
        sealed.append(a.tx.protect(a.header() + a.encode(block)))
        a.sequence += 1
        a.timestamp += 320
    for n in range(60):
        if n > 3 and n % 3 == 0 and n < 59:
            thief.send_raw(sealed[n + 1])  # quicker by a beat
        elif n > 3 and n % 3 == 2:
            thief.send_raw(sealed[n])  # quicker by a moment
        a.send_raw(sealed[n])
        bridge.step()
    assert not thief.packets
    assert [e.remote for e in bridge.of(Latched) if e.stream == 1] == [a.address]
    assert np.array_equal(heard(b).reshape(60, -1)[1:], said[1:])


def test_sequence_numbers_wrap_under_encryption(bridge: Bridge) -> None:
    a, b = bridge.phone("L16", suite="AES_CM_128_HMAC_SHA1_80"), bridge.phone("L16")
    a.sequence = 65526
    table = bridge.beat.table
    table.sequence[table.rows[1]] = 65526
    said = {0: noise(30, 16000), 1: noise(30, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(30, -1)[1:], said[0][1:])
    assert np.array_equal(heard(a).reshape(30, -1)[1:], said[1][1:])


def test_a_stream_resumes_in_another_worker_and_is_still_decrypted(bridge: Bridge) -> None:
    """What control does after a crash: the same stream, its numbers ahead, its rollover counters told."""
    suite = "AEAD_AES_256_GCM"
    a, b = bridge.phone("L16", suite=suite), bridge.phone("L16")
    table = bridge.beat.table
    a.sequence = table.sequence[table.rows[1]] = 65530
    said = {0: noise(20, 16000), 1: noise(20, 16000)}
    talk(bridge, said)
    row = table.rows[1]
    state = SendState(int(table.ssrc[row]), int(table.sequence[row]) + 256, int(table.timestamp[row]), 1, 300)
    bridge.obey(DropStream(1))
    drain(a.sock)
    drain(a.rtcp)
    bridge.obey(
        a.spec(
            1,
            send_state=state,
            srtp_send=SrtpKey(suite, a.key_out.material, rollover=1),
            srtp_receive=SrtpKey(suite, a.key_in.material, rollover=1),
        )
    )
    a.packets.clear()
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(a).reshape(20, -1)[1:], said[1][1:])
    assert np.array_equal(heard(b).reshape(20, -1)[2:], said[0][2:])
    assert a.packets[0].sequence == state.sequence


def test_new_keys_in_mid_call(bridge: Bridge) -> None:
    a, b = bridge.phone("L16", suite="AES_CM_128_HMAC_SHA1_80"), bridge.phone("L16")
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    again = Phone(1, "L16", a.port, suite="AEAD_AES_128_GCM", ssrc=a.ssrc)
    a.tx, a.rx, a.key_in, a.key_out = again.tx, again.rx, again.key_in, again.key_out
    again.close()
    a.suite = "AEAD_AES_128_GCM"
    bridge.obey(a.spec(1))
    a.packets.clear()
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(10, -1), said[0])
    assert np.array_equal(heard(a).reshape(10, -1), said[1])
