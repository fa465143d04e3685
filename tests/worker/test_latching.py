"""Whose packets are heard: callers behind NAT are found, strangers are not heard and take over nothing."""

from __future__ import annotations

import random
import socket

import numpy as np
import pytest

from bridge.worker.protocol import Address, DropStream, Latched
from tests.worker.phones import CODECS, Bridge, Phone, heard, noise, sine, strength, talk, udp

ELSEWHERE = Address("192.0.2.7", 4000)
"""What the SDP of a caller behind NAT says."""


def intruder(bridge: Bridge, phone: Phone, **same: int) -> Phone:
    """Somebody else's socket, sending to a phone's port."""
    other = Phone(99, phone.codec, phone.port, **same)
    other._socks |= set()
    bridge.phones.append(other)
    return other


def counters(bridge: Bridge):
    return bridge.beat._intake.counters


def test_a_strangers_packets_are_not_heard_and_take_over_nothing(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    stranger = intruder(bridge, a)
    said = {0: noise(30, 16000), 1: noise(30, 16000)}
    for n in range(30):
        a.send(said[0][n])
        b.send(said[1][n])
        if n > 2:
            stranger.send(noise(1, 16000)[0])
            stranger.send(noise(1, 16000)[0])
        bridge.step()
    assert np.array_equal(heard(b).reshape(30, -1)[1:], said[0][1:])
    assert np.array_equal(heard(a).reshape(30, -1)[1:], said[1][1:])
    assert not stranger.packets
    assert counters(bridge).strangers == 54
    assert bridge.free_slots == bridge.beat._pool.slots


def test_a_stranger_with_the_callers_own_numbers_is_not_heard_while_the_caller_talks(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    said = noise(40, 16000)
    stranger = intruder(bridge, a, ssrc=a.ssrc)
    for n in range(40):
        a.send(said[n])
        stranger.sequence, stranger.timestamp = a.sequence, a.timestamp
        stranger.send(noise(1, 16000)[0])
        bridge.step()
    assert np.array_equal(heard(b).reshape(40, -1)[1:], said[1:])
    assert not stranger.packets


def test_a_caller_behind_nat_is_adopted_after_two_packets_in_sequence(bridge: Bridge) -> None:
    a = bridge.phone("L16", join={"remote": ELSEWHERE})
    b = bridge.phone("L16")
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    assert [(e.stream, e.remote) for e in bridge.of(Latched) if e.stream == 1] == [(1, a.address)]
    assert np.array_equal(heard(b).reshape(10, -1)[2:], said[0][2:])
    assert np.array_equal(heard(a).reshape(-1, 320)[-8:], said[1][2:])


def test_a_caller_whose_sdp_names_no_address_is_adopted(bridge: Bridge) -> None:
    a = bridge.phone("L16", join={"remote": None, "remote_rtcp": None})
    bridge.phone("L16")
    talk(bridge, {0: noise(10, 16000), 1: noise(10, 16000)})
    assert len(a.packets) >= 8


def test_the_address_in_the_sdp_gets_its_call_back_from_who_was_quicker(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    stranger = intruder(bridge, a)
    said, lies = noise(40, 16000), noise(40, 16000)
    for n in range(40):
        if n >= 10:
            a.send(said[n])
        stranger.send(lies[n])
        bridge.step()
    assert np.array_equal(heard(b)[-320 * 20 :].reshape(20, -1), said[20:])
    assert [e.remote for e in bridge.of(Latched) if e.stream == a.stream] == [stranger.address, a.address]
    count = len(stranger.packets)
    talk(bridge, {0: noise(20, 16000)})
    assert len(stranger.packets) == count
    assert counters(bridge).moved == 0


def test_who_is_behind_no_nat_is_adopted_from_no_other_host(bridge: Bridge) -> None:
    a = bridge.phone("L16", join={"at_home": True})
    far, near = intruder(bridge, a), intruder(bridge, a)
    far.sock.close()
    far.sock = udp("127.0.0.2")
    far._socks.add(far.sock)
    for block in noise(10, 16000):
        far.send(block)
        bridge.step()
    assert not bridge.of(Latched)
    for block in noise(3, 16000):  # another port of its host may be its own
        near.send(block)
        bridge.step()
    assert [e.remote for e in bridge.of(Latched)] == [near.address]


def test_packets_out_of_sequence_or_of_no_agreed_codec_adopt_nobody(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", join={"remote": ELSEWHERE})
    numbers = random.Random(1)
    for n in range(60):
        a.sequence = numbers.randrange(60000)
        a.send_payload(bytes(160), 0 if n % 2 else 77)
        bridge.step()
    assert not [e for e in bridge.of(Latched) if e.stream == 1]
    assert not a.packets


def test_two_callers_share_a_port(bridge: Bridge) -> None:
    port = bridge.ports[0]
    a, b = bridge.phone("L16", port=port), bridge.phone("L16", port=port)
    c = bridge.phone("L16", port=port, join={"remote": ELSEWHERE})
    said = np.stack([noise(10, 16000) for _ in range(3)])
    talk(bridge, dict(enumerate(said)))
    assert np.array_equal(heard(a).reshape(10, -1)[2:], said[1, 2:] + said[2, 2:])
    assert np.array_equal(heard(b).reshape(10, -1)[2:], said[0, 2:] + said[2, 2:])
    assert np.array_equal(heard(c).reshape(-1, 320)[-8:], said[0, 2:] + said[1, 2:])


def test_who_claims_anothers_address_gets_none_of_his_packets(bridge: Bridge) -> None:
    port = bridge.ports[0]
    a, b = bridge.phone("L16", port=port), bridge.phone("L16")
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    thief = bridge.phone("L16", port=port, room=2, join={"remote": a.address})
    accomplice = bridge.phone("L16", room=2)
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(10, -1), said[0])
    assert not heard(accomplice).any()
    bridge.obey(DropStream(thief.stream))
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(10, -1), said[0])


def test_a_caller_whose_claimed_address_is_anothers_is_adopted_where_he_is(bridge: Bridge) -> None:
    port = bridge.ports[0]
    a = bridge.phone("L16", port=port)
    talk(bridge, {0: noise(3, 16000)})
    b = bridge.phone("L16", port=port, join={"remote": a.address})
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(a).reshape(-1, 320)[-8:], said[1][2:])
    assert np.array_equal(heard(b).reshape(-1, 320)[-7:], said[0][3:])


def test_a_caller_may_move_when_his_numbers_go_on(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    said = {0: noise(60, 16000), 1: noise(60, 16000)}
    for n in range(60):
        if n == 20:
            a.move()
        if not 20 <= n < 40:
            a.send(said[0][n])
        else:  # the network is away for 400 ms
            a.sequence += 1
            a.timestamp += 320
        b.send(said[1][n])
        bridge.step()
    assert bridge.of(Latched)[-1].remote == a.address
    assert counters(bridge).moved == 1
    pcm = heard(b).reshape(60, -1)
    assert all(any(np.array_equal(block, said[0][n]) for block in pcm[40:]) for n in range(43, 55))
    assert np.array_equal(heard(a).reshape(-1, 320)[-15:], said[1][45:])


def test_a_caller_does_not_move_while_his_old_address_still_talks_nor_to_other_numbers(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    bridge.phone("PCMU")
    talk(bridge, {0: sine(500, 8000, 10)})
    stranger = intruder(bridge, a, ssrc=a.ssrc)
    stranger.sequence = a.sequence + 5000
    for _ in range(50):
        stranger.send(np.zeros(160))
        bridge.step()
    assert not stranger.packets
    stranger.ssrc, stranger.sequence = a.ssrc + 1, a.sequence
    for _ in range(50):
        stranger.send(np.zeros(160))
        bridge.step()
    assert not stranger.packets


def test_a_new_ssrc_from_the_same_address_is_heard_at_once(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    said = noise(20, 16000)
    for n in range(20):
        if n == 10:
            a.ssrc, a.sequence, a.timestamp = 0xABCDEF, 60123, 12345
        a.send(said[n])
        bridge.step()
    pcm = heard(b).reshape(20, -1)
    assert np.array_equal(pcm[11:], said[11:])
    assert np.array_equal(pcm[1:10], said[1:10])


def test_a_changed_description_moves_the_call(bridge: Bridge) -> None:
    """A re-INVITE with another address and another port of ours."""
    a, b = bridge.phone("L16", port=bridge.ports[0]), bridge.phone("L16", port=bridge.ports[1])
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    a.move()
    a.port = bridge.ports[2]
    bridge.obey(a.spec(1))
    a.packets.clear()
    b.packets.clear()
    talk(bridge, said)
    assert np.array_equal(heard(b).reshape(10, -1), said[0])
    assert np.array_equal(heard(a).reshape(10, -1), said[1])


def test_hold_and_resume(bridge: Bridge) -> None:
    a, b = bridge.phone("L16"), bridge.phone("L16")
    said = {0: noise(10, 16000), 1: noise(10, 16000)}
    talk(bridge, said)
    last = a.packets[-1]
    bridge.obey(a.spec(1, send=None, receive=()))
    a.packets.clear()
    b.packets.clear()
    talk(bridge, said)
    assert not a.packets
    assert not heard(b)[640:].any()
    bridge.obey(a.spec(1))
    a.packets.clear()
    b.packets.clear()
    talk(bridge, said)
    assert a.packets[0].ssrc == last.ssrc
    assert a.packets[0].sequence == last.sequence + 1
    assert a.packets[0].marker
    assert np.array_equal(heard(a).reshape(10, -1), said[1])
    assert np.array_equal(heard(b).reshape(10, -1)[-5:], said[0][-5:])


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_and_ipv4_meet_in_one_room(bridge: Bridge) -> None:
    a, b = bridge.phone("L16", host="::1"), bridge.phone("PCMU")
    talk(bridge, {0: sine(500, 16000, 30), 1: sine(900, 8000, 30)})
    assert strength(heard(a)[-8000:], 900, 16000) > 7000
    assert strength(heard(b)[-4000:], 500, 8000) > 7000
    assert [e.remote.host for e in bridge.of(Latched)] == ["::1", "127.0.0.1"] or {
        e.remote.host for e in bridge.of(Latched)
    } == {"::1", "127.0.0.1"}


def test_a_muted_caller_is_still_latched(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", join={"muted": True, "remote": ELSEWHERE})
    talk(bridge, {0: sine(500, 8000, 5)})
    assert [e.remote for e in bridge.of(Latched)] == [a.address]


def test_payload_types_that_were_not_agreed_are_discarded(bridge: Bridge) -> None:
    a, b = bridge.phone("PCMU"), bridge.phone("L16")
    talk(bridge, {0: sine(500, 8000, 5)})
    for _ in range(10):
        a.send_payload(bytes(100), 55, ticks=160)
        bridge.step()
    assert not heard(b)[-800:].any()
    assert int(bridge.beat.table.discarded[bridge.beat.table.rows[1]]) == 10
    assert CODECS["PCMU"].payload_type == 0
