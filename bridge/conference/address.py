"""What SIP URIs say about people."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote

from bridge.signalling.message import ParseError, Uri


def user_of(uri: str) -> str:
    """The user part, escapes undone; "" if there is none."""
    try:
        return unquote(Uri.parse(uri).user or "")
    except ParseError:
        return ""


def same(one: str, other: str) -> bool:
    """The same user at the same host, whatever the parameters (less than RFC 3261 §19.1.4 asks)."""
    try:
        a, b = Uri.parse(one), Uri.parse(other)
    except ParseError:
        return False
    return (a.user, a.host.lower()) == (b.user, b.host.lower())


def kind_of(uri: str) -> Literal["sip", "pstn"]:
    """A telephone number marked as such comes from a gateway (RFC 3261 §19.1.1, ``user=phone``)."""
    try:
        parsed = Uri.parse(uri)
    except ParseError:
        return "sip"
    return "pstn" if parsed.scheme == "tel" or parsed.parameter("user") == "phone" else "sip"
