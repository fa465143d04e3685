"""Conference-info documents (RFC 4575): full ones, and partial ones with what changed."""

from __future__ import annotations

from .snapshot import RoomSnapshot

MEDIA_TYPE = "application/conference-info+xml"


class Watcher:
    """One subscription: what it was sent last, and its version counter (RFC 4575 §4.6.2)."""

    def __init__(self, entity: str) -> None:
        """``entity`` is the conference's URI, ``sip:demo@bridge.example``."""
        raise NotImplementedError

    def full(self, snapshot: RoomSnapshot) -> bytes:
        """The whole state: due after SUBSCRIBE and after each refresh."""
        raise NotImplementedError

    def partial(self, snapshot: RoomSnapshot) -> bytes | None:
        """What changed since the last document; None: nothing that the package shows."""
        raise NotImplementedError

    def deleted(self) -> bytes:
        """The conference is over: ``state="deleted"``, the subscription's last document."""
        raise NotImplementedError
