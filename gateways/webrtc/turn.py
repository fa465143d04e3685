"""Credentials for a TURN server that shares a secret with us (the "TURN REST API" of coturn's ``use-auth-secret``)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

LIFETIME: Final = 6 * 3600
"""Seconds. They are checked when an allocation is made and when it is refreshed (RFC 8656 §3.9), so that they have to
outlive a call; six hours are longer than any meeting, and worth little to a thief the next day."""


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    username: str
    """When they end, in Unix seconds, a colon, and for whom they are."""
    password: str = field(repr=False)


def credentials(secret: str, user: str, now: float, lifetime: int = LIFETIME) -> TurnCredentials:
    """Args:
    user: stands in the TURN server's log; a colon in it does no harm.
    now: Unix time in seconds, not the monotonic clock.
    """
    username = f"{int(now) + lifetime}:{user}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return TurnCredentials(username, base64.b64encode(digest).decode())


def ice_servers(urls: Sequence[str], secret: str, user: str, now: float) -> list[dict[str, object]]:
    """RTCIceServer dictionaries for a browser. STUN's URLs take no credentials, and have an entry of their own."""
    stun = [url for url in urls if url.startswith(("stun:", "stuns:"))]
    turn = [url for url in urls if url.startswith(("turn:", "turns:"))]
    servers: list[dict[str, object]] = [{"urls": stun}] if stun else []
    if turn:
        made = credentials(secret, user, now)
        servers.append({"urls": turn, "username": made.username, "credential": made.password})
    return servers
