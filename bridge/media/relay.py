"""Datagrams handed from one media process to another, in batches, without a copy on our side.

Browsers send voice and pictures to one port (BUNDLE, RFC 8843). The audio process reads it; what is video goes on to
the video process over a pair of Unix datagram sockets: each record is :data:`HEAD` octets (the source's
``sockaddr_in6``, the arrival, the socket's number, the audio stream's), then the packet as it came. The video process
gets a :class:`~.wire.Batch` as if it had read the port itself, kernel time stamps included.
"""

from __future__ import annotations

import socket
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .wire import I32, IOVEC, MMSGHDR, SOCKADDR_WORDS, STRIDE, Batch, PacketPool, receive_some, send_some

Rows: TypeAlias = NDArray[np.intp]

HEAD = np.dtype([("source", "u4", (SOCKADDR_WORDS,)), ("arrival", "f8"), ("socket", "i8"), ("stream", "i8")])
BUFFER = 4 << 20
"""Octets that may wait between the two: a beat's worth of some thousand packets, several times over."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends: the first is written to, the second read. A connected pair has no limit but its buffer."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ends


class Relay:
    """The writing end."""

    def __init__(self, pool: PacketPool, fd: int, capacity: int = 1024) -> None:
        self._pool, self._fd, self._capacity = pool, fd, capacity
        self._headers = np.zeros(capacity, MMSGHDR)
        self._iov = np.zeros((capacity, 2), IOVEC)
        self._heads = np.zeros(capacity, HEAD)
        _lay_out(self._headers, self._iov, self._heads)
        self.dropped = 0
        """Packets that found the buffer full, so far: the reader hangs, or a flood is on."""

    def send(self, batch: Batch, at: Rows, streams: NDArray[np.int64]) -> None:
        """Hand on the packets ``at`` of a batch, whose slots stay the caller's.

        Args:
            streams: (n,) whose they are, in control's numbers.
        """
        at, rest = at[: self._capacity], at[self._capacity :]
        n = len(at)
        heads, iov = self._heads[:n], self._iov[:n]
        heads["source"], heads["arrival"], heads["socket"] = batch.sources[at], batch.arrivals[at], batch.sockets[at]
        heads["stream"] = streams[:n]
        iov["base"][:, 1] = self._pool.addresses(batch.slots[at])
        iov["len"][:, 1] = batch.lengths[at]
        self.dropped += n - send_some(self._fd, self._headers[:n])
        if rest.size:
            self.send(batch, rest, streams[n:])


class RelayReceiver:
    """The reading end."""

    def __init__(self, pool: PacketPool, fd: int, capacity: int = 1024) -> None:
        self._pool, self._fd, self._capacity = pool, fd, capacity
        self._headers = np.zeros(capacity, MMSGHDR)
        self._iov = np.zeros((capacity, 2), IOVEC)
        self._heads = np.zeros(capacity, HEAD)
        _lay_out(self._headers, self._iov, self._heads)
        self._iov["len"][:, 1] = STRIDE - 64  # the tail stays ours (SRTP)
        self._slots: I32 = np.zeros(0, np.int32)

    def receive(self) -> tuple[Batch, NDArray[np.int64]]:
        """What waits, at most the capacity, and (n,) whose it is; slots are the caller's to give back."""
        wanted = self._capacity - len(self._slots)
        if wanted:
            self._slots = np.concatenate((self._slots, self._pool.take(wanted)))
        ready = len(self._slots)
        self._iov["base"][:ready, 1] = self._pool.addresses(self._slots)
        self._headers["flags"][:ready] = 0
        n = receive_some(self._fd, self._headers[:ready])
        heads = self._heads[:n].copy()
        slots, self._slots = self._slots[:n], self._slots[n:]
        batch = Batch(
            slots=slots,
            lengths=self._headers["len"][:n].astype(np.int32) - HEAD.itemsize,
            sockets=heads["socket"].astype(np.intp),
            sources=heads["source"],
            arrivals=heads["arrival"],
        )
        return batch, heads["stream"]


def _lay_out(headers: NDArray[Any], iov: NDArray[Any], heads: NDArray[Any]) -> None:
    """Each message is a record of ours and a packet."""
    index = np.arange(len(headers), dtype=np.uint64)
    headers["iov"] = iov.ctypes.data + index * np.uint64(2 * IOVEC.itemsize)
    headers["iovlen"] = 2
    iov["base"][:, 0] = heads.ctypes.data + index * np.uint64(HEAD.itemsize)
    iov["len"][:, 0] = HEAD.itemsize
