"""Via at both ends: where a response goes (RFC 3261 §18.2, RFC 3581), and what tells transactions apart (§17.2.3)."""

from __future__ import annotations

import re

from .flow import Flow, Transport
from .message import Request, Via, split

COOKIE = "z9hG4bK"
"""§8.1.1.7: a branch that begins so is unique."""
_RPORT = re.compile(r";\s*rport\s*(?:=[^;]*)?(?=;|\Z)", re.IGNORECASE)
_RECEIVED = re.compile(r";\s*received\s*=[^;]*", re.IGNORECASE)

ServerKey = tuple[str, ...]


def receive(request: Request, flow: Flow) -> Via:
    """Note in the top Via where ``request`` came from (§18.2.1, RFC 3581 §4). Returns the Via as it came."""
    text = request.headers["Via"]
    top = text
    if "," in text:
        top = split(text)[0]
    via = request.via
    host, port = flow.remote
    wants_port = via.parameter("rport") is not None
    if wants_port or via.host.strip("[]").lower() != host.lower():
        stamped = _RECEIVED.sub("", top)
        if wants_port:
            stamped = _RPORT.sub(f";rport={port}", stamped)
        stamped = f"{stamped};received={host}"
        if top is text:
            request.headers.replace_first("Via", stamped)
        else:
            request.headers.replace_first("Via", ", ".join([stamped, *split(text)[1:]]))
    return via


def response_flow(via: Via, flow: Flow) -> Flow:
    """Where the response to a request that came on ``flow`` goes first: over a stream the way it came; over UDP to the
    source port if ``rport`` asks for it, else to sent-by's. ``maddr`` is not followed: multicast is nobody's, and it
    would let a stranger point our responses at a third party."""
    if flow.transport.reliable or via.parameter("rport") is not None:
        return flow
    return Flow(flow.transport, flow.local, (flow.remote[0], via.port or 5060))


def second_flow(via: Via, flow: Flow) -> Flow | None:
    """Where it goes when the connection that the request came by is gone (§18.2.2): a new one to sent-by's port."""
    if flow.transport not in (Transport.TCP, Transport.TLS):
        return None
    port = via.port or (5061 if flow.transport is Transport.TLS else 5060)
    return Flow(flow.transport, flow.local, (flow.remote[0], port)) if port != flow.remote[1] else None


def server_key(request: Request, via: Via, method: str) -> ServerKey:
    """What a request's transaction is found by (§17.2.3); ``method`` INVITE for an ACK, and for what a CANCEL means.

    Call-ID and CSeq number are in it too: a branch alone, reused by a poor phone or guessed by a stranger, then meets
    no transaction of somebody else's.
    """
    branch = via.branch
    number = request.headers["CSeq"].split(None, 1)[0]
    sent_by = f"{via.host.lower()}:{via.port or ''}"
    if branch.startswith(COOKIE) and len(branch) > len(COOKIE):
        return branch, sent_by, request.call_id, number, method
    # RFC 2543. The To tag is left out: the ACK has one that the INVITE lacked.
    return branch, sent_by, request.call_id, number, method, str(request.uri), request.from_.tag or ""


def sent_by(transport: Transport, host: str, port: int, branch: str) -> str:
    """Our Via's value. ``rport`` is always asked for (RFC 3581 §3)."""
    shown = f"[{host}]" if ":" in host else host
    return f"SIP/2.0/{transport} {shown}:{port};branch={branch};rport"
