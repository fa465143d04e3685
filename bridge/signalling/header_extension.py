"""RTP header extensions in descriptions (RFC 8285 §5): those of video that we use, and their ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from .sdp import Direction, ExtMap, Line, MediaDescription, SessionDescription, attribute

ABSOLUTE_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_SEQUENCE_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
"""RFC 9143 §15.2."""
RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID_URI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
"""RFC 8852 §4."""
ORIENTATION_URI = "urn:3gpp:video-orientation"

ONE_BYTE = range(1, 15)
"""Longer ids need two-byte headers (RFC 8285 §4.2), which we don't read."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """Ids in force on an m-line, the same in both directions; 0: not agreed."""

    absolute_time: int = 0
    transport_sequence: int = 0
    mid: int = 0
    rid: int = 0
    repaired_rid: int = 0
    orientation: int = 0
    """They say which way is up (3GPP TS 26.114 §7.4.5)."""


_URIS = {
    "absolute_time": ABSOLUTE_TIME_URI,
    "transport_sequence": TRANSPORT_SEQUENCE_URI,
    "mid": MID_URI,
    "rid": RID_URI,
    "repaired_rid": REPAIRED_RID_URI,
    "orientation": ORIENTATION_URI,
}
_TAKEN_ONLY = frozenset(("rid", "repaired_rid", "orientation"))
"""Those that we read and never write."""

FIRST = Extensions(transport_sequence=3)
"""Ids that we offer, and no more: each is 90 bytes of an INVITE or ACK that should fit UDP. 1 is the voice's
(:data:`.offer.LEVEL_ID`): in a BUNDLE group an id means one thing (RFC 9143 §9.2)."""
FIRST_BUNDLED = Extensions(absolute_time=2, transport_sequence=3, mid=4, orientation=5)


def read(description: SessionDescription, media: MediaDescription) -> Extensions:
    """Of what they send, or would."""
    return Extensions(**{name: _id(description, media, uri, name) for name, uri in _URIS.items()})


def _id(description: SessionDescription, media: MediaDescription, uri: str, name: str) -> int:
    for part in (media, description):
        for extmap in part.extmaps:
            if extmap.uri == uri and extmap.id in ONE_BYTE and _usable(extmap, name):
                return extmap.id
    return 0


def _usable(extmap: ExtMap, name: str) -> bool:
    return extmap.direction.sends if name in _TAKEN_ONLY else extmap.direction is Direction.SENDRECV


def lines(extensions: Extensions) -> Iterator[Line]:
    """For a description of ours, by id."""
    for number, name in sorted((number, name) for name, number in ids(extensions).items() if number):
        direction = "/recvonly" if name in _TAKEN_ONLY else ""
        yield attribute("extmap", f"{number}{direction} {_URIS[name]}")


def ids(extensions: Extensions) -> Mapping[str, int]:
    return {each.name: getattr(extensions, each.name) for each in fields(extensions)}
