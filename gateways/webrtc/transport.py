"""One transport: a 5-tuple on which ICE and DTLS of one peer run, and SRTP then does (RFC 8829 §4.1.1 calls it so)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from bridge.signalling.flow import Flow
from bridge.signalling.flow import Transport as Carrier
from bridge.signalling.transport_parameters import Candidate, Setup, TransportParameters

from . import dtls, ice
from .dtls import Dtls, DtlsState
from .event import Closed, Connected, ConsentLost, Failed, GatewayEvent, Keys, Moved
from .ice import IceAgent
from .identity import Identity
from .stun import Message

PATIENCE: Final = 30.0
"""Seconds for the first check after the peer's parameters are known, and again for the handshake: browsers give up
after 15 to 30, and RFC 8445 has 39.5 s for one check with all its repetitions."""
HELD: Final = 15.0
"""Seconds after a check in which an address is not given to another transport: two checks of the slowest may be lost
(RFC 7675 §5.1), and then a NAT may have given it to somebody else."""


class Transport:
    """Its states are those of its parts: :attr:`ice`, :attr:`dtls`, and :attr:`remote`, which is None until the peer's
    description is known. Whoever mutates it takes :meth:`datagrams` and :meth:`events` afterwards."""

    def __init__(
        self,
        id: str,
        identity: Identity,
        random_bytes: Callable[[int], bytes],
        *,
        local: tuple[str, int],
        candidates: tuple[Candidate, ...],
    ) -> None:
        self.id, self.identity, self.place, self.candidates = id, identity, local, candidates
        self.ice = IceAgent(random_bytes)
        self.dtls: Dtls | None = None
        self.remote: TransportParameters | None = None
        self.route: Flow | None = None
        """Where DTLS goes, and media: the selected pair, before it the one where the last authentic packet was."""
        self._connected = False
        self._keyed = False
        """Keys were given, and consent has not ended since."""
        self._agreed: dtls.Established | None = None
        """Keys that may not be used before the peer's fingerprint is known."""
        self._asked_restart = False
        """The restart was ours: the next description of the peer answers it."""
        self._limit: tuple[float, str] | None = None
        """When it has failed, and why."""
        self._failed = False
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._events: deque[ice.Checked | ice.Forgotten | ice.Restarted | GatewayEvent] = deque()

    # ---------------------------------------------------------------------------------------- descriptions

    @property
    def claim(self) -> Flow | None:
        """The address that a peer without ICE, or one as lite as we are, named in its description."""
        remote = self.remote
        if remote is None or remote.address is None or (remote.ufrag and not remote.lite):
            return None
        return Flow(Carrier.UDP, self.place, remote.address)

    def describe(self, setup: Setup) -> TransportParameters:
        """Our side of it."""
        local = self.ice.local
        return TransportParameters(
            (self.identity.fingerprint,), setup, local.ufrag, local.password, lite=True, candidates=self.candidates
        )

    def answer(self) -> TransportParameters:
        """Our side, where the peer offered. An association that is there keeps its roles (RFC 8842 §5.3)."""
        client = self.dtls.client if self.dtls is not None else self._leads
        return self.describe(Setup.ACTIVE if client else Setup.PASSIVE)

    def restart(self, now: float) -> None:
        """New ICE credentials for an offer of ours."""
        self.ice.restart()
        self._asked_restart = True
        self._after_ice(now)

    def learn(self, remote: TransportParameters, now: float) -> None:
        """The peer's description, offer or answer, came."""
        before, self.remote = self.remote, remote
        other = before is not None and (before.ufrag, before.password) != (remote.ufrag, remote.password)
        if other and not self._asked_restart:
            self.ice.restart()  # the peer does so (RFC 8839 §4.4.1.1.1), and not in answer to us
            self._after_ice(now)
        self._asked_restart = self._failed = False
        if before is not None and self._other_association(before, remote):
            self._drop_association()
        if self._agreed is None and (self.dtls is None or self.dtls.state is DtlsState.HANDSHAKE):
            self._limit = self._limit or (now + PATIENCE, "no DTLS came" if self.ice.remotes else "no ICE check came")
        self._release_keys()

    def _other_association(self, before: TransportParameters, remote: TransportParameters) -> bool:
        """RFC 8842 §5.1: other fingerprints that the present certificate does not have, or an end of the last one."""
        if self.dtls is None:
            return False
        if self.dtls.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return True
        if self.dtls.state is DtlsState.ESTABLISHED:
            return not self.dtls.matches(remote.fingerprints)
        return not set(before.fingerprints) & set(remote.fingerprints)

    def _drop_association(self) -> None:
        self.close()
        self.dtls, self._agreed, self._limit = None, None, None

    # --------------------------------------------------------------------------------------------- packets

    def take_stun(self, message: Message, flow: Flow, now: float) -> bool:
        """Whether the message was authentic. What answers it is in :attr:`ice`, for the owner bounds refusals."""
        authentic = self.ice.receive(message, flow, now)
        self._after_ice(now)
        return authentic

    def take_dtls(self, data: bytes, flow: Flow, now: float) -> None:
        """From an address that is this peer's."""
        if self._failed:
            return
        if self.dtls is None:
            self._begin(now, client=False)
        if self.ice.selected is None:
            self.route = flow
        assert self.dtls is not None
        self.dtls.receive(data, now)
        self._after_dtls()

    @property
    def leads(self) -> bool:
        """It is for us to begin the handshake, now."""
        return self.dtls is None and self._leads and self.route is not None and not self._failed

    def lead(self, now: float) -> None:
        self._begin(now, client=True)
        self._after_dtls()

    def reach(self, flow: Flow, now: float) -> None:
        """The address without ICE is the peer's as far as one can know."""
        self.route = flow
        self._limit = (now + PATIENCE, "no DTLS came") if self.dtls is None else self._limit
        self._connect(flow)

    def lose(self, flow: Flow, now: float) -> None:
        """Its connection ended, or its address proved to be another's."""
        self.ice.drop(flow)
        self._after_ice(now)
        if self.route == flow:
            self.route = None

    def fail(self, reason: str) -> None:
        self._drop_association()
        self._failed = True
        self._events.append(Failed(self.id, reason))

    def close(self) -> None:
        if self.dtls is not None:
            self.dtls.close()
            self._after_dtls()

    def holds(self, flow: Flow, now: float) -> bool:
        """That address is in use here, so that nobody else may have it."""
        if self.route != flow:
            return False
        heard = self.ice.heard(flow)
        if heard is None:
            return self.dtls is not None and self.dtls.state is DtlsState.ESTABLISHED
        return now < heard + HELD

    @property
    def handshaking(self) -> bool:
        return self.dtls is not None and self.dtls.state is DtlsState.HANDSHAKE

    # -------------------------------------------------------------------------------------------- contract

    def expire(self, now: float) -> None:
        self.ice.expire(now)
        self._after_ice(now)
        if self.dtls is not None:
            self.dtls.expire(now)
            self._after_dtls()
        if self._limit is not None and self._limit[0] <= now:
            self.fail(self._limit[1])

    def deadline(self) -> float | None:
        times = [
            self.ice.deadline(),
            None if self.dtls is None else self.dtls.deadline(),
            None if self._limit is None else self._limit[0],
        ]
        return min((when for when in times if when is not None), default=None)

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[ice.Checked | ice.Forgotten | ice.Restarted | GatewayEvent]:
        while self._events:
            yield self._events.popleft()

    # ---------------------------------------------------------------------------------------------- inside

    @property
    def _leads(self) -> bool:
        """The peer awaits our ClientHello. Where it leaves us the choice we await its: it need not wait for us."""
        return self.remote is not None and self.remote.setup is Setup.PASSIVE

    def _begin(self, now: float, *, client: bool) -> None:
        self.dtls = Dtls(self.identity, client=client, now=now)
        self._limit = (now + PATIENCE, "the DTLS handshake took too long")

    def _after_ice(self, now: float) -> None:
        for event in self.ice.events():
            match event:
                case ice.Checked(flow):
                    if self.route is None:
                        self.route = flow
                    if self._limit is not None and self.dtls is None:
                        self._limit = (now + PATIENCE, "no DTLS came")
                    self._events.append(event)
                    self._after_dtls()
                    self._release_keys()
                case ice.Selected(flow):
                    self.route = flow
                    self._connect(flow)
                case ice.ConsentLost():
                    if self._connected or self._keyed:
                        self._events.append(ConsentLost(self.id))
                    self._connected, self._keyed, self.route = False, False, None
                case ice.Forgotten() | ice.Restarted():
                    self._events.append(event)

    def _connect(self, flow: Flow) -> None:
        self._events.append((Moved if self._connected else Connected)(self.id, flow))
        self._connected = True

    def _after_dtls(self) -> None:
        if self.dtls is None:
            return
        if self.route is not None:
            self._out.extend((data, self.route) for data in self.dtls.datagrams())
        for event in self.dtls.events():
            match event:
                case dtls.Established():
                    self._agreed, self._limit = event, None
                    self._release_keys()
                case dtls.Closed():
                    self._events.append(Closed(self.id))
                case dtls.Failed(reason):
                    self._limit, self._failed = None, True
                    self._events.append(Failed(self.id, reason))

    def _release_keys(self) -> None:
        """RFC 5764 §5.1: no key leaves before the certificate was compared."""
        if self._agreed is None or self.remote is None or self.dtls is None or self.route is None:
            return
        agreed, self._agreed = self._agreed, None
        if self.dtls.matches(self.remote.fingerprints):
            self._keyed = True
            self._events.append(Keys(self.id, agreed.send, agreed.receive, self.route))
        else:
            self.fail("the certificate is not the one that the description names")
