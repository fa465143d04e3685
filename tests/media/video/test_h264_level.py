"""H.264 profiles, levels and sequence parameter sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.video import h264_level, nal
from bridge.media.video.h264_level import (
    BASELINE,
    CONSTRAINED_BASELINE,
    CONSTRAINED_HIGH,
    DEFAULT,
    HIGH,
    LEVEL_1B,
    LEVELS,
    MAIN,
    capability,
    fits,
    level_for,
    profile_level,
)
from bridge.media.video.h264_sps import parse_h265_sps, parse_sps
from bridge.media.video.payload import Bits, Limits, PayloadError
from tests.media.video.streams import encoded


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", CONSTRAINED_BASELINE, 31),
        ("42001f", BASELINE, 31),
        ("42C00C", CONSTRAINED_BASELINE, 12),
        ("4d0028", MAIN, 40),
        ("4d8028", CONSTRAINED_BASELINE, 40),
        ("58f00a", CONSTRAINED_BASELINE, 10),
        ("640032", HIGH, 50),
        ("640c1f", CONSTRAINED_HIGH, 31),
        ("42f00b", CONSTRAINED_BASELINE, LEVEL_1B),
        ("640009", HIGH, LEVEL_1B),
        ("7a001f", "", 31),
    ],
)
def test_profile_level_ids(text: str, profile: str, level: int) -> None:
    told = profile_level(text)
    assert (told.profile, told.level) == (profile, level)
    if text not in ("58f00a",):
        assert str(told) == text.lower()


@pytest.mark.parametrize("text", ["", "42e0", "42e01f00", "zzzzzz", "42e0ff", " 42e01", "42e 1f"])
def test_what_is_no_profile_level_id(text: str) -> None:
    with pytest.raises(PayloadError):
        profile_level(text)


def test_nothing_said_means_baseline_level_1() -> None:
    assert capability({}) == capability({"profile-level-id": str(DEFAULT)})
    assert capability({}).fits(176, 144, 15)
    assert not capability({}).fits(352, 288, 1)


@pytest.mark.parametrize(
    ("size", "rate", "level"),
    [
        ((176, 144), 15, 10),
        ((352, 288), 30, 13),
        ((640, 360), 30, 30),
        ((1280, 720), 30, 31),
        ((1280, 720), 60, 32),
        ((1920, 1080), 30, 40),
        ((1920, 1080), 60, 42),
        ((3840, 2160), 30, 51),
    ],
)
def test_the_level_of_usual_pictures(size: tuple[int, int], rate: int, level: int) -> None:
    assert level_for(*size, rate) == level
    assert fits(*size, rate, level)
    assert not fits(*size, rate * 4, level)
    assert not fits(*size, rate, 77)


def test_a_line_is_no_picture_of_any_level() -> None:
    assert not fits(16 * 400, 16, 1, 31)
    with pytest.raises(PayloadError):
        level_for(16 * 2000, 16, 1)


def test_parameters_raise_a_level_and_never_lower_it() -> None:
    assert not fits(1280, 720, 30, 22)
    assert fits(1280, 720, 30, 22, max_fs=3600, max_mbps=108000)
    more = capability({"profile-level-id": "42e016", "max-fs": "3600", "max-mbps": "108000", "max-br": "9000"})
    assert more.fits(1280, 720, 30)
    assert more.max_br == 9000
    less = capability({"profile-level-id": "42e01f", "max-fs": "99", "max-mbps": "-1", "max-br": "x"})
    assert less == capability({"profile-level-id": "42e01f"})
    assert capability({"profile-level-id": "64001f"}).max_br == 17500


def test_levels_ascend() -> None:
    rows = [LEVELS[level] for level in LEVELS]
    assert all(a.max_mbps <= b.max_mbps and a.max_fs <= b.max_fs for a, b in pairwise(rows))


@pytest.mark.parametrize(("name", "profile"), [("baseline", 66), ("main", 77), ("high", 100)])
def test_sps_of_a_real_encoder(name: str, profile: int) -> None:
    unit = next(unit for unit in nal.split(encoded(name)[0]) if unit[0] & 31 == 7)
    sps = parse_sps(unit)
    size = (636, 358) if name == "high" else (352, 288)
    assert (sps.profile_idc, sps.width, sps.height) == (profile, *size)
    assert (sps.coded_width, sps.coded_height) == ((640, 368) if name == "high" else size)
    assert (sps.chroma, sps.depth) == (1, 8)
    assert sps.level_idc in LEVELS
    for cut in range(8):
        with pytest.raises(PayloadError):
            parse_sps(unit[:cut])
    with pytest.raises(PayloadError):
        parse_sps(unit, Limits(side=300))


def test_h265_sps_of_a_real_encoder() -> None:
    unit = next(unit for unit in nal.split(encoded("h265")[0]) if unit[0] >> 1 & 63 == 33)
    sps = parse_h265_sps(unit)
    assert (sps.width, sps.height, sps.chroma, sps.depth) == (352, 288, 1, 8)
    with pytest.raises(PayloadError):
        parse_h265_sps(unit, Limits(side=300))


@given(st.binary(max_size=200))
def test_junk_is_no_sps(data: bytes) -> None:
    for head, parse in ((b"\x67", parse_sps), (b"\x67\x64\x00\x1f", parse_sps), (b"\x42\x01", parse_h265_sps)):
        try:
            sps = parse(head + data)
        except PayloadError:
            continue
        assert sps.coded_width * sps.coded_height <= Limits().pixels


def test_sps_of_numbers_without_end_are_refused_quickly() -> None:
    for filler in (b"\0", b"\xff", b"\x01", b"\x80"):
        with pytest.raises(PayloadError):
            parse_sps(b"\x67\x42\x00\x1f" + filler * 5000)


@given(st.lists(st.integers(0, 1 << 20), max_size=20))
def test_exp_golomb_numbers_come_back(values: list[int]) -> None:
    text = "".join("0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}" for value in values)
    text += "0" * (-len(text) % 8)
    bits = Bits(int(text or "0", 2).to_bytes(len(text) // 8, "big"))
    assert [bits.unsigned() for _ in values] == values


def test_signed_exp_golomb() -> None:
    bits = Bits(bytes([0b10100110, 0b01000010, 0b10000000]))
    assert [bits.signed() for _ in range(5)] == [0, 1, -1, 2, -2]
    assert h264_level.LEVEL_1B == 9
