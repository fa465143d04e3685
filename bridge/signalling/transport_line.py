"""ICE, DTLS and BUNDLE in descriptions (RFC 8839, RFC 8842, RFC 9143): which m-lines go by a transport, and by which.

We are an ICE-lite agent, and passive in DTLS unless the peer is. With ICE the voice's m-line has the transport, and
all that are bundled with it; without, each m-line has its own, at the address that it names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from .media_line import DTLS, PLAIN, SECURE, Unacceptable, line_address
from .sdp import Line, MediaDescription, SdpError, SessionDescription, attribute
from .transport_parameters import DIGESTS, Fingerprint, Setup, TransportParameters

PROTO = "UDP/TLS/RTP/SAVPF"
"""Of our own offers (RFC 8829 §5.1.2)."""
Kind = Literal["audio", "video", "content"]

MAX_FINGERPRINTS = 8
"""Of one m-line, that are compared."""
_UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}", re.ASCII)
"""RFC 8839 §5.4; some browsers' have URL-safe base64, too."""
_PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}", re.ASCII)
_MID = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,16}", re.ASCII)
"""RFC 5888 §4, of a length that fits the header extension (RFC 8285 §4.2)."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An m-line on a transport."""

    kind: Kind
    mid: str
    """Empty: it has none, and is alone."""
    payload_types: tuple[int, ...]
    """Of what they send, or would, retransmissions included."""


@dataclass(frozen=True, slots=True)
class AgreedTransport:
    """A transport in force."""

    local: TransportParameters
    """Ours, ``setup`` the role: active or passive. Without ICE ``ufrag`` is empty, and ``address`` where we are."""
    remote: TransportParameters
    """Theirs."""
    lines: tuple[Carried, ...] = ()

    @property
    def ice(self) -> bool:
        return bool(self.remote.ufrag and self.local.ufrag)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The m-lines that may share the voice's transport (RFC 9143)."""

    ours: TransportParameters
    theirs: TransportParameters
    places: Collection[int] = field(default=frozenset())


def keying(
    description: SessionDescription, media: MediaDescription, *, srtp: bool, dtls: bool
) -> TransportParameters | None:
    """How the m-line is keyed; None: by SDES, or not at all.

    Args:
        srtp: SDES may be.
        dtls: we have a transport for it.

    Raises:
        Unacceptable: in a way that we can't use.
    """
    theirs = read(description, media) if dtls else None
    if theirs is None and media.proto not in (PLAIN | SECURE if srtp else PLAIN):
        raise Unacceptable(488, 302, f"transport {media.proto[:40]} not available")
    return theirs


def read(description: SessionDescription, media: MediaDescription) -> TransportParameters | None:
    """What they say of the m-line's transport; None: it has none, but SDES keys or no security.

    Raises:
        Unacceptable: it has one that we can't use.
    """
    prints = tuple(_both(description, media, "fingerprint"))
    # RFC 8122 under another proto is how some wrote it before RFC 5764.
    old = media.proto in SECURE and prints and not media.crypto
    if media.proto not in DTLS and not old:
        return None
    fingerprints = tuple(_fingerprints(prints))
    if not fingerprints:
        raise Unacceptable(488, 305, "no certificate fingerprint that can be checked: sha-256 is usual")
    ufrag, password = _first(description, media, "ice-ufrag"), _first(description, media, "ice-pwd")
    if (ufrag or password) and not (_UFRAG.fullmatch(ufrag) and _PASSWORD.fullmatch(password)):
        raise Unacceptable(488, 399, "ice-ufrag and ice-pwd make no sense")
    connection = description.connection_of(media)
    return TransportParameters(
        fingerprints,
        _setup(_first(description, media, "setup")),
        ufrag,
        password,
        lite=description.has("ice-lite"),
        address=line_address(connection, media.port) if connection else None,
    )


def _fingerprints(values: Sequence[str]) -> Iterator[Fingerprint]:
    for value in values[:MAX_FINGERPRINTS]:
        try:
            found = Fingerprint.parse(value)
        except SdpError:
            continue
        if found.algorithm in DIGESTS:
            yield found


def _setup(value: str) -> Setup:
    """RFC 4145 §4: without one the offerer connects."""
    if not value:
        return Setup.ACTIVE
    if value not in tuple(Setup):
        raise Unacceptable(488, 399, f"setup:{value[:20]} makes no sense here")
    return Setup(value)


def _first(description: SessionDescription, media: MediaDescription, name: str) -> str:
    return (media.first(name) or description.first(name) or "").strip()


