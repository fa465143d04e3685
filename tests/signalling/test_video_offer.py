"""Offer and answer of pictures, by what a call needs of them; offers of real phones are in offers/."""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling import sdp
from bridge.signalling.bfcp_line import AgreedFloor, FloorAccess
from bridge.signalling.image_attribute import wished_size
from bridge.signalling.offer import Agreed, Capabilities, Local, Negotiator, Unacceptable
from bridge.signalling.sdp import Direction, MediaDescription
from bridge.signalling.video_codec import VideoCapabilities
from bridge.signalling.video_line import AgreedVideo

OFFERS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "offers").glob("*.sdp"))}
FLOOR = FloorAccess(5070, 5070, 4711, 3)
HERE = Local("192.0.2.1", 16000, video=17000, content=17002, floor=FLOOR)
LOOPBACK = replace(HERE, host="127.0.0.1")
KEY = "AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(30))).decode()
OTHER_KEY = "AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(1, 31))).decode()
H264 = ("a=rtpmap:97 H264/90000",)


def negotiator(srtp: str = "offered", video: VideoCapabilities | None = None, seed: int = 1) -> Negotiator:
    video = video or VideoCapabilities()
    assert srtp in ("off", "offered", "required")
    video = replace(video, srtp=srtp)  # type: ignore[arg-type]
    return Negotiator(Capabilities.of(("PCMU",), srtp), random.Random(seed).randbytes, 7, video)


def offer(*lines: str, audio: int = 4000, version: int = 5) -> bytes:
    """An offer of PCMU and the m-lines ``lines``."""
    head = ["v=0", f"o=- 5 {version} IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0"]
    return "\r\n".join([*head, f"m=audio {audio} RTP/AVP 0", *lines, ""]).encode()


def picture(*lines: str, formats: str = "97", port: int = 4002, proto: str = "RTP/AVP") -> bytes:
    return offer(f"m=video {port} {proto} {formats}", *lines)


def answered(offer: bytes, **kw: object) -> tuple[MediaDescription, AgreedVideo]:
    answer, agreed = negotiator(**kw).answer(offer, HERE)  # type: ignore[arg-type]
    assert agreed.video is not None
    return sdp.parse(answer).media[1], agreed.video


def agreed_video(agreed: Agreed | None) -> AgreedVideo:
    assert agreed is not None
    assert agreed.video is not None
    return agreed.video


def sent(agreed: AgreedVideo) -> dict[str, str]:
    assert agreed.send is not None
    return agreed.send.fmtp


class TestRealPhones:
    @pytest.mark.parametrize(
        ("phone", "name", "number", "feedback"),
        [
            ("baresip-video", "H264", 96, ("nack pli",)),
            ("baresip-video-srtp-mand", "H264", 96, ("nack pli",)),
            ("linphone-video", "VP8", 96, ("nack pli", "ccm fir", "ccm tmmbr")),
            ("linphone-video-srtp", "VP8", 96, ("nack pli", "ccm fir", "ccm tmmbr")),
        ],
    )
    def test_get_pictures_in_their_own_first_codec(
        self, phone: str, name: str, number: int, feedback: tuple[str, ...]
    ) -> None:
        answer, agreed = negotiator().answer(OFFERS[phone], LOOPBACK)
        video, line = agreed_video(agreed), sdp.parse(answer).media[1]
        offered = sdp.parse(OFFERS[phone]).media[1]
        assert video.send is not None
        assert (video.send.name, video.send.payload_type, video.send.feedback) == (name, number, feedback)
        assert (line.port, line.proto) == (17000, offered.proto)
        assert video.remote == ("127.0.0.1", offered.port)
        assert (video.srtp_send is not None) is ("srtp" in phone)
        assert video.srtp_send != agreed.srtp_send or "srtp" not in phone
        assert agreed.content is agreed.floor is None

    def test_baresips_h264_is_of_mode_0(self) -> None:
        answer, agreed = negotiator().answer(OFFERS["baresip-video"], LOOPBACK)
        line = sdp.parse(answer).media[1]
        assert line.formats == ("96", "97", "98")
        assert line.fmtp(96) == {"profile-level-id": "42e01f", "packetization-mode": "0"}
        assert sent(agreed_video(agreed))["packetization-mode"] == "0"
        assert line.rtcp_fb == (("*", "nack pli"),)
        assert line.first("content") == "main"

    def test_without_pictures_of_ours_are_answered_as_ever(self) -> None:
        for phone in ("baresip-video", "linphone-video", "linphone-video-srtp"):
            plain = Negotiator(Capabilities.of(("PCMU",), "offered"), random.Random(1).randbytes, 7)
            expected, _ = plain.answer(OFFERS[phone], Local("127.0.0.1", 16000))
            answer, agreed = negotiator().answer(OFFERS[phone], Local("127.0.0.1", 16000))
            assert answer == expected
            assert agreed.video is None

    def test_without_a_picture_of_theirs_are_answered_as_ever(self) -> None:
        for phone in ("baresip", "linphone", "pyvoip", "sipp"):
            plain = Negotiator(Capabilities.of(("PCMU",), "offered"), random.Random(1).randbytes, 7)
            expected, _ = plain.answer(OFFERS[phone], Local("127.0.0.1", 16000))
            assert negotiator().answer(OFFERS[phone], LOOPBACK)[0] == expected


