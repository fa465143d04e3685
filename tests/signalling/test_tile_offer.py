"""Offer and answer of tiles: m-lines in which a browser is sent others' pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.signalling import sdp
from bridge.signalling.offer import Agreed, Local, Negotiator
from bridge.signalling.sdp import Direction, SessionDescription
from tests.signalling.test_webrtc_offer import HERE, OFFERS, changed, negotiator, transport

OFFER = OFFERS["chromium-tiles"]
"""Of a call in progress: a camera, two lines to receive in, one for nothing yet."""
LOCAL = replace(HERE, tiles={"2": 20, "3": 30}, cname="visiopont")


def answered(
    ours: Negotiator | None = None, offer: bytes = OFFER, local: Local = LOCAL
) -> tuple[SessionDescription, Agreed]:
    answer, agreed = (ours or negotiator()).answer(offer, local)
    return sdp.parse(answer), agreed


def lines(offer: bytes = OFFER) -> list[str]:
    """The session's part, then one a m-line."""
    head, *rest = offer.decode().split("\r\nm=")
    return [head, *("m=" + each for each in rest)]


def joined(parts: list[str]) -> bytes:
    return ("\r\n".join(part.removesuffix("\r\n") for part in parts) + "\r\n").encode()


def with_line(place: int, *pairs: tuple[str, str]) -> bytes:
    parts = lines()
    for old, new in pairs:
        assert old in parts[place + 1]
        parts[place + 1] = parts[place + 1].replace(old, new)
    return joined(parts)


def mids(agreed: Agreed) -> list[str]:
    return [tile.mid for tile in agreed.tiles]


def test_are_sent_by_us_on_the_voices_transport() -> None:
    answer, agreed = answered()
    assert [media.port for media in answer.media] == [10000] * 5
    assert answer.groups[0].mids == ("0", "1", "2", "3", "4")
    for media, ssrc in ((answer.media[2], 20), (answer.media[3], 30)):
        assert media.has("sendonly")
        assert list(media.all("ssrc-group")) == [f"FID {ssrc} {ssrc + 1}"]
        assert media.rtcp_mux
        assert media.has("rtcp-rsize")
        assert media.first("ice-ufrag") == "ourU"
        assert not media.has("candidate")
        assert media.first("msid") == f"tile-{media.mid} tile-{media.mid}-picture"
    assert answer.media[4].has("inactive")
    assert not answer.media[4].has("ssrc")
    assert mids(agreed) == ["2", "3"]
    assert agreed.video is not None
    assert agreed.video.mid == "1"
    assert agreed.video.direction is Direction.SENDRECV


def test_have_the_browsers_formats_under_its_numbers_and_in_its_order() -> None:
    answer, agreed = answered()
    tile = agreed.tiles[0]
    assert [(each.name, each.payload_type, each.rtx) for each in tile.formats[:2]] == [("VP8", 96, 97), ("VP9", 98, 99)]
    assert {each.name for each in tile.formats} == {"VP8", "VP9", "H264"}
    assert {each.fmtp.get("packetization-mode") for each in tile.formats if each.name == "H264"} == {"0", "1"}
    assert tile.formats[0].feedback == ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
    assert (tile.extensions.mid, tile.extensions.transport_sequence, tile.extensions.absolute_time) == (4, 3, 2)
    assert (tile.extensions.rid, tile.extensions.orientation) == (0, 0)
    assert answer.media[2].payload_types[0] == 96
    carried = transport(agreed).lines
    assert [line.mid for line in carried] == ["0", "1", "2", "3"]


def test_their_mids_are_known_before_the_answer() -> None:
    ours = negotiator()
    assert ours.tiles(OFFER) == ("2", "3")
    assert ours.tiles(b"v=0\r\n") == ()
    assert ours.tiles(OFFERS["baresip-video-dtls"]) == ()
    assert ours.tiles(OFFERS["chromium-share"]) == ()
    assert ours.tiles(OFFERS["safari"]) == ()


def test_that_we_have_none_for_are_refused_and_the_next_goes_on() -> None:
    answer, agreed = answered(local=replace(LOCAL, tiles={"3": 30}))
    assert [media.port for media in answer.media] == [10000, 10000, 0, 10000, 10000]
    assert answer.groups[0].mids == ("0", "1", "3", "4")
    assert mids(agreed) == ["3"]


@pytest.mark.parametrize("local", [replace(LOCAL, tiles=None), replace(LOCAL, video=0, content=0)])
def test_without_forwarding_or_pictures_all_are_refused(local: Local) -> None:
    answer, agreed = answered(local=local)
    assert [media.port for media in answer.media][2:] == [0, 0, 0]
    assert agreed.tiles == ()
    assert (agreed.video is not None) == bool(local.video)


