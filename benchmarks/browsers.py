"""A crowd of simulated browsers: ICE, DTLS-SRTP, Opus with RFC 6464 levels, and simulcast VP8 of those with cameras.

A row is one peer connection with a socket of its own. Each is asked in by an :class:`Entrance` (SIP here, another
server's API beside), checks the path, shakes hands, and then sends as arrays, reports on what it gets as browsers do,
and answers requests for keyframes. Others are there and talk while it joins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtcp, rtp
from bridge.media.srtp import SrtpTable
from bridge.media.video import feedback
from gateways.webrtc import stun
from gateways.webrtc.dtls import Dtls, Established, Failed
from gateways.webrtc.identity import Identity

from . import descriptions
from .cameras import Camera
from .crowd import HEARD_EVERY, SEALED, STEPS, Crowd, Script, Tally
from .descriptions import LEVEL, OPUS, RTX, Remote, Wish
from .reception import Compounds, Counted, Snapshot, Streams, counted

CONSENT = 4.0
"""Seconds between two checks of a path (RFC 7675 §5.1: 5 s, less a fifth at random)."""
CHECKED_AGAIN = 0.1
"""Seconds from a check without an answer to the next."""
PATIENCE = 15.0
"""Seconds after which a peer connection without keys is given up."""
TEND_EVERY = 5
"""Steps, of a millisecond, between two looks at those that join."""
REPORT_EVERY = 50
"""Steps between two times that reports are made; each row's turn comes once a second."""
FEEDBACK_STEPS = 10
KEYFRAME_WANTED = {(rtcp.PSFB, feedback.PLI), (rtcp.PSFB, feedback.FIR)}
TALK, QUIET = 0x80 | 30, 127
"""RFC 6464 levels with and without voice."""


class Entrance(Protocol):
    """How browsers get in. Nothing waits."""

    def ask(self, number: int, offer: str) -> None:
        """Send an offer; an empty one: the server is to offer."""

    def told(self) -> Sequence[tuple[int, str]]:
        """Descriptions that came since: number and SDP, or why it was refused, which begins with no ``v=0``."""

    def reply(self, number: int, answer: str) -> None:
        """To an offer of theirs."""


@dataclass(slots=True)
class Peer:
    """One peer connection. Times are on the monotonic clock; 0: not yet."""

    number: int
    wish: Wish
    remote: Remote | None = None
    dtls: Dtls | None = None
    refused: str = ""
    last_check: float = 0.0
    began: float = 0.0
    """Its offer was sent."""
    answered: float = 0.0
    checked: float = 0.0
    keyed: float = 0.0
    heard: float = 0.0
    """The first packet of sound came."""
    seen: float = 0.0
    """The last packet of the first picture came."""

    @property
    def done(self) -> bool:
        """It has keys, or never will have."""
        return bool(self.keyed or self.refused)

    def complete(self) -> bool:
        hears, sees = self.wish.audio, bool(self.wish.video and self.wish.video != "sendonly") or self.wish.answers
        return bool(self.refused or (self.keyed and (self.heard or not hears) and (self.seen or not sees)))

    @property
    def shows(self) -> bool:
        return self.wish.answers or self.wish.video in ("recvonly", "sendrecv")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came in the time that was counted."""

    seconds: float
    cpu: list[float]
    """CPU seconds of the processes under test, in the caller's order."""
    busy: float
    """Share of the generator's own CPU."""
    sound: int
    """Packets of sound that came."""
    expected: int
    """50 a second for each that is there."""
    counted: Counted
    there: int

    @property
    def loss(self) -> float:
        """Of the sound."""
        return max(0.0, 1 - self.sound / max(self.expected, 1))


