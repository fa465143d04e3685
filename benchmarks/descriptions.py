"""Session descriptions of simulated browsers: Chromium's, with what matters here; and what is read of the others'."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateways.webrtc.identity import Identity

OPUS, VP8, RTX, KEYS = 111, 96, 97, 126
LEVEL, TRANSPORT, MID, RID = 1, 3, 4, 10
"""Header extension ids."""
LAYERS = (("q", 160, 90, 60_000), ("h", 320, 180, 150_000), ("f", 640, 360, 500_000))
"""Of a camera: RID, width, height, bits a second."""
CAMERA = "1"
"""MID of the m-line in which a camera sends."""
TRANSPORT_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one peer connection is for."""

    audio: bool = True
    """Both ways."""
    video: str = "recvonly"
    """Direction of the first video m-line; empty: there is none."""
    tiles: int = 0
    """More of them, in which it only receives."""
    answers: bool = False
    """The server offers; nothing of the above counts."""

    @property
    def camera(self) -> bool:
        return "send" in self.video


@dataclass(frozen=True, slots=True)
class Remote:
    """What the server said."""

    ufrag: str
    password: str
    address: tuple[str, int]
    passive: bool
    """It waits for our ClientHello."""
    transport: int
    """Id of the transport-wide number; 0: it sends none."""


def offer(number: int, identity: Identity, wish: Wish, ssrc: int, address: tuple[str, int]) -> str:
    """``address``: of its candidate."""
    lines = []
    if wish.audio:
        lines.append(
            f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS} {KEYS}\r\n{_common(number, identity, address)}"
            "a=mid:0\r\na=sendrecv\r\n"
            f"a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
            f"a=rtpmap:{OPUS} opus/48000/2\r\na=fmtp:{OPUS} minptime=10;useinbandfec=1\r\n"
            f"a=rtpmap:{KEYS} telephone-event/8000\r\n"
            f"a=ssrc:{ssrc} cname:b{number}\r\n"
        )
    directions = ([wish.video] if wish.video else []) + ["recvonly"] * wish.tiles
    for n, direction in enumerate(directions, int(CAMERA)):
        lines.append(
            f"m=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}\r\n{_common(number, identity, address)}"
            f"a=mid:{n}\r\na={direction}\r\n"
            f"a=extmap:{TRANSPORT} {TRANSPORT_URI}\r\n"
            f"a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
            f"a=rtpmap:{VP8} VP8/90000\r\na=rtcp-fb:{VP8} transport-cc\r\na=rtcp-fb:{VP8} ccm fir\r\n"
            f"a=rtcp-fb:{VP8} nack\r\na=rtcp-fb:{VP8} nack pli\r\n"
            f"a=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n"
        )
        if "send" in direction:
            lines.append("".join(f"a=rid:{rid} send\r\n" for rid, *_ in LAYERS))
            lines.append(f"a=simulcast:send {';'.join(rid for rid, *_ in LAYERS)}\r\n")
    mids = [line.split("a=mid:")[1].split("\r\n")[0] for line in lines if "a=mid:" in line]
    return _head(number, mids) + "".join(lines)


def answer(number: int, identity: Identity, theirs: str, address: tuple[str, int]) -> str:
    """To an offer in which they send pictures and nothing else."""
    lines, mids = [], []
    for section in theirs.split("\r\nm=")[1:]:
        mids.append(re.search(r"a=mid:(\S+)", section)[1])  # type: ignore[index]
        kept = re.findall(r"^a=(?:rtpmap|fmtp|rtcp-fb|extmap):.*$", section.replace("\r", ""), re.MULTILINE)
        lines.append(
            f"m={section.splitlines()[0]}\r\n{_common(number, identity, address, setup='active', mid=False)}"
            f"a=mid:{mids[-1]}\r\na=recvonly\r\n" + "".join(f"{line}\r\n" for line in kept)
        )
    return _head(number, mids) + "".join(lines)


def read(theirs: str) -> Remote:
    """Raises OSError: it is no browser's counterpart."""
    ufrag, password = re.search(r"a=ice-ufrag:(\S+)", theirs), re.search(r"a=ice-pwd:(\S+)", theirs)
    path = re.search(r"a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) typ host", theirs, re.IGNORECASE)
    if not (ufrag and password and path):
        raise OSError(f"no description of a browser's counterpart:\n{theirs}")
    number = re.search(rf"a=extmap:(\d+)\S* {re.escape(TRANSPORT_URI)}", theirs)
    return Remote(
        ufrag[1],
        password[1],
        (path[1], int(path[2])),
        "a=setup:active" not in theirs,
        int(number[1]) if number else 0,
    )


def _head(number: int, mids: list[str]) -> str:
    return (
        f"v=0\r\no=- {number + 1} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {' '.join(mids)}\r\n"
        "a=msid-semantic: WMS *\r\n"
    )


def _common(
    number: int, identity: Identity, address: tuple[str, int], *, setup: str = "actpass", mid: bool = True
) -> str:
    return (
        f"c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag(number)}\r\na=ice-pwd:{'p' * 24}\r\n"
        f"a=fingerprint:{identity.fingerprint}\r\na=setup:{setup}\r\na=rtcp-mux\r\n"
        f"a=candidate:1 1 udp 2130706431 {address[0]} {address[1]} typ host\r\n"
        + (f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n" if mid else "")
    )


def ufrag(number: int) -> str:
    return f"b{number:05d}"
