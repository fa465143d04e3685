"""Datagrams in batches: one ``recvmmsg`` and one ``sendmmsg`` call a socket, over numpy arrays.

The kernel reads and writes our arrays directly: they are laid out as Linux's ``mmsghdr``, ``iovec`` and
``sockaddr_in6`` (64-bit ABIs). Packets live in a pool of fixed slots; what is received is named by its slot number
and stays where the kernel put it until the slot is given back, so a packet is never copied on its way in.

IPv4 travels as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2): one socket type, one address layout.
"""

from __future__ import annotations

import bisect
import ctypes
import errno
import ipaddress
import itertools
import mmap
import select
import socket
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
U32: TypeAlias = NDArray[np.uint32]
U64: TypeAlias = NDArray[np.uint64]
I32: TypeAlias = NDArray[np.int32]
F64: TypeAlias = NDArray[np.float64]

STRIDE = 2112
"""Bytes a slot: 20 ms of L16 at 48 kHz (1,932), an SRTP trailer, a multiple of the cache line."""

FEWEST_POSTED = 64
"""Slots that lie ready for the first packets, and the least by which they grow."""
FEW_SOCKETS = 4
"""So many are asked one by one: that costs no more than asking which of them have something."""
WORTH_TRIMMING = 1024
"""Slots (2 MB) that a trim must find: less is not worth touching the pages anew after the next stall."""
MOST_TRIMMED, TRIMS = 4096, 32
"""Slots that one trim looks at, and runs of them whose pages it hands back, the longest first: it takes some 1.2 ms."""

MMSGHDR = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags", "len"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
IOVEC = np.dtype([("base", "u8"), ("len", "u8")])
SOCKADDR_WORDS = 8
"""A ``sockaddr_in6`` is 28 bytes; rows of eight 32-bit words keep it aligned and comparable as words."""
SOCKADDR_SIZE = 28
CMSG = np.dtype([("len", "u8"), ("level", "i4"), ("type", "i4"), ("sec", "i8"), ("nsec", "i8")])

SO_TIMESTAMPNS = 35
MSG_TRUNC = 0x20
_NO_ROOM = (errno.EAGAIN, errno.ENOBUFS, errno.EWOULDBLOCK)

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


def receive_some(fd: int, headers: NDArray[Any]) -> int:
    """``recvmmsg`` without waiting: how many of the :data:`MMSGHDR` rows were filled; 0 where nothing waits."""
    got = _recvmmsg(fd, int(headers.ctypes.data), len(headers), socket.MSG_DONTWAIT, None) if len(headers) else 0
    return max(0, int(got))


def send_some(fd: int, headers: NDArray[Any]) -> int:
    """``sendmmsg`` without waiting: how many :data:`MMSGHDR` rows the kernel took; at most 1,024 (UIO_MAXIOV)."""
    sent = _sendmmsg(fd, int(headers.ctypes.data), len(headers), socket.MSG_DONTWAIT) if len(headers) else 0
    return max(0, int(sent))


def address_words(host: str, port: int) -> U32:
    """The eight words of a ``sockaddr_in6`` for an address given as text.

    Raises:
        ValueError: the host is no IP address, or the port is not 0 to 65535.
    """
    ip = ipaddress.ip_address(host.split("%")[0].strip("[]"))
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"{port} is no UDP port")
    raw = ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed
    family = int(socket.AF_INET6).to_bytes(2, "little" if np.little_endian else "big")
    return np.frombuffer(family + port.to_bytes(2, "big") + b"\0" * 4 + raw + b"\0" * 8, np.uint32).copy()


def address_text(words: U32) -> tuple[str, int]:
    """What :func:`address_words` was given; IPv4-mapped addresses come back as IPv4."""
    raw = words.tobytes()
    ip = ipaddress.IPv6Address(raw[8:24])
    return str(ip.ipv4_mapped or ip), int.from_bytes(raw[2:4], "big")


VOICE, VIDEO = 46, 34
"""DSCPs: EF for telephony, AF41 for conferences' video (RFC 4594 §4.1, §4.3)."""