class TestH264:
    def test_another_level_is_answered_where_both_allow_it(self) -> None:
        fmtp = "profile-level-id=42e00d;packetization-mode=1;level-asymmetry-allowed=1"
        line, agreed = answered(picture(*H264, f"a=fmtp:97 {fmtp}"))
        assert line.fmtp(97)["profile-level-id"] == "42e01f"
        assert line.fmtp(97)["level-asymmetry-allowed"] == "1"
        assert sent(agreed)["profile-level-id"] == "42e00d"

    def test_else_the_lower_level_binds_both_and_limits_say_what_we_take_beyond(self) -> None:
        line, agreed = answered(picture(*H264, "a=fmtp:97 profile-level-id=42800d;packetization-mode=1"))
        assert line.fmtp(97) == {
            "profile-level-id": "42800d",
            "packetization-mode": "1",
            "max-mbps": "108000",
            "max-fs": "3600",
            "max-br": "2000",
        }
        assert sent(agreed)["profile-level-id"] == "42800d"

    def test_a_higher_level_of_theirs_is_answered_with_ours(self) -> None:
        line, agreed = answered(picture(*H264, "a=fmtp:97 profile-level-id=640028;packetization-mode=1"))
        assert line.fmtp(97)["profile-level-id"] == "64001f"
        assert sent(agreed)["profile-level-id"] == "64001f"
        assert "max-fs" not in line.fmtp(97)

    def test_their_limits_are_passed_on(self) -> None:
        limits = "max-fs=3600;max-mbps=40500;max-br=1200;max-rcmd-nalu-size=1300"
        _, agreed = answered(picture(*H264, f"a=fmtp:97 profile-level-id=42e00d;packetization-mode=1;{limits}"))
        assert (sent(agreed)["max-fs"], sent(agreed)["max-mbps"], sent(agreed)["max-br"]) == ("3600", "40500", "1200")

    def test_max_recv_level_counts_where_levels_may_differ(self) -> None:
        fmtp = "profile-level-id=42e00d;packetization-mode=1;level-asymmetry-allowed=1;max-recv-level=e01f"
        _, agreed = answered(picture(*H264, f"a=fmtp:97 {fmtp}"))
        assert sent(agreed)["profile-level-id"] == "42e01f"

    def test_level_1b_keeps_its_two_spellings(self) -> None:
        line, agreed = answered(picture(*H264, "a=fmtp:97 profile-level-id=42f00b;packetization-mode=1"))
        assert line.fmtp(97)["profile-level-id"] == "42f00b"
        assert sent(agreed)["profile-level-id"] == "42f00b"

    def test_nothing_said_is_baseline_at_level_1_in_mode_0(self) -> None:
        line, agreed = answered(picture(*H264))
        assert line.fmtp(97)["profile-level-id"] == "42000a"
        assert line.fmtp(97)["packetization-mode"] == "0"
        assert sent(agreed)["profile-level-id"] == "42000a"

    def test_modes_and_profiles_that_we_do_not_do_are_left_out(self) -> None:
        formats = (
            "a=rtpmap:97 H264/90000", "a=fmtp:97 profile-level-id=42e01f;packetization-mode=2",
            "a=rtpmap:98 H264/90000", "a=fmtp:98 profile-level-id=6e0028;packetization-mode=1",
            "a=rtpmap:99 H264/90000", "a=fmtp:99 profile-level-id=zzz;packetization-mode=1",
            "a=rtpmap:100 H264/90000", "a=fmtp:100 profile-level-id=4d0028;packetization-mode=1",
            "a=rtpmap:101 H264/90000", "a=fmtp:101 profile-level-id=42e01f;packetization-mode=0",
        )  # fmt: skip
        line, agreed = answered(picture(*formats, formats="97 98 99 100 101"))
        assert line.formats == ("100", "101")
        assert agreed.send is not None
        assert agreed.send.payload_type == 100

    def test_parameter_sets_of_theirs_come_with_what_we_receive(self) -> None:
        fmtp = "profile-level-id=42e01f;packetization-mode=1;sprop-parameter-sets=Z0LgH5ZUBQHk,aM48gA=="
        _, agreed = answered(picture(*H264, f"a=fmtp:97 {fmtp}"))
        assert agreed.receive[0].fmtp["sprop-parameter-sets"] == "Z0LgH5ZUBQHk,aM48gA=="

    def test_an_answer_of_plain_baseline_takes_our_constrained_one(self) -> None:
        ours = negotiator("off")
        ours.offer(HERE)
        formats = ("a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42801e;packetization-mode=1")
        agreed = agreed_video(ours.accept(picture(*formats, formats="96")))
        assert agreed.send is not None
        assert sent(agreed)["profile-level-id"] == "42801e"
        assert [form.payload_type for form in agreed.receive] == [96]


