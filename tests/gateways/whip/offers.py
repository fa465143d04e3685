"""Offers as WHIP and WHEP clients make them: real browsers' and aiortc's, in one direction."""

from __future__ import annotations

import re
from pathlib import Path

PLACE = Path(__file__).resolve().parents[2] / "signalling" / "offers"
NAMES = ("aiortc", "chromium", "safari")
DIRECTION = re.compile(rb"a=(sendrecv|sendonly|recvonly|inactive)")


def offer(name: str = "chromium", direction: str = "sendonly") -> bytes:
    return DIRECTION.sub(b"a=" + direction.encode(), (PLACE / f"{name}.sdp").read_bytes())


LIBDATACHANNEL = b"""v=0
o=rtc 3767197920 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:jUrV
a=ice-pwd:oVlAjwmLMt7ZYsZLSmeDbF
a=ice-options:ice2,trickle
a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:1 cname:obs
a=ssrc:1 msid:obs obs-audio
a=msid:obs obs-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=bundle-only
a=sendonly
a=ssrc:2 cname:obs
a=ssrc:2 msid:obs obs-video
a=msid:obs obs-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
""".replace(b"\n", b"\r\n")
"""In the manner of libdatachannel, which OBS is made with: ICE and fingerprint once, for the whole session."""