def test_one_that_becomes_inactive_stays_in_its_place() -> None:
    ours = negotiator()
    answered(ours)
    answer, agreed = answered(ours, with_line(2, ("a=recvonly", "a=inactive")), replace(LOCAL, tiles={"3": 30}))
    assert answer.media[2].has("inactive")
    assert answer.media[2].port == 10000
    assert mids(agreed) == ["3"]
    answer, agreed = answered(ours, local=replace(LOCAL, tiles={"2": 40, "3": 30}))
    assert mids(agreed) == ["2", "3"]
    assert next(iter(answer.media[2].all("ssrc"))).startswith("40 ")


def test_one_that_ends_leaves_its_place_to_another() -> None:
    """RFC 8829 §5.2.2: a line with port 0 is used again under another mid."""
    ours = negotiator()
    answered(ours)
    gone = with_line(2, ("m=video 9", "m=video 0")).replace(b"BUNDLE 0 1 2 3 4", b"BUNDLE 0 1 3 4")
    answer, agreed = answered(ours, gone, replace(LOCAL, tiles={"3": 30}))
    assert answer.media[2].port == 0
    assert mids(agreed) == ["3"]
    again = with_line(2, ("a=mid:2", "a=mid:5")).replace(b"BUNDLE 0 1 2 3 4", b"BUNDLE 0 1 5 3 4")
    assert ours.tiles(again) == ("3", "5"), "those in force come first"
    answer, agreed = answered(ours, again, replace(LOCAL, tiles={"3": 30, "5": 50}))
    assert mids(agreed) == ["5", "3"]
    assert answer.media[2].mid == "5"


def test_a_camera_that_ended_is_not_replaced_by_a_tile() -> None:
    ours = negotiator()
    answered(ours)
    gone = with_line(1, ("m=video 56850", "m=video 0")).replace(b"BUNDLE 0 1 2 3 4", b"BUNDLE 0 2 3 4")
    _, agreed = answered(ours, gone)
    assert agreed.video is None
    assert mids(agreed) == ["2", "3"]


def test_what_is_shown_beside_them_is_no_tile() -> None:
    parts = lines()
    parts[5] = parts[5].replace("a=inactive", "a=sendonly\r\na=content:slides")
    answer, agreed = answered(offer=joined(parts))
    assert agreed.content is not None
    assert agreed.content.mid == "4"
    assert answer.media[4].first("content") == "slides"
    assert mids(agreed) == ["2", "3"]


def test_a_listener_without_a_camera_has_them_too_and_its_feedback_is_passed_on() -> None:
    _, agreed = answered(offer=with_line(1, ("a=sendrecv", "a=recvonly")))
    assert agreed.video is not None
    assert agreed.video.receive == ()
    assert mids(agreed) == ["2", "3"]
    assert [bool(line.payload_types) for line in transport(agreed).lines] == [True] * 4


def test_that_are_not_bundled_are_none() -> None:
    offer = changed("chromium-tiles", ("BUNDLE 0 1 2 3 4", "BUNDLE 0 1"))
    assert negotiator().tiles(offer) == ()
    answer, agreed = answered(offer=offer)
    assert agreed.tiles == ()
    assert [media.port for media in answer.media][2:] == [0, 0, 0]


