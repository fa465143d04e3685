"""A crowd of simulated phones: N RTP senders and receivers in one process, by arrays and the bridge's own wire.

Each phone has an address of its own (127.x.y.z, chosen by ``IP_PKTINFO`` on a shared socket), a place of its own in
the 20 ms, and its own SSRC. What comes back is counted.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.srtp import SrtpTable
from bridge.media.wire import PacketPool, Receiver, Sender, address_words

STEPS = 20
"""Groups of phones through the 20 ms: one sends every millisecond."""
PACKETS_A_SECOND = 50
PKTINFO = np.dtype(
    [("len", "u8"), ("level", "i4"), ("type", "i4"), ("ifindex", "i4"), ("spec", ">u4"), ("addr", ">u4"), ("pad", "u4")]
)
IP_PKTINFO = 8
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 32, 33, 35
SEALED = 256
"""Bytes for an SRTP packet: 172 of PCMU, and libsrtp's room behind it."""
HEARD_EVERY = 8
"""Steps from one look at a socket to the next: what a beat sends to a thousand comes at once, and to read it at once
would keep the phones from sending in time. Kernel time stamps say when it came."""
MARK_EVERY = 7
"""Packets between two marks: 140 ms, so that one is over before the next begins."""


@dataclass(slots=True)
class Script:
    """What the phones say: each goes round its own list of payloads."""

    payloads: NDArray[np.uint8]
    """(k, size) distinct payloads."""
    lengths: NDArray[np.int32]
    """(k,) bytes of each."""
    which: NDArray[np.intp]
    """(n, m) what each phone sends, packet after packet."""
    payload_type: NDArray[np.uint8]
    """(n,)"""
    ticks: NDArray[np.uint32]
    """(n,) timestamp steps a packet."""
    markers: int = 0
    """So many of the first phones send marks in turn; 0: all do."""
    mark: int = -1
    """Index of a loud µ-law payload: one phone after the other sends it once, and its way to the others is timed."""