class TestOtherCodecs:
    def test_vp8_states_our_limits_and_keeps_theirs(self) -> None:
        line, agreed = answered(picture("a=rtpmap:97 VP8/90000", "a=fmtp:97 max-fr=15;max-fs=396"))
        assert line.fmtp(97) == {"max-fr": "30", "max-fs": "3600"}
        assert sent(agreed) == {"max-fr": "15", "max-fs": "396"}

    def test_what_we_only_receive_is_answered_beside_what_we_send(self) -> None:
        line, agreed = answered(picture("a=rtpmap:97 VP9/90000", "a=rtpmap:98 VP8/90000", formats="97 98"))
        assert line.formats == ("97", "98")
        assert agreed.send is not None
        assert agreed.send.name == "VP8"
        assert agreed.direction is Direction.SENDRECV

    @pytest.mark.parametrize("name", ["VP9", "H265"])
    def test_alone_it_is_received_only(self, name: str) -> None:
        line, agreed = answered(picture(f"a=rtpmap:97 {name}/90000"))
        assert line.direction is agreed.direction is Direction.RECVONLY
        assert agreed.send is None
        assert [form.name for form in agreed.receive] == [name]

    def test_variants_of_these_that_we_cannot_decode_are_refused(self) -> None:
        formats = (
            "a=rtpmap:97 VP9/90000", "a=fmtp:97 profile-id=2",
            "a=rtpmap:98 H265/90000", "a=fmtp:98 tx-mode=MRST",
        )  # fmt: skip
        answer, agreed = negotiator().answer(picture(*formats, formats="97 98"), HERE)
        assert sdp.parse(answer).media[1].port == 0
        assert agreed.video is None

    def test_old_formats_have_numbers_without_rtpmap(self) -> None:
        formats = ("a=rtpmap:96 H263-1998/90000", "a=fmtp:96 CIF4=2;CIF=1;J=1", "a=fmtp:34 CIF=2")
        line, agreed = answered(picture(*formats, formats="96 34 31"))
        assert line.formats == ("96", "34", "31")
        assert [line.rtpmaps[number].name for number in (96, 34, 31)] == ["H263-1998", "H263", "H261"]
        assert line.fmtp(96) == {"cif4": "2", "cif": "1", "qcif": "1"}
        assert line.fmtp(34) == line.fmtp(31) == {"cif": "1", "qcif": "1"}
        assert agreed.send is not None
        assert agreed.send.fmtp == {"cif4": "2", "cif": "1", "j": "1"}

    def test_no_codec_in_common_costs_the_picture_only(self) -> None:
        answer, agreed = negotiator().answer(picture("a=rtpmap:97 theora/90000"), HERE)
        media = sdp.parse(answer).media
        assert (media[0].port, media[1].port, media[1].kind) == (16000, 0, "video")
        assert agreed.send is not None
        assert agreed.video is None

    def test_settings_choose(self) -> None:
        only = VideoCapabilities.of(("vp8",), "off")
        formats = (*H264, "a=rtpmap:98 VP8/90000")
        line, _ = answered(picture(*formats, formats="97 98"), srtp="off", video=only)
        assert line.formats == ("98",)
        with pytest.raises(ValueError, match="theora"):
            VideoCapabilities.of(("theora",), "off")


