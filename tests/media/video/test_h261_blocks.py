"""H.261 pictures cut between macroblocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.video.h261 import HEADER, H261Depacketiser, H261Packetiser, _start_codes
from bridge.media.video.h261_blocks import Boundary, boundaries
from bridge.media.video.payload import PayloadError
from tests.media.video.streams import decode, encoded


def groups(frame: bytes) -> list[tuple[int, int]]:
    """Bits at which GOBs begin and end."""
    starts = [*_start_codes(frame).tolist(), 8 * len(frame)]
    return list(pairwise(starts[1:]))  # the first is the picture's own


def blocks(frame: bytes) -> dict[int, Boundary]:
    return {each.bit: each for begin, end in groups(frame) for each in boundaries(frame, begin, end)}


def test_every_macroblock_of_a_real_stream_is_found() -> None:
    for frame in encoded("h261"):
        assert len(groups(frame)) == 12
        for begin, end in groups(frame):
            found = boundaries(frame, begin, end)
            assert all(begin + 25 < each.bit < end for each in found)
            assert [each.address for each in found] == sorted({each.address for each in found})
            assert all(1 <= each.quantiser <= 31 for each in found)
    first = encoded("h261")[0]  # intra: nothing is left out
    assert [len(boundaries(first, begin, end)) for begin, end in groups(first)] == [32] * 12


@pytest.mark.parametrize("mtu", [600, 1200])
def test_payloads_begin_with_a_picture_a_gob_or_a_macroblock_that_they_name(mtu: int) -> None:
    cut = 0
    for frame in encoded("h261", 12):
        known, starts, at = blocks(frame), set(_start_codes(frame).tolist()), 0
        for payload in H261Packetiser().packetise(frame, mtu):
            assert len(payload) <= mtu
            word = int.from_bytes(payload[:HEADER], "big")
            assert word >> 29 == at % 8
            named = word & 0xFFFFFF
            if at in starts:
                assert named == 0
            else:
                each = known[at]
                cut += 1
                fields = (named >> 20, (named >> 15 & 31) + 1, named >> 10 & 31)
                assert fields == (each.group, each.address, each.quantiser)
                signed = [(value ^ 16) - 16 for value in (named >> 5 & 31, named & 31)]
                assert signed == [(each.across + 16) % 32 - 16, (each.down + 16) % 32 - 16]
            at += 8 * (len(payload) - HEADER) - at % 8 - (word >> 26 & 7)
        assert at == 8 * len(frame)
    assert cut


def test_what_was_cut_is_put_together_again() -> None:
    frames = list(encoded("h261", 8))
    again = [H261Depacketiser().frame(H261Packetiser().packetise(frame, 300)).data for frame in frames]
    assert all(
        one.startswith(frame) or frame.startswith(one.rstrip(b"\0")) for one, frame in zip(again, frames, strict=True)
    )
    for one, other in zip(decode("h261", again), decode("h261", frames), strict=True):
        assert np.array_equal(one, other)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_anything_may_be_called_a_gob(data: st.DataObject) -> None:
    frame = bytearray(encoded("h261", 2)[data.draw(st.integers(0, 1))])
    for _ in range(data.draw(st.integers(0, 20))):
        frame[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.integers(0, 255))
    begin, end = data.draw(st.sampled_from(groups(bytes(frame)) or [(0, 8)]))
    try:
        found = boundaries(bytes(frame), begin, end)
    except PayloadError:
        found = []
    assert len(found) <= 33
    payloads = H261Packetiser().packetise(bytes(frame), 500)
    assert all(len(payload) <= 500 for payload in payloads)
