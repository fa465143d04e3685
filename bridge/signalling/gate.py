"""What every request has to pass before anything is made of it (RFC 3261 §8.2), in the RFC's order."""

from __future__ import annotations

from .message import Request
from .stack import ACCEPT, ALLOW, UNDERSTOOD, Refused, Stack

METHODS = frozenset({*ALLOW.split(", "), "REGISTER"})
BODIES = {
    "INVITE": ("application/sdp",),
    "UPDATE": ("application/sdp",),
    "PRACK": ("application/sdp",),
    "NOTIFY": ("message/sipfrag",),
}
"""Media types understood, where it matters."""


def check(stack: Stack, request: Request) -> None:
    """Raises :class:`~.stack.Refused` for what can't be done for anybody."""
    if request.method not in METHODS:
        raise Refused(405, headers=[("Allow", ALLOW)])
    if request.uri.scheme not in ("sip", "sips", "tel"):
        raise Refused(416)
    if not _ours(stack, request):
        # Not ours, and we are no proxy. With no hop left a proxy would say 483; an endpoint that the request is for
        # takes it all the same (RFC 4475 §3.3.11).
        raise Refused(483 if request.headers.get("Max-Forwards") == "0" else 404)
    if unknown := [option for option in request.require if option.lower() not in UNDERSTOOD]:
        raise Refused(420, headers=[("Unsupported", ", ".join(unknown))])
    if request.body and not _readable(request):
        accepted = ", ".join(BODIES.get(request.method, (ACCEPT,)))
        raise Refused(415, headers=[("Accept", accepted), ("Accept-Encoding", "identity")])
    if request.method == "INVITE" and not _accepts_sdp(request):
        raise Refused(406, headers=[("Accept", ACCEPT)])


def _ours(stack: Stack, request: Request) -> bool:
    domains = stack.settings.domains
    if not domains or request.uri.scheme == "tel" or request.to.tag:
        return True
    host = request.uri.host.lower()
    return host in domains or host.strip("[]") in stack.hosts


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