class TestFeedback:
    def test_is_what_both_do(self) -> None:
        lines = [
            f"a=rtcp-fb:97 {what}" for what in ("nack", "nack pli", "nack sli", "ccm fir", "goog-remb", "trr-int 9")
        ]
        line, agreed = answered(picture("a=rtpmap:97 VP8/90000", *lines, "a=rtcp-fb:* ccm tmmbr smaxpr=120"))
        assert agreed.send is not None
        assert agreed.send.feedback == ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb")
        assert {what for _, what in line.rtcp_fb} == set(agreed.send.feedback)

    def test_of_other_formats_does_not_count(self) -> None:
        lines = ("a=rtpmap:98 H264/90000", "a=rtcp-fb:98 nack")
        line, agreed = answered(picture("a=rtpmap:97 VP8/90000", *lines, formats="97 98"))
        assert agreed.send is not None
        assert agreed.send.feedback == ()
        assert line.rtcp_fb == (("98", "nack"),)

    @pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/AVPF"])
    def test_the_profile_is_theirs(self, proto: str) -> None:
        line, _ = answered(picture("a=rtpmap:97 VP8/90000", proto=proto))
        assert line.proto == proto

    def test_retransmissions_are_answered_where_offered(self) -> None:
        lines = (
            "a=rtpmap:97 VP8/90000",
            "a=rtpmap:98 rtx/90000",
            "a=fmtp:98 apt=97;rtx-time=3000",
            "a=rtcp-fb:97 nack",
        )
        line, agreed = answered(picture(*lines, formats="97 98"))
        assert line.formats == ("97", "98")
        assert line.fmtp(98) == {"apt": "97"}
        assert agreed.send is not None
        assert agreed.send.rtx == agreed.receive[0].rtx == 98

    def test_retransmissions_of_nothing_that_we_do_are_not(self) -> None:
        lines = ("a=rtpmap:97 VP8/90000", "a=rtpmap:98 rtx/90000", "a=fmtp:98 apt=99")
        line, _ = answered(picture(*lines, formats="97 98"))
        assert line.formats == ("97",)


class TestLimits:
    @pytest.mark.parametrize(
        ("lines", "limit"),
        [
            (("b=TIAS:512000",), 512_000),
            (("b=AS:1000",), 950_000),
            (("b=AS:1000", "b=TIAS:512000"), 512_000),
            (("b=AS:0",), 0),
            ((), 0),
        ],
    )
    def test_bandwidth(self, lines: tuple[str, ...], limit: int) -> None:
        line, agreed = answered(picture(*lines, *H264))
        assert agreed.max_bitrate == limit
        assert line.bandwidth == {"AS": 2100, "TIAS": 2_000_000}

    def test_bandwidth_of_the_session_leaves_room_for_the_voice(self) -> None:
        text = picture(*H264).replace(b"t=0 0", b"b=CT:384\r\nt=0 0")
        assert answered(text)[1].max_bitrate == 384 * 950 - 64_000

    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ("97 send [x=1280,y=720] recv [x=640,y=360]", (640, 360)),
            ("* recv [x=[320:16:640],y=[240:16:480],q=0.5] [x=[128,800],y=[96,600]]", (800, 600)),
            ("98 recv [x=64,y=64]", (0, 0)),
            ("97 send [x=64,y=64] recv *", (0, 0)),
            ("97 recv [x=9999999,y=]", (0, 0)),
            ("", (0, 0)),
        ],
    )
    def test_wished_sizes(self, value: str, size: tuple[int, int]) -> None:
        assert wished_size(sdp.parse(picture(*H264, f"a=imageattr:{value}")).media[1], 97) == size
        agreed = answered(picture(*H264, f"a=imageattr:{value}"))[1]
        assert agreed.send is not None
        assert (agreed.send.width, agreed.send.height) == size

    @pytest.mark.parametrize(
        ("value", "ours"),
        [
            ("97 send [x=1280,y=720] recv [x=640,y=360]", "97 send [x=640,y=360] recv [x=1280,y=720]"),
            (
                "* recv [x=[160:16:1280],y=[90:1:720],q=0.6] [x=1920,y=1080]",
                "97 send [x=1280,y=720] [x=640,y=360] [x=320,y=180]",
            ),
            ("97 send [x=[320,1920],y=[180,1080]] [x=704,y=576,sar=1.1]", "97 recv [x=704,y=576,sar=1.1]"),
            ("97 send [x=1920,y=1200] recv [x=800,y=600]", None),
            ("97 send * recv *", None),
            ("97 recv [x=[5:0:9],y=[1:2:3:4]] [x=[9:1],y=5] [x=0,y=0]", None),
            ("98 recv [x=640,y=360]", None),
        ],
    )
    def test_sizes_are_answered_with_those_that_both_do(self, value: str, ours: str | None) -> None:
        line, _ = answered(picture(*H264, f"a=imageattr:{value}"))
        assert line.first("imageattr") == ours

    def test_of_sizes_in_reach_we_send_the_one_they_like_best(self) -> None:
        wished = "a=imageattr:97 recv [x=1280,y=720,q=0.3] [x=640,y=360,q=0.9]"
        assert wished_size(sdp.parse(picture(*H264, wished)).media[1], 97) == (640, 360)

    def test_which_way_is_up(self) -> None:
        line, agreed = answered(picture(*H264, "a=extmap:4 urn:3gpp:video-orientation"))
        assert agreed.orientation == 4
        assert [(extmap.id, extmap.direction) for extmap in line.extmaps] == [(4, Direction.RECVONLY)]


