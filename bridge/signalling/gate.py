"""What every request has to pass before anything is made of it (RFC 3261 §8.2), in the RFC's order."""

from __future__ import annotations

from .message import Request
from .stack import ACCEPT, ALLOW, UNDERSTOOD, Incoming, Stack

METHODS = frozenset(ALLOW.split(", "))
BODIES = {
    "INVITE": ("application/sdp",),
    "UPDATE": ("application/sdp",),
    "PRACK": ("application/sdp",),
    "NOTIFY": ("message/sipfrag",),
}
"""Media types understood, where it matters."""


def refused(stack: Stack, incoming: Incoming, now: float) -> bool:
    """Answer what can't be done for anybody: True if ``incoming`` was answered."""
    request = incoming.request
    if request.method not in METHODS:
        stack.reject(incoming, 405, now, headers=[("Allow", ALLOW)])
    elif request.uri.scheme not in ("sip", "sips", "tel"):
        stack.reject(incoming, 416, now)
    elif not _ours(stack, request):
        # Not ours, and we are no proxy. With no hop left a proxy would say 483; an endpoint that the request is for
        # takes it all the same (RFC 4475 §3.1.2.? zeroMF).
        stack.reject(incoming, 483 if request.headers.get("Max-Forwards") == "0" else 404, now)
    elif unknown := [option for option in request.require if option.lower() not in UNDERSTOOD]:
        stack.reject(incoming, 420, now, headers=[("Unsupported", ", ".join(unknown))])
    elif request.body and not _readable(request):
        headers = [("Accept", ", ".join(BODIES.get(request.method, (ACCEPT,)))), ("Accept-Encoding", "identity")]
        stack.reject(incoming, 415, now, headers=headers)
    elif request.method == "INVITE" and not _accepts_sdp(request):
        stack.reject(incoming, 406, now, headers=[("Accept", ACCEPT)])
    else:
        return False
    return True


def _ours(stack: Stack, request: Request) -> bool:
    domains = stack.settings.domains
    if not domains or request.uri.scheme == "tel" or request.to.tag:
        return True
    return request.uri.host.lower() in domains


def _readable(request: Request) -> bool:
    kinds = BODIES.get(request.method)
    if kinds is None:
        return True
    if "handling=optional" in (request.headers.get("Content-Disposition") or "").replace(" ", "").lower():
        return True
    encoding = (request.headers.get("Content-Encoding") or "identity").strip().lower()
    return encoding == "identity" and request.content_type.lower() in kinds


def _accepts_sdp(request: Request) -> bool:
    accept = ", ".join(request.headers.getlist("Accept")).lower()
    return not accept or any(kind in accept for kind in ("application/sdp", "application/*", "*/*"))
