"""Offer and answer, by what a call needs of them; offers of real phones are in offers/."""

import base64
import contextlib
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling import sdes, sdp
from bridge.signalling.codec_list import SPEECH
from bridge.signalling.offer import Agreed, Capabilities, Local, Negotiator, PayloadFormat, Unacceptable
from bridge.signalling.sdp import Direction, MediaDescription, SessionDescription

NAMES = tuple(SPEECH)
HERE = Local("192.0.2.1", 16000)
LOOPBACK = Local("127.0.0.1", 16000)
OFFERS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "offers").glob("*.sdp"))}
KEY = "AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(30))).decode()
OTHER_KEY = "AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(1, 31))).decode()
GCM_KEY = "AEAD_AES_256_GCM inline:" + base64.b64encode(bytes(44)).decode()


def negotiator(srtp: str = "offered", names: tuple[str, ...] = NAMES, seed: int = 1) -> Negotiator:
    return Negotiator(Capabilities.of(names, srtp), random.Random(seed).randbytes, 7)


def audio(
    formats: str = "0",
    *lines: str,
    port: int = 4000,
    proto: str = "RTP/AVP",
    host: str = "IN IP4 192.0.2.9",
    session: tuple[str, ...] = (),
) -> bytes:
    head = ["v=0", "o=- 5 5 IN IP4 192.0.2.9", "s=-", f"c={host}", "t=0 0", *session]
    return "\r\n".join([*head, f"m=audio {port} {proto} {formats}", *lines, ""]).encode()


def answered(offer: bytes, srtp: str = "offered", names: tuple[str, ...] = NAMES) -> tuple[SessionDescription, Agreed]:
    answer, agreed = negotiator(srtp, names).answer(offer, HERE)
    return sdp.parse(answer), agreed


def the_audio(data: bytes) -> MediaDescription:
    return next(media for media in sdp.parse(data).media if media.kind == "audio")


def names(formats: tuple[PayloadFormat, ...]) -> list[tuple[str, int]]:
    return [(form.name, form.payload_type) for form in formats]


def sent(agreed: Agreed | None) -> PayloadFormat:
    assert agreed is not None
    assert agreed.send is not None
    return agreed.send


class TestRealPhones:
    @pytest.mark.parametrize(
        ("phone", "send", "clock", "event"),
        [
            ("baresip", 96, 48_000, (101, 8_000)),
            ("baresip-srtp", 96, 48_000, (101, 8_000)),
            ("baresip-srtp-mand", 96, 48_000, (101, 8_000)),
            ("linphone", 96, 48_000, (99, 48_000)),
            ("linphone-srtp", 96, 48_000, (99, 48_000)),
            ("pyvoip", 0, 8_000, (101, 8_000)),
            ("sipp", 0, 8_000, None),
        ],
    )
    def test_is_answered_with_its_own_first_codec(
        self, phone: str, send: int, clock: int, event: tuple[int, int] | None
    ) -> None:
        answer, agreed = negotiator().answer(OFFERS[phone], LOOPBACK)
        offered = the_audio(OFFERS[phone])
        assert the_audio(answer).proto == offered.proto
        assert (sent(agreed).payload_type, sent(agreed).clock_rate) == (send, clock)
        key = agreed.send_event
        assert (None if key is None else (key.payload_type, key.clock_rate)) == event
        assert agreed.inband_dtmf is (phone == "sipp")
        assert agreed.remote == ("127.0.0.1", offered.port)
        assert agreed.remote_rtcp == ("127.0.0.1", offered.port + 1)
        assert agreed.ptime == 20
        assert agreed.xr is phone.startswith("linphone")
        assert agreed.levels == (1 if phone.startswith("baresip") else 0)
        assert (agreed.srtp_send is not None) is ("srtp" in phone)

    @pytest.mark.parametrize("phone", ["baresip-dtls", "linphone-dtls", "chromium"])
    def test_that_demands_dtls_is_told_so(self, phone: str) -> None:
        with pytest.raises(Unacceptable) as refusal:
            negotiator().answer(OFFERS[phone], LOOPBACK)
        assert (refusal.value.code, refusal.value.warn_code) == (488, 302)

    def test_linphones_events_are_answered_at_the_codecs_clock_and_at_8000(self) -> None:
        _, agreed = negotiator().answer(OFFERS["linphone"], LOOPBACK)
        assert names(agreed.receive) == [
            ("OPUS", 96), ("PCMU", 0), ("PCMA", 8), ("TELEPHONE-EVENT", 99), ("TELEPHONE-EVENT", 101)
        ]  # fmt: skip


