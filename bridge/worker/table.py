"""The streams of a worker as a struct of arrays: one row a stream, never an object a stream.

Rows are reused; a row's number means nothing outside the worker. Room indices are dense for the same reason: the mix
sums by segments. Index 0 is *no room* (the lobby, the PIN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.media.wire import SOCKADDR_WORDS, address_words

from .demux import AddressTable
from .kind import CLOCK_RATE, Kind, kind_of
from .protocol import Address, SendState, SetRoom, SetStream, SrtpKey

NO_ADDRESS = 0
EXPECTED = 1
"""The SDP's address, from which nothing has come yet."""
LATCHED = 2
"""Packets came from there."""


class TableFull(Exception):
    """No row is left for another stream."""


class StreamSpec(Protocol):
    """What the description of any stream tells, whatever its medium."""

    @property
    def stream(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def remote(self) -> Address | None: ...
    @property
    def remote_rtcp(self) -> Address | None: ...
    @property
    def rtcp_mux(self) -> bool: ...
    @property
    def at_home(self) -> bool: ...
    @property
    def keyed(self) -> bool: ...
    @property
    def fixed(self) -> bool: ...
    @property
    def srtp_send(self) -> SrtpKey | None: ...
    @property
    def srtp_receive(self) -> SrtpKey | None: ...
    @property
    def send_state(self) -> SendState | None: ...


Spec = TypeVar("Spec", bound=StreamSpec)


class SourceTable(Generic[Spec]):
    """Where streams come from and go to, one row each: addresses, numbers, keys; audio and video alike."""

    def __init__(self, capacity: int, sockets: int, rng: np.random.Generator) -> None:
        self.capacity = capacity
        self._rng = rng
        self._free = list(range(capacity - 1, -1, -1))
        self.rows: dict[int, int] = {}
        self.specs: dict[int, Spec] = {}
        self.rooms: dict[int, int] = {}
        self._free_rooms: list[int] = []
        self.room_count = 1
        self.by_source = AddressTable(capacity, rng)
        self.by_report_source = AddressTable(capacity, rng)
        self.by_claim = AddressTable(capacity, rng)
        """Addresses that an SDP names whose stream was found elsewhere: behind NAT, or a stranger was quicker."""
        self.pending: NDArray[np.intp] = np.full(sockets, -1, np.intp)
        """(sockets,) the one stream on that port whose address is not yet known to be true; -1: none."""
        self.generation = 0
        """Grows whenever who sends what to whom changes: plans made from the arrays are stale then."""
        self._make_rows(capacity)

    def _make_rows(self, n: int) -> None:
        def column(dtype: Any, *shape: int) -> NDArray[Any]:
            return np.zeros((n, *shape), dtype)

        self.live = column(np.bool_)
        self.stream = column(np.int64)
        self.room = column(np.int32)
        self.socket = column(np.intp)
        self.latch = column(np.uint8)
        self.names = column(np.uint32, SOCKADDR_WORDS)
        self.report_names = column(np.uint32, SOCKADDR_WORDS)
        self.mux = column(np.bool_)
        self.kinds = column(np.uint8, 128)
        """(rows, 128) what each payload type means to each stream; 0: nothing."""
        self.send_kind = column(np.uint8)
        self.send_type = column(np.uint8)
        self.ssrc = column(np.uint32)
        self.sequence = column(np.int32)
        self.rollover = column(np.int64)
        self.timestamp = column(np.uint32)
        self.remote_ssrc = column(np.uint32)
        self.heard = column(np.bool_)
        """A packet of it came in (``remote_ssrc`` holds)."""
        self.last_sequence = column(np.int32)
        self.last_heard = column(np.float64)
        self.last_home = column(np.float64)
        """When a packet came from the latched address."""
        self.secure_in = column(np.bool_)
        self.secure_out = column(np.bool_)
        self.simulated = column(np.bool_)
        self.at_home = column(np.bool_)
        self.keyed = column(np.bool_)
        """Its keys come by DTLS: what is not SRTP is not taken, and nothing else is sent."""
        self.fixed = column(np.bool_)
        """ICE chooses its address: no packet does."""
        self.claims = column(np.uint32, SOCKADDR_WORDS)
        """The row's key in :attr:`by_claim`, zeros if it has none."""
        self.sent = column(np.int64)
        self.sent_octets = column(np.int64)
        self.discarded = column(np.int64)
        self.since = column(np.float64)
        self._make_own_rows(column)

    def _make_own_rows(self, column: Callable[..., NDArray[Any]]) -> None:
        """Columns of one medium; ``column(dtype, *shape)`` makes one."""

    # ------------------------------------------------------------------------------------------- rooms

    def add_room(self, room: int) -> int:
        """The dense index of a room, made if it is new."""
        self.generation += 1
        index = self.rooms.get(room)
        if index is None:
            index = self._free_rooms.pop() if self._free_rooms else self.room_count
            self.room_count = max(self.room_count, index + 1)
            self.rooms[room] = index
        return index

    def drop_room(self, room: int) -> int:
        """Forget a room; its streams are in no room then. Returns the index it had, 0 if it was unknown."""
        self.generation += 1
        index = self.rooms.pop(room, 0)
        if index:
            self.room[self.room == index] = 0
            self._free_rooms.append(index)
        return index

    # ------------------------------------------------------------------------------------------- streams

    def add(self, stream: int, now: float) -> int:
        """A row for a stream that is new here, empty but for its random beginnings (RFC 3550 §5.1).

        Raises:
            TableFull: every row is taken.
        """
        if not self._free:
            raise TableFull(f"this worker holds {self.capacity} streams and no more")
        row = self._free.pop()
        self.rows[stream] = row
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray) and name != "pending":
                column[row] = 0
        self.live[row] = True
        self.stream[row] = stream
        self.ssrc[row] = self._rng.integers(1, 1 << 32, dtype=np.uint32)
        # The first sequence number stays in the lower half: SRTP's first wrap is far away (RFC 3711 §3.3.1).
        self.sequence[row] = self._rng.integers(0, 1 << 15)
        self.timestamp[row] = self._rng.integers(0, 1 << 32, dtype=np.uint32)
        self.last_heard[row] = self.since[row] = now
        return row

    def place(self, row: int, spec: Spec, room: int, socket: int) -> None:
        """Where a stream's packets come from and go to, and where its numbers begin.

        Raises:
            ValueError: an address is none, or a number is; the row is as it was.
        """
        if spec.send_state is not None and not 0 <= spec.send_state.ssrc < 1 << 32:
            raise ValueError(f"{spec.send_state.ssrc} is no SSRC")
        remote = _words(spec.remote)
        report = _words(spec.remote if spec.rtcp_mux and not spec.remote_rtcp else spec.remote_rtcp)
        before = self.specs.get(spec.stream)
        self.generation += 1
        self.specs[spec.stream] = spec
        self.room[row] = room
        self.at_home[row] = spec.at_home
        self.secure_in[row] = spec.srtp_receive is not None
        self.secure_out[row] = spec.srtp_send is not None
        self.keyed[row], self.fixed[row] = spec.keyed, spec.fixed
        self.mux[row] = spec.rtcp_mux
        state = spec.send_state
        if state is not None and not self.sent[row]:
            self.ssrc[row], self.timestamp[row] = state.ssrc, state.timestamp & 0xFFFFFFFF
            self.sequence[row], self.rollover[row] = state.sequence & 0xFFFF, state.rollover
        moved = before is None or (before.port, before.remote) != (spec.port, spec.remote)
        if moved:
            self._place(row, socket, remote, fresh=before is None)
        if before is None or _report_way(before) != _report_way(spec):
            self.by_report_source.drop(self._key(row, self.report_names[row]), row)
            self.report_names[row] = 0 if report is None else report
            if report is not None:
                self._claim(self.by_report_source, row, report)

    def _place(self, row: int, socket: int, remote: NDArray[np.uint32] | None, *, fresh: bool) -> None:
        """Expect the stream at another address or on another port."""
        if not fresh:
            self.by_source.drop(self._key(row, self.names[row]), row)
            self._unclaim(row)
            if self.pending[self.socket[row]] == row:
                self.pending[self.socket[row]] = -1
        self.socket[row] = socket
        self.names[row] = 0 if remote is None else remote
        if self.fixed[row]:
            self.latch[row] = LATCHED
            if remote is not None:  # its owner proved by ICE that it is his, whoever had it before
                self.by_source.put(self._key(row, remote), row)
            return
        self.pending[socket] = row
        self.latch[row] = NO_ADDRESS if remote is None else EXPECTED
        if remote is not None:
            self._claim(self.by_source, row, remote)

    def _claim(self, where: AddressTable, row: int, address: NDArray[np.uint32]) -> None:
        """Expect a row's packets from an address, unless they are another's: an SDP may name any address."""
        key = self._key(row, address)
        if where.find(key[None])[0] < 0:
            where.put(key, row)

    def _unclaim(self, row: int) -> None:
        if self.claims[row].any():
            self.by_claim.drop(self._key(row, self.claims[row]), row)
            self.claims[row] = 0

    def latch_at(self, row: int, source: NDArray[np.uint32]) -> bool:
        """The stream's true source is ``source``; returns whether that is news."""
        socket = self.socket[row]
        if self.pending[socket] == row:
            self.pending[socket] = -1
        known = self.latch[row] == LATCHED
        expected = self.latch[row] == EXPECTED
        same = bool((self.names[row, :6] == source[:6]).all())
        self.latch[row] = LATCHED
        if same:
            self._claim(self.by_source, row, source)  # which had been another's until now
            return not known
        self.by_source.drop(self._key(row, self.names[row]), row)
        self._unclaim(row)
        if expected:
            self.claims[row] = self.names[row]
            self._claim(self.by_claim, row, self.names[row])
        self.names[row] = source
        self.by_source.put(self._key(row, source), row)
        if self.mux[row]:
            self.by_report_source.drop(self._key(row, self.report_names[row]), row)
            self.report_names[row] = source
            self._claim(self.by_report_source, row, source)
        self.generation += 1
        return True

    def remove(self, stream: int) -> int:
        """Free a stream's row; returns it, -1 if there is none."""
        row = self.rows.pop(stream, -1)
        if row < 0:
            return row
        self.generation += 1
        self.specs.pop(stream, None)
        self.by_source.drop(self._key(row, self.names[row]), row)
        self.by_report_source.drop(self._key(row, self.report_names[row]), row)
        self._unclaim(row)
        if self.pending[self.socket[row]] == row:
            self.pending[self.socket[row]] = -1
        self.live[row] = False
        self.room[row] = 0
        self.send_kind[row] = 0
        self._free.append(row)
        return row

    def _key(self, row: int, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
        key: NDArray[np.uint32] = AddressTable.keys(self.socket[row : row + 1], words[None])[0]
        return key


class StreamTable(SourceTable[SetStream]):
    """All state of all audio streams that a beat touches."""

    def _make_own_rows(self, column: Callable[..., NDArray[Any]]) -> None:
        self.room_specs: dict[int, SetRoom] = {}
        self.main_kind = column(np.uint8)
        """The codec it is expected to send (its first)."""
        self.ptime = column(np.int32)
        self.marker = column(np.bool_)
        self.muted = column(np.bool_)
        self.deaf = column(np.bool_)
        self.gain_in = column(np.float32)
        self.gain_out = column(np.float32)
        self.level_id = column(np.uint8)
        self.inband = column(np.bool_)
        self.event_type = column(np.uint8)
        self.cn_type = column(np.int16)
        self.elsewhere = column(np.bool_, 128)
        """(rows, 128) payload types that are the video process's."""
        self.bundled = column(np.bool_)
        """Some are."""

    def set_room(self, spec: SetRoom) -> int:
        """The dense index of a room, made if it is new."""
        self.room_specs[spec.room] = spec
        return self.add_room(spec.room)

    def drop_room(self, room: int) -> int:
        self.room_specs.pop(room, None)
        return super().drop_room(room)

    def add(self, stream: int, now: float) -> int:
        row = super().add(stream, now)
        self.main_kind[row] = Kind.PCMU
        self.cn_type[row] = -1
        return row

    def configure(self, row: int, spec: SetStream, room: int, socket: int) -> None:
        """Write a stream's description into its row.

        Raises:
            ValueError: a codec is unknown or an address is none; the row is as it was.
        """
        kinds = {codec.payload_type: kind_of(codec) for codec in spec.receive}
        send = kind_of(spec.send) if spec.send else Kind.NONE
        for codec in (spec.send_event, spec.send_cn):
            if codec is not None:
                kind_of(codec)
        self.place(row, spec, room, socket)
        self.kinds[row] = 0
        if not spec.keyed or spec.srtp_receive is not None:
            for payload_type, kind in kinds.items():
                self.kinds[row, payload_type] = kind
        self.elsewhere[row] = False
        self.elsewhere[row, [n for n in spec.elsewhere if 0 <= n < 128]] = True
        self.bundled[row] = bool(spec.elsewhere)
        speech = [kind for kind in kinds.values() if kind not in (Kind.CN, Kind.EVENT)]
        self.main_kind[row] = speech[0] if speech else (send or Kind.PCMU)
        mute = spec.keyed and spec.srtp_send is None
        self._configure_sending(row, spec, Kind.NONE if mute else send)
        self.muted[row], self.deaf[row] = spec.muted, spec.deaf
        self.gain_in[row], self.gain_out[row] = spec.gain_in, spec.gain_out
        self.level_id[row], self.inband[row] = spec.levels, spec.inband_dtmf

    def _configure_sending(self, row: int, spec: SetStream, send: Kind) -> None:
        if self.send_kind[row] != send:
            self.marker[row] = True
        self.send_kind[row] = send
        self.send_type[row] = spec.send.payload_type if spec.send else 0
        ptime = min(max(spec.ptime - spec.ptime % 10, 10), 60)
        # Opus has no frames of 30 or 50 ms (RFC 7587 §4.2): then its packets are shorter, which ptime allows.
        self.ptime[row] = {30: 20, 50: 40}.get(ptime, ptime) if send == Kind.OPUS else ptime
        if send == Kind.L16_48:  # 20 ms are 1,920 bytes: no packet may be longer than a slot of ours
            self.ptime[row] = min(ptime, 20)
        self.event_type[row] = spec.send_event.payload_type if spec.send_event else 0
        self.cn_type[row] = spec.send_cn.payload_type if spec.send_cn else -1

    def clock(self, rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """(n,) RTP clock rates of what the rows' streams send us."""
        rates: NDArray[np.int32] = CLOCK_RATE[self.main_kind[rows]]
        return rates


def _report_way(spec: StreamSpec) -> tuple[object, ...]:
    """What its RTCP's way depends on."""
    return spec.remote_rtcp, spec.port, spec.rtcp_mux, spec.remote if spec.fixed else None


def _words(address: Address | None) -> NDArray[np.uint32] | None:
    return None if address is None or address.port == 0 else address_words(address.host, address.port)