def _both(description: SessionDescription, media: MediaDescription, name: str) -> tuple[str, ...]:
    """The m-line's, else the session's."""
    return tuple(media.all(name)) or tuple(description.all(name))


def role(ours: TransportParameters, theirs: TransportParameters, before: AgreedTransport | None) -> Setup:
    """Ours: as ``ours`` says; where that leaves it open passive if they let us choose, but for an association that
    stands (RFC 8842 §5.3, §5.5)."""
    if ours.setup is not Setup.ACTPASS:
        return ours.setup
    if theirs.setup is not Setup.ACTPASS:
        return Setup.ACTIVE if theirs.setup is Setup.PASSIVE else Setup.PASSIVE
    if before is not None and before.remote.fingerprints == theirs.fingerprints:
        return before.local.setup
    return Setup.PASSIVE


def mid_of(media: MediaDescription) -> str:
    """Empty: none, or one that we can't repeat."""
    mid = media.mid or ""
    return mid if _MID.fullmatch(mid) else ""


def lines(ours: TransportParameters, *, candidates: bool) -> Iterator[Line]:
    """Of an m-line of ours. ``candidates``: it is the first of its transport."""
    if ours.ufrag:
        yield attribute("ice-ufrag", ours.ufrag)
        yield attribute("ice-pwd", ours.password)
    for each in ours.fingerprints:
        yield attribute("fingerprint", str(each))
    yield attribute("setup", ours.setup.value)
    if ours.ufrag and candidates:
        for candidate in ours.candidates:
            yield attribute("candidate", str(candidate))
        yield attribute("end-of-candidates")


def sources(ssrc: int, cname: str, *, again: bool = False) -> Iterator[Line]:
    """What we send with (RFC 5576 §4.1); nothing where ``ssrc`` is 0.

    Args:
        again: retransmissions have the next one (RFC 4588 §8.1).
    """
    if not ssrc:
        return
    if again:
        yield attribute("ssrc-group", f"FID {ssrc} {ssrc + 1}")
    for each in (ssrc, ssrc + 1)[: 1 + again]:
        yield attribute("ssrc", f"{each} cname:{cname or '-'}")


def without_ice(ours: TransportParameters, host: str, port: int) -> TransportParameters:
    """For a peer that does none: where the m-line says."""
    return replace(ours, ufrag="", password="", lite=False, candidates=(), address=(host, port))


# -------------------------------------------------------------------------------------------------- BUNDLE

_SHARED = ("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup", "rtcp-mux", "rtcp-rsize", "tls-id")
"""What the m-line that speaks for the group says for all of it (RFC 9143 §7.1.3, RFC 8859: IDENTICAL, TRANSPORT)."""


def groups(description: SessionDescription) -> Iterator[tuple[int, ...]]:
    """The BUNDLE groups by numbers of m-lines, that which speaks for the group first."""
    places = {mid_of(media): place for place, media in enumerate(description.media) if mid_of(media)}
    for group in description.groups:
        found = tuple(places[mid] for mid in group.mids if mid in places)
        if group.semantics == "BUNDLE" and found:
            yield found


def unfolded(description: SessionDescription) -> SessionDescription:
    """With every bundled m-line saying what its group's first does: port, address, keys. Those that are for BUNDLE
    only have port 0 until then (RFC 9143 §6)."""
    media = list(description.media)
    for first, *others in groups(description):
        speaker = media[first]
        if not speaker.port:
            continue
        shared = [line for line in speaker.lines if _name(line) in _SHARED]
        for place in others:
            each = media[place]
            if not each.port and not each.has("bundle-only"):
                continue
            mine = {_name(line) for line in each.lines}
            more = tuple(line for line in shared if _name(line) not in mine)
            connection = () if each.connection or not speaker.connection else (Line("c", str(speaker.connection)),)
            media[place] = replace(each, port=each.port or speaker.port, lines=(*connection, *each.lines, *more))
    return replace(description, media=tuple(media))


def _name(line: Line) -> str:
    return line.value.partition(":")[0] if line.type == "a" else ""


def beside(description: SessionDescription, place: int) -> frozenset[int]:
    """Numbers of the m-lines that are to share the transport of number ``place``, itself among them."""
    for group in groups(description):
        if place in group:
            # RFC 9143 §9.3: RTCP goes the same way, always.
            return frozenset(each for each in group if description.media[each].rtcp_mux)
    return frozenset()
