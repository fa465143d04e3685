"""STUN, DTLS and video on a port that a browser's voice comes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bridge.media import rtcp
from bridge.media.relay import RelayReceiver
from bridge.media.wire import PacketPool, address_text
from bridge.worker.bundle import CARRIED_A_BEAT
from bridge.worker.protocol import Address, Datagram, Datagrams, Latched, Trouble
from tests.worker.phones import Bridge, Phone, drain, heard, noise, talk, udp

SUITE = "AEAD_AES_128_GCM"
STUN = b"\x00\x01\x00\x00" + bytes(16)
DTLS = b"\x16\xfe\xfd" + bytes(40)
VIDEO = 120


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge(bundle=True)
    yield made
    made.close()


def browser(bridge: Bridge, **changes: Any) -> Phone:
    join = {"keyed": True, "fixed": True, "elsewhere": (VIDEO,)} | changes
    return bridge.phone("L16", suite=SUITE, mux=True, port=bridge.bundle_port, join=join)


def relayed(bridge: Bridge) -> list[tuple[bytes, int]]:
    assert bridge.video is not None
    pool = PacketPool(256)
    batch, streams = RelayReceiver(pool, bridge.video.fileno(), 200).receive()
    packets = [pool.memory[s, :n].tobytes() for s, n in zip(batch.slots, batch.lengths, strict=True)]
    return list(zip(packets, streams.tolist(), strict=True))


def test_stun_and_dtls_are_controls_and_its_answers_leave_from_the_same_port(bridge: Bridge) -> None:
    with udp() as peer:
        for data in (STUN, DTLS):
            peer.sendto(data, ("127.0.0.1", bridge.bundle_port))
        bridge.step()
        remote = Address(*peer.getsockname())
        assert bridge.of(Datagrams) == [Datagrams(bridge.bundle_port, (Datagram(remote, STUN), Datagram(remote, DTLS)))]
        bridge.obey(Datagrams(bridge.bundle_port, (Datagram(remote, b"answer"),)))
        assert peer.recvfrom(100) == (b"answer", ("127.0.0.1", bridge.bundle_port))


def test_without_a_browser_such_packets_on_a_phones_port_are_nobodys(bridge: Bridge) -> None:
    phone = bridge.phone("PCMU")
    phone.send_raw(STUN)
    bridge.step()
    assert not bridge.of(Datagrams)


def test_a_phone_that_is_keyed_by_dtls_has_its_own_port(bridge: Bridge) -> None:
    phone = bridge.phone("L16", join={"keyed": True})
    phone.send_raw(DTLS)
    bridge.step()
    assert [event.port for event in bridge.of(Datagrams)] == [phone.port]


def test_a_flood_is_cut_and_whoever_is_known_comes_through_it(bridge: Bridge) -> None:
    a = browser(bridge)
    bridge.step()
    with udp() as stranger:
        for _ in range(5 * CARRIED_A_BEAT):
            stranger.sendto(STUN, ("127.0.0.1", bridge.bundle_port))
        a.send_raw(DTLS)
        free = bridge.free_slots
        bridge.step()
    (event,) = bridge.of(Datagrams)
    assert len(event.packets) == CARRIED_A_BEAT
    assert event.packets[0] == Datagram(a.address, DTLS)
    assert bridge.beat._bundle.dropped == 4 * CARRIED_A_BEAT + 1
    bridge.step()
    assert bridge.free_slots == free


def test_a_browser_is_heard_and_hears_over_the_shared_port(bridge: Bridge) -> None:
    browser(bridge), bridge.phone("L16")
    said = {0: noise(20, 16000), 1: noise(20, 16000)}
    talk(bridge, said)
    assert np.array_equal(heard(bridge.phones[1]).reshape(20, -1)[1:], said[0][1:])
    assert np.array_equal(heard(bridge.phones[0]).reshape(20, -1)[1:], said[1][1:])


def test_video_goes_to_the_video_process_as_it_came_and_rtcp_to_both(bridge: Bridge) -> None:
    a = browser(bridge)
    bridge.step()
    free = bridge.free_slots
    sent = a.send_payload(b"picture", VIDEO)
    report = rtcp.build([rtcp.ReceiverReport(a.ssrc)])
    a.send_rtcp(report)
    bridge.now += 60
    bridge.step()
    (picture, whose), (sealed, other) = relayed(bridge)
    assert (picture, whose, other) == (sent, a.stream, a.stream)
    assert sealed[:8] == report[:8]
    assert sealed[8:] != report[8:]  # encrypted still: each process has its own keys
    assert bridge.beat.table.last_heard[bridge.beat.table.rows[a.stream]] == bridge.now
    assert bridge.free_slots == free
    assert bridge.beat.table.discarded.sum() == 0


def test_a_strangers_video_is_not_handed_on(bridge: Bridge) -> None:
    a = browser(bridge)
    stranger = Phone(7, "L16", bridge.bundle_port)
    bridge.phones.append(stranger)
    stranger.ssrc = a.ssrc
    stranger.send_payload(b"picture", VIDEO)
    bridge.step()
    assert relayed(bridge) == []


def test_the_relay_tells_the_source(bridge: Bridge) -> None:
    a = browser(bridge)
    a.send_payload(b"picture", VIDEO)
    bridge.step()
    assert bridge.video is not None
    batch, _ = RelayReceiver(PacketPool(64), bridge.video.fileno(), 16).receive()
    assert address_text(batch.sources[0]) == (a.address.host, a.address.port)


def test_before_the_keys_are_there_nothing_is_taken_and_nothing_is_sent(bridge: Bridge) -> None:
    a = browser(bridge, srtp_send=None, srtp_receive=None)
    plain = Phone(9, "L16", bridge.bundle_port, mux=True)
    plain.sock.close()
    plain.sock = plain.rtcp = a.sock
    bridge.phone("L16")
    for _ in range(20):
        plain.send(noise(1, 16000)[0])
        plain.send_rtcp(rtcp.build([rtcp.ReceiverReport(1)]))
        bridge.now += 1
        bridge.step()
    assert not a.packets
    assert not drain(a.sock)
    assert not a.reports
    assert not heard(bridge.phones[1]).any()
    bridge.obey(a.spec(1, keyed=True, fixed=True, elsewhere=(VIDEO,)))
    said = noise(10, 16000)
    for block in said:
        a.send(block)
        bridge.step()
    assert np.array_equal(heard(bridge.phones[1]).reshape(-1, 320)[-9:], said[1:])


def test_only_ice_moves_a_browser(bridge: Bridge) -> None:
    a = browser(bridge)
    talk(bridge, {0: noise(5, 16000)})
    old = a.sock
    a.move()
    for _ in range(60):
        a.send(noise(1, 16000)[0])
        bridge.step()
    assert drain(old)
    assert not a.packets[6:]
    assert not bridge.of(Latched)
    bridge.obey(a.spec(1, keyed=True, fixed=True, elsewhere=(VIDEO,)))
    bridge.step()
    before = len(a.packets)
    bridge.step(5)
    assert len(a.packets) == before + 5
    a.reports.clear()
    bridge.step(500)
    assert a.reports  # RTCP follows


def test_a_port_that_is_not_ours_is_trouble(bridge: Bridge) -> None:
    bridge.obey(Datagrams(1, (Datagram(Address("127.0.0.1", 9), b"x"),)))
    assert bridge.of(Trouble)
