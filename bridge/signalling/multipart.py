"""Bodies of several parts (RFC 5621): gateways put signalling of theirs beside the session description, emergency and
recording systems a document about the caller. The session description is all that we read of them."""

from __future__ import annotations

import re

from .message import Message, Request

SDP = "application/sdp"
CARRIERS = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})
"""Methods in whose messages a session description stands (RFC 3264, RFC 3262, RFC 3311)."""
MAX_PARTS = 16
"""More than anybody sends; those behind are not looked at."""
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
"""RFC 2046 §5.1.1."""
_FIELD = re.compile(r"^([\w-]+)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)", re.MULTILINE | re.ASCII)
_AS_IT_IS = ("", "7bit", "8bit", "binary")


def unwrap(message: Message) -> None:
    """Put the session description in the place of a multipart body that has one. Left as it is, for whoever looks at it
    next to refuse, is one without, and one with another part that must be understood (``handling=required``; where
    a part doesn't say, RFC 5621 §8 means that too, but who adds a part that the phones before us never knew does
    not)."""
    method = message.method if isinstance(message, Request) else message.cseq.method
    if method not in CARRIERS or message.content_type not in ("multipart/mixed", "multipart/alternative"):
        return
    boundary = _BOUNDARY.search(message.headers.get("Content-Type") or "")
    if boundary is None:
        return
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")
    found: bytes | None = None
    for part in (b"\r\n" + message.body).split(mark)[1 : MAX_PARTS + 1]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        fields = _fields(head)
        disposition = fields.get("content-disposition", "session").lower().replace(" ", "")
        if found is None and _is_description(fields, disposition):
            found = content
        elif "handling=required" in disposition:
            return
    if found:
        message.body = found
        message.headers.replace_first("Content-Type", SDP)


def _is_description(fields: dict[str, str], disposition: str) -> bool:
    """That of the session, not of its early media (RFC 3959)."""
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    plain = fields.get("content-transfer-encoding", "").strip().lower() in _AS_IT_IS
    return kind == SDP and plain and disposition.partition(";")[0] == "session"


def _fields(head: bytes) -> dict[str, str]:
    text = head.decode("utf-8", "surrogateescape")
    return {match[1].lower(): " ".join(match[2].split()) for match in _FIELD.finditer(text)}