class Browsers(Crowd):
    """N peer connections. :meth:`join`, then :meth:`watch`."""

    def __init__(self, wishes: Sequence[Wish], entrance: Entrance, script: Script, *, host: str = "127.0.0.1") -> None:
        """
        Args:
            host: of their candidates.
            script: what each says; those without audio say nothing. Who talks has a level.
        """
        n = len(wishes)
        super().__init__(n, sockets=n)
        self.addresses = [(host, port) for _, port in self.addresses]
        self._control["spec"] = 0  # from whichever address leads there, as all else that is sent
        self.peers = [Peer(number, wish) for number, wish in enumerate(wishes)]
        self._entrance, self._script = entrance, script
        self._identity = Identity(datetime.now(UTC))
        self._extension = np.zeros((n, 8), np.uint8)
        self._extension[:] = np.frombuffer(bytes((0xBE, 0xDE, 0, 1, LEVEL << 4, QUIET, 0, 0)), np.uint8)
        self.cameras = {peer.number: Camera(peer.number) for peer in self.peers if peer.wish.camera}
        self._speaks = np.zeros(n, np.bool_)
        self._keyed = np.zeros(n, np.bool_)
        self._audible = np.array([wish.audio for wish in wishes])
        self._unheard, self._unseen = self._audible.copy(), np.array([peer.shows for peer in self.peers])
        self._consent = np.full(n, np.inf)
        """(n,) when each one's path is to be checked next."""
        self._said = np.zeros(n, np.int64)
        """(n,) packets of sound."""
        self._srtp = SrtpTable(n)
        self._sealed = np.zeros((n, SEALED), np.uint8)
        self.streams = Streams(self._pool, [f"b{number}" for number in range(n)])
        self._row_of = np.zeros(max(self._fds) + 1, np.intp)
        self._row_of[self._fds] = np.arange(n)
        self._step, self._start = 0, 0.0
        self._joining: list[Peer] = []
        self._tally = Tally(self._pool)
        self.tended: Callable[[float], None] = lambda now: None
        """Called now and then while it runs."""
        groups = [np.flatnonzero(self._step_of == step) for step in range(STEPS)]
        self._groups = [group[np.argsort(self._socket_of[group], kind="stable")] for group in groups]

    def talk(self, rows: Sequence[int]) -> None:
        """Their levels say that these have voice."""
        self._extension[list(rows), 5] = TALK

    # Running

    def join(self, rows: Sequence[int], *, at_once: int = 20, whole: bool = False) -> float:
        """Let them in, while the others go on; seconds until the last has keys.

        Args:
            at_once: so many are on their way at a time.
            whole: the next begins when one has sound and picture.
        """
        waiting = [self.peers[row] for row in reversed(rows)]
        begun = time.monotonic()

        def on(now: float) -> bool:
            done = Peer.complete if whole else (lambda peer: peer.done)
            for peer in self._joining:
                if not done(peer) and now - peer.began > PATIENCE:
                    peer.refused = "it came to nothing in time"
            self._joining = [peer for peer in self._joining if not done(peer)]
            while waiting and len(self._joining) < at_once:
                self._ask(waiting.pop(), now)
            return bool(waiting or self._joining)

        self._go(on)
        last = max((self.peers[row].keyed for row in rows), default=0.0)
        return max(last - begun, 0.0)

    def pass_time(self, seconds: float) -> None:
        """Go on for so long."""
        end = time.monotonic() + seconds
        self._go(lambda now: now < end)

    def watch(self, cpu: Callable[[], list[float]], seconds: float) -> Ran:
        """Go on for so long and count."""
        before, begun, used = self.streams.snapshot(), time.monotonic(), cpu()
        own = time.process_time()
        end = begun + seconds
        self._go(lambda now: now < end)
        length = time.monotonic() - begun
        busy = (time.process_time() - own) / length
        found = self._counted(before, length)
        there = int((self._keyed & self._audible).sum())
        spent = [after - earlier for after, earlier in zip(cpu(), used, strict=True)]
        return Ran(length, spent, busy, found.audio_packets, round(there * 50 * length), found, there)

    def _counted(self, before: Snapshot, seconds: float) -> Counted:
        return counted(self.streams, before, seconds)

    def _go(self, on: Callable[[float], bool]) -> None:
        self._start = time.monotonic() - 0.001 * self._step
        while on(now := time.monotonic()):
            due = self._start + self._step * 0.001
            if now < due:
                time.sleep(due - now)
            elif now - due > 1.0:  # the machine stood still: what was missed is not made up for
                self._start += now - due
            group = self._groups[self._step % STEPS]
            group = group[self._speaks[group]]
            if len(group):
                self._say(self._script, group, self._step // STEPS, self._tally)
                self._said[group] += 1
            self._hear(self._tally, self._fds[self._step % HEARD_EVERY :: HEARD_EVERY])
            self._step += 1

    def _seal(
        self, srtp: SrtpTable, script: Script, group: NDArray[np.intp], chosen: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """With the level in a header extension."""
        width = script.payloads.shape[1]
        self._sealed[group, :12] = self._heads.view(np.uint8).reshape(-1, 12)[group]
        self._sealed[group, 0] |= 0x10
        self._sealed[group, 12:20] = self._extension[group]
        self._sealed[group, 20 : 20 + width] = script.payloads[chosen]
        addresses = (self._sealed.ctypes.data + group * SEALED).astype(np.uint64)
        lengths = (script.lengths[chosen] + 20).astype(np.int32)
        srtp.protect(group, addresses, lengths)
        return addresses, lengths

    def _hear(self, tally: Tally, fds: list[int]) -> None:
        now, realtime = time.monotonic(), time.time()
        for camera in self.cameras.values():
            for datagram in camera.due(now):
                self._post(camera.row, datagram)
        if self._joining or self._step % TEND_EVERY == 0:
            self._tend(now)
        if self._step % FEEDBACK_STEPS == 0:
            said = self.streams.feedback(self.ssrc, now)
            if said:
                self._tell(_compounds(said))
        if self._step % REPORT_EVERY == 0:
            self._report(now, realtime)
        if self._joining:  # what it costs to join is measured: they are read at every step
            fds = sorted({*fds, *(self._fds[peer.number] for peer in self._joining)})
        batch = self._receiver.receive(fds, now, realtime)
        if not len(batch.slots):
            return
        rows = self._row_of[fds][batch.sockets]
        is_rtp, is_rtcp = rtp.classify(self._pool, batch.slots, batch.lengths)
        if not is_rtp.all():
            for n in (~(is_rtp | is_rtcp)).nonzero()[0].tolist():
                self._read(self.peers[rows[n]], self._pool.memory[batch.slots[n], : batch.lengths[n]].tobytes(), now)
            self._control_came(rows[is_rtcp], batch.slots[is_rtcp], batch.lengths[is_rtcp], now)
        if is_rtp.any():
            arrivals = batch.arrivals[is_rtp]
            heads = self.streams.take(rows[is_rtp], batch.slots[is_rtp], batch.lengths[is_rtp], arrivals)
            if self._unheard.any() or self._unseen.any():
                self._first(rows[is_rtp], heads, arrivals)
        self._pool.give(batch.slots)

    def _first(self, rows: NDArray[np.intp], heads: rtp.Headers, arrivals: NDArray[np.float64]) -> None:
        """Sound and pictures that somebody waited for."""
        sound = heads.payload_type == OPUS
        for n in (sound & self._unheard[rows]).nonzero()[0][::-1].tolist():
            self.peers[rows[n]].heard, self._unheard[rows[n]] = float(arrivals[n]), False
        picture = ~sound & (heads.payload_type != RTX) & heads.marker
        for n in (picture & self._unseen[rows]).nonzero()[0][::-1].tolist():
            self.peers[rows[n]].seen, self._unseen[rows[n]] = float(arrivals[n]), False

    # Joining

    def _ask(self, peer: Peer, now: float) -> None:
        peer.began = now
        self._joining.append(peer)
        text = ""
        if not peer.wish.answers:
            row = peer.number
            text = descriptions.offer(row, self._identity, peer.wish, int(self.ssrc[row]), self.addresses[row])
        self._entrance.ask(peer.number, text)

    def _tend(self, now: float) -> None:
        self.tended(now)
        for number, text in self._entrance.told():
            peer = self.peers[number]
            if not text.startswith("v=0"):
                peer.refused = text
                continue
            peer.remote, peer.answered = descriptions.read(text), now
            self.aim_one(number, peer.remote.address)
            if peer.wish.answers:
                said = descriptions.answer(number, self._identity, text, self.addresses[number])
                self._entrance.reply(number, said)
            if peer.remote.transport:
                self.streams.number(number, peer.remote.transport, now)
        for peer in self._joining:
            if peer.remote is None or peer.done:
                continue
            if not peer.checked and now - peer.last_check > CHECKED_AGAIN:
                self._check(peer, now)
            if peer.dtls is not None:
                peer.dtls.expire(now)
                self._flush(peer)
        for number in (self._consent <= now).nonzero()[0].tolist():
            self._consent[number] = now + CONSENT
            self._check(self.peers[number], now)

    def _check(self, peer: Peer, now: float) -> None:
        assert peer.remote is not None
        peer.last_check = now
        attributes = (
            (stun.USERNAME, f"{peer.remote.ufrag}:{descriptions.ufrag(peer.number)}".encode()),
            (stun.PRIORITY, (1 << 24).to_bytes(4, "big")),
            (stun.ICE_CONTROLLING, peer.number.to_bytes(8, "big")),
            (stun.USE_CANDIDATE, b""),
        )
        message = stun.build(stun.REQUEST, os.urandom(12), attributes, password=peer.remote.password.encode())
        self._post(peer.number, message)

    def _post(self, row: int, data: bytes) -> None:
        peer = self.peers[row]
        assert peer.remote is not None
        self._sockets[row].sendto(data, peer.remote.address)

    def _read(self, peer: Peer, data: bytes, now: float) -> None:
        """STUN and DTLS."""
        if peer.remote is None or not data:
            return
        if data[0] < 4:
            message = stun.parse(data)
            if message.kind == stun.SUCCESS and not peer.checked:
                peer.checked = now
                if peer.dtls is None:
                    peer.dtls = Dtls(self._identity, client=peer.remote.passive, now=now)
            elif message.kind == stun.REQUEST:
                self._post(peer.number, _agreed(message, peer.remote.address))
        elif 20 <= data[0] < 64:
            if peer.dtls is None:
                peer.dtls = Dtls(self._identity, client=peer.remote.passive, now=now)
            peer.dtls.receive(data, now)
            for event in peer.dtls.events():
                if isinstance(event, Established):
                    self._established(peer, event, now)
                elif isinstance(event, Failed):
                    peer.refused = event.reason
        self._flush(peer)

    def _established(self, peer: Peer, keys: Established, now: float) -> None:
        row = peer.number
        peer.keyed = now
        self._srtp.set_send(row, keys.send.suite, keys.send.material)
        self._srtp.set_receive(row, keys.receive.suite, keys.receive.material)
        self._keyed[row] = True
        self._speaks[row] = peer.wish.audio
        self._consent[row] = now + CONSENT * (0.5 + row / self.n / 2)
        if row in self.cameras:
            self.cameras[row].encrypt(keys.send.suite, keys.send.material)

    def _flush(self, peer: Peer) -> None:
        if peer.dtls is not None:
            for datagram in peer.dtls.datagrams():
                self._post(peer.number, datagram)

    # RTCP

    def _report(self, now: float, realtime: float) -> None:
        turns = 1000 // REPORT_EVERY
        turn = self._step // REPORT_EVERY % turns
        rows = np.arange(self.n) % turns == turn
        rows &= self._keyed
        if not rows.any():
            return
        self._tell(self.streams.reports(rows, self.ssrc, now))
        said = (rows & self._speaks & (self._said > 0)).nonzero()[0]
        if said.size and self._step // 1000 % 5 == 0:  # of sound each 5 s
            octets = self._said[said] * 80
            stamps = self._timestamp[said].astype(np.int64)
            self._tell(self.streams.sending(said, self.ssrc[said], stamps, self._said[said], octets, realtime))
        for row in rows.nonzero()[0].tolist():
            camera = self.cameras.get(row)
            if camera is not None and camera.packets.any():
                many = np.full(len(camera.ssrcs), row)
                stamps = np.full(len(many), camera.stamp)
                self._tell(self.streams.sending(many, camera.ssrcs, stamps, camera.packets, camera.octets, realtime))

    def _tell(self, compounds: Compounds) -> None:
        octets = compounds.octets
        addresses = (octets.ctypes.data + np.arange(len(octets)) * octets.strides[0]).astype(np.uint64)
        good = self._srtp.protect_rtcp(compounds.rows, addresses, compounds.lengths)
        for n in good.nonzero()[0].tolist():
            self._post(int(compounds.rows[n]), octets[n, : compounds.lengths[n]].tobytes())

    def _control_came(
        self, rows: NDArray[np.intp], slots: NDArray[np.int32], lengths: NDArray[np.int32], now: float
    ) -> None:
        lengths = lengths.copy()
        good = self._srtp.unprotect_rtcp(rows, self._pool.addresses(slots), lengths)
        for n in good.nonzero()[0].tolist():
            try:
                packets = rtcp.parse(self._pool.memory[slots[n], : lengths[n]].tobytes())
            except rtcp.RtcpError:
                continue
            for packet in packets:
                if isinstance(packet, rtcp.SenderReport):
                    self.streams.reported(packet.ssrc, packet.ntp, now)
                wanted = isinstance(packet, rtcp.Feedback) and (packet.kind, packet.fmt) in KEYFRAME_WANTED
                if wanted and int(rows[n]) in self.cameras:
                    self.cameras[int(rows[n])].refresh(now)


def _compounds(said: list[tuple[int, bytes]]) -> Compounds:
    """Messages of reduced size (RFC 5506), of different lengths."""
    lengths = np.array([len(body) for _, body in said], np.int32)
    octets = np.zeros((len(said), -(-int(lengths.max()) // 4) * 4 + 64), np.uint8)
    for n, (_, body) in enumerate(said):
        octets[n, : len(body)] = np.frombuffer(body, np.uint8)
    return Compounds(np.array([row for row, _ in said], np.intp), octets, lengths)


def _agreed(message: stun.Message, address: tuple[str, int]) -> bytes:
    """To a check of theirs."""
    mapped = (stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, message.transaction))
    return stun.build(stun.SUCCESS, message.transaction, [mapped], password=b"p" * 24)
