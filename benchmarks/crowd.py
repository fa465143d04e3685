"""A crowd of simulated phones: N RTP senders and receivers in one process, by arrays and the bridge's own wire.

Each phone has an address of its own (127.x.y.z, chosen by ``IP_PKTINFO`` on a shared socket), a phase of its own in
the 20 ms, its own SSRC. What comes back is counted by SSRC and sequence.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.wire import PacketPool, Receiver, Sender, address_words

PHASES = 20
"""Groups of phones through the 20 ms: a group sends every millisecond."""
PKTINFO = np.dtype(
    [("len", "u8"), ("level", "i4"), ("type", "i4"), ("ifindex", "i4"), ("spec", ">u4"), ("addr", ">u4"), ("pad", "u4")]
)
IP_PKTINFO = 8


@dataclass(slots=True)
class Outcome:
    """What a crowd saw in the time it counted."""

    seconds: float
    sent: int
    received: int
    expected: int
    per_phone: NDArray[np.int64]
    latency_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def loss(self) -> float:
        """Fraction of the packets due to the crowd (50 a second and phone) that did not come."""
        return max(0.0, 1 - self.received / max(self.expected, 1))


def phone_addresses(n: int, sockets: int) -> list[tuple[str, int]]:
    """The (host, socket index) of each phone: phones of one socket differ by host."""
    per = -(-n // sockets)
    return [
        (f"127.{1 + (i % per) // 60000}.{((i % per) // 250) % 240}.{1 + (i % per) % 250}", i // per) for i in range(n)
    ]


class Crowd:
    """N phones. Make it, register :meth:`addresses` with the bridge under test, then :meth:`run`."""

    def __init__(self, n: int, *, sockets: int = 24, seed: int = 7) -> None:
        self.n = n
        self._rng = np.random.default_rng(seed)
        sockets = min(sockets, n)
        hosts = phone_addresses(n, sockets)
        self._socks = [self._open() for _ in range(sockets)]
        self._fds = [s.fileno() for s in self._socks]
        self.addresses = [(host, self._socks[s].getsockname()[1]) for host, s in hosts]
        self._socket_of = np.array([s for _, s in hosts], np.intp)
        self._control = np.zeros(n, PKTINFO)
        self._control["len"], self._control["level"], self._control["type"] = 28, socket.IPPROTO_IP, IP_PKTINFO
        packed = [int.from_bytes(socket.inet_aton(host), "big") for host, _ in hosts]
        self._control["spec"] = packed
        self.ssrc = self._rng.permutation(np.arange(1, n + 1, dtype=np.uint32)) * np.uint32(7919) + np.uint32(1)
        self._heads = np.zeros((n, 3), np.uint32)
        self._names = np.zeros((n, 8), np.uint32)
        self._phase = np.arange(n) % PHASES
        self._pool = PacketPool(16384)
        self._receiver = Receiver(self._pool, 8192)
        self._sender = Sender(n)
        self._sequence = self._rng.integers(0, 1000, n).astype(np.int32)
        self._timestamp = self._rng.integers(0, 1 << 31, n).astype(np.uint32)

    @staticmethod
    def _open() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (33, 32):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE where we may
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, {33: socket.SO_RCVBUF, 32: socket.SO_SNDBUF}[option], 16 << 20)
        sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        return sock

    def aim(self, targets: list[tuple[str, int]]) -> None:
        """Where each phone sends: (host, port) of the bridge."""
        for i, (host, port) in enumerate(targets):
            words = address_words(host, port).view(np.uint8)
            sin = np.zeros(32, np.uint8)  # sockaddr_in
            sin[0:2] = np.frombuffer(int(socket.AF_INET).to_bytes(2, "little"), np.uint8)
            sin[2:4] = words[2:4]
            sin[4:8] = words[20:24]
            self._names[i] = sin.view(np.uint32)
        self._sender._headers["namelen"] = 16

    def run(
        self,
        payloads: NDArray[np.uint8],
        lengths: NDArray[np.int32],
        which: NDArray[np.intp],
        *,
        seconds: float,
        settle: float = 2.0,
        payload_type: int = 0,
        ticks: int = 160,
        marker_phone: int = -1,
        marker_payload: int = -1,
        quiet_payload: int = -1,
        threshold: int = 18,
    ) -> Outcome:
        """Send for ``settle + seconds``; count what comes in the last ``seconds``.

        Args:
            payloads: (k, size) distinct payloads; ``lengths`` (k,) their bytes.
            which: (n, m) for each phone, the m payloads that it cycles through.
            marker_phone: this phone sends ``marker_payload`` every half second instead and ``quiet_payload``
                otherwise; how long it takes to reach the others is the latency (µ-law payloads).
        """
        n, index = self.n, np.arange(self.n)
        base = payloads.ctypes.data
        stride = payloads.strides[0]
        bodies = (base + which * stride).astype(np.uint64)
        sizes = lengths[which]
        heads_at = (self._heads.ctypes.data + index * 12).astype(np.uint64)
        names_at = (self._names.ctypes.data + index * 32).astype(np.uint64)
        controls_at = (self._control.ctypes.data + index * PKTINFO.itemsize).astype(np.uint64)
        groups = [
            index[self._phase == p][np.argsort(self._socket_of[self._phase == p], kind="stable")] for p in range(PHASES)
        ]
        types = np.full(n, payload_type, np.uint8)
        latencies: list[NDArray[np.float64]] = []
        marked_at, got_mark = 0.0, set[int]()
        sent = received = 0
        start = time.monotonic()
        step = 0
        counting = False
        end = start + settle + seconds
        per = np.zeros(1 << 16, np.int64)
        ssrcs: list[NDArray[np.uint32]] = []
        while True:
            now = time.monotonic()
            if now >= end:
                break
            due = start + step * 0.001
            if now < due:
                time.sleep(due - now)
            group = groups[step % PHASES]
            turn = step // PHASES
            m = which.shape[1]
            body, size = bodies[group, turn % m], sizes[group, turn % m]
            if marker_phone >= 0 and self._phase[marker_phone] == step % PHASES:
                at = int(np.flatnonzero(group == marker_phone)[0])
                mark = turn % 25 == 12
                body[at] = base + (marker_payload if mark else quiet_payload) * stride
                if mark and counting:
                    marked_at, got_mark = time.monotonic(), set()
            rtp.write_headers(
                self._heads,
                group,
                types[group],
                np.zeros(len(group), np.bool_),
                self._sequence[group],
                self._timestamp[group],
                self.ssrc[group],
            )
            self._sequence[group] = (self._sequence[group] + 1) & 0xFFFF
            self._timestamp[group] += np.uint32(ticks)
            done = self._sender.send(
                self._fds,
                self._socket_of[group],
                names_at[group],
                heads_at[group],
                12,
                body,
                size,
                controls_at[group],
                PKTINFO.itemsize,
            )
            batch = self._receiver.receive(self._fds, time.monotonic(), time.time())
            if len(batch.slots):
                is_rtp, _ = rtp.classify(self._pool, batch.slots, batch.lengths)
                if counting:
                    words = self._pool.words[batch.slots[is_rtp], 2]
                    ssrcs.append(words)
                    received += int(is_rtp.sum())
                    sent += done
                    if marked_at and time.monotonic() - marked_at < 0.45:
                        latencies.append(self._marks(batch, is_rtp, marked_at, got_mark, threshold))
                self._pool.give(batch.slots)
            elif counting:
                sent += done
            step += 1
            if not counting and now - start >= settle:
                counting, begun = True, time.monotonic()
        length = time.monotonic() - begun
        allssrc = np.concatenate(ssrcs) if ssrcs else np.zeros(0, np.uint32)
        _, per = np.unique(allssrc, return_counts=True)
        return Outcome(
            seconds=length,
            sent=sent,
            received=received,
            expected=int(n * length * 50),
            per_phone=per,
            latency_ms=np.concatenate(latencies) if latencies else np.zeros(0),
        )

    def _marks(self, batch, is_rtp, marked_at: float, seen: set[int], threshold: int) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
        """Delays of the first packet of each listener that carries the marker."""
        at = np.flatnonzero(is_rtp)
        payload = self._pool.memory[batch.slots[at], 12:172:8]
        loud = ((payload & 0x7F) < threshold).sum(axis=1) > 8  # µ-law: small codes are loud
        found = []
        for i in at[loud].tolist():
            ssrc = int(self._pool.words[batch.slots[i], 2])
            if ssrc not in seen:
                seen.add(ssrc)
                found.append((batch.arrivals[i] - marked_at) * 1000)
        return np.array(found)

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


def process_cpu(pid: int) -> float:
    """CPU seconds that a process and its threads have used (utime + stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
