"""Anything at all at the media ports while a call runs: nothing raises, nothing leaks, the call is untouched."""

from __future__ import annotations

import os
import random
import resource
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.media import rtcp
from bridge.worker.protocol import DropRoom, DropStream, Say, SendKeys, SetRoom
from tests.worker.phones import CN, CODECS, EVENT, PROFILES, Bridge, Phone, drain, noise, udp

EVERYTHING = (*CODECS.values(), EVENT, CN)


class Call:
    """Two phones whose audio is followed to the sample; and beside them everybody who may misbehave."""

    def __init__(self) -> None:
        self.bridge = Bridge(capacity=16, ports=2)
        port = self.bridge.ports[0]
        self.good = [self.bridge.phone("L16", port=port), self.bridge.phone("L16", port=port)]
        self.bad = [
            self.bridge.phone("OPUS", port=port, room=2, join={"receive": EVERYTHING, "levels": 1}),
            self.bridge.phone("PCMU", port=port, room=2, mux=True, join={"receive": EVERYTHING, "inband_dtmf": True}),
            *(self.bridge.phone("L16", port=port, room=2, suite=suite, mux=True) for suite in PROFILES),
        ]
        # one that nobody has heard of yet, whom strangers would like to be
        self.bridge.phone("L16", port=port, room=2, suite="AES_CM_128_HMAC_SHA1_80")
        self.stranger = udp()
        self.port = port
        self.blocks = noise(64, 16000)
        self.turn = 0
        for _ in range(5):
            self.beat()

    def beat(self) -> None:
        """One beat of the call, which must be heard exactly."""
        said = [self.blocks[(self.turn + 31 * n) % 64] for n in range(2)]
        for phone, block in zip(self.good, said, strict=True):
            phone.send(block)
        self.turn += 1
        self.bridge.step()
        for phone, other in zip(self.good, reversed(said), strict=True):
            packet = phone.packets.pop()
            assert not phone.packets
            if self.turn > 1:
                assert np.array_equal(phone.decode([packet]), other)
        for phone in self.bridge.phones:
            phone.packets.clear()
            phone.raw.clear()
            phone.reports.clear()
        assert not drain(self.stranger)

    def unaccounted(self) -> int:
        """Slots that are neither free, nor posted to the kernel, nor in a ring."""
        beat = self.bridge.beat
        held = int((beat._jitter._slots >= 0).sum())
        posted = sum(each._posted - each._gone for each in (beat._media, beat._control))
        return beat._pool.slots - beat._pool.free - posted - held

    @property
    def counted(self) -> int:
        counters = self.bridge.beat._intake.counters
        return counters.strangers + counters.malformed + counters.unauthentic

    def close(self) -> None:
        self.stranger.close()
        self.bridge.close()


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    made = Call()
    yield made
    made.close()


# ---------------------------------------------------------------------------------- what is sent


def rtp_like() -> st.SearchStrategy[bytes]:
    first = st.builds(lambda bits: 0x80 | bits, st.integers(0, 63))
    types = st.sampled_from([c.payload_type for c in EVERYTHING] + [1, 72, 127])
    header = st.tuples(first, types, st.booleans(), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 9))
    payload = st.one_of(st.binary(max_size=40), st.sampled_from([b"", bytes(160), bytes(320), bytes(640), bytes(1400)]))
    return st.builds(
        lambda h, p: struct.pack("!BBHII", h[0], h[1] | 0x80 * h[2], h[3], h[4], h[5]) + p, header, payload
    )


def rtcp_like() -> st.SearchStrategy[bytes]:
    whole = rtcp.build(
        [
            rtcp.SenderReport(7, 1 << 40, 5, 6, 7, (rtcp.ReportBlock(1, 2, 3, 4, 5, 6, 7),)),
            rtcp.SourceDescription((rtcp.Chunk(7, ((1, b"a@b"),)),)),
            rtcp.Bye((7,), b"gone"),
        ]
    )
    random_words = st.builds(
        lambda count, kind, length, body: struct.pack("!BBH", 0x80 | count, kind, length) + body,
        st.integers(0, 63),
        st.integers(192, 223),
        st.integers(0, 30) | st.integers(0, 65535),
        st.binary(max_size=120),
    )
    return st.one_of(mutated(st.just(whole)), random_words)


def stun_like() -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda kind, length, body: struct.pack("!HHI", kind, length, 0x2112A442) + body,
        st.sampled_from([0x0001, 0x0101, 0x0111, 0x0011]),
        st.integers(0, 65535),
        st.binary(min_size=12, max_size=60),
    )


