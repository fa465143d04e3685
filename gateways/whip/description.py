"""Descriptions that WHIP (RFC 9725) and WHEP clients send: whether they are offers of the kind that is wanted, and what
an ICE restart changes in them (RFC 9725 §4.3.3, RFC 8840 §9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bridge.signalling.media_line import DTLS
from bridge.signalling.sdp import (
    Direction,
    Line,
    MediaDescription,
    SdpError,
    SessionDescription,
    attribute,
    parse,
)

Kind = Literal["whip", "whep"]
"""Publishes; plays."""
DIRECTIONS: Final[dict[Kind, Direction]] = {"whip": Direction.SENDONLY, "whep": Direction.RECVONLY}
"""Of the client's media (RFC 9725 §4.2, WHEP §4.2)."""
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
MAX_LINES: Final = 500
"""Of a fragment: a host with some dozen interfaces has some hundred candidates."""
_LINE = re.compile(r"[a-z]=[^\0\r\n]*", re.ASCII)
_UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}", re.ASCII)
_PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}", re.ASCII)
"""RFC 8839 §5.4; URL-safe base64 comes, too."""


class Unfit(ValueError):
    """This can't be worked with. ``status`` is HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Credentials:
    """An ICE session of the client's."""

    ufrag: str
    password: str = field(repr=False)


def offered(kind: Kind, data: bytes) -> bytes:
    """The offer that our call makes: theirs, in one direction.

    Raises:
        Unfit: 400 for what is no offer, 406 for one that we take nothing of (RFC 9725 §4.4.2).
    """
    try:
        description = parse(data)
    except SdpError:
        raise Unfit(400, "this is no session description: send the offer as application/sdp") from None
    used = [media for media in description.media if media.port or media.has("bundle-only")]
    count = {name: sum(media.kind == name for media in used) for name in ("audio", "video")}
    if count["audio"] != 1 or (kind == "whip" and count["video"] > 1):
        raise Unfit(406, "offer one audio track, and at most one video track beside it")
    if any(media.proto not in DTLS for media in used) or credentials(description) is None:
        raise Unfit(406, "offer WebRTC: ICE, and UDP/TLS/RTP/SAVPF")
    wanted = DIRECTIONS[kind]
    if any(description.direction_of(media).within(wanted) is not wanted for media in used if media.kind == "audio"):
        raise Unfit(400, _WRONG_WAY[kind])
    media = tuple(_directed(description, each, wanted) for each in description.media)
    return bytes(replace(description, media=media))


_WRONG_WAY: Final[dict[Kind, str]] = {
    "whip": "who publishes offers sendonly: to play a room, use its /whep address",
    "whep": "who plays offers recvonly: to publish into a room, use its /whip address",
}


def _directed(description: SessionDescription, media: MediaDescription, wanted: Direction) -> MediaDescription:
    direction = description.direction_of(media).within(wanted)
    others = tuple(line for line in media.lines if not (line.type == "a" and line.value in tuple(Direction)))
    return replace(media, lines=(*others, attribute(direction.value)))


def refuses_pictures(offer: bytes, answer: bytes) -> bool:
    """A picture was offered, and none is taken."""
    wanted = any(media.kind == "video" and (media.port or media.has("bundle-only")) for media in parse(offer).media)
    return wanted and not any(media.kind == "video" and media.port for media in parse(answer).media)


# ------------------------------------------------------------------------------------------- ICE sessions


def credentials(description: SessionDescription) -> Credentials | None:
    """Of the first m-line, which speaks for all; None: there are none, or they make no sense."""
    parts = (*description.media[:1], description)
    ufrag, password = (
        next((value.strip() for part in parts if (value := part.first(name))), "") for name in ("ice-ufrag", "ice-pwd")
    )
    sound = _UFRAG.fullmatch(ufrag) and _PASSWORD.fullmatch(password)
    return Credentials(ufrag, password) if sound else None


def read_fragment(data: bytes) -> Credentials | None:
    """Whose candidates these are, or will be; None: it does not say. The candidates themselves are nothing to an agent
    that is lite and checks none.

    Raises:
        Unfit: it is no fragment.
    """
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > MAX_LINES or not all(_LINE.fullmatch(line) for line in lines):
        raise Unfit(400, "this is no application/trickle-ice-sdpfrag")
    found = {name: value.strip() for name, _, value in (line[2:].partition(":") for line in lines)}
    ufrag, password = found.get("ice-ufrag"), found.get("ice-pwd")
    if ufrag is None and password is None:
        return None
    if not (_UFRAG.fullmatch(ufrag or "") and _PASSWORD.fullmatch(password or "")):
        raise Unfit(400, "ice-ufrag and ice-pwd make no sense")
    assert ufrag is not None
    assert password is not None
    return Credentials(ufrag, password)


def restarted(offer: bytes, new: Credentials) -> bytes:
    """The same offer of a new ICE session; all else stays as it was agreed (RFC 9725 §4.3.3)."""
    description = parse(offer)
    origin = replace(description.origin, version=str(int(description.origin.version) + 1))
    media = tuple(replace(media, lines=_renewed(media.lines, new)) for media in description.media)
    return bytes(replace(description, origin=origin, lines=_renewed(description.lines, new), media=media))


def _renewed(lines: Iterable[Line], new: Credentials) -> tuple[Line, ...]:
    fresh = {"ice-ufrag": new.ufrag, "ice-pwd": new.password}
    found = []
    for line in lines:
        name = line.value.partition(":")[0] if line.type == "a" else ""
        if name not in ("candidate", "end-of-candidates"):
            found.append(attribute(name, fresh[name]) if name in fresh else line)
    return tuple(found)


def fragment_of(answer: bytes) -> bytes:
    """Our side of a restart: credentials, and the candidates, which are the same as ever."""
    description = parse(answer)
    first = next(media for media in description.media if media.port)
    told = [line for line in description.lines if line.type == "a" and line.value == "ice-lite"]
    told += [line for line in first.lines if line.type == "a" and line.value.startswith(("ice-ufrag:", "ice-pwd:"))]
    candidates = [line for line in first.lines if line.value.startswith(("mid:", "candidate:", "end-of-candidates"))]
    head = f"m={first.kind} 9 {first.proto} 0"
    return "".join(f"{line}\r\n" for line in (*told, head, *candidates)).encode()
