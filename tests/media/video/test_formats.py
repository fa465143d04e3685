"""Payload formats: real streams come back as they were, no junk does more than raise the one exception."""

from __future__ import annotations

import random
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.media.video import h261, h263, nal, vp8, vp9
from bridge.media.video.formats import by_name, names
from bridge.media.video.h264 import (
    H264Depacketiser,
    H264Packetiser,
    build_sprop,
    slicing_hint,
    sprop_parameter_sets,
)
from bridge.media.video.payload import BEGINS, CONTINUES, KEYFRAME, Limits, Packetiser, PayloadError, fragments
from tests.media.video.streams import ENCODERS, decode, encoded

MTU = 1200
SENT = [name for name, encoder in ENCODERS.items() if encoder.format.packetiser]


def packetiser(name: str) -> Packetiser:
    make = ENCODERS[name].format.packetiser
    return make(ENCODERS[name].parameters) if make else Foreign(name)


class Foreign:
    """Packetises what we only receive: VP9 in flexible mode, H.265 in fragments."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._picture = 0

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        return self._vp9(frame, mtu) if self._name == "vp9" else self._h265(frame, mtu)

    def _vp9(self, frame: bytes, mtu: int) -> list[bytes]:
        inter = 0 if vp9.frame_size(vp9.parts(frame)[0])[0] else 0x40
        pieces = fragments(frame, mtu - 4)
        self._picture += 1
        # I P L F B E: a picture ID of 15 bits, and the one frame before as reference.
        lead = 0x90 | inter
        tail = bytes([0x80 | self._picture >> 8, self._picture & 0xFF]) + (b"\x02" if inter else b"")
        last = len(pieces) - 1
        return [bytes([lead | 8 * (not n) | 4 * (n == last)]) + tail + piece for n, piece in enumerate(pieces)]

    def _h265(self, frame: bytes, mtu: int) -> list[bytes]:
        payloads = []
        units = nal.units(frame)
        small = [unit for unit in units if len(unit) < 200]
        if len(small) > 1:
            payloads.append(b"\x60\x01" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in small))
        for unit in units:
            if len(unit) <= mtu:
                payloads += [unit] if unit not in small or len(small) == 1 else []
                continue
            pieces = fragments(unit[2:], mtu - 3)
            for n, piece in enumerate(pieces):
                edge = 0x80 * (not n) | 0x40 * (n == len(pieces) - 1)
                payloads.append(bytes([unit[0] & 0x81 | 49 << 1, unit[1], edge | unit[0] >> 1 & 63]) + piece)
        return payloads


# ------------------------------------------------------------------------------------------------ round trips


@pytest.mark.parametrize("name", ENCODERS)
def test_a_stream_comes_back_and_decodes_to_the_same_pictures(name: str) -> None:
    encoder, make = ENCODERS[name], packetiser(name)
    reader = encoder.format.depacketiser(encoder.parameters, Limits())
    frames = encoded(name)
    back = []
    for number, frame in enumerate(frames):
        payloads = make.packetise(frame, MTU)
        assert max(map(len, payloads)) <= MTU
        picture = reader.frame(payloads)
        assert picture.keyframe == (number % encoder.gop == 0)
        assert (picture.width, picture.height) == (encoder.width, encoder.height)
        assert reader.begins(payloads[0]) == (KEYFRAME if picture.keyframe else BEGINS)
        assert {reader.begins(payload) for payload in payloads[1:]} <= {CONTINUES, BEGINS}
        back.append(picture.data)
    ours, theirs = decode(name, back), decode(name, list(frames))
    assert len(ours) == len(frames)
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", ["baseline", "high", "vp8", "h263p", "h261"])
@pytest.mark.parametrize("mtu", [64, 333, 1400, 60000])
def test_any_mtu_will_do(name: str, mtu: int) -> None:
    encoder = ENCODERS[name]
    reader = encoder.format.depacketiser({}, Limits())
    make = packetiser(name)
    for frame in encoded(name)[:2]:
        payloads = make.packetise(frame, mtu)
        assert max(map(len, payloads)) <= mtu
        data = reader.frame(payloads).data
        assert nal.split(data) == nal.split(frame) if encoder.sdp == "H264" else data == frame


@pytest.mark.parametrize("name", SENT)
def test_what_has_no_room_or_is_no_frame_is_refused(name: str) -> None:
    for frame, mtu in ((b"", MTU), (encoded(name)[0], 2)):
        with pytest.raises(PayloadError):
            packetiser(name).packetise(frame, mtu)


def test_formats_are_found_by_the_names_of_sdp() -> None:
    assert set(names()) >= {"H264", "VP8", "VP9", "H265", "H263", "H263-1998", "H261"}
    assert by_name("h264").decoder == "h264"
    assert by_name("vp9").packetiser is None
    assert (by_name("H261").static, by_name("H263").static) == (31, 34)
    with pytest.raises(LookupError):
        by_name("theora")


# ------------------------------------------------------------------------------------------------------ H.264


def test_mode_0_has_single_units_that_the_encoder_was_told_to_keep_small() -> None:
    assert slicing_hint(MTU) == {"x264-params": "slice-max-size=1200:sliced-threads=0"}
    make = H264Packetiser(mode=0)
    payloads = [payload for frame in encoded("mode0") for payload in make.packetise(frame, MTU)]
    assert all(0 < payload[0] & 31 < 24 for payload in payloads)
    with pytest.raises(PayloadError):
        make.packetise(encoded("baseline")[0], MTU)
    with pytest.raises(ValueError):
        H264Packetiser(mode=2)


def test_avcc_and_annex_b_are_sent_alike() -> None:
    frame = encoded("high")[0]
    avcc = b"".join(len(unit).to_bytes(4, "big") + unit for unit in nal.split(frame))
    assert H264Packetiser().packetise(avcc, MTU) == H264Packetiser().packetise(frame, MTU)


def test_an_idr_without_parameter_sets_gets_those_of_before_or_of_the_sdp() -> None:
    frame = encoded("high")[0]
    units = nal.split(frame)
    bare = [unit for unit in units if unit[0] & 31 == 5]
    payloads = H264Packetiser().packetise(nal.START + nal.START.join(bare), MTU)
    told = {"sprop-parameter-sets": build_sprop(units)}
    for reader in (H264Depacketiser(told), H264Depacketiser()):
        if reader.sps is None:
            with pytest.raises(PayloadError):
                reader.frame(payloads)
            reader.frame(H264Packetiser().packetise(frame, MTU))
        picture = reader.frame(payloads)
        assert [unit[0] & 31 for unit in nal.split(picture.data)] == [7, 8, 5]
        assert len(decode("high", [picture.data])) == 1
    assert [unit[0] & 31 for unit in sprop_parameter_sets(told["sprop-parameter-sets"])] == [7, 8]


@pytest.mark.parametrize("text", ["???", "Z0", "," * 100 + "!", ",".join(["Z0LA"] * 99)])
def test_bad_sprop_parameter_sets_are_an_error_and_no_hindrance(text: str) -> None:
    with pytest.raises(PayloadError):
        sprop_parameter_sets(text)
    assert H264Depacketiser({"sprop-parameter-sets": text}).sps is None


@pytest.mark.parametrize("kind", [0, 25, 26, 27, 29, 30, 31])
def test_interleaved_and_unknown_packets_are_errors(kind: int) -> None:
    with pytest.raises(PayloadError):
        H264Depacketiser().frame([bytes([0x60 | kind]) + bytes(20)])


def test_parameters_alone_are_no_picture() -> None:
    sets = [unit for unit in nal.split(encoded("baseline")[0]) if unit[0] & 31 in (7, 8)]
    reader = H264Depacketiser()
    assert reader.frame(sets).data == b""
    assert reader.sps


def test_an_sps_too_large_is_seen_wherever_it_hides() -> None:
    huge = huge_sps()
    lone, slice_ = bytes([0x65, 0x88]) + b"x" * 50, bytes([0x41, 0x9A]) + b"y" * 50
    hidden = slice_ + nal.CODE + huge
    fragmented = [bytes([0x7C, 0x87]) + huge[1:6], bytes([0x7C, 0x47]) + huge[6:]]
    aggregate = bytes([0x78]) + len(huge).to_bytes(2, "big") + huge
    for payloads in ([huge, lone], [aggregate, lone], [*fragmented, lone], [hidden]):
        reader = H264Depacketiser()
        try:
            data = reader.frame(payloads).data
        except PayloadError:
            continue
        assert huge not in data
        pytest.fail("it was let through")


def test_a_huge_sps_takes_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(PayloadError, match="16384x16384"):
        H264Depacketiser().frame([huge_sps(), b"\x65\x88" + bytes(20)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def huge_sps() -> bytes:
    """Baseline, 1024 macroblocks each way."""

    def golomb(value: int) -> str:
        return "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"

    bits = golomb(0) * 4 + golomb(1) + "0" + golomb(1023) * 2 + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    return bytes([0x67, 66, 0xC0, 62]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_parameter_sets_of_a_stranger_are_bounded() -> None:
    reader = H264Depacketiser()
    refused = 0
    for number in range(100):
        bits = ("0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}").ljust(40, "1")
        try:
            reader.frame([b"\x68" + int(bits, 2).to_bytes(5, "big")])
        except PayloadError:
            refused += 1
    assert refused == 100 - nal.MAX_SETS


def test_access_units_of_ever_so_many_units_are_refused_quickly() -> None:
    tiny = bytes([0x78]) + b"\0\1\x0c" * 390
    fresh = [huge_sps()[:3] + bytes([level]) + bytes.fromhex("f40583ed8b11cb") for level in range(1, 250)]
    begin = time.perf_counter()
    for payloads in ([tiny] * 3000, [b"\x41" + nal.CODE * 400] * 3000, fresh):
        with pytest.raises(PayloadError):
            H264Depacketiser().frame(payloads)
    assert time.perf_counter() - begin < 1


# -------------------------------------------------------------------------------------------- VP8, VP9, H.26x


def test_a_vp8_descriptor_by_hand() -> None:
    """RFC 7741 §4.2: everything that can be in it."""
    full = bytes([0xB3, 0xF0, 0x92, 0x34, 0x56, 0xA7]) + b"\1data"
    assert vp8.parse_descriptor(full) == vp8.Descriptor(6, True, 3, True, 0x1234, 0x56, 2, True, 7)
    assert vp8.parse_descriptor(b"\x10\1") == vp8.Descriptor(1, True, 0)
    assert vp8.parse_descriptor(b"\x80\x80\x11\1") == vp8.Descriptor(3, False, 0, picture=0x11)
    for cut in range(6):
        with pytest.raises(PayloadError):
            vp8.parse_descriptor(full[:cut])


def test_vp8_pictures_keep_to_an_fmtp() -> None:
    limits = {"max-fs": "3600", "max-fr": "30"}
    assert vp8.fits(limits, 1280, 720, 30)
    assert not vp8.fits(limits, 1280, 736, 30)
    assert not vp8.fits(limits, 1280, 720, 60)
    assert not vp8.fits(limits, 16 * 200, 16, 30)
    assert vp8.fits({"max-fs": "x"}, 4000, 4000, 99)


def test_vp8_picture_ids_count_and_wrap() -> None:
    make = vp8.Vp8Packetiser(picture=0x7FFF)
    ids = [vp8.parse_descriptor(make.packetise(b"\1abc", 100)[0]).picture for _ in range(2)]
    assert ids == [0x7FFF, 0]


@pytest.mark.parametrize("name", ["vp8", "vp9", "h263p", "baseline", "h265"])
def test_pictures_above_the_limit_are_refused(name: str) -> None:
    encoder = ENCODERS[name]
    payloads = packetiser(name).packetise(encoded(name)[0], MTU)
    for limits in (Limits(side=351), Limits(pixels=352 * 288 - 1)):
        with pytest.raises(PayloadError):
            encoder.format.depacketiser({}, limits).frame(payloads)
    encoder.format.depacketiser({}, Limits(side=352, pixels=352 * 288)).frame(payloads)


def test_vp9_layers_become_a_superframe_and_each_is_measured() -> None:
    frame = encoded("vp9")[0]
    reader = vp9.Vp9Depacketiser()
    layers = [b"\xac\x01\x00\x00" + frame, b"\xac\x01\x02\x00" + frame]
    # I L B E, no F: picture ID of 7 bits, layer indices, TL0PICIDX.
    data = reader.frame(layers).data
    assert vp9.parts(data) == [frame, frame]
    wide = bytearray(frame)
    assert vp9.frame_size(frame) == (True, (352, 288))
    at = bytes(wide).find((351 << 4 | 287 >> 12).to_bytes(3, "big")[0:1], 4)
    assert at > 0
    with pytest.raises(PayloadError):
        vp9.Vp9Depacketiser(None, Limits(pixels=10_000)).frame([b"\x0c" + data])


def test_h263_sizes_of_an_fmtp() -> None:
    assert h263.fmtp_sizes({"CIF": "1", "qcif": "2", "SQCIF": "0", "4CIF": "x"}) == {
        (352, 288): pytest.approx(29.97, abs=0.01),
        (176, 144): pytest.approx(14.985, abs=0.01),
    }


def test_an_h263_payload_with_redundancy_is_read_past_it() -> None:
    frame = encoded("h263p")[0]
    plain = h263.H263PlusDepacketiser().frame([b"\x04\0" + frame[2:]])
    # V: an octet of VRC; PLEN: five octets of an extra picture header (RFC 4629 §5.1).
    redundant = (0x0400 | 0x0200 | 5 << 3).to_bytes(2, "big") + b"\x10" + b"EXTRA" + frame[2:]
    assert h263.H263PlusDepacketiser().frame([redundant]) == plain
    assert plain.data == frame


def test_rfc_2190_pieces_that_share_an_octet_are_joined() -> None:
    frame = encoded("h263")[0]
    first = bytes([0x03, 0x40, 0, 0]) + frame[:100]
    # Mode B (8 octets of header): its first five bits are those that the piece before ends with.
    second = bytes([0x80 | 5 << 3, 0x40, 0, 0, 0, 0, 0, 0]) + frame[99:]
    assert h263.H263Depacketiser().frame([first, second]).data == frame
    with pytest.raises(PayloadError):
        h263.H263Depacketiser().frame([first, bytes([0x80]) + second[1:]])


def test_h261_packets_begin_with_gobs_at_any_bit() -> None:
    payloads = h261.H261Packetiser().packetise(encoded("h261")[0], 4000)
    assert any(payload[0] >> 5 for payload in payloads)
    for payload in payloads[1:]:
        start = payload[0] >> 5
        bits = int.from_bytes(payload[4:8], "big") >> (32 - 16 - start) & 0xFFFF
        assert bits == 1


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", names())
@settings(max_examples=150, deadline=None)
@given(data=st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=6))
def test_random_payloads_raise_one_exception_at_most(name: str, data: list[bytes]) -> None:
    reader = by_name(name).depacketiser({}, Limits())
    for payload in data:
        assert reader.begins(payload) in (CONTINUES, BEGINS, KEYFRAME)
    try:
        picture = reader.frame(data)
    except PayloadError:
        return
    assert len(picture.data) <= sum(map(len, data)) * 3 + 64


@pytest.mark.parametrize("name", ENCODERS)
def test_damaged_streams_raise_one_exception_at_most(name: str) -> None:
    rng = random.Random(5)
    encoder = ENCODERS[name]
    good = [packetiser(name).packetise(frame, MTU) for frame in encoded(name)[:6]]
    reader = encoder.format.depacketiser(encoder.parameters, Limits())
    refused = 0
    begin = time.perf_counter()
    for _ in range(400):
        payloads = [bytearray(payload) for payload in rng.choice(good)]
        for _ in range(rng.randint(1, 4)):
            victim = rng.choice(payloads)
            match rng.randint(0, 4):
                case 0:
                    del victim[rng.randrange(len(victim) + 1) :]
                case 1 | 2 if victim:
                    victim[rng.randrange(min(len(victim), 40))] = rng.getrandbits(8)
                case 3:
                    victim[:0] = rng.randbytes(2)
                case _:
                    rng.shuffle(payloads)
        damaged = [bytes(payload) for payload in payloads]
        for payload in damaged:
            reader.begins(payload)
        try:
            picture = reader.frame(damaged)
            assert picture.width * picture.height <= Limits().pixels
        except PayloadError:
            refused += 1
    assert refused
    assert time.perf_counter() - begin < 5


@given(st.binary(max_size=64))
@example(bytes(64))
@example(b"\xff" * 64)
def test_heads_of_frames_raise_one_exception_at_most(data: bytes) -> None:
    for read in (vp8.keyframe_size, vp9.frame_size, vp9.parts, h263.picture_head, h261.picture_head, nal.units):
        with suppress(PayloadError):
            read(data)