def mutated(source: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    def change(data: bytes, flips: list[tuple[int, int]], cut: int, tail: bytes) -> bytes:
        changed = bytearray(data)
        for place, value in flips:
            if changed:
                changed[place % len(changed)] ^= value
        return bytes(changed[: max(len(changed) - cut, 0)]) + tail

    flips = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4)
    return st.builds(change, source, flips, st.sampled_from([0, 0, 0, 1, 10, 100]), st.binary(max_size=8))


DTLS = st.builds(lambda first, body: bytes([first]) + body, st.integers(20, 63), st.binary(max_size=60))
DATAGRAM = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=1600),
    rtp_like(),
    mutated(rtp_like()),
    rtcp_like(),
    stun_like(),
    DTLS,
    st.integers(2050, 4000).map(lambda size: b"\x80\x00" + bytes(size)),
)
MANY = st.lists(DATAGRAM, min_size=1, max_size=12)
SLOW = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SLOW
@given(MANY, st.booleans())
def test_strangers_are_counted_and_not_heard(call: Call, datagrams: list[bytes], control: bool) -> None:
    before = call.counted
    for data in datagrams:
        call.stranger.sendto(data, ("127.0.0.1", call.port + control))
    for _ in range(5):
        call.beat()
    assert call.counted - before >= len(datagrams)
    assert call.unaccounted() == 0


@SLOW
@given(MANY, st.integers(0, 5), st.integers(0, 4))
def test_a_participant_that_sends_anything_hurts_nobody_else(
    call: Call, datagrams: list[bytes], who: int, apart: int
) -> None:
    phone = call.bad[who]
    for data in datagrams:
        phone.send_raw(data)
        phone.rtcp.sendto(data, ("127.0.0.1", call.port + 1))
        for _ in range(apart % 3):
            call.beat()
    for _ in range(apart):
        call.beat()
    assert call.unaccounted() == 0


@SLOW
@given(
    st.lists(st.tuples(st.sampled_from(sorted(CODECS)), st.binary(max_size=200), st.integers(0, 2000)), max_size=10),
    st.integers(0, 1),
)
def test_well_numbered_packets_of_any_payload_are_played_without_harm(
    call: Call, packets: list[tuple[str, bytes, int]], who: int
) -> None:
    phone = call.bad[who]
    for codec, payload, ticks in packets:
        phone.send_payload(payload, CODECS[codec].payload_type, ticks=ticks)
        call.beat()
    call.beat()
    assert call.unaccounted() == 0


@SLOW
@given(st.integers(2, 5), st.integers(1, 8), st.data())
def test_mutated_srtp_opens_nothing(call: Call, who: int, count: int, data: st.DataObject) -> None:
    phone = call.bad[who]
    assert phone.tx is not None
    for _ in range(count):
        phone.sequence += 1
        sealed = phone.tx.protect(phone.header() + bytes(64))
        phone.send_raw(sealed)
        phone.send_raw(data.draw(mutated(st.just(sealed))))
        report = phone.tx.protect_rtcp(rtcp.build([rtcp.ReceiverReport(phone.ssrc)]))
        phone.send_raw(data.draw(mutated(st.just(report))))
        call.stranger.sendto(data.draw(mutated(st.just(sealed))), ("127.0.0.1", call.port))
        call.beat()
    assert call.unaccounted() == 0


def test_a_flood_of_strangers_keeps_no_newcomer_out(call: Call) -> None:
    """He is behind NAT on a port where strangers send a thousand packets a beat."""
    bridge = call.bridge
    port = bridge.ports[1]
    newcomer = bridge.phone("PCMU", port=port, room=3, join={"remote": None, "remote_rtcp": None})
    rng = random.Random(1)
    latched = False
    for _ in range(100):
        for _ in range(300):
            junk = struct.pack(
                "!BBHII", 0x80, rng.choice([96, 111, 18, 4]), rng.randrange(65536), 1, rng.getrandbits(32)
            )
            call.stranger.sendto(junk + bytes(160), ("127.0.0.1", port))
        newcomer.send(np.zeros(160))
        call.beat()
        latched = latched or bool(bridge.beat.table.latch[bridge.beat.table.rows[newcomer.stream]] == 2)
        if latched:
            break
    bridge.obey(DropStream(newcomer.stream))
    assert latched


# ------------------------------------------------------------------------------------------ soak