def open_socket(host: str, port: int, *, buffer: int = 4 << 20, dscp: int = VOICE) -> socket.socket:
    """A non-blocking UDP socket on ``host`` with kernel receive timestamps.

    Raises:
        OSError: the address can't be bound.
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        ip = ipaddress.ip_address(host or "::")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for option, forced in ((socket.SO_RCVBUF, 33), (socket.SO_SNDBUF, 32)):
            try:  # SO_RCVBUFFORCE passes net.core.rmem_max where we may
                sock.setsockopt(socket.SOL_SOCKET, forced, buffer)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, option, buffer)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        _mark(sock, dscp)
        sock.bind((f"::ffff:{ip}" if ip.version == 4 else str(ip), port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _mark(sock: socket.socket, dscp: int) -> None:
    """Both the IPv6 and the IPv4-mapped packets of the socket."""
    for level, option in ((socket.IPPROTO_IPV6, socket.IPV6_TCLASS), (socket.IPPROTO_IP, socket.IP_TOS)):
        sock.setsockopt(level, option, dscp << 2)


class PacketPool:
    """Fixed slots of :data:`STRIDE` bytes, lent and given back by number.

    Pages that were never touched cost nothing, and what a stall made us touch can be handed back: :meth:`trim`.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._map = mmap.mmap(-1, slots * STRIDE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.flat: U8 = np.frombuffer(self._map, np.uint8)
        self.memory: U8 = self.flat.reshape(slots, STRIDE)
        self.words: U32 = self.memory.view(np.uint32)
        self.base = int(self.memory.ctypes.data)
        # The most recently freed slot is lent first: its lines are warm.
        self._free: I32 = np.arange(slots - 1, -1, -1, dtype=np.int32)
        self._count = slots
        self._least = slots
        """Free slots when they were fewest since the last trim: so many at the bottom have lain there since."""
        self._touched: NDArray[np.bool_] = np.zeros(slots, np.bool_)
        """(slots,) lent since its page was last handed back."""

    @property
    def free(self) -> int:
        return self._count

    def take(self, n: int) -> I32:
        """Up to ``n`` slots (fewer when the pool runs dry)."""
        n = min(n, self._count)
        taken = self._free[self._count - n : self._count].copy()
        self._count -= n
        self._least = min(self._least, self._count)
        self._touched[taken] = True
        return taken

    def give(self, slots: I32) -> None:
        n = len(slots)
        self._free[self._count : self._count + n] = slots
        self._count += n

    def trim(self) -> int:
        """Hand back the pages of slots that nobody needed since the last call; returns how many slots lay in them.

        Does nothing for less than :data:`WORTH_TRIMMING`; one call costs at most :data:`TRIMS` system calls.
        """
        idle = self._free[: self._least]
        self._least = self._count
        cold = np.sort(idle[self._touched[idle]])[-MOST_TRIMMED:]
        if len(cold) < WORTH_TRIMMING:
            return 0
        edges = np.flatnonzero(np.diff(cold) != 1) + 1
        firsts, lasts = cold[np.concatenate(([0], edges))], cold[np.concatenate((edges - 1, [-1]))]
        longest = np.argsort(firsts - lasts, kind="stable")[:TRIMS]
        for first, last in zip(firsts[longest].tolist(), lasts[longest].tolist(), strict=True):
            start = -(-first * STRIDE // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (last + 1) * STRIDE // mmap.PAGESIZE * mmap.PAGESIZE - start
            if length > 0:
                self._map.madvise(mmap.MADV_DONTNEED, start, length)
            self._touched[first : last + 1] = False
        # From now on the lowest are lent first, so that what is in use comes to lie together.
        self._free[: self._count] = -np.sort(-self._free[: self._count])
        return int((lasts - firsts + 1)[longest].sum())

    def addresses(self, slots: I32) -> U64:
        """Memory address of each slot."""
        return slots.astype(np.uint64) * np.uint64(STRIDE) + np.uint64(self.base)


@dataclass(slots=True)
class Batch:
    """What one beat received; ``n`` packets. Views, good until the next :meth:`Receiver.receive`."""

    slots: I32
    """(n,) pool slots, now the caller's to give back."""
    lengths: I32
    """(n,) bytes."""
    sockets: NDArray[np.intp]
    """(n,) index of the socket."""
    sources: U32
    """(n, 8) words of the source's sockaddr_in6."""
    arrivals: F64
    """(n,) seconds on the monotonic clock, from the kernel's timestamp."""
    truncated: int = 0


class Receiver:
    """Drains many sockets into one contiguous batch.

    The message headers of a beat are one array; each socket's call continues where the last one's ended. Slots lie
    ready under as many of the headers as a beat lately needed; a larger batch posts more on its way.
    """

    def __init__(self, pool: PacketPool, capacity: int = 8192) -> None:
        self._pool = pool
        self.capacity = capacity
        self._headers = np.zeros(capacity, MMSGHDR)
        self._iov = np.zeros(capacity, IOVEC)
        self._names: U32 = np.zeros((capacity, SOCKADDR_WORDS), np.uint32)
        self._control = np.zeros(capacity, CMSG)
        self._slots: I32 = np.full(capacity, -1, np.int32)
        self._base = int(self._headers.ctypes.data)
        index = np.arange(capacity, dtype=np.uint64)
        self._headers["name"] = self._names.ctypes.data + index * np.uint64(4 * SOCKADDR_WORDS)
        self._headers["iov"] = self._iov.ctypes.data + index * np.uint64(IOVEC.itemsize)
        self._headers["iovlen"] = 1
        self._headers["control"] = self._control.ctypes.data + index * np.uint64(CMSG.itemsize)
        self._iov["len"] = STRIDE - 64  # the tail stays ours (SRTP)
        self._posted = 0
        self._first = 0
        self._count = 0
        self._gone = 0
        """Headers whose packets the last batch took away. They are posted anew only when the next is gathered: by then
        most of the batch has been played, and its slots are free and warm."""
        self._owners: list[int] = []
        self._counts: list[int] = []
        self._taken: dict[int, int] = {}
        """Packets of each socket in the batch that is being gathered."""
        self._polls: dict[tuple[int, ...], tuple[select.poll, dict[int, int]]] = {}

    def _post(self, start: int, stop: int) -> int:
        """Put fresh slots under the headers ``start`` to ``stop`` and reset those; where they end, the pool dry or
        not."""
        fresh = self._pool.take(stop - start)
        stop = start + len(fresh)
        self._slots[start:stop] = fresh
        self._iov["base"][start:stop] = self._pool.addresses(fresh)
        headers = self._headers[start:stop]
        headers["namelen"] = SOCKADDR_SIZE
        headers["controllen"] = CMSG.itemsize
        headers["flags"] = 0
        return stop

    def _repost(self) -> None:
        """Fresh slots instead of those that the last batch took away."""
        used, self._gone = self._gone, 0
        ready = self._post(0, used)
        kept = self._posted - used
        if ready < used and kept:  # the pool ran dry: those that are left move down, the rest waits in the kernel
            end = ready + kept
            self._slots[ready:end] = self._slots[used : self._posted].copy()
            self._iov["base"][ready:end] = self._pool.addresses(self._slots[ready:end])
            headers = self._headers[ready:end]
            headers["namelen"], headers["controllen"], headers["flags"] = SOCKADDR_SIZE, CMSG.itemsize, 0
        self._posted = ready + kept

    def gather(self, fds: list[int], *, per_socket: int = 4096) -> int:
        """Take what waits now, for the next :meth:`receive` to return with what comes until then; how much that is.

        Args:
            per_socket: as there, and for both together.
        """
        if self._gone:
            self._repost()
        self._first = (self._first + 1) % max(len(fds), 1)
        for which in self._waiting(fds):
            before = self._count
            while (room := per_socket - self._taken.get(which, 0) - (self._count - before)) > 0:
                if self._count == self._posted:
                    end = min(self._posted + max(self._posted // 4, FEWEST_POSTED), self.capacity)
                    self._posted = self._post(self._posted, end)
                room = min(room, self._posted - self._count)
                if room <= 0:
                    break
                start = self._base + self._count * MMSGHDR.itemsize
                got = _recvmmsg(fds[which], start, room, socket.MSG_DONTWAIT, None)
                self._count += max(got, 0)
                if got < room:
                    break
            got = self._count - before
            if got:
                self._owners.append(which)
                self._counts.append(got)
                self._taken[which] = self._taken.get(which, 0) + got
        return self._count

    def _waiting(self, fds: list[int]) -> list[int]:
        """Numbers of the sockets on which something waits, in turn another one first: one call of the kernel tells, and
        of a worker's ports few are in use."""
        if len(fds) <= FEW_SOCKETS:
            return [*range(self._first, len(fds)), *range(self._first)]
        key = tuple(fds)
        known = self._polls.get(key)
        if known is None:
            poll = select.poll()
            for fd in fds:
                poll.register(fd, select.POLLIN)
            known = self._polls[key] = (poll, {fd: which for which, fd in enumerate(fds)})
        poll, places = known
        ready = sorted(places[fd] for fd, _ in poll.poll(0))
        at = bisect.bisect_left(ready, self._first)
        return ready[at:] + ready[:at]

    def receive(self, fds: list[int], now: float, realtime: float, *, per_socket: int = 4096) -> Batch:
        """Everything that waits, round-robin between beats so that a flooded socket can't starve the others.

        Args:
            fds: the sockets, those that were gathered from; ``Batch.sockets`` indexes this list.
            now, realtime: the same instant on the monotonic and the wall clock (the kernel stamps the latter).
            per_socket: at most so many packets of one socket a beat; the rest waits, then falls to the kernel.
        """
        count = self.gather(fds, per_socket=per_socket)
        headers = self._headers[:count]
        slots = self._slots[:count].copy()
        stamps = self._control[:count]
        arrivals = np.where(
            headers["controllen"] >= CMSG.itemsize,
            (stamps["sec"] - int(realtime)) + stamps["nsec"] * 1e-9 + (now - realtime % 1.0),
            now,
        )
        # A stepped wall clock must not send packets into the future or the far past.
        np.clip(arrivals, now - 1.0, now, out=arrivals)
        lengths = headers["len"].astype(np.int32)
        cut = (headers["flags"] & MSG_TRUNC) != 0
        lengths[cut] = 0
        batch = Batch(
            slots=slots,
            lengths=lengths,
            sockets=np.repeat(np.array(self._owners, np.intp), self._counts),
            sources=self._names[:count].copy(),
            arrivals=arrivals,
            truncated=int(cut.sum()),
        )
        self._owners, self._counts, self._taken = [], [], {}
        self._count, self._gone = 0, count
        return batch

    def rest(self) -> None:
        """Give back the slots that lie ready; the next batch posts as many as it needs."""
        kept = self._count or self._gone
        self._pool.give(self._slots[kept : self._posted])
        self._posted = kept


class Sender:
    """Sends many packets by one call a socket: each is a header and a payload, gathered by the kernel."""

    def __init__(self, capacity: int) -> None:
        self._headers = np.zeros(capacity, MMSGHDR)
        self._iov = np.zeros((capacity, 2), IOVEC)
        self._headers["iov"] = self._iov.ctypes.data + np.arange(capacity, dtype=np.uint64) * np.uint64(
            2 * IOVEC.itemsize
        )
        self._headers["iovlen"] = 2
        self._headers["namelen"] = SOCKADDR_SIZE
        self._base = int(self._headers.ctypes.data)
        self.capacity = capacity
        self.dropped = 0

    def send(
        self,
        fds: list[int],
        sockets: NDArray[np.intp],
        names: U64,
        heads: U64,
        head_lengths: NDArray[Any] | int,
        bodies: U64,
        body_lengths: NDArray[Any] | int,
        controls: U64 | None = None,
        control_length: int = 0,
    ) -> int:
        """Send n packets, sorted by socket; returns how many the kernel took.

        Args:
            sockets: (n,) ascending indices into ``fds``.
            names, heads, bodies: (n,) memory addresses of sockaddr_in6, header bytes, payload bytes.
            controls: (n,) memory addresses of control messages (``IP_PKTINFO``: the source address to send from).
        """
        n = len(sockets)
        if n > self.capacity:
            raise ValueError(f"{n} packets for a sender of {self.capacity}")
        headers, iov = self._headers[:n], self._iov[:n]
        headers["name"] = names
        iov["base"][:, 0] = heads
        iov["len"][:, 0] = head_lengths
        iov["base"][:, 1] = bodies
        iov["len"][:, 1] = body_lengths
        if controls is not None:
            headers["control"] = controls
            headers["controllen"] = control_length
        edges = np.flatnonzero(np.diff(sockets)) + 1
        sent = 0
        for start, stop in itertools.pairwise([0, *edges.tolist(), n] if n else []):
            sent += self._send_run(fds[int(sockets[start])], start, stop)
        self.dropped += n - sent
        return sent

    def _send_run(self, fd: int, start: int, stop: int) -> int:
        sent, refusals = 0, 0
        while start < stop and refusals < 16:
            # The kernel takes at most UIO_MAXIOV (1024) messages a call.
            done = _sendmmsg(fd, self._base + start * MMSGHDR.itemsize, min(stop - start, 1024), socket.MSG_DONTWAIT)
            if done > 0:
                start += done
                sent += done
                continue
            if ctypes.get_errno() in _NO_ROOM:
                break  # a full socket buffer: what is late now is worthless later
            start += 1  # that destination is unreachable or forbidden: the others still get theirs
            refusals += 1
        return sent


def open_pairs(
    host: str, ports: range, *, dscp: int = VOICE
) -> tuple[list[int], list[socket.socket], list[socket.socket]]:
    """RTP/RTCP socket pairs on the even ports of ``ports`` (RFC 3550 §11), skipping those that are taken.

    Raises:
        OSError: not one pair can be bound.
    """
    numbers: list[int] = []
    rtp: list[socket.socket] = []
    rtcp: list[socket.socket] = []
    trouble: OSError | None = None
    for port in range(ports.start + ports.start % 2, ports.stop - 1, 2):
        try:
            even = open_socket(host, port, dscp=dscp)
        except OSError as error:
            trouble = error
            continue
        try:
            odd = open_socket(host, port + 1, buffer=1 << 20, dscp=dscp)
        except OSError as error:
            even.close()
            trouble = error
            continue
        numbers.append(port)
        rtp.append(even)
        rtcp.append(odd)
    if not numbers:
        reason = trouble.strerror if trouble else "the range is empty"
        raise OSError(f"no media port of {ports.start}-{ports.stop - 1} on {host}: {reason}")
    return numbers, rtp, rtcp
