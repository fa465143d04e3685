"""The m-line of floor control (RFC 8856): who may show something. We are the floor control server, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .media_line import Unacceptable, line_address, unicast
from .sdp import Line, MediaDescription, SessionDescription, attribute

Transport = Literal["udp", "tcp"]
PROTOS: dict[str, Transport] = {"UDP/BFCP": "udp", "TCP/BFCP": "tcp"}
"""Those over TLS and DTLS are refused: a call with SDES keys has no certificate to check."""
FLOOR = 1
"""Our number for the one floor of a room."""
_ROLE = re.compile(r"c-only|s-only|c-s", re.ASCII)


@dataclass(frozen=True, slots=True)
class FloorAccess:
    """How a participant reaches our floor control server."""

    udp: int
    """Port; 0: not over UDP."""
    tcp: int
    conference: int
    """``a=confid``: 32 bits, drawn for this call: who knows them is believed to be in it."""
    user: int
    """``a=userid``: 16 bits."""

    def port(self, transport: Transport) -> int:
        return self.udp if transport == "udp" else self.tcp


@dataclass(frozen=True, slots=True)
class AgreedFloor:
    """Floor control is in force."""

    transport: Transport
    remote: tuple[str, int] | None
    """Where their client is (UDP); None: over TCP they come to us, or at no address."""
    conference: int
    user: int
    version: int
    """Of the protocol, as they say (``a=bfcpver``); 0: by its transport (RFC 8855 §5.1)."""


def is_floor(media: MediaDescription) -> bool:
    return media.kind == "application" and media.port != 0 and media.proto in PROTOS


def answer(
    description: SessionDescription, media: MediaDescription, access: FloorAccess, label: str
) -> tuple[MediaDescription, AgreedFloor]:
    """Our line for theirs. ``label``: ours of the stream that the floor governs.

    Raises:
        Unacceptable: the line is to be refused.
    """
    transport = PROTOS[media.proto]
    if not access.port(transport):
        raise Unacceptable(488, 302, f"transport {media.proto} not available")
    roles = _ROLE.findall(media.first("floorctrl") or "c-only")
    if not roles or roles == ["s-only"]:
        raise Unacceptable(488, 399, "we are the floor control server")
    connection = unicast(description, media)
    if transport == "tcp" and (media.first("setup") or "active") not in ("active", "actpass"):
        # RFC 4145 §4: we open no connection where a stranger tells us to.
        raise Unacceptable(488, 302, "open the connection yourself")
    lines = tuple(_lines(access, label, transport, media.has("floorctrl")))
    remote = line_address(connection, media.port) if transport == "udp" else None
    agreed = AgreedFloor(transport, remote, access.conference, access.user, _version(media))
    return MediaDescription("application", access.port(transport), media.proto, ("*",), lines), agreed


def offer(access: FloorAccess, label: str) -> MediaDescription:
    """Our line in an offer: over UDP, which room systems speak."""
    return MediaDescription("application", access.udp, "UDP/BFCP", ("*",), tuple(_lines(access, label, "udp", True)))


def accepted(description: SessionDescription, media: MediaDescription, access: FloorAccess) -> AgreedFloor | None:
    """Their answer to our offer; None: they have no floor control, or will not be the client.

    Raises:
        Unacceptable: it can't be used.
    """
    if not is_floor(media) or PROTOS[media.proto] != "udp":
        return None
    if "s-only" in (media.first("floorctrl") or "c-only"):
        return None
    remote = line_address(unicast(description, media), media.port)
    return AgreedFloor("udp", remote, access.conference, access.user, _version(media))


def _lines(access: FloorAccess, label: str, transport: Transport, role: bool) -> Iterator[Line]:
    """``role``: they asked what we are; one who doesn't expects the server in an answer (RFC 4583 §4)."""
    if role:
        yield attribute("floorctrl", "s-only")
    yield attribute("confid", access.conference)
    yield attribute("userid", access.user)
    yield attribute("floorid", f"{FLOOR} mstrm:{label}")
    if transport == "tcp":
        yield attribute("setup", "passive")
        yield attribute("connection", "new")


def _version(media: MediaDescription) -> int:
    """The highest of ``a=bfcpver`` that we do (RFC 8856 §5.5)."""
    told = (media.first("bfcpver") or "").split()
    return max((int(word) for word in told if word in ("1", "2")), default=0)
