"""WHIP and WHEP sessions (RFC 9725, draft-ietf-wish-whep) as calls: a SIP user agent that calls rooms for those who
speak HTTP.

To the bridge each is a call by WebSocket like any browser's, so that admission, lobby, links, limits and moderation
are what they are for everybody. Sans-IO (:class:`bridge.signalling.flow.Core`): flows are named by whoever joins them
to the bridge, one a session. The client can be told nothing in mid-call (RFC 9725 §4.2): an offer of the bridge's is
refused, and a room in another worker is out of reach.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow
from bridge.signalling.sdp import parse

from .description import Credentials, credentials, fragment_of, restarted

ANSWER: Final = 5.0
"""Seconds for the bridge's answer, which comes within milliseconds or, to hosts that guess and scan, never."""
REFUSED: Final = 488
"""Not Acceptable Here: the offer, not the call (RFC 3261 §14.2)."""


@dataclass(frozen=True, slots=True)
class Answered:
    session: int
    body: bytes
    etag: str
    """Of its ICE session (RFC 9110 §8.8.3)."""


@dataclass(frozen=True, slots=True)
class Restarted:
    session: int
    fragment: bytes
    """application/trickle-ice-sdpfrag."""
    etag: str


@dataclass(frozen=True, slots=True)
class NotRestarted:
    """It goes on as it was."""

    session: int


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more follows."""

    session: int
    code: int
    """Of SIP, where it never began; 0: it ended."""
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    """Of the refusal."""


Event: TypeAlias = Answered | Restarted | NotRestarted | Over


@dataclass(slots=True)
class _Session:
    offer: bytes
    """The last one that was answered, or waits for that."""
    client: Credentials
    generation: int = 1
    """Counts ICE sessions."""
    restart: Credentials | None = None
    """Asked for, not answered yet."""

    @property
    def etag(self) -> str:
        return f'"ice-{self.generation}"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the room is to see it."""

    uri: str
    name: str = ""
    """Empty: its link's, or the user part of its URI."""
    token: str = field(default="", repr=False)
    """Of a signed link; empty: none."""


class Agent:
    """Its sessions are numbered."""

    def __init__(self, rng: random.Random, user_agent: str = "Visiopont") -> None:
        # The bridge is in the same process: there is nothing to be found out by timers, and nobody to be throttled.
        settings = EndpointSettings(
            user_agent=user_agent, session_expires=0, rejections_per_minute=0, ring_limit=ANSWER, max_calls=0
        )
        self._endpoint = Endpoint(settings, rng)
        self._sessions: dict[int, _Session] = {}
        self._outbox: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._sessions)

    # Commands

    def call(self, uri: str, flow: Flow, offer: bytes, caller: Caller, now: float) -> int:
        """Call a room with an offer as :func:`.description.offered` gives it. Answered or Over follows.

        Raises:
            ValueError: URI or names can't be in SIP.
        """
        client = credentials(parse(offer))
        if client is None:
            raise ValueError("the offer has no ICE credentials")
        headers = [("Authorization", f"Bearer {caller.token}")] if caller.token else []
        session = self._endpoint.dial(
            uri, [flow], offer, now, from_uri=caller.uri, from_display=caller.name, headers=headers
        )
        self._sessions[session] = _Session(offer, client)
        self._take(now)
        return session

    def etag(self, session: int) -> str:
        """Of the ICE session in force; empty: there is no such session any more."""
        known = self._sessions.get(session)
        return known.etag if known else ""

    def restarting(self, session: int) -> bool:
        """A restart waits for its answer."""
        known = self._sessions.get(session)
        return known is not None and known.restart is not None

    def restart(self, session: int, client: Credentials | None, now: float) -> bool:
        """ICE anew with these credentials of the client's; Restarted or NotRestarted follows. False: they are those in
        force, or none, so that nothing is to be done."""
        known = self._sessions.get(session)
        if known is None or known.restart is not None or client in (None, known.client):
            return False
        known.restart = client
        known.offer = restarted(known.offer, client)
        self._endpoint.offer(session, known.offer, now)
        self._take(now)
        return True

    def leave(self, session: int, now: float) -> None:
        """Over follows."""
        self._endpoint.hangup(session, now)
        self._take(now)

    # The core

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self._endpoint.receive(data, flow, now)
        self._take(now)

    def closed(self, flow: Flow, now: float) -> None:
        self._endpoint.closed(flow, now)
        self._take(now)

    def expire(self, now: float) -> None:
        self._endpoint.expire(now)
        self._take(now)

    def deadline(self) -> float | None:
        return self._endpoint.deadline()

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        return self._endpoint.datagrams()

    def events(self) -> Iterator[Event]:
        while self._outbox:
            yield self._outbox.popleft()

    def held(self) -> dict[str, int]:
        """For tests that nothing leaks."""
        return {**self._endpoint.held(), "sessions": len(self._sessions)}

    # Inside

    def _take(self, now: float) -> None:
        for event in self._endpoint.events():
            match event:
                case sip.CallAnswered(session, body, _):
                    self._answered(session, body or b"", now)
                case sip.OfferAnswered(session, body):
                    self._restarted(session, body or b"")
                case sip.OfferRefused(session, _, _):
                    self._not_restarted(session)
                case sip.OfferReceived(session, _):
                    self._endpoint.refuse(session, REFUSED, now)
                case sip.ReferReceived():
                    self._endpoint.reject_refer(event.refer, 603, now)
                case sip.CallEnded(session, code, reason, _, headers):
                    if self._sessions.pop(session, None) is not None:
                        self._outbox.append(Over(session, code, reason, headers))
                case _:  # keys, chat, how it rings: nothing that HTTP could tell
                    pass

    def _answered(self, session: int, body: bytes, now: float) -> None:
        known = self._sessions.get(session)
        if known is None:
            self._endpoint.hangup(session, now)
        else:
            self._outbox.append(Answered(session, body, known.etag))

    def _restarted(self, session: int, body: bytes) -> None:
        known = self._sessions.get(session)
        if known is None or known.restart is None:
            return
        known.client, known.restart = known.restart, None
        known.generation += 1
        self._outbox.append(Restarted(session, fragment_of(body), known.etag))

    def _not_restarted(self, session: int) -> None:
        known = self._sessions.get(session)
        if known is not None and known.restart is not None:
            known.restart = None
            self._outbox.append(NotRestarted(session))
