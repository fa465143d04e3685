"""STUN messages: RFC 5769's vectors, another implementation's, and bytes that are none."""

from __future__ import annotations

import random
from typing import Any

import pytest
from aioice import stun as theirs
from hypothesis import given
from hypothesis import strategies as st

from gateways.webrtc import stun
from gateways.webrtc.stun import StunError

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
VECTOR = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
"""RFC 5769 §2.1."""
ANSWER = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
"""RFC 5769 §2.2."""
ANSWER_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
"""RFC 5769 §2.3."""
ADDRESSES = st.one_of(
    st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda address: not getattr(address, "ipv4_mapped", None))
).map(str)


def test_the_vectors_of_rfc_5769() -> None:
    message = stun.parse(VECTOR)
    assert message.kind == stun.REQUEST
    assert message.method == stun.BINDING
    assert message.username == ("evtj", "h6vY")
    assert message.number(stun.PRIORITY) == 0x6E0001FF
    assert message.number(stun.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.unknown == ()
    assert message.verified(PASSWORD)
    assert not message.verified(PASSWORD[:-1])
    assert stun.parse(ANSWER).mapped() == ("192.0.2.1", 32853)
    assert stun.parse(ANSWER).verified(PASSWORD)
    assert stun.parse(ANSWER_6).mapped() == ("2001:db8:1234:5678:11:2233:4455:6677", 32853)


@given(ADDRESSES, st.integers(0, 65_535), st.binary(min_size=12, max_size=12), st.binary(min_size=1, max_size=40))
def test_what_we_write_reads_the_same_here_and_elsewhere(
    host: str, port: int, transaction: bytes, password: bytes
) -> None:
    attributes = [(stun.XOR_MAPPED_ADDRESS, stun.xor_address((host, port), transaction))]
    data = stun.build(stun.SUCCESS, transaction, attributes, password=password)
    message = stun.parse(data)
    assert message.mapped() == (host, port)
    assert message.verified(password)
    other = theirs.parse_message(data)
    assert other.attributes["XOR-MAPPED-ADDRESS"] == (host, port)
    assert other.check_message_integrity(password)


@given(st.text(st.characters(codec="ascii"), max_size=40), st.integers(0, 2**32 - 1))
def test_what_others_write_reads_here(fragment: str, priority: int) -> None:
    message = theirs.Message(
        theirs.Method.BINDING,
        theirs.Class.REQUEST,
        attributes={"USERNAME": f"us:{fragment}", "PRIORITY": priority, "ICE-CONTROLLING": 7, "USE-CANDIDATE": None},
    )
    message.add_message_integrity(PASSWORD)
    ours = stun.parse(bytes(message))
    assert ours.username == ("us", fragment)
    assert ours.number(stun.PRIORITY) == priority
    assert ours.attributes[stun.USE_CANDIDATE] == b""
    assert ours.verified(PASSWORD)


def test_a_mapped_or_scoped_address_is_told_plainly() -> None:
    for written, read in (("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1")):
        attributes = [(stun.XOR_MAPPED_ADDRESS, stun.xor_address((written, 9), bytes(12)))]
        assert stun.parse(stun.build(stun.SUCCESS, bytes(12), attributes)).mapped() == (read, 9)


def test_errors_read_elsewhere() -> None:
    data = stun.build(stun.ERROR, bytes(12), [(stun.ERROR_CODE, stun.error_code(487))])
    assert theirs.parse_message(data).error_code == stun.parse(data).error == 487


def test_what_is_behind_the_signature_is_not_read() -> None:
    body = VECTOR[20:-8]
    late = body + bytes.fromhex("00250000")
    data = VECTOR[:2] + len(late).to_bytes(2, "big") + VECTOR[4:20] + late
    message = stun.parse(data)
    assert message.verified(PASSWORD)
    assert stun.USE_CANDIDATE not in message.attributes


def test_the_first_of_two_counts() -> None:
    data = stun.build(stun.REQUEST, bytes(12), [(stun.PRIORITY, b"\0\0\0\1"), (stun.PRIORITY, b"\0\0\0\2")])
    assert stun.parse(data).number(stun.PRIORITY) == 1


def test_what_must_be_understood_and_is_not_is_named() -> None:
    data = stun.build(stun.REQUEST, bytes(12), [(0x7001, b"abc"), (0xC001, b"abc")])
    assert stun.parse(data).unknown == (0x7001,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        VECTOR[:19],
        VECTOR[:-4],
        VECTOR + bytes(4),
        b"\x80" + VECTOR[1:],
        VECTOR[:4] + bytes(4) + VECTOR[8:],
        VECTOR[:-1] + b"\0",
        VECTOR[:2] + b"\0\x08" + VECTOR[4:20] + VECTOR[-4:] + VECTOR[-8:-4],
        stun.build(stun.REQUEST, bytes(12), [(stun.PRIORITY, b"\0")]),
        stun.build(stun.REQUEST, bytes(12), [(stun.MESSAGE_INTEGRITY, bytes(19))]),
        stun.build(stun.REQUEST, bytes(12), [(0x8022, b"")] * 40),
        stun.build(stun.REQUEST, bytes(12), [(0x8022, bytes(2000))]),
    ],
)
def test_what_is_no_message_is_said_so(data: bytes) -> None:
    with pytest.raises(StunError):
        stun.parse(data)


def poke(data: bytes) -> None:
    """Read all of it: one kind of exception may come out."""
    try:
        message = stun.parse(data)
        message.mapped()
    except StunError:
        return
    _ = message.username, message.error, message.verified(PASSWORD), message.number(stun.PRIORITY)


@given(st.binary(max_size=200))
def test_any_bytes_raise_one_thing(data: bytes) -> None:
    poke(data)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=30)), max_size=8), st.booleans())
def test_any_attributes_raise_one_thing(attributes: list[tuple[int, bytes]], signed: bool) -> None:
    poke(stun.build(stun.REQUEST, bytes(12), attributes, password=PASSWORD if signed else None))


def test_mutations_raise_one_thing() -> None:
    rng = random.Random(1)
    for source in (VECTOR, ANSWER, ANSWER_6):
        for _ in range(3_000):
            data = bytearray(source)
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            poke(bytes(data[: rng.randrange(len(data)) + 1] if rng.random() < 0.3 else data))


def test_username_without_its_colon_is_none() -> None:
    for value in (b"abc", b"", b"\xff:a", b"a:" + bytes(600)):
        attributes: list[Any] = [(stun.USERNAME, value)]
        assert stun.parse(stun.build(stun.REQUEST, bytes(12), attributes)).username is None