class TestCodecs:
    def test_the_offerers_order_is_kept(self) -> None:
        answer, agreed = answered(audio("8 0 9"), names=("G722", "PCMU", "PCMA"))
        assert answer.media[0].formats == ("8", "0", "9")
        assert sent(agreed).name == "PCMA"
        assert names(agreed.receive) == [("PCMA", 8), ("PCMU", 0), ("G722", 9)]

    def test_numbers_are_the_offerers(self) -> None:
        answer, agreed = answered(audio("120 97", "a=rtpmap:120 OPUS/48000/2", "a=rtpmap:97 telephone-event/48000"))
        assert answer.media[0].rtpmaps[120].name == "opus"
        assert agreed.send_event == PayloadFormat("TELEPHONE-EVENT", 97, 48_000)
        assert names(agreed.receive) == [("OPUS", 120), ("TELEPHONE-EVENT", 97)]

    def test_what_we_do_not_speak_is_left_out(self) -> None:
        offer = audio("18 3 4 97 0 98", "a=rtpmap:97 speex/16000", "a=rtpmap:98 L16/44100", "a=rtpmap:18 G729/8000")
        answer, _ = answered(offer)
        assert answer.media[0].formats == ("0",)
        with pytest.raises(Unacceptable) as refusal:
            answered(audio("18 3"))
        assert (refusal.value.code, refusal.value.warn_code) == (488, 305)

    def test_a_codec_that_the_settings_leave_out_is_not_spoken(self) -> None:
        with pytest.raises(Unacceptable):
            answered(audio("0"), names=("PCMA",))

    def test_stereo_is_not_l16_mono(self) -> None:
        with pytest.raises(Unacceptable):
            answered(audio("97", "a=rtpmap:97 L16/48000/2"))
        _, agreed = answered(audio("97 98", "a=rtpmap:97 L16/48000/1", "a=rtpmap:98 L16/16000"))
        assert [(form.name, form.clock_rate) for form in agreed.receive] == [("L16", 48_000), ("L16", 16_000)]

    def test_opus_without_channels_is_opus(self) -> None:
        answer, agreed = answered(audio("97", "a=rtpmap:97 opus/48000"))
        assert answer.media[0].rtpmaps[97].channels == 2
        assert sent(agreed).channels == 2

    @pytest.mark.parametrize(
        ("fmtp", "expected"),
        [
            ("useinbandfec=1;usedtx=1;stereo=1;sprop-stereo=1", {"fec": True, "dtx": True, "stereo": True}),
            ("maxaveragebitrate=28000; maxplaybackrate=16000", {"bitrate": 28_000, "max_rate": 16_000}),
            ("maxaveragebitrate=1;maxplaybackrate=4000", {"bitrate": 6_000}),
            ("maxaveragebitrate=9999999", {"bitrate": 510_000}),
            ("maxaveragebitrate=lots;useinbandfec=yes;maxplaybackrate=48000", {}),
            ("", {}),
        ],
    )
    def test_opus_parameters_are_the_receivers(self, fmtp: str, expected: dict[str, int]) -> None:
        _, agreed = answered(audio("96", "a=rtpmap:96 opus/48000/2", f"a=fmtp:96 {fmtp}"))
        assert agreed.send == PayloadFormat("OPUS", 96, 48_000, 2, **expected)  # type: ignore[arg-type]
        assert (agreed.receive[0].fec, agreed.receive[0].dtx) == (True, True)

    @pytest.mark.parametrize(
        ("session", "own", "bitrate"),
        [
            ("b=AS:380", "b=AS:40", 24_000),
            ("b=AS:380", "a=x", 364_000),
            ("b=AS:0", "b=TIAS:0", 0),
            ("b=TIAS:32000", "a=x", 32_000),
        ],
    )
    def test_bandwidth_bounds_opus(self, session: str, own: str, bitrate: int) -> None:
        _, agreed = answered(audio("96", own, "a=rtpmap:96 opus/48000/2", session=(session,)))
        assert sent(agreed).bitrate == bitrate

    def test_comfort_noise_goes_with_speech_of_its_clock(self) -> None:
        _, agreed = answered(audio("0 13"))
        assert agreed.send_cn == PayloadFormat("CN", 13, 8_000)
        assert names(agreed.receive) == [("PCMU", 0), ("CN", 13)]
        _, agreed = answered(audio("96 13", "a=rtpmap:96 opus/48000/2"))
        assert agreed.send_cn is None
        assert names(agreed.receive) == [("OPUS", 96)]

    def test_events_at_another_clock_than_the_speech_are_better_than_none(self) -> None:
        _, agreed = answered(audio("0 101", "a=rtpmap:101 telephone-event/16000", "a=fmtp:101 0-15"))
        assert agreed.send_event == PayloadFormat("TELEPHONE-EVENT", 101, 16_000)
        assert names(agreed.receive) == [("PCMU", 0), ("TELEPHONE-EVENT", 101)]
        assert not agreed.inband_dtmf

    def test_a_codec_that_is_listed_twice_goes_by_its_first_number(self) -> None:
        answer, agreed = answered(audio("100 0", "a=rtpmap:100 PCMU/8000"))
        assert answer.media[0].formats == ("100",)
        assert names(agreed.receive) == [("PCMU", 100)]

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        for codecs, srtp in (((), "off"), (("G729",), "off"), (("PCMU",), "perhaps")):
            with pytest.raises(ValueError):
                Capabilities.of(codecs, srtp)
        assert Capabilities.of(("pcmu", "PCMU", "g722"), "off").codecs == (SPEECH["PCMU"], SPEECH["G722"])