@dataclass(slots=True)
class Outcome:
    """What a crowd saw in the time it counted."""

    seconds: float
    sent: int
    received: int
    expected: int
    fewest: int
    """Packets that the worst served phone got."""
    cpu: float
    """CPU seconds of the processes under test."""
    busy: float
    """Of the generator's own time, the share it was at work: near 1 it was too slow to say anything."""
    latency_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def loss(self) -> float:
        """Fraction of the packets due to the crowd (50 a second and phone) that did not come."""
        return max(0.0, 1 - self.received / max(self.expected, 1))

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a packet pair (one sent to the server, one received from it)."""
        return 2e6 * self.cpu / max(self.sent + self.received, 1)


def phone_addresses(n: int, sockets: int) -> list[tuple[str, int]]:
    """The (host, socket index) of each phone; phones of one socket differ by host."""
    per = -(-n // sockets)
    return [(f"127.{1 + i % per // 62500}.{i % per // 250 % 250}.{1 + i % per % 250}", i // per) for i in range(n)]


class Crowd:
    """N phones. Tell the server :attr:`addresses`, tell the crowd :meth:`aim`, then :meth:`run`."""

    def __init__(self, n: int, *, sockets: int = 24, seed: int = 7) -> None:
        self.n = n
        rng = np.random.default_rng(seed)
        sockets = min(sockets, n)
        hosts = phone_addresses(n, sockets)
        self._sockets = [_open() for _ in range(sockets)]
        self._fds = [s.fileno() for s in self._sockets]
        self.addresses = [(host, self._sockets[s].getsockname()[1]) for host, s in hosts]
        self._socket_of = np.array([s for _, s in hosts], np.intp)
        self._control = np.zeros(n, PKTINFO)
        self._control["len"], self._control["level"], self._control["type"] = 28, socket.IPPROTO_IP, IP_PKTINFO
        self._control["spec"] = [int.from_bytes(socket.inet_aton(host), "big") for host, _ in hosts]
        self.ssrc = rng.permutation(np.arange(1, n + 1, dtype=np.uint32)) * np.uint32(7919) + np.uint32(1)
        self._heads = np.zeros((n, 3), np.uint32)
        self._names = np.zeros((n, 8), np.uint32)
        self._step_of = rng.permutation(np.arange(n) * STEPS // n)
        self._pool = PacketPool(16384)
        self._receiver = Receiver(self._pool, 8192)
        self._sender = Sender(n)
        self._sender._headers["namelen"] = 16  # sockaddr_in
        self._sequence = rng.integers(0, 1000, n).astype(np.int32)
        self._timestamp = rng.integers(0, 1 << 31, n).astype(np.uint32)
        self._srtp: SrtpTable | None = None
        self._sealed = np.zeros((1, SEALED), np.uint8)

    def aim(self, targets: list[tuple[str, int]]) -> None:
        """Where each phone sends: (host, port) of the server."""
        for i, target in enumerate(targets):
            self.aim_one(i, target)

    def aim_one(self, phone: int, target: tuple[str, int]) -> None:
        words = address_words(*target).view(np.uint8)
        name = self._names[phone].view(np.uint8)
        name[0:2] = np.frombuffer(int(socket.AF_INET).to_bytes(2, "little"), np.uint8)
        name[2:4], name[4:8] = words[2:4], words[20:24]

    def encrypt(self, keys: list[bytes], suite: str = "AES_CM_128_HMAC_SHA1_80") -> None:
        """Send SRTP from now on; one master key and salt a phone."""
        self._srtp = SrtpTable(self.n)
        for row, key in enumerate(keys):
            self._srtp.set_send(row, suite, key)
        self._sealed = np.zeros((self.n, SEALED), np.uint8)

    def run(self, script: Script, cpu: Callable[[], float], *, seconds: float, settle: float = 2.0) -> Outcome:
        """Send for ``settle + seconds``; count what happens in the last ``seconds``.

        Args:
            cpu: says how many CPU seconds the server has used so far.
        """
        groups = [np.flatnonzero(self._step_of == step) for step in range(STEPS)]
        groups = [group[np.argsort(self._socket_of[group], kind="stable")] for group in groups]
        tally = Tally(self._pool)
        start = time.monotonic()
        end, step = start + settle + seconds, 0
        begun, used, own = start, 0.0, 0.0
        while (now := time.monotonic()) < end:
            if not tally.counting and now - start >= settle:
                tally.counting, begun, used, own = True, now, cpu(), time.process_time()
            due = start + step * 0.001
            if now < due:
                time.sleep(due - now)
            turn = step // STEPS
            sent = self._say(script, groups[step % STEPS], turn, tally)
            tally.sent += sent * tally.counting
            self._hear(tally, self._fds[step % HEARD_EVERY :: HEARD_EVERY])
            step += 1
        length = time.monotonic() - begun
        outcome = tally.outcome(self.n, length)
        outcome.cpu = cpu() - used
        outcome.busy = (time.process_time() - own) / length
        return outcome

    def _say(self, script: Script, group: NDArray[np.intp], turn: int, tally: Tally) -> int:
        """One group's packets; returns how many the kernel took."""
        if not len(group):
            return 0
        chosen = script.which[group, turn % script.which.shape[1]]
        if script.mark >= 0 and turn % MARK_EVERY == 0:
            marker = turn // MARK_EVERY % (script.markers or self.n)
            at = np.flatnonzero(group == marker)
            if at.size:
                chosen[at] = script.mark
                tally.mark(time.monotonic())
        rtp.write_headers(
            self._heads,
            group,
            script.payload_type[group],
            np.zeros(len(group), np.bool_),
            self._sequence[group],
            self._timestamp[group],
            self.ssrc[group],
        )
        self._sequence[group] = (self._sequence[group] + 1) & 0xFFFF
        self._timestamp[group] += script.ticks[group]
        heads = (self._heads.ctypes.data + group * 12).astype(np.uint64)
        head_sizes: NDArray[np.int32] | int = 12
        bodies = (script.payloads.ctypes.data + chosen * script.payloads.strides[0]).astype(np.uint64)
        sizes = script.lengths[chosen]
        if self._srtp is not None:
            heads, head_sizes = self._seal(self._srtp, script, group, chosen)
            sizes = np.zeros_like(sizes)
        return self._sender.send(
            self._fds,
            self._socket_of[group],
            (self._names.ctypes.data + group * 32).astype(np.uint64),
            heads,
            head_sizes,
            bodies,
            sizes,
            (self._control.ctypes.data + group * PKTINFO.itemsize).astype(np.uint64),
            PKTINFO.itemsize,
        )

    def _seal(
        self, srtp: SrtpTable, script: Script, group: NDArray[np.intp], chosen: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        width = script.payloads.shape[1]
        self._sealed[group, :12] = self._heads.view(np.uint8).reshape(-1, 12)[group]
        self._sealed[group, 12 : 12 + width] = script.payloads[chosen]
        addresses = (self._sealed.ctypes.data + group * SEALED).astype(np.uint64)
        lengths = (script.lengths[chosen] + 12).astype(np.int32)
        srtp.protect(group, addresses, lengths)
        return addresses, lengths

    def _hear(self, tally: Tally, fds: list[int]) -> None:
        batch = self._receiver.receive(fds, time.monotonic(), time.time())
        if not len(batch.slots):
            return
        is_rtp, _ = rtp.classify(self._pool, batch.slots, batch.lengths)
        tally.take(batch.slots[is_rtp], batch.arrivals[is_rtp])
        self._pool.give(batch.slots)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


class Tally:
    """What comes back."""

    LOUD = 0x20
    """µ-law codes below this (sign aside) are the loudest sixth of the scale; nothing but a mark is so loud."""

    def __init__(self, pool: PacketPool) -> None:
        self._pool = pool
        self.counting = False
        self.sent = 0
        self._received = 0
        self._ssrcs: list[NDArray[np.uint32]] = []
        self._latencies: list[float] = []
        self._marked = 0.0
        self._seen: set[int] = set()

    def mark(self, now: float) -> None:
        """A mark leaves its phone."""
        self._marked, self._seen = (now if self.counting else 0.0), set()

    def take(self, slots: NDArray[np.int32], arrivals: NDArray[np.float64]) -> None:
        if not self.counting:
            return
        self._received += len(slots)
        self._ssrcs.append(self._pool.words[slots, 2])
        if self._marked:
            codes = self._pool.memory[slots, 12:172:8] & 0x7F
            loud = np.flatnonzero((codes < self.LOUD).sum(axis=1) > 8)
            for n in loud.tolist():
                ssrc = int(self._pool.words[slots[n], 2])
                if ssrc not in self._seen and arrivals[n] >= self._marked:
                    self._seen.add(ssrc)
                    self._latencies.append(1000 * (float(arrivals[n]) - self._marked))

    def outcome(self, n: int, seconds: float) -> Outcome:
        _, each = np.unique(np.concatenate([np.zeros(0, np.uint32), *self._ssrcs]), return_counts=True)
        return Outcome(
            seconds=seconds,
            sent=self.sent,
            received=self._received,
            expected=int(n * seconds * PACKETS_A_SECOND),
            fewest=int(each.min()) if len(each) == n else 0,
            cpu=0.0,
            busy=0.0,
            latency_ms=np.array(self._latencies),
        )


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for forced, option in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, 16 << 20)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind(("0.0.0.0", 0))
    sock.setblocking(False)
    return sock


def stay_on(cpu: int) -> None:
    """Bind this process to one CPU, where there is more than one, before others there (as the worker does)."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
