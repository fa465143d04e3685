import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling import sdp
from bridge.signalling.sdp import Direction, ExtMap, Group, RtpMap, SdpError

LINPHONE = (
    b"v=0\r\no=alice 3284 2120 IN IP4 127.0.0.1\r\ns=Talk\r\nc=IN IP4 127.0.0.1\r\nb=AS:380\r\nt=0 0\r\n"
    b"a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\na=group:BUNDLE as vs\r\n"
    b"m=audio 7078 RTP/SAVP 96 0 8 101 97\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1; stereo=0\r\n"
    b"a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-16\r\na=rtpmap:97 telephone-event/8000\r\na=ptime:20\r\n"
    b"a=maxptime:60.0\r\na=rtcp:7079 IN IP4 127.0.0.2\r\na=rtcp-mux\r\na=mid:as\r\na=sendonly\r\n"
    b"a=extmap:1/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on\r\na=rtcp-fb:* nack pli\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:aaaa\r\na=x-odd thing\r\n"
    b"m=video 9078/2 RTP/AVP 98\r\nc=IN IP6 ::1\r\na=unknown:value with spaces\r\n"
)


def minimal(extra: bytes = b"") -> bytes:
    return b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n" + extra


def test_what_is_well_formed_prints_as_it_was_read() -> None:
    assert bytes(sdp.parse(LINPHONE)) == LINPHONE


def test_unknown_lines_strange_order_and_other_character_sets_survive() -> None:
    odd = minimal(b"z=what\r\ni=caf\xe9\r\nb=X-odd:9\r\nc=IN IP4 a.example\r\nm=text 0 x/y a b\r\nq=\r\n")
    assert bytes(sdp.parse(odd)) == odd


def test_bare_line_feeds_and_blank_ends_are_taken() -> None:
    assert bytes(sdp.parse(minimal().replace(b"\r\n", b"\n") + b"\r\n\n")) == minimal()


def test_the_typed_accessors() -> None:
    description = sdp.parse(LINPHONE)
    audio, video = description.media
    assert (audio.kind, audio.port, audio.proto, audio.payload_types) == (
        "audio",
        7078,
        "RTP/SAVP",
        (96, 0, 8, 101, 97),
    )
    assert audio.rtpmaps[96] == RtpMap(96, "opus", 48000, 2)
    assert audio.rtpmaps[97] == RtpMap(97, "telephone-event", 8000, 1)
    assert audio.fmtp(96) == {"useinbandfec": "1", "stereo": "0"}
    assert audio.fmtp(101) == {"0-16": ""}
    assert audio.fmtp(0) == {}
    assert (audio.ptime, audio.maxptime, audio.mid, audio.rtcp_mux) == (20, 60, "as", True)
    assert audio.rtcp is not None
    assert audio.rtcp.port == 7079
    assert str(audio.rtcp.connection) == "IN IP4 127.0.0.2"
    assert audio.direction is Direction.SENDONLY
    assert audio.extmaps == (ExtMap(1, Direction.SENDONLY, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "vad=on"),)
    assert audio.rtcp_fb == (("*", "nack pli"),)
    assert audio.crypto == ("1 AES_CM_128_HMAC_SHA1_80 inline:aaaa",)
    assert description.groups == (Group("BUNDLE", ("as", "vs")),)
    assert description.rtcp_xr == {"rcvr-rtt", "stat-summary", "voip-metrics"}
    assert description.bandwidth == {"AS": 380}
    assert video.port_count == 2
    assert str(description.connection_of(audio)) == "IN IP4 127.0.0.1"
    assert str(description.connection_of(video)) == "IN IP6 ::1"
    assert description.direction_of(video) is Direction.SENDRECV
    assert (video.ptime, video.rtcp, video.mid, video.rtcp_xr) == (None, None, None, None)


def test_the_sessions_direction_holds_where_the_medium_says_nothing() -> None:
    description = sdp.parse(minimal(b"a=inactive\r\nm=audio 9 RTP/AVP 0\r\nm=audio 9 RTP/AVP 0\r\na=recvonly\r\n"))
    assert [description.direction_of(media) for media in description.media] == ["inactive", "recvonly"]