class TestDirections:
    @pytest.mark.parametrize(
        ("theirs", "ours", "sends", "receives"),
        [
            ("sendrecv", Direction.SENDRECV, True, True),
            ("recvonly", Direction.SENDONLY, True, False),
            ("sendonly", Direction.RECVONLY, False, True),
            ("inactive", Direction.INACTIVE, False, False),
        ],
    )
    def test_are_the_pictures_own(self, theirs: str, ours: Direction, sends: bool, receives: bool) -> None:
        answer, agreed = negotiator().answer(picture(*H264, f"a={theirs}"), HERE)
        video = agreed_video(agreed)
        assert sdp.parse(answer).media[1].direction is video.direction is ours
        assert (video.send is not None, bool(video.receive)) == (sends, receives)
        assert agreed.direction is Direction.SENDRECV

    def test_a_camera_goes_off_and_on_again(self) -> None:
        ours = negotiator()
        first, _ = ours.answer(picture(*H264), HERE)
        off, agreed = ours.answer(picture(*H264, port=0), HERE)
        assert agreed.video is None
        assert agreed.send is not None
        assert sdp.parse(off).media[1].port == 0
        again, agreed = ours.answer(picture(*H264), HERE)
        assert agreed_video(agreed).send is not None
        assert sdp.parse(again).media[1] == sdp.parse(first).media[1]

    def test_our_offers_leave_it_off(self) -> None:
        ours = negotiator()
        ours.answer(picture(*H264), HERE)
        ours.answer(picture(*H264, port=0), HERE)
        media = sdp.parse(ours.offer(HERE)).media
        assert [(each.kind, each.port) for each in media] == [("audio", 16000), ("video", 0)]

    def test_a_call_that_began_without_gets_none_by_our_offers(self) -> None:
        ours = negotiator()
        ours.answer(offer(), HERE)
        assert len(sdp.parse(ours.offer(HERE)).media) == 1

    def test_an_offer_of_ours_that_says_nothing_new_is_the_same_bytes(self) -> None:
        ours, theirs = negotiator("offered"), negotiator("offered", seed=2)
        plain = Local("192.0.2.1", 16000, video=17000)
        first = ours.offer(plain)
        answer, _ = theirs.answer(first, replace(HERE, host="192.0.2.2"))
        ours.accept(answer)
        assert ours.offer(plain) == first
        moved = sdp.parse(ours.offer(replace(plain, video=17004)))
        assert [each.port for each in moved.media] == [16000, 17004]

    def test_audio_that_ends_takes_the_picture_along(self) -> None:
        ours = negotiator()
        ours.answer(picture(*H264), HERE)
        answer, agreed = ours.answer(offer("m=video 4002 RTP/AVP 97", *H264, audio=0), HERE)
        assert agreed.video is None
        assert [each.port for each in sdp.parse(answer).media] == [0, 0]

    def test_an_address_of_the_other_family_costs_the_picture_only(self) -> None:
        _, agreed = negotiator().answer(picture("c=IN IP6 2001:db8::9", *H264), HERE)
        assert agreed.video is None
        assert agreed.send is not None

    def test_nobody_is_made_to_send_pictures_to_a_crowd(self) -> None:
        for address in ("239.1.2.3", "255.255.255.255"):
            assert negotiator().answer(picture(f"c=IN IP4 {address}", *H264), HERE)[1].video is None