class TestPacketTime:
    @pytest.mark.parametrize(
        ("lines", "ptime"),
        [
            ((), 20),
            (("a=ptime:30",), 30),
            (("a=ptime:10",), 10),
            (("a=ptime:5",), 10),
            (("a=ptime:50",), 40),
            (("a=ptime:200",), 60),
            (("a=maxptime:10",), 10),
            (("a=ptime:60", "a=maxptime:30"), 30),
            (("a=ptime:20", "a=maxptime:3"), 10),
        ],
    )
    def test_follows_the_peer(self, lines: tuple[str, ...], ptime: int) -> None:
        answer, agreed = answered(audio("0", *lines))
        assert agreed.ptime == ptime
        assert answer.media[0].ptime == ptime

    def test_fits_the_codec(self) -> None:
        assert answered(audio("96", "a=rtpmap:96 opus/48000/2", "a=ptime:30"))[1].ptime == 20
        answer, agreed = answered(audio("96", "a=rtpmap:96 L16/48000", "a=ptime:20"))
        assert agreed.ptime == 10
        assert answer.media[0].maxptime == 10


class TestAddresses:
    def test_the_mediums_c_line_goes_before_the_sessions(self) -> None:
        _, agreed = answered(audio("0", "c=IN IP4 192.0.2.77"))
        assert agreed.remote == ("192.0.2.77", 4000)

    def test_ipv6(self) -> None:
        answer, agreed = negotiator().answer(audio("0", host="IN IP6 2001:db8::9"), Local("2001:db8::1", 16000))
        assert agreed.remote == ("2001:db8::9", 4000)
        assert str(sdp.parse(answer).connection) == "IN IP6 2001:db8::1"

    def test_another_family_than_ours_is_refused(self) -> None:
        with pytest.raises(Unacceptable) as refusal:
            answered(audio("0", host="IN IP6 2001:db8::9"))
        assert (refusal.value.code, refusal.value.warn_code) == (488, 301)

    @pytest.mark.parametrize(
        "host", ["IN IP4 224.2.1.1/127", "IN IP4 255.255.255.255", "IN IP6 ff02::1", "IN IP6 ::ffff:239.1.1.1"]
    )
    def test_crowds_are_refused(self, host: str) -> None:
        with pytest.raises(Unacceptable) as refusal:
            answered(audio("0", host=host))
        assert (refusal.value.code, refusal.value.warn_code) == (488, 330)

    def test_a_name_is_not_looked_up(self) -> None:
        _, agreed = answered(audio("0", host="IN IP4 phone.example"))
        assert agreed.remote is None
        assert sent(agreed).name == "PCMU"

    def test_no_address_at_all_is_malformed(self) -> None:
        with pytest.raises(Unacceptable) as refusal:
            answered(audio("0").replace(b"c=IN IP4 192.0.2.9\r\n", b""))
        assert refusal.value.code == 400

    def test_rtcp_port_and_mux(self) -> None:
        answer, agreed = answered(audio("0", "a=rtcp:4321 IN IP4 198.51.100.1"))
        assert agreed.remote_rtcp == ("192.0.2.9", 4321)
        assert not answer.media[0].rtcp_mux
        answer, agreed = answered(audio("0", "a=rtcp:4321", "a=rtcp-mux"))
        assert agreed.rtcp_mux
        assert agreed.remote_rtcp == ("192.0.2.9", 4000)
        assert answer.media[0].rtcp_mux
        assert answered(audio("0", port=65_535))[1].remote_rtcp is None

    def test_our_rtcp_port_is_said_if_it_is_not_the_next(self) -> None:
        answer, _ = negotiator().answer(audio("0"), Local("192.0.2.1", 16000, 16009))
        rtcp = the_audio(answer).rtcp
        assert rtcp is not None
        assert rtcp.port == 16009
        assert the_audio(negotiator().offer(HERE)).rtcp is None
        answer, _ = negotiator().answer(audio("0"), Local("192.0.2.1", 16000, 16001))
        assert the_audio(answer).rtcp is None
        assert the_audio(negotiator().offer(HERE)).rtcp_mux


