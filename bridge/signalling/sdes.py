"""SRTP keys in the session description (RFC 4568 "SDES"; GCM suites RFC 7714).

A line's key is the one that its writer *sends* with. Refused as if not offered: master key identifiers and several
keys in a line (we hold one key a direction), and session parameters that change what is protected.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .sdp import SdpError

RandomBytes = Callable[[int], bytes]
"""``os.urandom``, or what behaves like it; tests give a seeded one."""

KEY_AND_SALT = {
    "AEAD_AES_256_GCM": 32 + 12,
    "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}
"""Bytes of master key and salt (RFC 7714 §12, RFC 4568 §6.2)."""
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32")
"""Our order when we offer: first what every phone knows, last the short tag."""

_CRYPTO = re.compile(r"([0-9]{1,9}) +([A-Za-z0-9_]{1,64}) +([^ ]+)((?: +[^ ]+)*) *", re.ASCII)
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]{1,128}={0,2})(?:\|(2\^[0-9]{1,2}|[0-9]{1,15}))?", re.ASCII)
_HARMLESS = re.compile(r"-.*|WSH=[0-9]+", re.ASCII)
"""RFC 4568 §6.3.7: a "-" says that the reader may ignore it; the window size hint is a hint."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One ``a=crypto`` line."""

    tag: int
    suite: str
    material: bytes = field(repr=False)
    """Master key followed by master salt."""
    lifetime: str = ""
    """As it was written; our calls end long before any."""

    def __str__(self) -> str:
        lifetime = f"|{self.lifetime}" if self.lifetime else ""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.material).decode()}{lifetime}"


def parse(value: str) -> Crypto:
    """The value of ``a=crypto``. Raises :class:`SdpError` for what is malformed or that we don't do."""
    match = _CRYPTO.fullmatch(value)
    if match is None:
        raise SdpError("bad a=crypto")
    size = KEY_AND_SALT.get(match[2])
    if size is None:
        raise SdpError(f"unknown suite {match[2]}")
    inline = _INLINE.fullmatch(match[3])
    if inline is None:
        raise SdpError("a=crypto with several keys, an MKI or no inline key")
    if not all(_HARMLESS.fullmatch(word) for word in match[4].split()):
        raise SdpError("a=crypto with session parameters")
    material = _decoded(inline[1])
    if len(material) != size:
        raise SdpError(f"{match[2]} needs {size} bytes, not {len(material)}")
    return Crypto(int(match[1]), match[2], material, inline[2] or "")


def _decoded(text: str) -> bytes:
    try:
        # Some leave the padding away.
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except binascii.Error:
        raise SdpError("a=crypto key is not base64") from None


def parse_all(values: Iterable[str]) -> tuple[Crypto, ...]:
    """Those that we can use, in the order given."""
    found: list[Crypto] = []
    for value in values:
        try:
            found.append(parse(value))
        except SdpError:
            continue
    return tuple(found)


def generate(suite: str, tag: int, random_bytes: RandomBytes) -> Crypto:
    return Crypto(tag, suite, random_bytes(KEY_AND_SALT[suite]))


def offer(suites: Iterable[str], random_bytes: RandomBytes) -> tuple[Crypto, ...]:
    """Fresh keys, one per suite, tags from 1 (RFC 4568 §5.1.1)."""
    return tuple(generate(suite, tag, random_bytes) for tag, suite in enumerate(suites, 1))


def choose(
    offered: Iterable[str], suites: Iterable[str], random_bytes: RandomBytes, current: Crypto | None = None
) -> tuple[Crypto, Crypto] | None:
    """(theirs, ours): the first that the offerer lists and we accept (§5.1.2), our key under their tag.

    ``current`` is the key that we send with now: kept where the suite stays, so that a re-offer doesn't cut the voice.
    """
    accepted = frozenset(suites)
    for theirs in parse_all(offered):
        if theirs.suite in accepted:
            if current is not None and current.suite == theirs.suite:
                return theirs, Crypto(theirs.tag, theirs.suite, current.material)
            return theirs, generate(theirs.suite, theirs.tag, random_bytes)
    return None


def match(offered: Iterable[Crypto], answered: Iterable[str]) -> tuple[Crypto, Crypto] | None:
    """(theirs, ours) after an answer: its one line must name the tag and the suite of one of ours (§5.1.3)."""
    by_tag = {(crypto.tag, crypto.suite): crypto for crypto in offered}
    for theirs in parse_all(answered):
        ours = by_tag.get((theirs.tag, theirs.suite))
        if ours is not None:
            return theirs, ours
    return None