def test_a_long_day_of_joins_leaves_and_changes_leaks_nothing() -> None:
    """5,000 beats, seeded."""
    rng = random.Random(7)
    bridge = Bridge(capacity=24)
    table = bridge.beat.table
    phones: dict[int, Phone] = {}
    spoken = {codec: sounds(codec) for codec in CODECS}
    sizes: list[int] = []
    try:
        for beat in range(5000):
            if rng.random() < 0.03 and len(phones) < 10:
                join(bridge, phones, rng)
            if rng.random() < 0.03 and phones:
                phone = phones.pop(rng.choice(list(phones)))
                bridge.obey(DropStream(phone.stream))
                phone.close()
                bridge.phones.remove(phone)
            if rng.random() < 0.05 and phones:
                change(bridge, phones[rng.choice(list(phones))], rng)
            for phone in phones.values():
                if rng.random() < 0.95:
                    payloads, ticks = spoken[phone.codec]
                    phone.send_payload(rng.choice(payloads), CODECS[phone.codec].payload_type, ticks=ticks)
                else:
                    phone.sequence += 1
            bridge.step()
            for phone in phones.values():
                phone.packets.clear()
                phone.raw.clear()
                phone.reports.clear()
            if beat % 500 == 499:
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
                assert len(table.rows) == len(phones)
                bridge.events.clear()
        for phone in phones.values():
            bridge.obey(DropStream(phone.stream))
        bridge.step(300)
        engine = bridge.beat
        posted = sum(each._posted - each._gone for each in (engine._media, engine._control))
        assert engine._pool.slots == engine._pool.free + posted
        assert len(table._free) == table.capacity
        assert not engine._voices._voices
        assert not engine._out._encoders._made
        assert not engine._out._encoders._packets
        assert not engine._players.rows
        assert not engine._recordings
        assert not engine._senders
        assert sizes[-1] - sizes[2] < 24 << 10  # kB, of the whole test process; a slot a beat would be 9 MB by itself
    finally:
        bridge.close()


def sounds(codec: str) -> tuple[list[bytes], int]:
    """Packets of 20 ms, and their ticks."""
    phone = Phone(1, codec, 1)
    payloads = [phone.encode(block) for block in noise(8, phone.rate)]
    phone.close()
    return payloads, CODECS[codec].clock_rate // 50


def join(bridge: Bridge, phones: dict[int, Phone], rng: random.Random) -> None:
    stream = max([phone.stream for phone in phones.values()], default=0) + rng.randrange(1, 1000)
    codec = rng.choice(list(CODECS))
    phone = Phone(
        stream,
        codec,
        rng.choice(bridge.ports),
        suite=rng.choice(["", "", *PROFILES]) if codec != "L16/48" else "",  # too long for pylibsrtp's buffer
        mux=rng.random() < 0.5,
        sequence=rng.randrange(65536),
    )
    room = rng.randrange(0, 4)
    if room:
        bridge.obey(SetRoom(room, agc=rng.random() < 0.3, loudest=rng.choice([1, 2, 8])))
    bridge.obey(phone.spec(room, ptime=times(phone, rng), send_event=EVENT, send_cn=CN))
    bridge.phones.append(phone)
    phones[stream] = phone


def change(bridge: Bridge, phone: Phone, rng: random.Random) -> None:
    what = rng.randrange(6)
    if what == 0:
        phone.codec, phone._encoder = rng.choice([c for c in CODECS if c != "L16/48" or not phone.suite]), None
    room = bridge.beat.table.rooms and rng.choice([0, *bridge.beat.table.rooms])
    if what == 1 and room:
        bridge.obey(DropRoom(room))
        return
    if what == 2:
        bridge.obey(SendKeys(phone.stream, "12#"))
    elif what == 3:
        bridge.obey(Say(rng.randrange(1, 99), ("tone:join", "silence:200"), stream=phone.stream))
    elif what == 4:
        phone.ssrc, phone.sequence = rng.getrandbits(32), rng.randrange(65536)
    else:
        changed = {"muted": rng.random() < 0.3, "deaf": rng.random() < 0.3, "gain_in": rng.choice([0.0, -6.0, 10.0])}
        bridge.obey(phone.spec(room or 0, send_event=EVENT, ptime=times(phone, rng), **changed))


def times(phone: Phone, rng: random.Random) -> int:
    """A packet time; pylibsrtp's buffer holds no long packets."""
    return rng.choice([10, 20] if phone.suite else [10, 20, 40, 60])
