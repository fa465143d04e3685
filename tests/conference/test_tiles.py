"""Tiles of calls: what the video worker is told of them, what pages choose and are told, in virtual time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from bridge.conference.settings import RoomSettings
from bridge.conference.transport_event import Keyed, Reached, Unreachable
from bridge.conference.transports import TransportSettings
from bridge.signalling import event as sip
from bridge.signalling import sdp
from bridge.signalling.offer import Negotiator
from bridge.signalling.video_codec import VideoCapabilities
from bridge.worker import protocol as media
from bridge.worker import protocol_video as pictures
from tests.conference import browser as web
from tests.conference.house import House
from tests.conference.test_live import Studio
from tests.conference.test_transports import BUNDLE, KEYS, SOMEWHERE, THEIRS, Desk

EXTENSIONS = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


class Browser(web.Browser):
    """It offers tiles, and answers what we offer of them."""

    def __init__(self, house: House, host: str) -> None:
        super().__init__(house, host)
        self.negotiator = Negotiator(self.capabilities, house.rng.randbytes, 1, VideoCapabilities())
        self.local = replace(self.local, video=30002, transport=replace(THEIRS, address=(host, 30000)))
        self.lines: dict[str, str] = {}
        """Direction by mid; "": ended."""
        self.offers: list[sdp.SessionDescription] = []
        """Ours."""

    def take(self, event: sip.Event, now: float) -> None:
        if isinstance(event, sip.OfferReceived) and event.body is not None:
            self.offers.append(sdp.parse(event.body))
            self.endpoint.accept(event.call, self._with_tiles(self.negotiator.answer(event.body, self.local)[0]), now)
        else:
            super().take(event, now)

    def offer(self, **lines: str) -> None:
        """A re-INVITE with tiles: ``_2="recvonly"`` is that of mid 2."""
        self.lines |= {name.removeprefix("_"): direction for name, direction in lines.items()}
        body = self._with_tiles(self.negotiator.offer(self.local))
        self.endpoint.offer(self.call, body, self.house.now)

    def _with_tiles(self, description: bytes) -> bytes:
        head, *parts = description.decode().split("\r\nm=")
        mids = " ".join(["0", "1", *(mid for mid, direction in self.lines.items() if direction)])
        head = "\r\n".join(
            f"a=group:BUNDLE {mids}" if line.startswith("a=group:") else line for line in head.split("\r\n")
        )
        whole = [head, *("m=" + part.removesuffix("\r\n") for part in parts[:2])]
        whole += [_line(mid, direction) for mid, direction in self.lines.items()]
        return ("\r\n".join(whole) + "\r\n").encode()


def _line(mid: str, direction: str) -> str:
    if not direction:
        return "m=video 0 UDP/TLS/RTP/SAVPF 96"
    return "\r\n".join(
        (
            "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            f"a={direction}",
            "a=rtcp-mux",
            EXTENSIONS,
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
            "a=rtpmap:96 VP8/90000",
            "a=rtcp-fb:96 nack",
            "a=rtcp-fb:96 nack pli",
            "a=rtcp-fb:96 transport-cc",
            "a=rtpmap:97 rtx/90000",
            "a=fmtp:97 apt=96",
            "a=rtpmap:98 H264/90000",
            "a=fmtp:98 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1",
            "a=rtpmap:99 rtx/90000",
            "a=fmtp:99 apt=98",
        )
    )


class Gallery(Studio):
    """Pages of browsers with tiles, and what the gateway says of them."""

    def __init__(self, *, workers: int = 1, tiles: int = 9, **kw: Any) -> None:
        self.desk = Desk()
        ports = {n: BUNDLE + n - 1 for n in range(1, workers + 1)}
        transports = TransportSettings(self.desk, ports)
        super().__init__(video=workers, workers=workers, transports=transports, tiles=tiles, **kw)
        self.hosts = itertools.count(11)

    def come(self, room: str = "demo", name: str = "Anna") -> tuple[Browser, int]:
        browser = Browser(self.house, f"192.0.2.{next(self.hosts)}")
        known = set(self.desk.open_now)
        browser.dial(room, from_display=name)
        self.run()
        [id] = set(self.desk.open_now) - known
        self.desk.say(self.house, Reached(id, SOMEWHERE), Keyed(id, *KEYS))
        self.run()
        page = self.page()
        self.say(page, type="hello", call=browser.invite.call_id, language="en")
        return browser, page

    def offer(self, browser: Browser, **lines: str) -> None:
        browser.offer(**lines)
        self.run(1)

    def id(self, page: int) -> int:
        number: int = self.last(page, "welcome")["you"]
        return number

    @property
    def tiles(self) -> dict[str, pictures.SetTile]:
        return self.house.screen.tiles


def seen(house: House, participant: int) -> pictures.SetVideoStream:
    [spec] = [spec for spec in house.screen.streams.values() if spec.participant == participant]
    return spec


def test_are_described_on_the_calls_transport_and_send_nothing_before_the_page_wants_it() -> None:
    gallery = Gallery()
    browser, page = gallery.come()
    gallery.offer(browser, _2="recvonly", _3="recvonly")
    first, second = gallery.tiles.values()
    [audio] = gallery.house.notes.streams.values()
    assert (first.mid, second.mid) == ("2", "3")
    assert first.stream != second.stream
    assert first.bundle == audio.stream
    assert (first.port, first.remote, first.remote_rtcp) == (BUNDLE, SOMEWHERE, SOMEWHERE)
    assert (first.srtp_send, first.srtp_receive) == KEYS
    assert (first.keyed, first.fixed, first.rtcp_mux) == (True, True, True)
    assert first.room == audio.room != 0
    assert first.owner == gallery.id(page)
    assert first.paused
    assert second.paused
    assert [(each.name, each.payload_type, each.rtx_type) for each in first.formats] == [
        ("VP8", 96, 97),
        ("H264", 98, 99),
    ]
    assert (first.extensions.mid, first.extensions.transport_sequence) == (4, 3)
    assert first.transport_cc
    assert not first.remb
    [event] = browser.events(sip.OfferAnswered)
    told = [list(line.all("ssrc-group")) for line in sdp.parse(event.body).media[2:]]
    assert first.send_state is not None
    assert second.send_state is not None
    assert told == [[f"FID {each.ssrc} {each.ssrc + 1}"] for each in (first.send_state, second.send_state)]
    assert {96, 97} <= set(audio.elsewhere)


def test_show_what_the_page_wants() -> None:
    gallery = Gallery()
    browser, page = gallery.come()
    _, other = gallery.come(name="Bruno")
    gallery.offer(browser, _2="recvonly", _3="recvonly")
    bruno = gallery.id(other)
    gallery.say(
        page,
        type="tiles",
        tiles=[{"mid": "2", "participant": bruno, "height": 360}, {"mid": "3", "content": True}],
        composed=False,
    )
    first, second = gallery.tiles["2"], gallery.tiles["3"]
    assert (first.participant, first.max_height, first.paused, first.content) == (bruno, 360, False, False)
    assert (second.participant, second.max_height, second.paused, second.content) == (0, 0, False, True)
    assert seen(gallery.house, gallery.id(page)).send is None, "nothing is encoded for her"
    assert seen(gallery.house, gallery.id(page)).receive
    assert seen(gallery.house, bruno).send is not None
    gallery.say(page, type="tiles", tiles=[{"mid": "2", "participant": bruno, "paused": True}])
    assert gallery.tiles["2"].paused
    assert gallery.tiles["3"].paused, "it was left out"
    assert seen(gallery.house, gallery.id(page)).send is not None
    assert not gallery.of(page, "refused")


def test_a_page_may_want_what_is_not_negotiated_yet() -> None:
    gallery = Gallery()
    browser, page = gallery.come()
    gallery.say(page, type="tiles", tiles=[{"mid": "2", "height": 180}])
    assert not gallery.tiles
    gallery.offer(browser, _2="recvonly")
    assert (gallery.tiles["2"].max_height, gallery.tiles["2"].paused) == (180, False)


def test_what_they_show_is_told_when_it_changes() -> None:
    gallery = Gallery()
    browser, page = gallery.come()
    _, other = gallery.come(name="Bruno")
    gallery.offer(browser, _2="recvonly", _3="recvonly")
    stream = gallery.tiles["2"].stream
    for event in (
        pictures.TileShows(stream=stream, participant=gallery.id(other)),
        pictures.TileShows(stream=stream, participant=gallery.id(other)),
        pictures.TileShows(stream=gallery.tiles["3"].stream, participant=0, reason="absent"),
        pictures.TileShows(stream=4711, participant=9),
    ):
        gallery.house.watched(event)
        gallery.settle()
    assert gallery.of(page, "tiles") == [
        {"type": "tiles", "shows": {"2": gallery.id(other), "3": 0}, "reasons": {}},
        {"type": "tiles", "shows": {"2": gallery.id(other), "3": 0}, "reasons": {"3": "absent"}},
    ]
    assert not gallery.of(other, "tiles")
    again = gallery.page()
    gallery.say(again, type="hello", call=browser.invite.call_id)
    assert gallery.last(again, "tiles")["shows"] == {"2": gallery.id(other), "3": 0}


def test_only_people_of_the_same_room_can_be_chosen() -> None:
    gallery = Gallery()
    browser, page = gallery.come()
    _, beside = gallery.come(name="Bruno")
    _, elsewhere = gallery.come("other", "Claire")
    gallery.offer(browser, _2="recvonly", _3="recvonly", _4="recvonly")
    wanted = [gallery.id(elsewhere), gallery.id(beside), 4711]
    gallery.say(
        page, type="tiles", tiles=[{"mid": str(mid), "participant": number} for mid, number in enumerate(wanted, 2)]
    )
    refused = gallery.last(page, "refused")
    assert (refused["code"], refused["of"]) == ("no-participant", "tiles")
    assert refused["message"] == "en-CA: whoever you want to see is not in your room"
    assert [(tile.participant, tile.paused) for tile in gallery.tiles.values()] == [
        (0, True),
        (wanted[1], False),
        (0, True),
    ], "the others are as wished"


def test_nobody_in_the_lobby_sees_or_is_seen() -> None:
    gallery = Gallery()
    gallery.house.focus.add_room(RoomSettings(name="board", lobby="until-admitted"))
    browser, page = gallery.come("board")
    gallery.offer(browser, _2="recvonly")
    assert gallery.tiles["2"].room == 0
    gallery.say(page, type="tiles", tiles=[{"mid": "2", "participant": gallery.id(page)}])
    assert gallery.last(page, "refused")["code"] == "no-participant"


def test_no_more_than_there_may_be() -> None:
    gallery = Gallery(tiles=2)
    browser, page = gallery.come()
    gallery.offer(browser, _2="recvonly", _3="recvonly", _4="recvonly")
    assert list(gallery.tiles) == ["2", "3"]
    [event] = browser.events(sip.OfferAnswered)
    assert [line.port for line in sdp.parse(event.body).media] == [BUNDLE] * 4 + [0]
    gallery.say(page, type="tiles", tiles=[{"mid": str(n)} for n in range(2, 5)])
    refused = gallery.last(page, "refused")
    assert (refused["code"], refused["message"]) == ("too-many-tiles", "en-CA: 2 pictures fit on a page and no more")
    assert gallery.tiles["2"].paused, "nothing changed"


def test_a_full_worker_refuses_more() -> None:
    gallery = Gallery(tiles_held=3)
    for _ in range(2):
        browser, _ = gallery.come()
        gallery.offer(browser, _2="recvonly", _3="recvonly")
    assert len(gallery.house.screen.of(pictures.SetTile)) >= 3
    assert [line.port for line in sdp.parse(browser.events(sip.OfferAnswered)[-1].body).media] == [BUNDLE] * 3 + [0]
    browser.hangup()
    gallery.run(40)
    browser, _ = gallery.come()
    gallery.offer(browser, _2="recvonly")
    assert sdp.parse(browser.events(sip.OfferAnswered)[-1].body).media[2].port == BUNDLE


def test_where_they_are_off_there_are_none() -> None:
    gallery = Gallery(tiles=0)
    browser, page = gallery.come()
    gallery.offer(browser, _2="recvonly")
    assert not gallery.tiles
    [event] = browser.events(sip.OfferAnswered)
    assert sdp.parse(event.body).media[2].port == 0
    gallery.say(page, type="tiles", tiles=[], composed=False)
    assert gallery.last(page, "refused")["code"] == "no-tiles"
    assert seen(gallery.house, gallery.id(page)).send is not None


@pytest.mark.parametrize(
    "tiles",
    [
        [{"mid": "2", "participant": -1}],
        [{"mid": "2", "height": 10_000}],
        [{"mid": "x" * 17}],
        [{"participant": 1}],
        [{"mid": "2"}] * 65,
        "2",
        None,
    ],
)
def test_nonsense_is_refused(tiles: object) -> None:
    gallery = Gallery()
    _, page = gallery.come()
    gallery.say(page, type="tiles", tiles=tiles)
    assert gallery.last(page, "refused")["code"] == "not-understood"


def test_end_with_their_lines_and_with_the_call() -> None:
    gallery = Gallery()
    browser, _ = gallery.come()
    gallery.offer(browser, _2="recvonly", _3="recvonly", _4="recvonly")
    streams = {mid: tile.stream for mid, tile in gallery.tiles.items()}
    gallery.offer(browser, _2="inactive", _3="")
    assert list(gallery.tiles) == ["4"]
    gallery.offer(browser, _2="recvonly")
    assert sorted(gallery.tiles) == ["2", "4"]
    assert gallery.tiles["4"].stream == streams["4"]
    assert gallery.tiles["2"].stream not in streams.values(), "no number twice"
    browser.hangup()
    gallery.run(40)
    assert not gallery.tiles


def test_follow_the_path_and_the_keys() -> None:
    gallery = Gallery()
    browser, _ = gallery.come()
    gallery.offer(browser, _2="recvonly")
    [id] = gallery.desk.open_now
    other = (media.SrtpKey("AEAD_AES_128_GCM", bytes([1] * 28)), media.SrtpKey("AEAD_AES_128_GCM", bytes([2] * 28)))
    elsewhere = media.Address("198.51.100.8", 50000)
    gallery.desk.say(gallery.house, Reached(id, elsewhere), Keyed(id, *other))
    tile = gallery.tiles["2"]
    assert (tile.remote, tile.srtp_send, tile.srtp_receive) == (elsewhere, *other)
    gallery.desk.say(gallery.house, Unreachable(id))
    assert gallery.tiles["2"].remote is None


def test_an_offer_of_ours_keeps_them() -> None:
    gallery = Gallery()
    browser, _ = gallery.come()
    gallery.offer(browser, _2="recvonly", _3="inactive")
    before = gallery.tiles["2"]
    browser.asked = True
    browser.endpoint.offer(browser.call, None, gallery.house.now)
    browser.negotiator.answer, plain = (  # type: ignore[method-assign]
        lambda offer, local: (browser._with_tiles(plain(offer, local)[0]), None),
        browser.negotiator.answer,
    )
    gallery.run(1)
    body = browser.events(sip.OfferAnswered)[-1].body
    offer = sdp.parse(body)
    assert [line.mid for line in offer.media] == ["0", "1", "2", "3"]
    assert offer.media[2].has("sendonly")
    assert offer.media[3].has("inactive")
    assert gallery.tiles == {"2": before}


def test_a_call_that_moves_to_another_worker_takes_them_along() -> None:
    gallery = Gallery(workers=2)
    first, there = gallery.come("first", "Bruno")
    browser, page = gallery.come("second")
    gallery.offer(browser, _2="recvonly")
    gallery.say(page, type="tiles", tiles=[{"mid": "2", "height": 360}])
    [from_] = [n for n, notes in gallery.house.screens.items() if notes.tiles]
    before = gallery.house.screens[from_].tiles["2"]
    id = list(gallery.desk.open_now)[-1]
    fresh = (media.SrtpKey("AEAD_AES_128_GCM", bytes([1] * 28)), media.SrtpKey("AEAD_AES_128_GCM", bytes([2] * 28)))
    gallery.house.focus.move(gallery.id(page), "first", gallery.house.now)
    gallery.desk.say(gallery.house, Keyed(id, *fresh))  # while the offer is on its way
    gallery.run(2)
    after = gallery.house.screens[1 - from_].tiles["2"]
    assert not gallery.house.screens[from_].tiles
    assert after.stream != before.stream
    assert after.port != before.port
    assert (after.max_height, after.paused) == (360, False)
    assert (after.remote, after.srtp_send) == (None, fresh[0])
    assert before.send_state is not None
    assert after.send_state is not None
    assert after.send_state.ssrc != before.send_state.ssrc
    [offer] = browser.offers
    assert list(offer.media[2].all("ssrc-group")) == [f"FID {after.send_state.ssrc} {after.send_state.ssrc + 1}"]
    [audio] = [spec for spec in gallery.house.workers[(1 - from_) or 2].streams.values() if spec.stream == after.bundle]
    assert audio.room == after.room
    gallery.desk.say(gallery.house, Reached(id, SOMEWHERE))
    assert gallery.house.screens[1 - from_].tiles["2"].remote == SOMEWHERE
    gallery.house.watched(pictures.TileShows(stream=before.stream, participant=gallery.id(there)), from_)
    gallery.settle()
    assert not gallery.of(page, "tiles"), "of the old one nothing is believed"
    gallery.house.watched(pictures.TileShows(stream=after.stream, participant=gallery.id(there)), 1 - from_)
    gallery.settle()
    assert gallery.last(page, "tiles")["shows"] == {"2": gallery.id(there)}
    assert first.events(sip.CallAnswered)


def test_a_room_without_pictures_has_none() -> None:
    gallery = Gallery()
    gallery.house.focus.add_room(RoomSettings(name="bare", video=False))
    browser, _ = gallery.come("bare")
    gallery.offer(browser, _2="recvonly")
    assert not gallery.tiles
    assert sdp.parse(browser.events(sip.OfferAnswered)[-1].body).media[2].port == 0
