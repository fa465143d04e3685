"""SRTP rows against an independent reference (RFC 3711 and RFC 7714 written out over ``cryptography``)."""

import gc
import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy, Session

from bridge.media.srtp import _RTCP_STEPS, SSRCS, SUITES, SrtpTable, skip_ahead

STRIDE = 512
NAMES = sorted(SUITES)
SSRC = 0xCAFEBABE


def material(suite: str, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(SUITES[suite].material)


def rtp(sequence: int, ssrc: int = SSRC, payload: bytes = b"\xd5" * 160) -> bytes:
    head = b"\x80\x00" + (sequence & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
    return head + payload


def receiver_report(ssrc: int = SSRC) -> bytes:
    return b"\x80\xc9\x00\x01" + ssrc.to_bytes(4, "big")


class Memory:
    """Packets somewhere in memory, as the table takes them."""

    def __init__(self, packets: list[bytes]) -> None:
        self.array = np.zeros((max(len(packets), 1), STRIDE), np.uint8)
        for i, packet in enumerate(packets):
            self.array[i, : len(packet)] = np.frombuffer(packet, np.uint8)
        index = np.arange(len(packets), dtype=np.uint64)
        self.addresses = index * np.uint64(STRIDE) + np.uint64(self.array.ctypes.data)
        self.lengths = np.array([len(packet) for packet in packets], np.int32)

    def packets(self) -> list[bytes]:
        return [self.array[i, :n].tobytes() for i, n in enumerate(self.lengths.tolist())]


def run(call, packets: list[bytes], rows: list[int] | None = None) -> tuple[list[bool], list[bytes]]:
    memory = Memory(packets)
    ok = call(np.array(rows or [0] * len(packets), np.int64), memory.addresses, memory.lengths)
    return ok.tolist(), memory.packets()


# ------------------------------------------------------------------------------------------ the reference


def derive(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 §4.3 with a key derivation rate of 0."""
    start = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ (label << 48)
    return keystream(key, start << 16, size)


def keystream(key: bytes, counter: int, size: int) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big"))).encryptor().update(bytes(size))


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def gcm_nonce(salt: bytes, ssrc: int, rollover: int, sequence: int) -> bytes:
    """RFC 7714 §8.1."""
    return xor(salt, bytes(2) + ssrc.to_bytes(4, "big") + rollover.to_bytes(4, "big") + sequence.to_bytes(2, "big"))


def reference(suite: str, key_salt: bytes, packet: bytes, rollover: int) -> bytes:
    known = SUITES[suite]
    key, salt = key_salt[: known.key], key_salt[known.key :]
    head, body = packet[:12], packet[12:]
    sequence, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
    session_key = derive(key, salt, 0, known.key)
    session_salt = derive(key, salt, 2, known.salt)
    if suite.startswith("AEAD"):
        return head + AESGCM(session_key).encrypt(gcm_nonce(session_salt, ssrc, rollover, sequence), body, head)
    counter = int.from_bytes(session_salt, "big") << 16 ^ ssrc << 64 ^ ((rollover << 16) | sequence) << 16
    sealed = head + xor(body, keystream(session_key, counter, len(body)))
    auth = derive(key, salt, 1, 20)
    return sealed + hmac.digest(auth, sealed + rollover.to_bytes(4, "big"), hashlib.sha1)[: known.tag]


def test_the_reference_derives_the_keys_of_rfc_3711_b3() -> None:
    key = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(key, salt, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(key, salt, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derive(key, salt, 1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"


def test_the_reference_encrypts_as_rfc_7714_16_1_1() -> None:
    head = bytes.fromhex("8040f17b8041f8d35501a0b2")
    nonce = gcm_nonce(b"Quid pro quo", 0x5501A0B2, 0, 0xF17B)
    assert nonce.hex() == "51753c6580c2726f20718414"
    sealed = AESGCM(bytes(range(16))).encrypt(nonce, b"Gallia est omnis divisa in partes tres", head)
    assert sealed.hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    )


# ------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("suite", NAMES)
def test_packets_are_what_the_rfcs_say(suite: str) -> None:
    table = SrtpTable(1)
    table.set_send(0, suite, material(suite))
    plain = [rtp(n, payload=bytes([n]) * n) for n in range(1, 60)]
    ok, sealed = run(table.protect, plain)
    assert all(ok)
    assert sealed == [reference(suite, material(suite), packet, 0) for packet in plain]


@pytest.mark.parametrize("suite", NAMES)
def test_what_is_sealed_is_opened_rows_kept_apart(suite: str) -> None:
    table = SrtpTable(40)
    for row in range(40):
        table.set_send(row, suite, material(suite, row))
        table.set_receive(row, suite, material(suite, row))
    rows = [row for _ in range(3) for row in range(40)]
    plain = [rtp(100 + i // 40, ssrc=7 + i % 40) for i in range(120)]
    ok, sealed = run(table.protect, plain, rows)
    assert all(ok)
    ok, opened = run(table.unprotect, sealed, rows)
    assert all(ok)
    assert opened == plain
    ok, _ = run(table.unprotect, [rtp(1)], [39])
    assert ok == [False]
    reports = [receiver_report(7 + row) for row in range(40)]
    ok, sealed = run(table.protect_rtcp, reports, list(range(40)))
    assert all(ok)
    assert all(a != b and len(b) > len(a) for a, b in zip(reports, sealed, strict=True))
    ok, opened = run(table.unprotect_rtcp, sealed, list(range(40)))
    assert all(ok)
    assert opened == reports


def test_a_batch_larger_than_a_chunk_is_whole() -> None:
    suite = NAMES[0]
    table = SrtpTable(1)
    table.set_send(0, suite, material(suite))
    table.set_receive(0, suite, material(suite))
    plain = [rtp(n) for n in range(2500)]
    ok, sealed = run(table.protect, plain)
    assert all(ok)
    ok, opened = run(table.unprotect, sealed)
    assert all(ok)
    assert opened == plain


@pytest.mark.parametrize("suite", NAMES)
def test_pylibsrtp_sessions_understand_it(suite: str) -> None:
    key = material(suite)
    far = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=SUITES[suite].profile))
    near = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=SUITES[suite].profile))
    table = SrtpTable(1)
    table.set_send(0, suite, key)
    table.set_receive(0, suite, key)
    assert far.unprotect(run(table.protect, [rtp(5)])[1][0]) == rtp(5)
    assert far.unprotect_rtcp(run(table.protect_rtcp, [receiver_report()])[1][0]) == receiver_report()
    assert run(table.unprotect, [near.protect(rtp(6))]) == ([True], [rtp(6)])
    assert run(table.unprotect_rtcp, [near.protect_rtcp(receiver_report())]) == ([True], [receiver_report()])


@pytest.mark.parametrize("suite", NAMES)
def test_forged_and_replayed_packets_are_refused_and_counted(suite: str) -> None:
    table = SrtpTable(2)
    for row in range(2):
        table.set_send(row, suite, material(suite, row))
        table.set_receive(row, suite, material(suite, row))
    _, sealed = run(table.protect, [rtp(n) for n in range(10)])
    flipped = bytearray(sealed[3])
    flipped[20] ^= 1
    batch = [sealed[0], sealed[0], bytes(flipped), sealed[3], sealed[1], rtp(77), b"\x80\0", b""]
    ok, _ = run(table.unprotect, batch)
    assert ok == [True, False, False, True, True, False, False, False]
    assert table.replayed.tolist() == [1, 0]
    assert table.forged.tolist() == [4, 0]
    ok, _ = run(table.unprotect, sealed[5:6], [1])  # somebody else's packet
    assert ok == [False]
    assert table.forged.tolist() == [4, 1]


def test_without_a_key_nothing_goes_out_and_nothing_comes_in() -> None:
    table = SrtpTable(3)
    suite = NAMES[0]
    assert run(table.protect, [rtp(1)], [1])[0] == [False]
    assert run(table.protect_rtcp, [receiver_report()], [1])[0] == [False]
    assert run(table.unprotect, [rtp(1)], [1])[0] == [False]
    table.set_send(1, suite, material(suite))
    assert run(table.protect, [rtp(1)], [1])[0] == [True]
    table.drop(1)
    assert run(table.protect, [rtp(2)], [1])[0] == [False]
    assert run(table.protect, [])[0] == []


@pytest.mark.parametrize(
    ("suite", "size", "rollover"),
    [
        ("AES_256_CM_HMAC_SHA1_80", 46, 0),
        (NAMES[0], 30, 0),
        (NAMES[0], 0, 0),
        (NAMES[0], 28, -1),
        (NAMES[0], 28, 1 << 32),
    ],
)
def test_unknown_suites_and_wrong_sizes_are_value_errors(suite: str, size: int, rollover: int) -> None:
    table = SrtpTable(1)
    with pytest.raises(ValueError):
        table.set_send(0, suite, bytes(size), rollover=rollover)
    with pytest.raises(ValueError):
        table.set_receive(0, suite, bytes(size), rollover=rollover)


@pytest.mark.parametrize("suite", NAMES)
def test_the_same_key_again_changes_nothing(suite: str) -> None:
    table = SrtpTable(1)
    assert table.set_send(0, suite, material(suite))
    assert table.set_receive(0, suite, material(suite))
    _, sealed = run(table.protect, [rtp(10)])
    assert run(table.unprotect, sealed)[0] == [True]
    assert not table.set_send(0, suite, material(suite))
    assert not table.set_receive(0, suite, material(suite))
    assert run(table.protect, [rtp(10)])[0] == [False]  # the index was used
    assert run(table.unprotect, sealed)[0] == [False]  # replay is still seen


@pytest.mark.parametrize("suite", NAMES)
def test_a_new_key_takes_over_while_the_old_one_fades(suite: str) -> None:
    far, table = SrtpTable(1), SrtpTable(1)
    far.set_send(0, suite, material(suite, 1))
    table.set_receive(0, suite, material(suite, 1))
    _, before = run(far.protect, [rtp(n) for n in range(5)])
    assert all(run(table.unprotect, before[:2])[0])
    table.set_receive(0, suite, material(suite, 2))
    assert run(table.unprotect, before[1:4])[0] == [False, True, True]
    far.set_send(0, suite, material(suite, 2))
    ok, opened = run(table.unprotect, run(far.protect, [rtp(5)])[1])
    assert (ok, opened) == ([True], [rtp(5)])
    assert run(table.unprotect, before[4:])[0] == [False]  # the new key is in use: the old one is gone


def test_rollover_counts_wraps_of_authentic_packets_only() -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    far, table = SrtpTable(1), SrtpTable(1)
    far.set_send(0, suite, material(suite))
    table.set_receive(0, suite, material(suite))
    row = np.array([0])
    for index in range(60000, 200000, 20000):
        assert run(table.unprotect, run(far.protect, [rtp(index)])[1])[0] == [True]
        assert run(table.unprotect, [rtp(index + 30000)])[0] == [False]
        assert table.rollover(row).tolist() == [index >> 16]
        assert far.send_state(row)[0].tolist() == [index >> 16]


@pytest.mark.parametrize("suite", NAMES)
@pytest.mark.parametrize("told", [2, 3, 4])
def test_a_resumed_receiver_goes_on_at_its_rollover_counter(suite: str, told: int) -> None:
    """What it is told may be one off: the counter can have moved after the report, and early packets come late."""
    table = SrtpTable(1)
    table.set_receive(0, suite, material(suite), rollover=told)
    forged = bytearray(reference(suite, material(suite), rtp(1000), 3))
    forged[-1] ^= 1
    assert run(table.unprotect, [bytes(forged)])[0] == [False]
    plain = [rtp(n) for n in range(1000, 1005)]
    sealed = [reference(suite, material(suite), packet, 3) for packet in plain]
    assert run(table.unprotect, sealed) == ([True] * 5, plain)
    assert table.rollover(np.array([0])).tolist() == [3]
    assert run(table.unprotect, sealed)[0] == [False] * 5


@pytest.mark.parametrize("suite", NAMES)
def test_a_resumed_receiver_that_hears_rtcp_first(suite: str) -> None:
    far, table = SrtpTable(1), SrtpTable(1)
    far.set_send(0, suite, material(suite), rollover=3)
    table.set_receive(0, suite, material(suite), rollover=3)
    assert run(table.unprotect_rtcp, run(far.protect_rtcp, [receiver_report()])[1])[0] == [True]
    assert run(table.unprotect, run(far.protect, [rtp(9)])[1]) == ([True], [rtp(9)])
    assert table.rollover(np.array([0])).tolist() == [3]
    # A sender that was restarted with a new SSRC begins at 0 again.
    assert run(table.unprotect, [reference(suite, material(suite), rtp(9, ssrc=5), 0)])[0] == [True]


@pytest.mark.parametrize("suite", NAMES)
def test_a_resumed_sender_is_understood_by_the_session_that_went_on(suite: str) -> None:
    far, first, second = SrtpTable(1), SrtpTable(1), SrtpTable(1)
    far.set_receive(0, suite, material(suite))
    first.set_send(0, suite, material(suite))
    for index in range(65000, 3 * 65536 + 65500, 20000):
        assert run(far.unprotect, run(first.protect, [rtp(index)])[1])[0] == [True]
        assert run(far.unprotect_rtcp, run(first.protect_rtcp, [receiver_report()])[1])[0] == [True]
    last = index
    rollover, rtcp_index = first.send_state(np.array([0]))
    sequence, resumed = skip_ahead(last & 0xFFFF, int(rollover[0]), 3000)
    second.set_send(0, suite, material(suite), rollover=resumed, rtcp_index=int(rtcp_index[0]) + 3)
    ok, sealed = run(second.protect, [rtp(sequence + n) for n in range(4)])
    assert all(ok)
    assert run(far.unprotect, sealed)[0] == [True] * 4
    ok, sealed = run(second.protect_rtcp, [receiver_report()])
    assert ok == [True]
    assert run(far.unprotect_rtcp, sealed) == ([True], [receiver_report()])
    assert second.send_state(np.array([0]))[1].tolist() == [int(rtcp_index[0]) + 4]


def test_an_rtcp_index_far_behind_catches_up_over_several_calls() -> None:
    suite = "AEAD_AES_128_GCM"
    table, far = SrtpTable(1), SrtpTable(1)
    behind = 2 * _RTCP_STEPS + 5
    table.set_send(0, suite, material(suite), rtcp_index=behind)
    far.set_receive(0, suite, material(suite))
    tries = [run(table.protect_rtcp, [receiver_report()]) for _ in range(3)]
    assert [ok for ok, _ in tries] == [[False], [False], [True]]
    sealed = tries[2][1][0]
    assert int.from_bytes(sealed[-4:], "big") == (1 << 31) + behind + 1  # E flag and index (RFC 7714 §9.1)
    assert run(far.unprotect_rtcp, [sealed])[0] == [True]


def test_skip_ahead_carries_into_the_rollover_counter() -> None:
    assert skip_ahead(65000, 3, 100) == (65100, 3)
    assert skip_ahead(65000, 3, 1000) == (464, 4)


def test_a_peer_that_changes_its_ssrc_all_the_time_does_not_grow_the_session() -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    far, table = SrtpTable(1), SrtpTable(1)
    far.set_send(0, suite, material(suite))
    table.set_receive(0, suite, material(suite))
    for ssrc in range(1, 200):
        ok, sealed = run(far.protect, [rtp(5, ssrc=ssrc)])
        assert ok == [True]
        assert run(table.unprotect, sealed)[0] == [True]
        assert run(table.unprotect, sealed)[0] == [False]
    for half in (far._send, table._receive):
        session = half.sessions[0]
        assert session is not None
        assert len(session.ssrcs) == SSRCS
    _, old = run(far.protect, [rtp(6, ssrc=199)])
    assert run(table.unprotect, old)[0] == [True]


def test_sessions_end_with_their_rows_and_tables() -> None:
    suite = "AEAD_AES_256_GCM"
    table = SrtpTable(2)
    for seed in range(50):
        table.set_send(0, suite, material(suite, seed))
        table.set_receive(0, suite, material(suite, seed))
    table.drop(0)
    table.drop(0)
    assert run(table.protect, [rtp(1)])[0] == [False]
    del table
    gc.collect()