class TestKeys:
    def test_each_line_has_its_own(self) -> None:
        lines = ("a=crypto:1 " + KEY, "m=video 4002 RTP/SAVP 97", *H264, "a=crypto:1 " + OTHER_KEY)
        text = offer(*lines).replace(b"RTP/AVP 0", b"RTP/SAVP 0")
        _, agreed = negotiator().answer(text, HERE)
        video = agreed_video(agreed)
        assert agreed.srtp_receive == ("AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
        assert video.srtp_receive == ("AES_CM_128_HMAC_SHA1_80", bytes(range(1, 31)))
        assert video.srtp_send is not None
        assert video.srtp_send != agreed.srtp_send

    def test_stay_while_the_suite_stays(self) -> None:
        ours = negotiator()
        text = picture(*H264, "a=crypto:1 " + KEY, proto="RTP/SAVP")
        before = agreed_video(ours.answer(text, HERE)[1]).srtp_send
        assert agreed_video(ours.answer(text, HERE)[1]).srtp_send == before

    def test_a_picture_without_them_is_refused_where_they_are_demanded(self) -> None:
        text = offer("a=crypto:1 " + KEY, "m=video 4002 RTP/AVP 97", *H264).replace(b"RTP/AVP 0", b"RTP/SAVP 0")
        answer, agreed = negotiator("required").answer(text, HERE)
        assert agreed.video is None
        assert sdp.parse(answer).media[1].port == 0

    def test_a_refused_picture_never_sees_its_key_again(self) -> None:
        ours = negotiator()
        text = picture(*H264, "a=crypto:1 " + KEY, proto="RTP/SAVP")
        before = agreed_video(ours.answer(text, HERE)[1]).srtp_send
        ours.answer(picture(*H264, port=0), HERE)
        assert agreed_video(ours.answer(text, HERE)[1]).srtp_send != before


class TestOurOffers:
    def test_list_what_we_encode_best_first(self) -> None:
        media = sdp.parse(negotiator("off").offer(HERE)).media
        video = media[1]
        assert [each.kind for each in media] == ["audio", "video", "video", "application"]
        named = [
            (video.rtpmaps[number].name, video.fmtp(number).get("packetization-mode"))
            for number in map(int, video.formats)
            if video.rtpmaps[number].name != "rtx"
        ]
        assert named == [
            ("H264", "1"), ("H264", "0"), ("H264", "1"), ("VP8", None), ("H263-1998", None), ("H263-2000", None),
            ("H263", None), ("H261", None),
        ]  # fmt: skip
        assert video.formats[6:8] == ("34", "31")
        assert all(video.fmtp(int(n)).get("level-asymmetry-allowed") == "1" for n in video.formats[:3])
        assert (video.first("content"), media[2].first("content")) == ("main", "slides")

    def test_name_retransmissions_of_what_browsers_and_new_terminals_speak(self) -> None:
        video = sdp.parse(negotiator("off").offer(HERE)).media[1]
        again = {number: video.fmtp(number)["apt"] for number in video.rtpmaps if video.rtpmaps[number].name == "rtx"}
        assert [video.rtpmaps[int(apt)].name for apt in again.values()] == ["H264", "H264", "H264", "VP8"]

    @pytest.mark.parametrize("named", [True, False])
    def test_retransmissions_are_agreed_where_the_answer_names_them(self, named: bool) -> None:
        ours = negotiator("off")
        video = sdp.parse(ours.offer(HERE)).media[1]
        number = next(number for number, rtpmap in video.rtpmaps.items() if rtpmap.name == "VP8")
        again = next(n for n in video.rtpmaps if video.fmtp(n).get("apt") == str(number))
        lines = [f"m=video 4002 RTP/AVP {number} {again}" if named else f"m=video 4002 RTP/AVP {number}"]
        lines += [f"a=rtpmap:{number} VP8/90000"]
        lines += [f"a=rtpmap:{again} rtx/90000", f"a=fmtp:{again} apt={number}"] if named else []
        agreed = agreed_video(ours.accept(offer(*lines)))
        assert agreed.send is not None
        assert (agreed.send.rtx, agreed.receive[0].rtx) == ((again, again) if named else (0, 0))

    def test_say_which_sizes_we_send_and_take(self) -> None:
        video = sdp.parse(negotiator("off").offer(HERE)).media[1]
        assert wished_size(video, 96) == (1280, 720)
        assert (video.first("imageattr") or "").startswith("* send [x=1920,y=1080] [x=1280,y=720] ")

    def test_without_content_are_plain(self) -> None:
        media = sdp.parse(negotiator("off").offer(Local("192.0.2.1", 16000, video=17000))).media
        assert [each.kind for each in media] == ["audio", "video"]
        assert media[1].first("content") is None
        assert media[1].first("label") is None

    def test_are_answered_by_a_bridge_of_our_own_kind(self) -> None:
        ours, theirs = negotiator(), negotiator(seed=2)
        answer, there = theirs.answer(ours.offer(HERE), replace(HERE, host="192.0.2.2"))
        here = ours.accept(answer)
        for mine, other in ((here.video, there.video), (here.content, there.content)):
            assert mine is not None
            assert other is not None
            assert mine.send is not None
            assert mine.send.name == "H264"
            assert mine.srtp_send == other.srtp_receive
            assert mine.srtp_receive == other.srtp_send

    def test_a_refused_picture_leaves_the_voice(self) -> None:
        ours = negotiator("off")
        ours.offer(HERE)
        refusing = offer("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP 96", "m=application 0 UDP/BFCP *")
        agreed = ours.accept(refusing)
        assert agreed.send is not None
        assert agreed.video is agreed.content is agreed.floor is None
        assert [each.port for each in sdp.parse(ours.offer(HERE)).media] == [16000, 0, 0, 0]

    def test_an_answer_too_short_does_too(self) -> None:
        ours = negotiator("off")
        ours.offer(HERE)
        assert ours.accept(offer()).video is None

    def test_the_codec_in_force_is_offered_first_again(self) -> None:
        ours = negotiator("off")
        ours.answer(picture("a=rtpmap:97 VP8/90000"), HERE)
        video = sdp.parse(ours.offer(HERE)).media[1]
        assert video.formats[0] == "97"
        assert video.rtpmaps[97].name == "VP8"

    def test_hold_goes_for_pictures_too(self) -> None:
        ours = negotiator("off")
        ours.answer(picture(*H264), HERE)
        assert sdp.parse(ours.offer(HERE, hold=True)).media[1].direction is Direction.SENDONLY

    def test_a_refused_offer_changes_nothing(self) -> None:
        ours = negotiator()
        answer, agreed = ours.answer(picture(*H264), HERE)
        ours.offer(replace(HERE, video=17010))
        ours.refused()
        assert ours.agreed == agreed
        assert ours.offer(HERE, hold=True) != answer


SLIDES = ("m=video 4004 RTP/AVP 97", *H264, "a=content:slides", "a=label:12")
MAIN = ("m=video 4002 RTP/AVP 97", *H264, "a=content:main", "a=label:11")
BFCP = ("a=floorctrl:c-only", "a=floorid:1 mstrm:12")


class TestContent:
    def test_is_the_second_picture(self) -> None:
        answer, agreed = negotiator().answer(offer(*MAIN, *SLIDES), HERE)
        media = sdp.parse(answer).media
        assert [each.port for each in media] == [16000, 17000, 17002]
        assert media[2].first("content") == "slides"
        assert agreed.content is not None
        assert agreed.content.remote == ("192.0.2.9", 4004)
        assert agreed.content.label == "12"
        assert agreed_video(agreed).label == "11"

    def test_a_second_picture_of_no_kind_is_refused(self) -> None:
        answer, agreed = negotiator().answer(offer(*MAIN, "m=video 4004 RTP/AVP 97", *H264), HERE)
        assert [each.port for each in sdp.parse(answer).media] == [16000, 17000, 0]
        assert agreed.content is None

    def test_the_floor_may_name_it(self) -> None:
        lines = ("m=video 4004 RTP/AVP 97", *H264, "a=label:12", "m=application 5000 UDP/BFCP *", *BFCP)
        _, agreed = negotiator().answer(offer(*MAIN, *lines), HERE)
        assert agreed.content is not None

    def test_can_be_switched_off(self) -> None:
        video = VideoCapabilities(content=False)
        answer, agreed = negotiator(video=video).answer(offer(*MAIN, *SLIDES), HERE)
        assert [each.port for each in sdp.parse(answer).media] == [16000, 17000, 0]
        assert agreed.content is None


class TestFloor:
    @pytest.mark.parametrize("role", ["c-only", "c-s", "c-only s-only"])
    def test_is_governed_by_us(self, role: str) -> None:
        lines = ("m=application 5000 UDP/BFCP *", f"a=floorctrl:{role}", "a=floorid:1 mstrm:12")
        answer, agreed = negotiator().answer(offer(*MAIN, *SLIDES, *lines), HERE)
        media = sdp.parse(answer).media
        assert agreed.floor == AgreedFloor("udp", ("192.0.2.9", 5000), 4711, 3, 0)
        assert (media[3].proto, media[3].port, media[3].formats) == ("UDP/BFCP", 5070, ("*",))
        assert media[3].first("floorctrl") == "s-only"
        assert (media[3].first("confid"), media[3].first("userid")) == ("4711", "3")
        assert media[3].first("floorid") == f"1 mstrm:{media[2].first('label')}"

    def test_over_tcp_they_connect(self) -> None:
        lines = ("m=application 9 TCP/BFCP *", "a=setup:actpass", "a=connection:new", *BFCP)
        answer, agreed = negotiator().answer(offer(*MAIN, *SLIDES, *lines), HERE)
        line = sdp.parse(answer).media[3]
        assert agreed.floor == AgreedFloor("tcp", None, 4711, 3, 0)
        assert (line.first("setup"), line.first("connection")) == ("passive", "new")

    @pytest.mark.parametrize(
        "lines",
        [
            ("m=application 5000 UDP/BFCP *", "a=floorctrl:s-only"),
            ("m=application 5000 TCP/BFCP *", "a=setup:passive", *BFCP),
            ("m=application 5000 TCP/TLS/BFCP *", *BFCP),
            ("m=application 5000 UDP/BFCP *", "c=IN IP4 239.1.1.1", *BFCP),
            ("m=application 0 UDP/BFCP *", *BFCP),
        ],
    )
    def test_is_refused_and_the_pictures_stay(self, lines: tuple[str, ...]) -> None:
        answer, agreed = negotiator().answer(offer(*MAIN, *SLIDES, *lines), HERE)
        assert agreed.floor is None
        assert agreed.content is not None
        assert [each.port for each in sdp.parse(answer).media] == [16000, 17000, 17002, 0]

    def test_without_content_there_is_none(self) -> None:
        answer, agreed = negotiator().answer(offer(*MAIN, "m=application 5000 UDP/BFCP *", *BFCP), HERE)
        assert agreed.floor is None
        assert sdp.parse(answer).media[2].port == 0

    def test_the_version_that_they_speak(self) -> None:
        lines = ("m=application 5000 UDP/BFCP *", "a=bfcpver:1 2 7", *BFCP)
        _, agreed = negotiator().answer(offer(*MAIN, *SLIDES, *lines), HERE)
        assert agreed.floor is not None
        assert agreed.floor.version == 2

    def test_ours_is_offered_and_accepted(self) -> None:
        ours = negotiator("off")
        media = sdp.parse(ours.offer(HERE)).media
        assert media[3].first("floorid") == f"1 mstrm:{media[2].first('label')}"
        lines = (
            "m=video 4002 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1",
        )
        slides = (lines[0].replace("4002", "4004"), *lines[1:])
        agreed = ours.accept(offer(*lines, *slides, "m=application 5002 UDP/BFCP *", "a=floorctrl:c-only"))
        assert agreed.floor == AgreedFloor("udp", ("192.0.2.9", 5002), 4711, 3, 0)


@given(st.sampled_from([name for name in OFFERS if "video" in name or name == "chromium"]), st.data())
def test_lines_lost_and_mangled_cost_no_more_than_a_refusal(phone: str, data: st.DataObject) -> None:
    lines = OFFERS[phone].decode().replace("UDP/TLS/RTP", "RTP").split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "twice", "cut", "number"]))
        line = lines[place]
        if change == "drop":
            del lines[place]
        elif change == "twice":
            lines.insert(place, line)
        elif change == "cut":
            lines[place] = line[: data.draw(st.integers(0, len(line)))]
        else:
            lines[place] = line.replace("9", data.draw(st.sampled_from(["", "-1", "99999999999", "x"])))
        lines = lines or [""]
    ours = negotiator()
    try:
        answer, agreed = ours.answer("\r\n".join(lines).encode(), LOOPBACK)
    except Unacceptable:
        assert ours.agreed is None
        return
    assert len(sdp.parse(answer).media) == sum(line.startswith("m=") for line in lines)
    assert ours.agreed == agreed
    ours.offer(LOOPBACK)