class TestHold:
    @pytest.mark.parametrize(
        ("theirs", "ours", "sends", "takes", "on_hold"),
        [
            ("sendrecv", "sendrecv", True, True, False),
            ("sendonly", "recvonly", False, True, True),
            ("recvonly", "sendonly", True, False, False),
            ("inactive", "inactive", False, False, True),
        ],
    )
    @pytest.mark.parametrize("level", ["session", "media"])
    def test_four_directions(self, theirs: str, ours: str, sends: bool, takes: bool, on_hold: bool, level: str) -> None:
        line = f"a={theirs}"
        offer = audio("0 13 101", "a=rtpmap:101 telephone-event/8000", *([line] if level == "media" else []),
                      session=(line,) if level == "session" else ())  # fmt: skip
        answer, agreed = answered(offer)
        assert answer.media[0].direction == ours
        assert agreed.direction == ours
        assert agreed.on_hold is on_hold
        assert [agreed.send is not None, agreed.send_cn is not None, agreed.send_event is not None] == [sends] * 3
        assert bool(agreed.receive) is takes

    def test_the_old_way(self) -> None:
        answer, agreed = answered(audio("0", host="IN IP4 0.0.0.0"))
        assert (agreed.remote, agreed.remote_rtcp, agreed.send, agreed.on_hold) == (None, None, None, True)
        assert answer.media[0].direction == "recvonly"

    def test_and_resume(self) -> None:
        call = negotiator()
        first, _ = call.answer(audio("0"), HERE)
        _, held = call.answer(audio("0", "a=sendonly"), HERE)
        assert held.on_hold
        again, agreed = call.answer(audio("0"), HERE)
        assert not agreed.on_hold
        assert sent(agreed).name == "PCMU"
        assert the_audio(again) == the_audio(first)

    def test_ours_and_both_sides_at_once(self) -> None:
        us, them = negotiator(), negotiator(seed=2)
        them.accept(us.answer(them.offer(HERE), HERE)[0])
        held, their_view = them.answer(us.offer(HERE, hold=True), HERE)
        ours = us.accept(held)
        assert (ours.direction, their_view.direction) == (Direction.SENDONLY, Direction.RECVONLY)
        assert their_view.on_hold
        assert not ours.on_hold
        # They hold too, then resume: ours stays until we say otherwise.
        assert us.answer(them.offer(HERE, hold=True), HERE)[1].direction is Direction.INACTIVE
        assert us.answer(them.offer(HERE), HERE)[1].direction is Direction.SENDONLY
        resumed, _ = them.answer(us.offer(HERE), HERE)
        assert us.accept(resumed).direction is Direction.SENDRECV

    def test_our_hold_that_is_refused_is_no_hold(self) -> None:
        call = negotiator()
        call.answer(audio("0"), HERE)
        call.offer(HERE, hold=True)
        call.refused()
        assert call.agreed is not None
        assert call.agreed.direction is Direction.SENDRECV
        assert call.answer(audio("0"), HERE)[1].direction is Direction.SENDRECV


class TestOtherMedia:
    def test_is_refused_in_its_place(self) -> None:
        offer = (
            audio("0")
            .replace(b"m=audio", b"m=video 6000 RTP/AVP 99 100\r\na=rtpmap:99 H264/90000\r\nm=audio")
            .replace(b"t=0 0\r\n", b"t=0 0\r\na=group:BUNDLE a v\r\n")
        )
        offer += b"m=application 9 UDP/BFCP *\r\nm=audio 7000 RTP/AVP 8\r\n"
        answer, agreed = answered(offer)
        assert [(media.kind, media.port, media.proto, media.formats) for media in answer.media] == [
            ("video", 0, "RTP/AVP", ("99", "100")),
            ("audio", 16000, "RTP/AVP", ("0",)),
            ("application", 0, "UDP/BFCP", ("*",)),
            ("audio", 0, "RTP/AVP", ("8",)),
        ]
        assert answer.groups == ()
        assert agreed.remote == ("192.0.2.9", 4000)

    def test_the_first_audio_that_will_do_is_taken(self) -> None:
        offer = audio("0", proto="UDP/TLS/RTP/SAVPF") + b"m=audio 0 RTP/AVP 0\r\nm=audio 7000 RTP/AVPF 8\r\n"
        answer, agreed = answered(offer)
        assert [media.port for media in answer.media] == [0, 0, 16000]
        assert answer.media[2].proto == "RTP/AVPF"
        assert agreed.remote == ("192.0.2.9", 7000)

    def test_no_audio_is_no_call(self) -> None:
        for offer in (audio("0", port=0), audio("0").replace(b"m=audio", b"m=video"), audio("0").split(b"m=")[0]):
            with pytest.raises(Unacceptable) as refusal:
                answered(offer)
            assert (refusal.value.code, refusal.value.warn_code) == (488, 304)

    def test_the_stream_can_end_and_come_back(self) -> None:
        call = negotiator()
        call.answer(audio("0"), HERE)
        answer, agreed = call.answer(audio("0", port=0), HERE)
        assert the_audio(answer).port == 0
        assert (agreed.send, agreed.receive, agreed.remote, agreed.on_hold) == (None, (), None, True)
        assert sent(call.answer(audio("0"), HERE)[1]).name == "PCMU"

    def test_a_medium_that_comes_later_is_refused_and_keeps_its_place_in_our_offers(self) -> None:
        call = negotiator()
        call.answer(audio("0"), HERE)
        answer, _ = call.answer(audio("0") + b"m=video 6000 RTP/AVP 99\r\n", HERE)
        assert [media.port for media in sdp.parse(answer).media] == [16000, 0]
        assert [(media.kind, media.port) for media in sdp.parse(call.offer(HERE)).media] == [
            ("audio", 16000),
            ("video", 0),
        ]

    def test_the_audio_keeps_its_place_when_another_one_is_offered_before(self) -> None:
        call = negotiator()
        call.answer(audio("18") + b"m=audio 7000 RTP/AVP 8\r\n", HERE)
        _, agreed = call.answer(audio("0") + b"m=audio 7000 RTP/AVP 8\r\n", HERE)
        assert agreed.remote == ("192.0.2.9", 7000)


