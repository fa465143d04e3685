"""RTP header arrays against plain per-packet reading."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.media import rtp
from bridge.media.wire import PacketPool


def load(packets: list[bytes]) -> tuple[PacketPool, np.ndarray, np.ndarray]:
    pool = PacketPool(max(len(packets), 1))
    slots = pool.take(len(packets))
    for slot, packet in zip(slots, packets, strict=True):
        pool.memory[slot, : len(packet)] = np.frombuffer(packet, np.uint8)
    return pool, slots, np.array([len(p) for p in packets], np.int32)


def plain(packet: bytes) -> tuple[int, int] | None:
    """Payload offset and size by RFC 3550 A.1, one packet at a time; none when it is not whole."""
    offset = 12 + 4 * (packet[0] & 15)
    if packet[0] & 16:
        if len(packet) < offset + 4:
            return None
        offset += 4 + 4 * int.from_bytes(packet[offset + 2 : offset + 4], "big")
    size = len(packet) - offset
    if size > 0 and packet[0] & 32:
        if packet[-1] == 0:
            return None
        size -= packet[-1]
    return None if size < 0 else (offset, size)


packets = st.lists(
    st.builds(
        lambda flags, rest: bytes([0x80 | flags]) + rest,
        st.integers(0, 63),
        st.binary(min_size=11, max_size=120),
    ),
    min_size=1,
    max_size=20,
)


@given(packets)
def test_many_packets_at_once_read_as_each_alone(batch):
    pool, slots, lengths = load(batch)
    headers, whole = rtp.parse(pool, slots, lengths)
    for n, packet in enumerate(batch):
        expected = plain(packet)
        assert bool(whole[n]) == (expected is not None)
        assert headers.sequence[n] == int.from_bytes(packet[2:4], "big")
        assert headers.timestamp[n] == int.from_bytes(packet[4:8], "big")
        assert headers.ssrc[n] == int.from_bytes(packet[8:12], "big")
        assert headers.payload_type[n] == packet[1] & 127
        assert bool(headers.marker[n]) == bool(packet[1] & 128)
        if expected:
            assert (headers.offset[n], headers.size[n]) == expected


def test_rtp_rtcp_and_strangers_are_told_apart():
    rtp_packet = bytes([0x80, 0]) + bytes(10)
    marked = bytes([0x80, 0x80 | 111]) + bytes(10)
    rtcp_packet = bytes([0x81, 200]) + bytes(6)
    stun = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
    dtls = bytes([22, 254, 253]) + bytes(20)
    pool, slots, lengths = load([rtp_packet, marked, rtcp_packet, stun, dtls, b"", bytes([0x80])])
    is_rtp, is_rtcp = rtp.classify(pool, slots, lengths)
    assert is_rtp.tolist() == [True, True, False, False, False, False, False]
    assert is_rtcp.tolist() == [False, False, True, False, False, False, False]


@given(st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=4)), max_size=4), st.integers(0, 3))
def test_audio_levels_are_found_wherever_they_stand(elements, padding):
    body = b"".join(bytes([ident << 4 | len(data) - 1]) + data + b"\0" * padding for ident, data in elements)
    body += b"\0" * (-len(body) % 4)
    packet = bytes([0x90]) + bytes(11) + b"\xbe\xde" + (len(body) // 4).to_bytes(2, "big") + body + b"payload"
    pool, slots, lengths = load([packet])
    headers, whole = rtp.parse(pool, slots, lengths)
    assert whole.all()
    found = rtp.audio_levels(pool, slots, np.array([7], np.uint8), headers.offset)
    expected = next((data[0] & 127 for ident, data in elements if ident == 7), -1)
    assert found.tolist() == [expected]


@given(st.integers(0, 127), st.booleans(), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(payload_type, marker, sequence, timestamp, ssrc):
    out = np.zeros((3, 3), np.uint32)
    rtp.write_headers(
        out,
        np.array([1]),
        np.array([payload_type], np.uint8),
        np.array([marker]),
        np.array([sequence], np.int32),
        np.array([timestamp], np.uint32),
        np.array([ssrc], np.uint32),
    )
    pool, slots, lengths = load([out[1].tobytes()])
    headers, whole = rtp.parse(pool, slots, lengths)
    assert whole.all()
    assert (headers.payload_type[0], bool(headers.marker[0]), headers.sequence[0]) == (payload_type, marker, sequence)
    assert (headers.timestamp[0], headers.ssrc[0], headers.size[0]) == (timestamp, ssrc, 0)
