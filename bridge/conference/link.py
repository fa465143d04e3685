"""Signed links: who holds one comes into a room in a role, until a time, and keys no PIN.

A token is ``BODY.SEAL``, both base64url (RFC 4648 §5): the body is JSON, the seal its HMAC-SHA256 cut to 128 bits (RFC
2104 §5). It goes in a page's address, and as a bearer token (RFC 6750 §2.1 allows its characters) in an INVITE (RFC
8898). Whoever has it may pass it on, so it says little and does not live for ever.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from .participant import Role

SEAL = 16
"""Octets."""
LONGEST = 1024
"""Characters of a token that are looked at; ours have some 200."""
MAX_HOURS = 24 * 366
"""A link for a year's weekly meeting; who has left the house since should not have it for longer."""
MAX_NAME = 100
KEY = 32
"""Octets of a key: as many as SHA-256 gives (RFC 2104 §3)."""

Fault = Literal["unreadable", "expired", "other-room"]


class BadLink(ValueError):
    """A token opens nothing (here). The message says what to do."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(SENTENCES[fault])
        self.fault = fault


SENTENCES: dict[Fault, str] = {
    "unreadable": "this link is not one of ours, or not all of it was copied: ask for it again",
    "expired": "this link has expired: ask for a new one",
    "other-room": "this link is for another room: ask for one to this room",
}


@dataclass(frozen=True, slots=True)
class Link:
    room: str
    role: Role
    expires: int
    """Seconds since 1970."""
    name: str = ""
    """Whom it was made for."""


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    room: str
    role: Role
    expires: int
    name: str = ""


Links: TypeAlias = Callable[[str], Link]
"""What a token grants now; raises :class:`BadLink`."""
_decoder = msgspec.json.Decoder(_Body)


def sign(link: Link, key: bytes) -> str:
    """Raises ValueError for a key that is too short."""
    body = msgspec.json.encode(_Body(1, link.room, link.role, link.expires, link.name[:MAX_NAME]))
    return f"{_text(body)}.{_text(_seal(body, key))}"


def read(token: str, key: bytes, wall: float) -> Link:
    """What a token grants at ``wall`` (seconds since 1970). Anything may come in ``token``.

    Raises:
        BadLink
    """
    if len(token) > LONGEST:
        raise BadLink("unreadable")
    try:
        body, seal = (
            base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in token.split(".")
        )
    except (binascii.Error, ValueError):
        raise BadLink("unreadable") from None
    if not hmac.compare_digest(seal, _seal(body, key)):
        raise BadLink("unreadable")
    try:
        found = _decoder.decode(body)
    except msgspec.DecodeError:  # of a newer version of ours
        raise BadLink("unreadable") from None
    if wall >= found.expires:
        raise BadLink("expired")
    return Link(found.room, found.role, found.expires, found.name)


def no_links(token: str) -> Link:
    """Where there is no key."""
    raise BadLink("unreadable")


def vouched(token: str, links: Links) -> bool:
    """It opens some room."""
    try:
        links(token)
    except BadLink:
        return False
    return True


def challenge(realm: str, fault: Fault) -> tuple[str, str]:
    """What a 401 says to who brought that one (RFC 8898 §4, RFC 6750 §3.1)."""
    said = f'error="invalid_token", error_description="{SENTENCES[fault]}"'
    return "WWW-Authenticate", f'Bearer realm="{realm}", {said}'


def _seal(body: bytes, key: bytes) -> bytes:
    if len(key) < KEY:
        raise ValueError(f"a key of {len(key)} octets signs nothing: {KEY} are needed")
    return hmac.digest(key, b"visiopont link\0" + body, "sha256")[:SEAL]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