class TestSrtp:
    @pytest.mark.parametrize("proto", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP", "RTP/AVPF"])
    def test_keys_are_taken_under_any_proto(self, proto: str) -> None:
        answer, agreed = answered(audio("0", f"a=crypto:3 {KEY}", proto=proto))
        (ours,) = sdes.parse_all(answer.media[0].crypto)
        assert (answer.media[0].proto, ours.tag) == (proto, 3)
        assert agreed.srtp_receive == ("AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
        assert agreed.srtp_send == (ours.suite, ours.material)
        assert "srtp" not in repr(agreed)

    def test_switched_off(self) -> None:
        answer, agreed = answered(audio("0", f"a=crypto:1 {KEY}"), "off")
        assert (answer.media[0].crypto, agreed.srtp_send) == ((), None)
        with pytest.raises(Unacceptable):
            answered(audio("0", f"a=crypto:1 {KEY}", proto="RTP/SAVP"), "off")

    def test_required(self) -> None:
        assert answered(audio("0", f"a=crypto:1 {KEY}"), "required")[1].srtp_send is not None
        for offer in (audio("0"), audio("0", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:aaaa", proto="RTP/SAVP")):
            with pytest.raises(Unacceptable) as refusal:
                answered(offer, "required")
            assert refusal.value.code == 488

    def test_a_secure_line_without_a_usable_key_is_refused(self) -> None:
        with pytest.raises(Unacceptable):
            answered(audio("0", proto="RTP/SAVP"))
        offer = audio("0", proto="RTP/SAVP") + b"m=audio 7000 RTP/AVP 8\r\n"
        with pytest.raises(Unacceptable):
            answered(offer)

    def test_our_key_stays_over_re_offers_and_theirs_is_taken(self) -> None:
        call = negotiator()
        _, first = call.answer(audio("0", f"a=crypto:1 {KEY}", proto="RTP/SAVP"), HERE)
        answer, second = call.answer(
            audio("0", f"a=crypto:1 {GCM_KEY}x", f"a=crypto:2 {OTHER_KEY}", proto="RTP/SAVP"), HERE
        )
        assert second.srtp_send == first.srtp_send
        assert second.srtp_receive == ("AES_CM_128_HMAC_SHA1_80", bytes(range(1, 31)))
        assert sdes.parse_all(the_audio(answer).crypto)[0].tag == 2
        (key, *_) = sdes.parse_all(the_audio(call.offer(HERE)).crypto)
        assert (key.suite, key.material) == first.srtp_send

    def test_a_key_out_of_force_never_comes_back(self) -> None:
        us, them = negotiator(), negotiator(seed=2)
        first = us.accept(them.answer(us.offer(HERE, secure=True), HERE)[0])
        us.answer(audio("0", f"a=crypto:1 {GCM_KEY}", proto="RTP/SAVP"), HERE)
        assert first.srtp_send is not None
        assert first.srtp_send[1] not in {key.material for key in sdes.parse_all(the_audio(us.offer(HERE)).crypto)}

    def test_the_first_offer_by_setting_and_the_retry(self) -> None:
        def shape(offer: bytes) -> tuple[str, list[str]]:
            return the_audio(offer).proto, [key.suite for key in sdes.parse_all(the_audio(offer).crypto)]

        assert shape(negotiator("off").offer(HERE)) == ("RTP/AVP", [])
        best_effort = ("RTP/AVP", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
        assert shape(negotiator("offered").offer(HERE)) == best_effort
        assert shape(negotiator("required").offer(HERE)) == ("RTP/SAVP", list(sdes.SUITES))
        call = negotiator("offered")
        assert shape(call.offer(HERE, secure=True)) == ("RTP/SAVP", list(sdes.SUITES))
        call.refused()
        assert shape(call.offer(HERE, secure=False)) == ("RTP/AVP", [])
        with pytest.raises(ValueError):
            negotiator("required").offer(HERE, secure=False)
        with pytest.raises(ValueError):
            negotiator("off").offer(HERE, secure=True)

    def test_a_call_stays_as_secure_as_it_is(self) -> None:
        call = negotiator()
        call.answer(audio("0", f"a=crypto:1 {KEY}", proto="RTP/SAVPF"), HERE)
        assert (the_audio(call.offer(HERE)).proto, len(the_audio(call.offer(HERE)).crypto)) == ("RTP/SAVPF", 4)
        plain = negotiator()
        plain.answer(audio("0"), HERE)
        assert the_audio(plain.offer(HERE)).crypto == ()

    @pytest.mark.parametrize(
        ("srtp", "secure", "lines", "proto"),
        [
            ("offered", True, (), "RTP/SAVP"),
            ("offered", True, (), "RTP/AVP"),
            ("offered", True, (f"a=crypto:1 {GCM_KEY}",), "RTP/SAVP"),
            ("offered", None, (f"a=crypto:9 {KEY}",), "RTP/AVP"),
            ("required", None, (), "RTP/AVP"),
        ],
    )
    def test_an_answer_that_takes_none_of_our_keys_is_refused(
        self, srtp: str, secure: bool | None, lines: tuple[str, ...], proto: str
    ) -> None:
        call = negotiator(srtp)
        call.offer(HERE, secure=secure)
        with pytest.raises(Unacceptable):
            call.accept(audio("0", *lines, proto=proto))
        assert call.agreed is None

    def test_required_srtp_does_not_end_in_mid_call(self) -> None:
        call = negotiator("required")
        call.answer(audio("0", f"a=crypto:1 {KEY}"), HERE)
        call.offer(HERE)
        with pytest.raises(Unacceptable):
            call.accept(audio("0"))
        assert call.agreed is not None
        assert call.agreed.srtp_send is not None

    def test_an_answer_may_leave_best_effort_keys_alone(self) -> None:
        call = negotiator()
        call.offer(HERE)
        assert call.accept(audio("0")).srtp_send is None


class TestLevels:
    URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

    @pytest.mark.parametrize(
        ("line", "level", "answer"),
        [
            (f"a=extmap:5 {URI} vad=on", 5, [(5, Direction.RECVONLY)]),
            (f"a=extmap:5/sendonly {URI}", 5, [(5, Direction.RECVONLY)]),
            (f"a=extmap:5/recvonly {URI}", 0, []),
            (f"a=extmap:15 {URI}", 0, []),
            (f"a=extmap:4096 {URI}", 0, []),
            ("a=extmap:5 urn:other", 0, []),
        ],
    )
    def test_are_taken_where_they_send_them(self, line: str, level: int, answer: list[tuple[int, Direction]]) -> None:
        description, agreed = answered(audio("0", line))
        assert agreed.levels == level
        assert [(extmap.id, extmap.direction) for extmap in description.media[0].extmaps] == answer

    def test_we_ask_for_them(self) -> None:
        call = negotiator()
        call.offer(HERE)
        assert call.accept(audio("0", f"a=extmap:1/sendonly {self.URI}")).levels == 1


class TestReports:
    @pytest.mark.parametrize(
        ("line", "xr"), [("a=rtcp-xr:voip-metrics", True), ("a=rtcp-xr:rcvr-rtt=all", False), ("a=x", False)]
    )
    def test_are_sent_if_asked_for(self, line: str, xr: bool) -> None:
        assert answered(audio("0", line))[1].xr is xr
        assert answered(audio("0", session=(line,)))[1].xr is xr


class TestChange:
    def test_what_is_unchanged_keeps_its_very_bytes(self) -> None:
        call = negotiator()
        first, _ = call.answer(audio("0 8"), HERE)
        again, _ = call.answer(audio("0 8"), HERE)
        assert again == first
        offer = call.offer(HERE)
        assert call.offer(HERE) == offer
        call.accept(audio("0"))
        assert call.offer(HERE) == offer

    def test_an_offer_that_was_answered_is_renewed_as_it_was(self) -> None:
        call = negotiator("off")
        offer = call.offer(HERE)
        call.accept(audio("111", "a=rtpmap:111 opus/48000/2"))
        assert call.offer(HERE) == offer

    def test_what_is_changed_has_the_next_version_and_the_same_origin(self) -> None:
        call = negotiator()
        origins = [sdp.parse(call.answer(audio("0"), HERE)[0]).origin]
        moved = Local("192.0.2.2", 17000)
        origins.append(sdp.parse(call.answer(audio("0"), moved)[0]).origin)
        origins.append(sdp.parse(call.offer(moved, hold=True)).origin)
        assert [origin.version for origin in origins] == ["1", "2", "3"]
        assert {origin.host for origin in origins} == {"192.0.2.1"}

    def test_after_a_refusal_the_description_in_force_is_in_force_again(self) -> None:
        call = negotiator()
        call.offer(HERE)
        call.accept(audio("0"))
        before = call.offer(HERE)
        call.accept(audio("0"))
        held = call.offer(HERE, hold=True)
        call.refused()
        assert call.offer(HERE) == before
        call.refused()
        later = call.offer(HERE, hold=True)
        assert int(sdp.parse(later).origin.version) > int(sdp.parse(held).origin.version)

    def test_re_offers_change_codec_and_address(self) -> None:
        call = negotiator()
        call.answer(audio("0 8"), HERE)
        _, agreed = call.answer(audio("8 0", port=5000, host="IN IP4 192.0.2.10"), HERE)
        assert sent(agreed).name == "PCMA"
        assert agreed.remote == ("192.0.2.10", 5000)

    def test_a_renewed_offer_leads_with_the_codec_in_use_under_its_number(self) -> None:
        call = negotiator()
        call.answer(audio("100 0", "a=rtpmap:100 G722/8000"), HERE)
        offer = the_audio(call.offer(HERE))
        assert offer.formats[0] == "100"
        assert "0" in offer.formats

    def test_an_offer_that_is_refused_leaves_everything_as_it_was(self) -> None:
        call = negotiator()
        first, agreed = call.answer(audio("0"), HERE)
        with pytest.raises(Unacceptable):
            call.answer(audio("18"), HERE)
        assert call.agreed == agreed
        assert call.answer(audio("0"), HERE)[0] == first

    def test_a_number_never_changes_its_meaning(self) -> None:
        call = negotiator(names=("opus", "G722"))
        call.offer(HERE)
        call.accept(audio("111 9", "a=rtpmap:111 opus/48000/2"))
        # 111 means opus from us; they now want it for G722, and opus under 9.
        answer, agreed = call.answer(audio("111 9", "a=rtpmap:111 G722/8000", "a=rtpmap:9 opus/48000/2"), HERE)
        assert {number: rtpmap.name for number, rtpmap in the_audio(answer).rtpmaps.items()} == {9: "G722", 111: "opus"}
        assert (sent(agreed).name, sent(agreed).payload_type) == ("G722", 111)

    def test_nor_when_an_offer_in_between_was_refused(self) -> None:
        call = negotiator(names=("opus", "G722"))
        call.offer(HERE)
        call.accept(audio("111 9", "a=rtpmap:111 opus/48000/2"))
        call.offer(HERE, hold=True)
        call.refused()
        answer, _ = call.answer(audio("111", "a=rtpmap:111 G722/8000"), HERE)
        assert the_audio(answer).rtpmaps[9].name == "G722"

    def test_our_offers_keep_clear_of_their_numbers(self) -> None:
        call = negotiator(names=("opus", "PCMU"))
        call.answer(audio("0 111", "a=rtpmap:111 telephone-event/8000"), HERE)
        offer = the_audio(call.offer(HERE))
        assert offer.rtpmaps[111].name == "telephone-event"
        assert [number for number, rtpmap in offer.rtpmaps.items() if rtpmap.name == "opus"] not in ([], [111])

    def test_numbers_run_out_without_harm(self) -> None:
        call = negotiator(names=("opus", "PCMU"))
        for number in range(128):
            with contextlib.suppress(Unacceptable):
                call.answer(audio(f"{number} 0", f"a=rtpmap:{number} opus/48000/2"), HERE)
        offer = the_audio(call.offer(HERE))
        assert "PCMU" in {rtpmap.name for rtpmap in offer.rtpmaps.values()}


class TestAnswers:
    def test_numbers_may_differ_each_way(self) -> None:
        call = negotiator(names=("opus",))
        call.offer(HERE)
        lines = ("a=rtpmap:97 opus/48000/2", "a=rtpmap:98 telephone-event/8000")
        agreed = call.accept(audio("97 98", *lines))
        assert sent(agreed).payload_type == 97
        assert agreed.send_event is not None
        assert agreed.send_event.payload_type == 98
        assert names(agreed.receive) == [
            ("OPUS", 111), ("TELEPHONE-EVENT", 101), ("OPUS", 97), ("TELEPHONE-EVENT", 98)
        ]  # fmt: skip

    def test_a_number_of_theirs_that_means_something_else_to_us_is_not_received(self) -> None:
        call = negotiator(names=("opus", "PCMU"))
        call.offer(HERE)
        agreed = call.accept(audio("101 0", "a=rtpmap:101 opus/48000/2"))
        assert sent(agreed).payload_type == 101
        assert names(agreed.receive) == [("OPUS", 111), ("PCMU", 0), ("OPUS", 101)]
        agreed = call.accept(audio("101 0 111", "a=rtpmap:101 opus/48000/2", "a=rtpmap:111 telephone-event/8000"))
        assert ("TELEPHONE-EVENT", 111) not in names(agreed.receive)

    def test_only_what_was_answered_is_received(self) -> None:
        call = negotiator()
        call.offer(HERE)
        assert names(call.accept(audio("8")).receive) == [("PCMA", 8)]

    def test_a_second_answer_counts_anew(self) -> None:
        call = negotiator()
        call.offer(HERE)
        call.accept(audio("8"))
        assert sent(call.accept(audio("0"))).name == "PCMU"

    def test_but_not_after_an_offer_of_theirs(self) -> None:
        call = negotiator()
        call.offer(HERE)
        call.accept(audio("8"))
        call.answer(audio("0"), HERE)
        with pytest.raises(Unacceptable):
            call.accept(audio("8"))

    def test_an_answer_without_an_offer_is_refused(self) -> None:
        call = negotiator()
        with pytest.raises(Unacceptable) as refusal:
            call.accept(audio("0"))
        assert refusal.value.code == 400
        call.answer(audio("0"), HERE)
        call.offer(HERE)
        call.refused()
        with pytest.raises(Unacceptable):
            call.accept(audio("0"))

    def test_audio_refused_is_no_call_at_first_and_no_stream_later(self) -> None:
        call = negotiator()
        call.offer(HERE)
        with pytest.raises(Unacceptable):
            call.accept(audio("0", port=0))
        call.accept(audio("0"))
        call.offer(HERE, hold=True)
        assert call.accept(audio("0", port=0)).send is None
        offer = call.offer(HERE)
        assert the_audio(offer).port == 16000
        assert sent(call.accept(audio("0"))).name == "PCMU"

    def test_hold_in_an_answer(self) -> None:
        call = negotiator()
        call.offer(HERE)
        agreed = call.accept(audio("0", "a=inactive"))
        assert (agreed.direction, agreed.on_hold, agreed.receive) == (Direction.INACTIVE, True, ())


SOME = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)
SRTP = st.sampled_from(["off", "offered", "required"])


@given(SOME, SOME, SRTP, SRTP, st.booleans(), st.booleans())
def test_what_one_offers_another_accepts_and_both_see_the_same(
    mine: list[str], yours: list[str], my_srtp: str, your_srtp: str, hold: bool, again: bool
) -> None:
    a, b = negotiator(my_srtp, tuple(mine)), negotiator(your_srtp, tuple(yours), seed=2)
    there = Local("192.0.2.2", 17000)
    offer = a.offer(HERE, hold=hold)
    possible = set(mine) & set(yours) and {my_srtp, your_srtp} != {"off", "required"}
    try:
        answer, theirs = b.answer(offer, there)
    except Unacceptable:
        assert not possible
        return
    assert possible
    ours = a.accept(answer)
    mirrored(ours, theirs, HERE, there)
    if again:
        answer, ours = a.answer(b.offer(there), HERE)
        mirrored(ours, b.accept(answer), HERE, there)


def mirrored(a: Agreed, b: Agreed, at: Local, there: Local) -> None:
    assert a.direction is b.direction.reversed
    assert (a.remote, b.remote) == ((there.host, there.port), (at.host, at.port))
    assert (a.srtp_send, a.srtp_receive) == (b.srtp_receive, b.srtp_send)
    assert (a.ptime, a.rtcp_mux, a.on_hold) == (b.ptime, b.rtcp_mux, not a.direction.sends)
    for one, other in ((a, b), (b, a)):
        assert (one.send is None) == (not other.receive)
        assert one.send is None or one.send in other.receive
        assert one.send_cn is None or one.send_cn in other.receive
        assert one.send_event is None or one.send_event in other.receive


@given(st.binary(max_size=400))
def test_any_bytes_raise_one_exception(data: bytes) -> None:
    for act in (lambda call: call.answer(data, LOOPBACK), lambda call: (call.offer(LOOPBACK), call.accept(data))):
        with contextlib.suppress(Unacceptable):
            act(negotiator())


@given(st.sampled_from(sorted(OFFERS)), st.data())
def test_damaged_offers_raise_one_exception_or_agree_on_something_sane(phone: str, data: st.DataObject) -> None:
    lines = OFFERS[phone].decode().replace("UDP/TLS/RTP", "RTP").split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[data.draw(st.integers(2, len(lines) - 1))])
            case 2:
                number = data.draw(st.sampled_from(["0", "1", "127", "128", "65535", "99999999999", "-1", "x"]))
                lines[at] = re.sub(r"[0-9]+", number, lines[at], count=data.draw(st.integers(0, 3)))
            case _:
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    call = negotiator()
    call.offer(LOOPBACK)
    damaged = "\r\n".join(lines).encode()
    for act in (lambda: call.answer(damaged, LOOPBACK)[1], lambda: call.accept(damaged)):
        with contextlib.suppress(Unacceptable):
            agreed = act()
            assert agreed.ptime in (10, 20, 30, 40, 60)
            assert agreed.send is None or agreed.direction.sends
            assert len({form.payload_type for form in agreed.receive}) == len(agreed.receive)
            assert all(form.payload_type < 128 for form in agreed.receive)
    sdp.parse(call.offer(LOOPBACK))


def test_a_negotiator_is_its_arguments_only() -> None:
    """No clock, no randomness of its own: the same arguments give the same bytes."""
    assert negotiator().offer(HERE) == negotiator().offer(HERE)
    assert negotiator(seed=3).offer(HERE) != negotiator().offer(HERE)
    assert replace(HERE, port=1).connection == "IN IP4 192.0.2.1"