@given(st.lists(st.sampled_from(["offer", "answer", "off", "slides", "refused", "accept"]), max_size=12))
def test_m_lines_keep_their_places_whatever_happens(steps: list[str]) -> None:
    """RFC 3264 §8: no line goes, and none changes its kind."""
    ours, theirs = negotiator(), negotiator(seed=2)
    there = replace(HERE, host="192.0.2.2")
    kinds: list[str] = []
    open_offer = b""

    def check(data: bytes) -> None:
        nonlocal kinds
        now = [each.kind for each in sdp.parse(data).media]
        assert now[: len(kinds)] == kinds
        kinds = now

    for step in steps:
        if step == "offer":
            open_offer = ours.offer(HERE)
        elif step == "refused" and open_offer:
            ours.refused()
            open_offer = b""
        elif step == "accept" and open_offer:
            check(open_offer)
            ours.accept(theirs.answer(open_offer, there)[0])
            open_offer = b""
        elif step in ("answer", "off", "slides") and not open_offer:
            local = {"answer": there, "off": replace(there, video=0), "slides": replace(there, content=0)}[step]
            data = theirs.offer(local)
            check(data)
            answer, agreed = ours.answer(data, HERE)
            check(answer)
            other = theirs.accept(answer)
            assert (agreed.video is None) is (other.video is None)
            assert (agreed.video is None) is not any(each.port for each in sdp.parse(answer).media[1:2])
