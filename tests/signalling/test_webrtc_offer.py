"""Offer and answer of ICE, DTLS, BUNDLE and simulcast: browsers, and phones that key by DTLS without them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.signalling import sdp
from bridge.signalling.media_line import Unacceptable
from bridge.signalling.offer import Agreed, Capabilities, Local, Negotiator
from bridge.signalling.sdp import Direction, MediaDescription, SessionDescription
from bridge.signalling.transport_line import AgreedTransport
from bridge.signalling.transport_parameters import Candidate, Fingerprint, Setup, TransportParameters
from bridge.signalling.video_codec import VideoCapabilities
from bridge.signalling.video_line import AgreedVideo

OFFERS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "offers").glob("*.sdp"))}
BROWSERS = ("chromium", "chromium-share", "firefox", "safari", "aiortc")
OURS = TransportParameters(
    (Fingerprint("sha-256", bytes(range(32))),),
    Setup.PASSIVE,
    "ourU",
    "ourpasswordourpassword12",
    lite=True,
    candidates=(
        Candidate("1", 2130706431, "192.0.2.1", 10000),
        Candidate("2", 1694498815, "192.0.2.1", 10000, "tcp", tcp_type="passive"),
    ),
    address=("192.0.2.1", 10000),
)
HERE = Local("192.0.2.1", 16000, video=10000, content=10000, transport=OURS)
AT_ITS_OWN = Local("127.0.0.1", 16000, video=17000, transport=replace(OURS, setup=Setup.ACTPASS))
"""Where phones without ICE find us."""


def negotiator(video: VideoCapabilities | None = None, srtp: str = "offered", seed: int = 1) -> Negotiator:
    capabilities = Capabilities.of(("opus", "G722", "PCMU"), srtp)
    return Negotiator(capabilities, random.Random(seed).randbytes, 7, video or VideoCapabilities())


def answered(name: str, local: Local = HERE, ours: Negotiator | None = None) -> tuple[SessionDescription, Agreed]:
    answer, agreed = (ours or negotiator()).answer(OFFERS[name], local)
    return sdp.parse(answer), agreed


def transport(agreed: Agreed | None) -> AgreedTransport:
    assert agreed is not None
    assert agreed.transport is not None
    return agreed.transport


def video(agreed: Agreed) -> AgreedVideo:
    assert agreed.video is not None
    return agreed.video


def changed(name: str, *pairs: tuple[str, str]) -> bytes:
    text = OFFERS[name].decode()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def without(name: str, start: str) -> bytes:
    lines = OFFERS[name].decode().split("\r\n")
    return "\r\n".join(line for line in lines if not line.startswith(start)).encode()


class TestBrowsers:
    @pytest.mark.parametrize("name", BROWSERS)
    def test_have_one_transport_for_voice_and_pictures(self, name: str) -> None:
        answer, agreed = answered(name)
        offered = sdp.parse(OFFERS[name])
        over = transport(agreed)
        assert over.ice
        assert over.remote.ufrag == offered.media[0].first("ice-ufrag")
        assert over.remote.setup is Setup.ACTPASS
        assert over.local.setup is Setup.PASSIVE
        assert [(line.kind, line.mid) for line in over.lines][:2] == [
            ("audio", offered.media[0].mid),
            ("video", offered.media[1].mid),
        ]
        assert agreed.srtp_send is agreed.srtp_receive is None
        assert agreed.rtcp_mux
        assert agreed.remote is None, "ICE finds the address"
        assert video(agreed).bundled
        assert video(agreed).remote is None
        assert answer.has("ice-lite")

    @pytest.mark.parametrize("name", BROWSERS)
    def test_get_every_line_with_its_mid_and_the_transports_attributes(self, name: str) -> None:
        answer, _ = answered(name)
        offered = sdp.parse(OFFERS[name])
        assert len(answer.media) == len(offered.media)
        live = [media for media in answer.media if media.port]
        assert [group.mids for group in answer.groups] == [tuple(media.mid for media in live)]
        for media in live:
            assert media.port == 10000
            assert media.proto == "UDP/TLS/RTP/SAVPF"
            assert (media.first("ice-ufrag"), media.first("ice-pwd")) == ("ourU", "ourpasswordourpassword12")
            assert media.first("fingerprint") == "sha-256 " + bytes(range(32)).hex(":").upper()
            assert media.first("setup") == "passive"
            assert media.rtcp_mux
            assert not media.crypto
        for media, theirs in zip(answer.media, offered.media, strict=True):
            assert media.kind == theirs.kind
            assert media.mid == (theirs.mid if media.port else None)

    def test_get_candidates_once(self) -> None:
        answer, _ = answered("chromium")
        assert list(answer.media[0].all("candidate")) == [
            "1 1 udp 2130706431 192.0.2.1 10000 typ host",
            "2 1 tcp 1694498815 192.0.2.1 10000 typ host tcptype passive",
        ]
        assert answer.media[0].has("end-of-candidates")
        assert not answer.media[1].has("candidate")

    def test_are_told_another_address_than_the_signallings(self) -> None:
        ours = replace(OURS, address=("203.0.113.9", 10000))
        answer, _ = answered("chromium", replace(HERE, transport=ours))
        assert str(answer.media[0].connection) == "IN IP4 203.0.113.9"

    def test_get_no_data_channel(self) -> None:
        answer, _ = answered("chromium-share")
        place = next(number for number, media in enumerate(answer.media) if media.kind == "application")
        assert answer.media[place].port == 0
        assert answer.media[place].mid is None

    @pytest.mark.parametrize(
        ("name", "codec", "number", "rtx"),
        [
            ("chromium", "VP8", 96, 97),
            ("firefox", "VP8", 120, 124),
            ("safari", "H264", 96, 97),
            ("aiortc", "VP8", 97, 98),
        ],
    )
    def test_are_sent_their_own_first_codec_with_retransmissions(
        self, name: str, codec: str, number: int, rtx: int
    ) -> None:
        _, agreed = answered(name)
        if name != "chromium":  # whose camera only sends
            send = video(agreed).send
            assert send is not None
            assert (send.name, send.payload_type, send.rtx) == (codec, number, rtx)
        first = video(agreed).receive[0]
        assert (first.name, first.payload_type, first.rtx) == (codec, number, rtx)
        assert agreed.send is not None
        assert agreed.send.name == "OPUS"

    def test_vp9_is_taken_and_av1_is_not(self) -> None:
        _, agreed = answered("chromium")
        names = {payload.name for payload in video(agreed).receive}
        assert names == {"VP8", "H264", "VP9"}
        assert 45 not in transport(agreed).lines[1].payload_types

    def test_the_payload_types_of_pictures_are_known_to_the_transport(self) -> None:
        _, agreed = answered("aiortc")
        assert transport(agreed).lines[0].payload_types == (96, 9, 0)
        assert set(transport(agreed).lines[1].payload_types) == {97, 98, 99, 100, 101, 102}

    def test_levels_feedback_and_extensions(self) -> None:
        answer, agreed = answered("safari")
        ids = video(agreed).extensions
        assert (ids.absolute_time, ids.transport_sequence, ids.mid, ids.orientation) == (2, 3, 4, 13)
        assert (ids.rid, ids.repaired_rid) == (0, 0), "one stream has no RID"
        assert agreed.levels == 1
        assert [(each.id, each.direction) for each in answer.media[1].extmaps] == [
            (2, Direction.SENDRECV),
            (3, Direction.SENDRECV),
            (4, Direction.SENDRECV),
            (13, Direction.RECVONLY),
        ]
        feedback = video(agreed).receive[0].feedback
        assert feedback == ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
        assert answer.media[1].has("rtcp-rsize")

    def test_transport_wide_feedback_needs_its_numbers(self) -> None:
        ours = negotiator()
        text = without("safari", "a=extmap:3 http://www.ietf.org/id/draft-holmer")
        answer, agreed = ours.answer(text, HERE)
        assert "transport-cc" not in video(agreed).receive[0].feedback
        assert ("96", "transport-cc") not in sdp.parse(answer).media[1].rtcp_fb

    def test_high_profile_is_answered_as_high(self) -> None:
        answer, _ = answered("safari")
        assert answer.media[1].fmtp(96)["profile-level-id"] == "640c1f"

    def test_streams_of_ours_have_names(self) -> None:
        answer, _ = answered("chromium-share")
        assert [media.first("msid") for media in answer.media if media.port] == [
            "main main-voice",
            "main main-picture",
            None,
        ], "whoever shows something is sent nothing there"

    def test_are_told_what_we_send_with(self) -> None:
        """A browser that is told MIDs on one line finds no other line by payload type alone."""
        local = replace(HERE, sources={"audio": 7, "video": 8, "content": 10}, cname="visiopont")
        ours = negotiator()
        answer, _ = answered("chromium-share", local, ours)
        lines = [[value for name, value in media.attributes if name.startswith("ssrc")] for media in answer.media]
        assert lines == [
            ["7 cname:visiopont"],
            ["FID 8 9", "8 cname:visiopont", "9 cname:visiopont"],
            [],
            [],
        ], "whoever shows something is sent nothing there"
        again = sdp.parse(ours.offer(local))
        assert list(again.media[0].all("ssrc")) == ["7 cname:visiopont"]
        assert list(again.media[1].all("ssrc-group")) == ["FID 8 9"]

    def test_without_a_transport_of_ours_are_refused(self) -> None:
        for name in BROWSERS:
            with pytest.raises(Unacceptable) as refused:
                answered(name, replace(HERE, transport=None))
            assert refused.value.code == 488

    def test_are_served_where_sdes_is_off_or_security_is_required(self) -> None:
        for srtp in ("off", "required"):
            _, agreed = answered("chromium", ours=negotiator(srtp=srtp))
            assert transport(agreed).ice

    def test_without_pictures_of_ours_are_heard(self) -> None:
        answer, agreed = answered("safari", replace(HERE, video=0, content=0))
        assert [media.port for media in answer.media] == [10000, 0]
        assert answer.groups[0].mids == ("audio_0",)
        assert agreed.video is None


class TestScreens:
    def test_are_the_call_s_content(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["chromium"], HERE)
        answer, agreed = answered("chromium-share", ours=ours)
        assert agreed.content is not None
        assert agreed.content.mid == "3"
        assert agreed.content.direction is Direction.RECVONLY
        assert [line.kind for line in transport(agreed).lines] == ["audio", "video", "content"]
        assert answer.media[3].first("content") == "slides"

    def test_that_are_for_bundle_only_have_port_0_and_live(self) -> None:
        answer, agreed = answered("firefox")
        assert agreed.content is not None
        assert answer.media[2].port == 10000
        assert answer.groups[0].mids == ("0", "1", "2")

    def test_that_are_taken_back_leave_the_group(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["chromium-share"], HERE)
        text = OFFERS["chromium-share"].decode()
        head, _, last = text.rpartition("m=video 9 ")
        gone = (head + "m=video 0 " + last).replace("BUNDLE 0 1 2 3", "BUNDLE 0 1 2").encode()
        answer, agreed = ours.answer(gone, HERE)
        assert agreed.content is None
        assert [line.kind for line in transport(agreed).lines] == ["audio", "video"]
        assert sdp.parse(answer).groups[0].mids == ("0", "1")

    def test_that_stop_are_inactive(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["chromium-share"], HERE)
        _, agreed = ours.answer(changed("chromium-share", ("a=sendonly", "a=inactive")), HERE)
        assert agreed.content is not None
        assert agreed.content.direction is Direction.INACTIVE


class TestSimulcast:
    def test_is_taken(self) -> None:
        answer, agreed = answered("chromium")
        assert [layer.rid for layer in video(agreed).layers] == ["q", "h", "f"]
        assert list(answer.media[1].all("rid")) == ["q recv", "h recv", "f recv"]
        assert answer.media[1].first("simulcast") == "recv q;h;f"
        ids = video(agreed).extensions
        assert (ids.rid, ids.repaired_rid) == (10, 11)

    def test_needs_the_extension_that_tells_layers_apart(self) -> None:
        text = without("chromium", "a=extmap:10 ")
        answer, agreed = negotiator().answer(text, HERE)
        assert video(agreed).layers == ()
        assert sdp.parse(answer).media[1].first("simulcast") is None

    @pytest.mark.parametrize(
        ("lines", "rids", "sizes"),
        [
            (("send q,x;~h;f", "q send", "h send", "f send"), ["q", "h", "f"], [(0, 0)] * 3),
            (("send a;b", "a send max-width=320;max-height=180", "b send"), ["a", "b"], [(320, 180), (0, 0)]),
            (("send a;b recv c", "a send pt=45", "b send pt=45,96;max-width=640"), ["b"], [(640, 0)]),
            (("recv a", "a recv"), [], []),
            (("send a;a;b", "a send", "a send", "c send"), ["a"], [(0, 0)]),
            (("send a;b;c;d;e", *(f"{rid} send" for rid in "abcde")), list("abcd"), [(0, 0)] * 4),
            (("send " + "z" * 40, "z" * 40 + " send"), [], []),
        ],
    )
    def test_as_written(self, lines: tuple[str, ...], rids: list[str], sizes: list[tuple[int, int]]) -> None:
        text = without("chromium", "a=rid").replace(b"a=simulcast:send q;h;f\r\n", b"")
        text += f"a=simulcast:{lines[0]}\r\n".encode() + b"".join(f"a=rid:{line}\r\n".encode() for line in lines[1:])
        _, agreed = negotiator().answer(text, HERE)
        assert [layer.rid for layer in video(agreed).layers] == rids
        assert [(layer.max_width, layer.max_height) for layer in video(agreed).layers] == sizes

    def test_goes_on_through_an_offer_of_ours(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["chromium"], HERE)
        line = sdp.parse(ours.offer(HERE)).media[1]
        assert line.first("simulcast") == "recv q;h;f"
        assert list(line.all("rid")) == ["q recv", "h recv", "f recv"]


class TestPhones:
    """baresip and linphone: DTLS without ICE, each m-line by itself."""

    @pytest.mark.parametrize("name", ["baresip-dtls", "linphone-dtls", "baresip-video-dtls", "linphone-video-dtls"])
    def test_are_keyed_by_dtls_at_the_address_that_they_name(self, name: str) -> None:
        answer, agreed = answered(name, AT_ITS_OWN)
        offered = sdp.parse(OFFERS[name]).media[0]
        over = transport(agreed)
        assert not over.ice
        assert over.remote.address == agreed.remote == ("127.0.0.1", offered.port)
        assert over.local.setup is Setup.PASSIVE
        assert over.local.address == ("127.0.0.1", 16000)
        line = answer.media[0]
        assert (line.port, line.proto, line.first("setup")) == (16000, offered.proto, "passive")
        assert line.first("fingerprint") is not None
        assert line.first("ice-ufrag") is line.mid is None
        assert not answer.has("ice-lite")
        assert not answer.groups

    @pytest.mark.parametrize("name", ["baresip-video-dtls", "linphone-video-dtls"])
    def test_have_another_transport_for_the_picture(self, name: str) -> None:
        answer, agreed = answered(name, AT_ITS_OWN)
        offered = sdp.parse(OFFERS[name]).media[1]
        picture = video(agreed)
        assert not picture.bundled
        assert picture.transport is not None
        assert picture.transport.remote.address == picture.remote == ("127.0.0.1", offered.port)
        assert picture.transport.local.address == ("127.0.0.1", 17000)
        assert [line.kind for line in picture.carried] == ["video"]
        assert [line.kind for line in transport(agreed).lines] == ["audio"]
        assert (answer.media[1].port, answer.media[1].proto) == (17000, offered.proto)

    @pytest.mark.parametrize("name", ["baresip-video-dtls", "linphone-video-dtls"])
    def test_are_offered_the_same_again(self, name: str) -> None:
        ours = negotiator()
        ours.answer(OFFERS[name], AT_ITS_OWN)
        again = sdp.parse(ours.offer(AT_ITS_OWN))
        assert [media.port for media in again.media] == [16000, 17000]
        assert [media.proto for media in again.media] == [media.proto for media in sdp.parse(OFFERS[name]).media]
        assert [media.first("setup") for media in again.media] == ["actpass", "actpass"]
        assert not again.groups

    def test_that_await_us_have_us_begin(self) -> None:
        text = changed("baresip-dtls", ("setup:actpass", "setup:passive"))
        ours = negotiator()
        answer, agreed = ours.answer(text, AT_ITS_OWN)
        assert transport(agreed).local.setup is Setup.ACTIVE
        assert sdp.parse(answer).media[0].first("setup") == "active"
        _, agreed = ours.answer(OFFERS["baresip-dtls"], AT_ITS_OWN)
        assert transport(agreed).local.setup is Setup.ACTIVE, "RFC 8842 §5.3: the association stands"

    def test_whose_transports_differ_are_known_before_the_answer(self) -> None:
        found = negotiator().transports(OFFERS["baresip-video-dtls"])
        assert {kind: each.address for kind, each in found.items()} == {
            "audio": ("127.0.0.1", 8404),
            "video": ("127.0.0.1", 8406),
        }
        assert list(negotiator().transports(OFFERS["chromium-share"])) == ["audio"]
        assert negotiator().transports(OFFERS["baresip"]) == {}

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("fingerprint:SHA-256", "fingerprint:md5"),
            ("fingerprint:SHA-256 15", "fingerprint:SHA-256 ZZ"),
            ("setup:actpass", "setup:holdconn"),
            ("a=label:1", "a=ice-ufrag:a b"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, old: str, new: str) -> None:
        ours = negotiator()
        with pytest.raises(Unacceptable) as refused:
            ours.answer(changed("baresip-dtls", (old, new)), AT_ITS_OWN)
        assert refused.value.code == 488
        assert ours.agreed is None


class TestLaterOffers:
    def test_with_other_credentials_restart_ice(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["chromium"], HERE)
        restart = changed("chromium", ("ice-ufrag:Aovc", "ice-ufrag:Bbbb"))
        [theirs] = ours.transports(restart).values()
        assert theirs.ufrag == "Bbbb"
        fresh = replace(OURS, ufrag="ourV", password="anotherpasswordanother12")
        answer, agreed = ours.answer(restart, replace(HERE, transport=fresh))
        assert sdp.parse(answer).media[0].first("ice-ufrag") == "ourV"
        assert (transport(agreed).local.ufrag, transport(agreed).remote.ufrag) == ("ourV", "Bbbb")

    def test_with_another_certificate_show_it(self) -> None:
        ours = negotiator()
        before = transport(ours.answer(OFFERS["chromium"], HERE)[1]).remote
        _, agreed = ours.answer(changed("chromium", ("sha-256 96:80", "sha-256 97:81")), HERE)
        assert transport(agreed).remote.fingerprints != before.fingerprints
        assert transport(agreed).remote.ufrag == before.ufrag

    def test_that_say_nothing_new_get_the_same_answer(self) -> None:
        ours = negotiator()
        assert ours.answer(OFFERS["firefox"], HERE)[0] == ours.answer(OFFERS["firefox"], HERE)[0]

    def test_of_ours_keep_mids_numbers_and_extensions(self) -> None:
        ours = negotiator()
        first = sdp.parse(ours.answer(OFFERS["chromium-share"], HERE)[0])
        again = sdp.parse(ours.offer(HERE))
        assert [media.mid for media in again.media] == [media.mid for media in first.media]
        assert again.groups == first.groups
        assert [media.first("setup") for media in again.media if media.port] == ["actpass"] * 3
        for mine, theirs in zip(again.media, sdp.parse(OFFERS["chromium-share"]).media, strict=True):
            known = {(each.id, each.uri) for each in theirs.extmaps}
            assert {(each.id, each.uri) for each in mine.extmaps} <= known
            meaning = theirs.rtpmaps
            assert all(meaning[number].name == rtpmap.name for number, rtpmap in mine.rtpmaps.items() if mine.port)

    def test_of_ours_may_change_the_credentials(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["firefox"], HERE)
        fresh = replace(OURS, ufrag="ourV", password="anotherpasswordanother12")
        again = sdp.parse(ours.offer(replace(HERE, transport=fresh)))
        assert [media.first("ice-ufrag") for media in again.media] == ["ourV"] * 3

    def test_a_call_that_began_plain_stays_plain(self) -> None:
        ours = negotiator()
        ours.answer(OFFERS["baresip"], AT_ITS_OWN)
        assert sdp.parse(ours.offer(AT_ITS_OWN)).media[0].proto == "RTP/AVP"


def browser(seed: int = 2) -> tuple[Negotiator, Local]:
    """One of our own kind at the other end, which is no lite agent."""
    theirs = TransportParameters(
        (Fingerprint("sha-256", bytes(range(1, 33))),),
        Setup.ACTIVE,
        "theirU",
        "theirpasswordtheirpass12",
        address=("192.0.2.9", 20000),
    )
    return negotiator(seed=seed), Local("192.0.2.9", 20000, video=20000, content=20000, transport=theirs)


class TestFirstOffersOfOurs:
    def test_are_for_browsers_where_we_have_a_transport(self) -> None:
        offer = sdp.parse(negotiator().offer(HERE))
        assert [media.kind for media in offer.media] == ["audio", "video"]
        assert [media.mid for media in offer.media] == ["0", "1"]
        assert offer.groups[0].mids == ("0", "1")
        assert offer.has("ice-lite")
        assert all(media.proto == "UDP/TLS/RTP/SAVPF" for media in offer.media)
        assert all(media.first("setup") == "actpass" for media in offer.media)
        assert not any(media.crypto for media in offer.media)
        names = {rtpmap.name for rtpmap in offer.media[1].rtpmaps.values()}
        assert names == {"H264", "VP8", "rtx"}

    def test_give_a_number_one_meaning_in_the_group(self) -> None:
        offer = sdp.parse(negotiator().offer(HERE))
        voice, picture = offer.media
        assert not set(voice.payload_types) & set(picture.payload_types)
        ids = [each.id for media in offer.media for each in media.extmaps]
        assert len(ids) == len(set(ids))

    def test_are_answered(self) -> None:
        ours, (theirs, there) = negotiator(), browser()
        answer, _ = theirs.answer(ours.offer(HERE), there)
        agreed = ours.accept(answer)
        over = transport(agreed)
        assert (over.remote.ufrag, over.remote.setup, over.local.setup) == ("theirU", Setup.ACTIVE, Setup.PASSIVE)
        assert video(agreed).bundled
        assert video(agreed).mid == "1"
        assert [line.mid for line in over.lines] == ["0", "1"]

    def test_an_answer_without_a_transport_is_none(self) -> None:
        ours = negotiator()
        ours.offer(HERE)
        plain, _ = negotiator(seed=3).answer(negotiator(seed=4).offer(Local("192.0.2.9", 4000)), Local("192.0.2.8", 1))
        with pytest.raises(Unacceptable):
            ours.accept(plain)

    def test_a_picture_that_is_not_bundled_is_left_out(self) -> None:
        ours, (theirs, there) = negotiator(), browser()
        answer, _ = theirs.answer(ours.offer(HERE), there)
        agreed = ours.accept(answer.replace(b"BUNDLE 0 1", b"BUNDLE 0"))
        assert agreed.video is None
        assert transport(agreed).ice

    def test_attributes_that_only_the_first_line_has_are_the_others_too(self) -> None:
        ours, (theirs, there) = negotiator(), browser()
        answer, _ = theirs.answer(ours.offer(HERE), there)
        first, second = answer.split(b"m=video")
        bare = [line for line in second.split(b"\r\n") if not line.startswith((b"a=ice-", b"a=finger", b"a=setup"))]
        agreed = ours.accept(first + b"m=video" + b"\r\n".join(bare))
        assert video(agreed).bundled


@settings(deadline=None, max_examples=50)  # six kilobytes, three times over
@given(st.sampled_from(BROWSERS), st.data())
def test_lines_lost_and_mangled_cost_no_more_than_a_refusal(name: str, data: st.DataObject) -> None:
    lines = OFFERS[name].decode().split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "twice", "cut", "number", "zero"]))
        line = lines[place]
        if change == "drop":
            del lines[place]
        elif change == "twice":
            lines.insert(place, line)
        elif change == "cut":
            lines[place] = line[: data.draw(st.integers(0, len(line)))]
        else:
            lines[place] = line.replace("9", "0" if change == "zero" else "99999999999")
        lines = lines or [""]
    text, ours = "\r\n".join(lines).encode(), negotiator()
    try:
        known = ours.transports(text)
        answer, agreed = ours.answer(text, HERE)
    except Unacceptable:
        assert ours.agreed is None
        return
    assert len(sdp.parse(answer).media) == sum(line.startswith("m=") for line in lines)
    if agreed.transport is not None:
        assert known["audio"] == agreed.transport.remote
    live = {media.mid for media in sdp.parse(answer).media if media.port}
    assert all(set(group.mids) <= live for group in sdp.parse(answer).groups)
    again = sdp.parse(ours.offer(HERE))
    assert len(again.media) == len(sdp.parse(answer).media)


def one_meaning(media: tuple[MediaDescription, ...]) -> bool:
    meanings: dict[int, set[tuple[str, str]]] = {}
    for each in media:
        for number, rtpmap in each.rtpmaps.items() if each.port else ():
            meanings.setdefault(number, set()).add((each.kind, rtpmap.name))
    return all(len(found) == 1 for found in meanings.values())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["answer", "offer", "share", "refused"]), max_size=8), st.sampled_from(BROWSERS))
def test_a_payload_type_has_one_meaning_in_the_group_whatever_happens(steps: list[str], name: str) -> None:
    """RFC 9143 §9.1."""
    ours = negotiator()
    answer, _ = ours.answer(OFFERS[name], HERE)
    assert one_meaning(sdp.parse(answer).media)
    for step in steps:
        if step == "offer":
            assert one_meaning(sdp.parse(ours.offer(HERE)).media)
        elif step == "refused":
            ours.refused()
        else:
            answer, _ = ours.answer(OFFERS[name], HERE if step == "share" else replace(HERE, content=0))
            assert one_meaning(sdp.parse(answer).media)
