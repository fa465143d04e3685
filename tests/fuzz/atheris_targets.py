"""Coverage-guided fuzzing of the parsers: ``python -m tests.fuzz.atheris_targets NAME -max_total_time=60``.

A target may raise nothing; anything that it raises is a find. Arguments behind the name are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bridge.media import rtcp, rtp
from bridge.media.wire import PacketPool
from bridge.signalling import sdes, sdp
from bridge.signalling.framing import BrokenFraming, Framer
from bridge.signalling.message import MalformedMessage, Response, parse

TORTURE = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "signalling/rfc4475").glob("*.dat"))]
DESCRIPTION = (
    b"v=0\r\no=a 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 7078 RTP/SAVP 96 0 101\r\n"
    b"a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=ptime:20\r\na=rtcp:7079 IN IP6 ::1\r\na=sendonly\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5|2^20\r\n"
)
_POOL = PacketPool(1)
_SLOTS = _POOL.take(1)


def sip_message(data: bytes) -> None:
    """Parse, read every view, print, parse again."""
    try:
        message = parse(data)
    except MalformedMessage as error:
        if error.request is not None:
            bytes(Response.answering(error.request, error.status, tag="x"))
        return
    _ = message.from_, message.to, message.cseq, message.via, message.call_id, message.contacts, message.content_type
    _ = message.route, message.record_route, message.require, message.supported
    assert bytes(parse(bytes(message))) == bytes(message)


def sip_stream(data: bytes) -> None:
    """Framing must not depend on where the stream is cut."""
    whole, halves = Framer(), Framer()
    middle = len(data) // 2
    found: list[list[bytes]] = [[], []]
    with contextlib.suppress(BrokenFraming):
        found[0].extend(whole.feed(data))
    with contextlib.suppress(BrokenFraming):
        for piece in (data[:middle], data[middle:]):
            found[1].extend(halves.feed(piece))
    assert found[0] == found[1]


def description(data: bytes) -> None:
    try:
        parsed = sdp.parse(data)
    except sdp.SdpError:
        return
    assert sdp.parse(bytes(parsed)) == parsed
    for part in (parsed, *parsed.media):
        _ = part.connection, part.bandwidth, part.direction, part.extmaps, part.rtcp_xr
    for media in parsed.media:
        _ = media.payload_types, media.rtpmaps, media.ptime, media.rtcp, media.rtcp_fb
        sdes.parse_all(media.crypto)


def rtcp_packets(data: bytes) -> None:
    with contextlib.suppress(rtcp.RtcpError):
        rtcp.parse(data)


def rtp_header(data: bytes) -> None:
    """Nothing that is read may lie outside of the packet."""
    data = data[:1500]
    _POOL.memory[_SLOTS[0], : len(data)] = np.frombuffer(data, np.uint8)
    lengths = np.array([len(data)], np.int32)
    is_rtp, _ = rtp.classify(_POOL, _SLOTS, lengths)
    if not is_rtp[0]:
        return
    headers, whole = rtp.parse(_POOL, _SLOTS, lengths)
    if whole[0]:
        assert 12 <= headers.offset[0] <= len(data)
        assert headers.offset[0] + headers.size[0] <= len(data)


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "sip": (sip_message, TORTURE),
    "sip-stream": (sip_stream, TORTURE),
    "sdp": (description, [DESCRIPTION]),
    "rtcp": (rtcp_packets, [bytes.fromhex("80c80006" + "00" * 24 + "81ca0004000000010105616c696365000000000000")]),
    "rtp": (rtp_header, [bytes.fromhex("b0800001000000a0000000ffbede000110ff0000") + bytes(160)]),
}
"""Name to target and seeds."""


def main(arguments: list[str]) -> None:
    if len(arguments) < 2 or arguments[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.atheris_targets {{{','.join(TARGETS)}}} [-max_total_time=60 ...]")
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris (the extra `fuzz`)")
    target, seeds = TARGETS[arguments[1]]
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([arguments[0], *arguments[2:], corpus], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
