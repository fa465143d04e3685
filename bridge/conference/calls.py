"""Calls joined to streams: every offer and answer of every call, and what a worker is told of it.

The one place that knows both planes. It decides nothing about rooms: the focus tells it where a call belongs and
what is heard, and is told when a call is up, changed or over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow
from bridge.signalling.offer import Capabilities, Negotiator, Unacceptable
from bridge.worker.protocol import Command, Datagrams, DropStream, StreamReport

from .leg import Hearing, Leg
from .placement import Full, Placement
from .tiles import Gallery
from .transports import BY_WEB, Transports, TransportSettings, first_numbers
from .transports import Leg as Carried
from .video import NOWHERE, Sight, VideoPlane

log = structlog.get_logger("calls")

NOT_ACCEPTABLE = 488
BUSY = "At The Limit, Try Again Soon"
"""Instead of Service Unavailable: it is available, to those who are in."""


class CallUser(Protocol):
    """What the focus wants to know of calls."""

    def call_up(self, leg: Leg, now: float) -> None:
        """Media is agreed: the participant can hear."""

    def call_changed(self, leg: Leg, now: float) -> None:
        """Something else is agreed in a call that was up before."""

    def call_over(self, leg: Leg, code: int, reason: str, local: bool, now: float) -> None:
        """The call has ended, or never came to be."""


@dataclass(slots=True)
class _Dialled:
    """What a second try of a call that we make needs."""

    uri: str
    targets: tuple[Flow, ...]
    from_uri: str
    from_display: str
    secure: bool | None
    """None: as settings wish; False: the callee refused keys."""
    headers: tuple[tuple[str, str], ...]
    early: bytes | None = None
    """The body of a reliable provisional response: the answer, if the 2xx has none."""


class Calls:
    def __init__(
        self,
        endpoint: Endpoint,
        settings: EndpointSettings,
        placement: Placement,
        capabilities: Capabilities,
        send: Callable[[int, Command], None],
        user: CallUser,
        *,
        rng: random.Random,
        random_bytes: Callable[[int], bytes],
        media_host: str = "",
        cname: str = "visiopont",
        video: VideoPlane | None = None,
        transports: TransportSettings | None = None,
    ) -> None:
        """
        Args:
            media_host: the address in our SDP; empty: the one by which the peer's signalling reaches us.
            transports: None: nobody keys by DTLS.
        """
        self._video = video
        self._transports = Transports(transports, send, self.stream_number, self) if transports else None
        self._endpoint, self._settings, self._placement = endpoint, settings, placement
        self._capabilities, self._send, self._user = capabilities, send, user
        self._rng, self._random_bytes = rng, random_bytes
        self._media_host, self._cname = media_host, cname
        self._last_stream = 0
        self.by_call: dict[int, Leg] = {}
        self.by_stream: dict[int, Leg] = {}
        self.reports: dict[int, StreamReport] = {}
        """stream -> its last figures"""
        self._dialled: dict[int, _Dialled] = {}
        self._up: set[int] = set()

    # Streams

    def stream_number(self) -> int:
        """A number never given before."""
        self._last_stream += 1
        return self._last_stream

    def _leg(self, call: int, worker: int, flow: Flow, offer: bytes | None, now: float, *, pictures: bool) -> Leg:
        """``offer``: theirs.

        Raises:
            Full: no worker has room for it.
            Unacceptable: the offer is none that we can answer.
        """
        stream = self.stream_number()
        port = self._placement.put(worker, stream)
        host = self._media_host or self._settings.contact(flow)[0]
        session_id = self._rng.getrandbits(62)
        video = self._video.capabilities if self._video else None
        negotiator = Negotiator(self._capabilities, self._random_bytes, session_id, video)
        leg = Leg(call, stream, worker, port, host, negotiator, self._cname, flow.remote[0], pictures=pictures)
        self.by_stream[stream] = leg
        try:
            self._secure(leg, offer, flow, now)
        except (Full, Unacceptable):
            self._drop_all(leg, now)
            raise
        if self._video and pictures:
            self._video.prepare(leg, worker, offer)
        return leg

    def _secure(self, leg: Leg, offer: bytes | None, flow: Flow, now: float) -> None:
        """Have the transports that the call needs. Raises as :meth:`_leg`."""
        if self._transports is None:
            return
        if offer is None:
            self._transports.offering(leg, now, web=flow.transport in BY_WEB)
        else:
            self._transports.offered(leg, offer, now)
        if leg.transports:
            leg.numbers = first_numbers(self._rng)
            self._placement.latched(leg.worker, leg.stream)  # its own port is for the next caller

    def place(self, leg: Leg, hearing: Hearing, now: float, sight: Sight = NOWHERE) -> None:
        """What the participant hears and sees, and is heard and seen by, has changed; the worker too, perhaps."""
        leg.hearing, leg.sight = hearing, sight
        worker = self._placement.worker_of(hearing.room) if hearing.room else leg.worker
        if worker != leg.worker and leg.moving is None:
            self._move(leg, worker, now)
        elif worker == leg.worker:
            self.tell(leg)

    def tell(self, leg: Leg) -> None:
        """Describe the leg's stream to its worker, if there is news."""
        spec = leg.description()
        if spec is not None and spec != leg.told:
            leg.told = spec
            self._send(leg.worker, spec)
        if self._transports:
            self._transports.tell(leg)
        if self._video:
            self._video.tell(leg)

    @property
    def tiles(self) -> int:
        """That a call may have; 0: there are none."""
        return self._video.tiles.limit if self._video else 0

    def watch(self, leg: Leg, gallery: Gallery) -> None:
        """Its page wants to see that."""
        leg.gallery = gallery
        self.tell(leg)

    def without_pictures(self, leg: Leg, now: float) -> None:
        """It came to where there are none: its video is ended, the voice goes on."""
        leg.pictures = False
        if (leg.seen or leg.shown) and leg.moving is None:
            self._endpoint.offer(leg.call, self._offer(leg, now), now)

    def _offer(self, leg: Leg, now: float) -> bytes:
        """Another one inside the call."""
        if leg.moving is None and self._transports:
            self._transports.offering(leg, now)
        return leg.negotiator.offer(leg.moving.local if leg.moving else leg.local)

    def _move(self, leg: Leg, worker: int, now: float) -> None:
        """Its room lives in another worker: offer the peer that worker's address, and follow when it has agreed."""
        try:
            stream = self.stream_number()
            port = self._placement.put(worker, stream, moves=True)
        except Full as error:
            log.error("room can't be joined", call=leg.call, error=str(error))
            self.hangup(leg, now, "overloaded")
            return
        leg.moving = Leg(
            leg.call, stream, worker, port, leg.host, leg.negotiator, leg.cname, leg.peer, pictures=leg.pictures
        )
        leg.moving.floor = leg.floor
        self.by_stream[stream] = leg
        if self._transports and leg.transports:
            leg.moving.transports = self._transports.moving(leg, worker, now)
            leg.moving.numbers = first_numbers(self._rng)
            self._placement.latched(worker, stream)
        if self._video and leg.video is not None:
            self._video.prepare(leg.moving, worker, None)
        self._endpoint.offer(leg.call, self._offer(leg, now), now)

    def _moved(self, leg: Leg) -> None:
        there, leg.moving = leg.moving, None
        if there is None:
            return
        self._drop(leg)
        if self._transports:
            self._transports.left(leg.worker, leg.transports)
        leg.stream, leg.worker, leg.port, leg.told = there.stream, there.worker, there.port, None
        leg.transports, leg.numbers = there.transports, there.numbers
        if self._video:
            self._video.take_over(leg, there)

    def _not_moved(self, leg: Leg, now: float) -> None:
        there, leg.moving = leg.moving, None
        if there is not None:
            self._never_there(there)
            self.hangup(leg, now, "the terminal refused to move")

    def _never_there(self, there: Leg) -> None:
        """Nobody comes to where a leg was to move."""
        self._placement.take_away(there.worker, there.stream)
        self.by_stream.pop(there.stream, None)
        if self._video:
            self._video.drop(there)

    def _drop(self, leg: Leg) -> None:
        if self._video:
            self._video.drop(leg)
        if leg.told is not None:
            self._send(leg.worker, DropStream(stream=leg.stream))
        self._placement.take_away(leg.worker, leg.stream)
        self.by_stream.pop(leg.stream, None)
        self.reports.pop(leg.stream, None)

    def _drop_all(self, leg: Leg, now: float) -> None:
        """The call is over for good."""
        self._drop(leg)
        if self._transports:
            self._transports.drop(leg, now)
        if self._video:
            self._video.drop_floor(leg)

    # Calls that come

    def answer(
        self,
        event: sip.IncomingCall,
        worker: int,
        hearing: Hearing,
        now: float,
        sight: Sight = NOWHERE,
        *,
        pictures: bool = True,
    ) -> Leg | None:
        """Answer an incoming call; None: it was refused.

        Args:
            pictures: there are some where it is bound for.
        """
        try:
            leg = self._leg(event.call, worker, event.flow, event.offer, now, pictures=pictures)
        except Full as error:
            log.warning("call turned away", call=event.call, reason=str(error))
            wait = self._settings.retry_after
            self._endpoint.reject(event.call, 503, now, BUSY, retry_after=wait + self._rng.randint(0, wait))
            return None
        except Unacceptable as error:
            self._unacceptable(event, error, now)
            return None
        leg.hearing, leg.sight = hearing, sight
        leg.proved = event.flow.transport.reliable
        self.by_call[event.call] = leg
        try:
            if event.offer is None:
                sdp = leg.negotiator.offer(leg.local)
            else:
                sdp, _ = leg.negotiator.answer(event.offer, leg.local)
        except Unacceptable as error:
            self.by_call.pop(event.call)
            self._drop_all(leg, now)
            self._unacceptable(event, error, now)
            return None
        # Some phones (pyVoIP) take no 200 that comes before any provisional response.
        self._endpoint.ring(event.call, now)
        self._endpoint.answer(event.call, sdp, now)
        if event.offer is not None:
            self._agreed(leg, now)
        return leg

    def _unacceptable(self, event: sip.IncomingCall, error: Unacceptable, now: float) -> None:
        host = self._media_host or self._settings.contact(event.flow)[0]
        self._endpoint.reject(event.call, error.code, now, str(error), headers=[error.header(host)])

    # Calls that we make

    def dial(
        self,
        uri: str,
        targets: Sequence[Flow],
        worker: int,
        hearing: Hearing,
        now: float,
        *,
        from_uri: str = "",
        from_user: str = "",
        from_display: str = "",
        headers: Sequence[tuple[str, str]] = (),
        pictures: bool = True,
    ) -> Leg:
        """Call ``uri``. ``from_user`` is put before our own address where no ``from_uri`` is given.

        Raises:
            ValueError: the URI is none, or there are no targets.
            Full: no worker has room for it.
        """
        if not targets:
            raise ValueError(f"nowhere to send a call to {uri}")
        host = self._settings.contact(targets[0])[0]
        from_uri = from_uri or f"sip:{from_user}@{f'[{host}]' if ':' in host else host}"
        leg = self._leg(0, worker, targets[0], None, now, pictures=pictures)
        leg.hearing = hearing
        dialled = _Dialled(uri, tuple(targets), from_uri, from_display, None, tuple(headers))
        try:
            self._invite(leg, dialled, now)
        except ValueError:
            self._drop_all(leg, now)
            raise
        return leg

    def _invite(self, leg: Leg, dialled: _Dialled, now: float) -> None:
        sdp = leg.negotiator.offer(leg.local, secure=dialled.secure)
        leg.call = self._endpoint.dial(
            dialled.uri,
            dialled.targets,
            sdp,
            now,
            from_uri=dialled.from_uri,
            from_display=dialled.from_display,
            headers=dialled.headers,
        )
        self.by_call[leg.call] = leg
        self._dialled[leg.call] = dialled

    # What the endpoint tells

    def progress(self, event: sip.CallProgress) -> None:
        dialled = self._dialled.get(event.call)
        if dialled is not None and event.body:
            dialled.early = event.body

    def answered(self, event: sip.CallAnswered, now: float) -> None:
        leg, dialled = self.by_call.get(event.call), self._dialled.pop(event.call, None)
        if leg is None:
            self._endpoint.hangup(event.call, now)
            return
        body = event.body or (dialled.early if dialled else None)
        self._accept(leg, body, now)

    def confirmed(self, event: sip.CallConfirmed) -> None:
        """The ACK has our tag, which went nowhere but to the address of the INVITE."""
        self._prove(self.by_call.get(event.call))

    def _prove(self, leg: Leg | None) -> None:
        if leg is not None and not leg.proved:
            leg.proved = True
            self.tell(leg)

    def answer_received(self, event: sip.AnswerReceived, now: float) -> None:
        """To the offer that we made in a 2xx."""
        leg = self.by_call.get(event.call)
        if leg is not None:
            self._accept(leg, event.body, now)

    def _accept(self, leg: Leg, body: bytes | None, now: float) -> None:
        try:
            leg.negotiator.accept(body or b"")
        except Unacceptable as error:
            log.info("answer can't be used", call=leg.call, reason=str(error))
            self.hangup(leg, now, f"bad answer: {error}")
            return
        self._moved(leg)
        self._agreed(leg, now, answer=True)

    def offered(self, event: sip.OfferReceived, now: float) -> None:
        """re-INVITE or UPDATE: hold, resume, another codec, another address."""
        leg = self.by_call.get(event.call)
        if leg is None:
            self._endpoint.refuse(event.call, 481, now)
            return
        if event.body is None:
            self._endpoint.accept(event.call, self._offer(leg, now), now)
            return
        there = leg.moving or leg
        try:
            if self._transports:
                self._transports.offered(there, event.body, now)
            if self._video and leg.pictures:
                self._video.prepare(there, there.worker, event.body)
            sdp, _ = leg.negotiator.answer(event.body, there.local)
        except (Unacceptable, Full) as error:
            log.info("offer refused", call=leg.call, reason=str(error))
            refusal = error if isinstance(error, Unacceptable) else Unacceptable(503, 399, str(error))
            self._endpoint.refuse(event.call, refusal.code, now, [refusal.header(leg.host)])
            return
        self._endpoint.accept(event.call, sdp, now)
        self._moved(leg)
        self._agreed(leg, now)

    def offer_answered(self, event: sip.OfferAnswered, now: float) -> None:
        leg = self.by_call.get(event.call)
        if leg is not None and event.body:
            self._accept(leg, event.body, now)

    def offer_refused(self, event: sip.OfferRefused, now: float) -> None:
        leg = self.by_call.get(event.call)
        # A void one has been overtaken by an offer of theirs, in which we named the new address.
        if leg is not None and not event.void:
            leg.negotiator.refused()
            self._not_moved(leg, now)

    def _agreed(self, leg: Leg, now: float, *, answer: bool = False) -> None:
        """``answer``: by one of theirs."""
        leg.listened |= leg.agreed is not None and not leg.agreed.on_hold
        if self._transports:
            self._transports.agreed(leg, now, answer=answer)
        self.tell(leg)
        if leg.call not in self._up:
            self._come_up(leg, now)
            return
        self._user.call_changed(leg, now)
        if leg.hearing.room and self._placement.worker_of(leg.hearing.room) != leg.worker:
            self.place(leg, leg.hearing, now, leg.sight)

    def _come_up(self, leg: Leg, now: float) -> None:
        """As soon as sound can pass: nobody is to miss the first words that it is told."""
        if leg.keyed and leg.agreed is not None and leg.call in self.by_call and leg.call not in self._up:
            self._up.add(leg.call)
            self._user.call_up(leg, now)

    def transport_changed(self, leg: Carried, now: float) -> None:
        """A path or keys are others now."""
        if isinstance(leg, Leg):
            self.tell(leg)
            self._come_up(leg, now)

    def transport_broken(self, leg: Carried, reason: str, now: float) -> None:
        if isinstance(leg, Leg):
            self.hangup(leg, now, reason)

    def ended(self, event: sip.CallEnded, now: float) -> None:
        leg, dialled = self.by_call.pop(event.call, None), self._dialled.pop(event.call, None)
        self._up.discard(event.call)
        if leg is None:
            return
        if dialled is not None and event.code == NOT_ACCEPTABLE and self._again(leg, dialled, now):
            return
        if leg.moving is not None:
            self._never_there(leg.moving)
        self._drop_all(leg, now)
        self._user.call_over(leg, event.code, event.reason, event.local, now)

    def _again(self, leg: Leg, dialled: _Dialled, now: float) -> bool:
        """Whoever refuses an offer of SRTP may take a plain one, where settings let it."""
        if dialled.secure is False or self._capabilities.srtp != "offered" or leg.transports:
            return False
        dialled.secure, dialled.early = False, None
        leg.negotiator.refused()
        self._invite(leg, dialled, now)
        return True

    def hangup(self, leg: Leg, now: float, reason: str = "") -> None:
        """CANCEL, BYE or refusal; :meth:`ended` follows."""
        self._endpoint.hangup(leg.call, now, reason)

    # What the workers tell

    def arrived(self, event: Datagrams, now: float) -> None:
        """STUN and DTLS."""
        if self._transports:
            self._transports.arrived(event, now)

    def expire(self, now: float) -> None:
        """A time of the transports' has come, perhaps."""
        due = self.deadline()
        if self._transports and due is not None and due <= now:
            self._transports.expire(now)

    def deadline(self) -> float | None:
        return self._transports.deadline() if self._transports else None

    def latched(self, worker: int, stream: int, host: str) -> None:
        self._placement.latched(worker, stream)
        leg = self.by_stream.get(stream)
        if leg is not None and self._video:
            self._video.comes_from(leg, host)
        # Media to the port that only our answer named: weaker than the ACK, but pyVoIP's ACKs fit no call.
        self._prove(self.by_stream.get(stream))

    def reported(self, figures: Sequence[StreamReport]) -> None:
        for report in figures:
            if report.stream in self.by_stream:
                self.reports[report.stream] = report