def test_attributes_that_make_no_sense_read_as_absent() -> None:
    (media,) = sdp.parse(
        minimal(
            b"m=audio 9 RTP/AVP 0 200 x\r\na=rtpmap:96\r\na=rtpmap:300 opus/48000\r\na=rtpmap:9 G722/0\r\n"
            b"a=ptime:-1\r\n"
            b"a=maxptime:\r\na=rtcp:99999\r\na=extmap:1/sideways urn:x\r\na=fmtp:0 ;;=;a\r\na=rtcp:0\r\na=group:\r\n"
        )
    ).media
    assert (media.rtpmaps, media.ptime, media.maxptime, media.rtcp, media.extmaps) == ({}, None, None, None, ())
    assert media.payload_types == (0,)
    assert media.fmtp(0) == {"": "", "a": ""}


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("IN IP4 127.0.0.1", "127.0.0.1"),
        ("IN IP4 224.2.1.1/127/3", "224.2.1.1"),
        ("IN IP6 ::1", "::1"),
        ("IN IP4 ::1", None),
        ("IN IP6 fe80::1%eth0", None),
        ("IN IP4 host.example", None),
        ("ATM NSAP 47", None),
    ],
)
def test_an_address_is_a_literal_of_the_family_it_claims(address: str, ip: str | None) -> None:
    connection = sdp.parse(minimal(f"c={address}\r\n".encode())).connection
    assert connection is not None
    assert (str(connection.ip) if connection.ip else None) == ip


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"v=1\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n",
        b"v=0\r\ns=-\r\no=- 1 1 IN IP4 192.0.2.1\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nt=0 0\r\n",
        minimal(b"o=- 1 1 IN IP4 192.0.2.1\r\n"),
        minimal(b"nonsense\r\n"),
        minimal(b"A=b\r\n"),
        minimal(b"\r\na=b\r\n"),
        minimal(b"a=b\0c\r\n"),
        minimal(b"a=b\rc\r\n"),
        minimal(b"c=IN IP4\r\n"),
        minimal(b"m=audio 9 RTP/AVP\r\n"),
        minimal(b"m=audio 65536 RTP/AVP 0\r\n"),
        minimal(b"m=audio -1 RTP/AVP 0\r\n"),
        minimal(b"m=audio 9/x RTP/AVP 0\r\n"),
        minimal(b"m=audio \xd9\xa3 RTP/AVP 0\r\n"),
        minimal(b"m=audio 9 RTP/AVP 0\r\n" * 33),
        minimal(b"m=audio 9 RTP/AVP" + b" 0" * 257 + b"\r\n"),
        minimal(b"a=x\r\n" * 2000),
        minimal(b"a=" + b"x" * 65536 + b"\r\n"),
        b"v=0\r\no=- 1 " + b"1" * 5000 + b" IN IP4 192.0.2.1\r\ns=-\r\n",
        b"v=0\r\no=- x 1 IN IP4 192.0.2.1\r\ns=-\r\n",
    ],
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(SdpError):
        sdp.parse(data)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_direction_reversed_twice_is_itself(direction: Direction) -> None:
    assert direction.reversed.reversed is direction
    assert direction.reversed.sends is direction.receives
    assert direction.within(Direction.SENDRECV) is direction
    assert direction.within(Direction.INACTIVE) is Direction.INACTIVE


VALUE = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=30)
LINES = st.lists(st.tuples(st.sampled_from("abeiprtuz"), VALUE), max_size=8).map(
    lambda pairs: "".join(f"{kind}={value}\r\n" for kind, value in pairs)
)
WORD = st.from_regex(r"[A-Za-z0-9/.+-]{1,9}", fullmatch=True)
MEDIA = st.builds(
    lambda port, words, lines: f"m={words[0]} {port} {' '.join(words[1:])}\r\n{lines}",
    st.integers(0, 65535),
    st.lists(WORD, min_size=3, max_size=8),
    LINES,
)


@given(LINES, st.lists(MEDIA, max_size=4))
def test_parse_and_print_are_inverse(session: str, media: list[str]) -> None:
    data = minimal((session + "".join(media)).encode())
    assert bytes(sdp.parse(data)) == data


@pytest.mark.parametrize("fmtp", ["profile\udcbdid=42;apt=96", "apt=96; profile-id=\u00e9", "\udcff;apt=96"])
def test_format_parameters_that_are_not_ascii_read_as_absent(fmtp: str) -> None:
    """They go to other processes as text, which half a character can't be."""
    text = f"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=video 1 RTP/AVP 97\r\na=fmtp:97 {fmtp}\r\n"
    (media,) = sdp.parse(text.encode("utf-8", "surrogateescape")).media
    assert media.fmtp(97) == {"apt": "96"}