class TestOurOffers:
    def test_keep_them(self) -> None:
        ours = negotiator()
        first, _ = answered(ours)
        again = sdp.parse(ours.offer(LOCAL))
        assert [media.mid for media in again.media] == ["0", "1", "2", "3", "4"]
        assert again.groups == first.groups
        for media, before in zip(again.media[2:], first.media[2:], strict=True):
            assert media.first("setup") == "actpass"
            assert media.formats == before.formats
            assert again.direction_of(media) is first.direction_of(before)
            assert list(media.all("ssrc")) == list(before.all("ssrc"))
        assert ours.offer(LOCAL) == bytes(again), "nothing new, the same bytes"

    def test_are_answered_as_a_browser_does(self) -> None:
        ours = negotiator()
        answered(ours)
        moved = replace(LOCAL, tiles={"2": 50, "3": 60})
        ours.offer(moved)
        agreed = ours.accept(OFFER.replace(b"actpass", b"active"))
        assert mids(agreed) == ["2", "3"]
        assert agreed.tiles[0].formats[0].payload_type == 96
        assert [line.mid for line in transport(agreed).lines] == ["0", "1", "2", "3"]

    def test_whose_answer_has_one_less_end_it(self) -> None:
        ours = negotiator()
        answered(ours)
        ours.offer(LOCAL)
        gone = with_line(3, ("m=video 9", "m=video 0")).replace(b"BUNDLE 0 1 2 3 4", b"BUNDLE 0 1 2 4")
        assert mids(ours.accept(gone.replace(b"actpass", b"active"))) == ["2"]
        assert [media.port for media in sdp.parse(ours.offer(LOCAL)).media] == [10000, 10000, 10000, 0, 10000]

    def test_that_are_refused_change_nothing(self) -> None:
        ours = negotiator()
        answered(ours)
        ours.offer(replace(LOCAL, tiles={}))
        ours.refused()
        assert ours.agreed is not None
        assert mids(ours.agreed) == ["2", "3"]
        assert sdp.parse(ours.offer(LOCAL)).media[2].has("sendonly")

    def test_without_pictures_end_them(self) -> None:
        ours = negotiator()
        answered(ours)
        again = sdp.parse(ours.offer(replace(HERE, video=0, content=0)))
        assert [media.port for media in again.media] == [10000, 0, 0, 0, 0]

    def test_take_none_of_their_numbers_for_the_voice(self) -> None:
        ours = negotiator()
        _, agreed = answered(ours)
        taken = {number for tile in agreed.tiles for each in tile.formats for number in (each.payload_type, each.rtx)}
        assert not taken & set(sdp.parse(ours.offer(LOCAL)).media[0].payload_types)


def test_simulcast_outlives_a_camera_that_is_off() -> None:
    """What an offer of ours leaves out, a browser gives up for good."""
    ours = negotiator()
    ours.answer(OFFERS["chromium"], HERE)
    head, _, rest = OFFERS["chromium"].decode().partition("m=video")
    off = "\r\n".join(
        line
        for line in rest.replace("a=sendonly", "a=inactive").replace("a=sendrecv", "a=recvonly").split("\r\n")
        if not line.startswith(("a=rid:", "a=simulcast:"))
    )
    _, agreed = ours.answer((head + "m=video" + off).encode(), HERE)
    assert agreed.video is not None
    assert agreed.video.layers == ()
    line = sdp.parse(ours.offer(HERE)).media[1]
    assert line.first("simulcast") == "recv q;h;f"
    assert list(line.all("rid")) == ["q recv", "h recv", "f recv"]
    assert 10 in {each.id for each in line.extmaps}


def test_layers_are_taken_of_a_camera_that_is_off() -> None:
    """Chromium offers them all the same, and can't have them later if they were refused once."""
    off = OFFERS["chromium"].replace(b"a=sendonly", b"a=inactive").replace(b"a=sendrecv", b"a=recvonly")
    answer, agreed = negotiator().answer(off, HERE)
    assert agreed.video is not None
    assert [layer.rid for layer in agreed.video.layers] == ["q", "h", "f"]
    line = sdp.parse(answer).media[1]
    assert line.first("simulcast") == "recv q;h;f"
    assert 10 in {each.id for each in line.extmaps}


@settings(max_examples=20, deadline=None)  # descriptions of 20 kB
@given(st.data())
def test_whatever_becomes_of_the_lines_theirs_and_ours_have_as_many(data: st.DataObject) -> None:
    ours = negotiator()
    for _ in range(3):
        parts = lines()
        for place in range(2, 5):
            direction = data.draw(st.sampled_from(["recvonly", "inactive", "sendrecv", "sendonly", "ended"]))
            now = "recvonly" if place < 4 else "inactive"
            parts[place + 1] = (
                parts[place + 1].replace("m=video 9", "m=video 0")
                if direction == "ended"
                else parts[place + 1].replace(f"a={now}", f"a={direction}")
            )
        offer = joined(parts)
        known = ours.tiles(offer)[: data.draw(st.integers(0, 3))]
        answer, agreed = answered(ours, offer, replace(LOCAL, tiles={mid: 100 + int(mid) for mid in known}))
        assert len(answer.media) == 5
        assert set(mids(agreed)) == set(known)
        for media in answer.media:
            assert (media.mid is not None) == bool(media.port)
        assert answer.groups[0].mids == tuple(media.mid for media in answer.media if media.port)
        again = sdp.parse(ours.offer(replace(LOCAL, tiles={mid: 100 + int(mid) for mid in known})))
        assert [bool(media.port) for media in again.media] == [bool(media.port) for media in answer.media]
        ours.refused()
