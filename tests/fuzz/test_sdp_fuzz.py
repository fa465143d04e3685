"""Whatever the network sends, the SDP and SDES parsers raise one exception type, and accessors none."""

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.signalling import sdes, sdp
from bridge.signalling.sdp import SdpError

SEED = (
    b"v=0\r\no=alice 3284 2120 IN IP4 127.0.0.1\r\ns=Talk\r\nc=IN IP4 127.0.0.1\r\nb=AS:380\r\nt=0 0\r\n"
    b"a=rtcp-xr:rcvr-rtt=all:10000 voip-metrics\r\na=group:BUNDLE as vs\r\nm=audio 7078/2 RTP/SAVP 96 0 101\r\n"
    b"a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1; stereo=0\r\na=ptime:20\r\na=rtcp:7079 IN IP6 ::1\r\n"
    b"a=extmap:1/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on\r\na=rtcp-fb:* nack pli\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5|2^20 WSH=64\r\n"
)


def examine(data: bytes) -> None:
    try:
        description = sdp.parse(data)
    except SdpError:
        return
    assert sdp.parse(bytes(description)) == description
    for part in (description, *description.media):
        _ = part.connection and part.connection.ip, part.bandwidth, part.direction, part.extmaps, part.rtcp_xr
    for media in description.media:
        _ = media.payload_types, media.rtpmaps, media.ptime, media.maxptime, media.rtcp, media.rtcp_fb, media.mid
        _ = [media.fmtp(number) for number in media.payload_types]
        sdes.parse_all(media.crypto)
    _ = description.groups


@given(st.binary(max_size=300))
@example(b"v=0\r\no=- 1 1 IN IP4 x\r\ns=\xff\r\nc=IN IP4 \xff\r\na=ptime:\xd9\xa3\r\n")
def test_any_bytes(data: bytes) -> None:
    examine(data)


@given(st.text(max_size=120))
@example("1 AES_CM_128_HMAC_SHA1_80 inline:====")
@example("1 AES_CM_128_HMAC_SHA1_80 inline:a")
def test_any_crypto(value: str) -> None:
    with contextlib.suppress(SdpError):
        sdes.parse(value)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(4))
def test_a_real_description_with_damage(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        data = bytearray(SEED)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            end = at + rng.choice((0, 1, 1, 1, 20))
            data[at:end] = rng.choice(
                (bytes([rng.randrange(256)]), b"", b"\r\n", b":", b" ", b"9" * 30, b"m=audio 1 x 0\r\n")
            )
        examine(bytes(data))
