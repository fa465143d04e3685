"""The table of streams: rows are reused and clean, addresses are nobody's but one's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.media.srtp import SPARE
from bridge.media.wire import STRIDE, address_words
from bridge.worker.kind import Kind
from bridge.worker.protocol import Address, CodecSpec, SendState, SetRoom, SetStream
from bridge.worker.table import EXPECTED, LATCHED, NO_ADDRESS, AddressTable, StreamTable, TableFull

PCMU = CodecSpec("PCMU", 0, 8000)
OPUS = CodecSpec("OPUS", 96, 48000, 2)
CAPACITY, SOCKETS = 6, 2
HOSTS = [Address("127.0.0.1", 4000 + n) for n in range(3)] + [Address("::1", 4000)]


def spec(stream: int, remote: Address | None = HOSTS[0], **fields) -> SetStream:
    return SetStream(
        **(
            {
                "stream": stream,
                "room": 0,
                "port": 22500,
                "remote": remote,
                "remote_rtcp": None,
                "rtcp_mux": True,
                "send": PCMU,
                "receive": (PCMU,),
            }
            | fields
        )
    )


def table() -> StreamTable:
    return StreamTable(CAPACITY, SOCKETS, np.random.default_rng(1))


def found(streams: StreamTable, socket: int, address: Address) -> int:
    words = address_words(address.host, address.port)
    return int(streams.by_source.find(AddressTable.keys(np.array([socket]), words[None]))[0])


class Streams(RuleBasedStateMachine):
    """Any order of joins, changes, packets and leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.table = table()
        self.next = 1

    @rule(remote=st.sampled_from([None, *HOSTS]), socket=st.integers(0, SOCKETS - 1))
    def join(self, remote: Address | None, socket: int) -> None:
        stream, self.next = self.next, self.next + 1
        try:
            row = self.table.add(stream, 0.0)
        except TableFull:
            assert len(self.table.rows) == CAPACITY
            return
        assert self.table.sent[row] == 0
        assert not self.table.kinds[row].any()
        self.table.configure(row, spec(stream, remote), 0, socket)

    @precondition(lambda self: self.table.rows)
    @rule(data=st.data(), remote=st.sampled_from([None, *HOSTS]), socket=st.integers(0, SOCKETS - 1))
    def change(self, data: st.DataObject, remote: Address | None, socket: int) -> None:
        stream = data.draw(st.sampled_from(sorted(self.table.rows)))
        port = 22500 + 2 * socket
        self.table.configure(self.table.rows[stream], spec(stream, remote, port=port), 0, socket)

    @precondition(lambda self: self.table.rows)
    @rule(data=st.data(), source=st.sampled_from(HOSTS))
    def packet(self, data: st.DataObject, source: Address) -> None:
        """From an address that is nobody's, or its own."""
        row = self.table.rows[data.draw(st.sampled_from(sorted(self.table.rows)))]
        if found(self.table, int(self.table.socket[row]), source) in (-1, row):
            self.table.latch_at(row, address_words(source.host, source.port))

    @precondition(lambda self: self.table.rows)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.table.remove(data.draw(st.sampled_from(sorted(self.table.rows))))

    @invariant()
    def an_address_leads_to_a_living_row_that_has_it(self) -> None:
        for socket in range(SOCKETS):
            for address in HOSTS:
                row = found(self.table, socket, address)
                if row >= 0:
                    assert self.table.live[row]
                    assert self.table.socket[row] == socket
                    assert (self.table.names[row, :6] == address_words(address.host, address.port)[:6]).all()

    @invariant()
    def the_latched_are_found(self) -> None:
        for row in np.flatnonzero(self.table.live & (self.table.latch == LATCHED)).tolist():
            keys = AddressTable.keys(self.table.socket[row : row + 1], self.table.names[row : row + 1])
            assert self.table.by_source.find(keys)[0] == row

    @invariant()
    def whoever_is_pending_lives_and_is_not_latched(self) -> None:
        for socket, row in enumerate(self.table.pending.tolist()):
            if row >= 0:
                assert self.table.live[row]
                assert self.table.socket[row] == socket
                assert self.table.latch[row] != LATCHED

    @invariant()
    def every_row_is_free_or_taken(self) -> None:
        assert len(self.table._free) + len(self.table.rows) == CAPACITY
        assert int(self.table.live.sum()) == len(self.table.rows)


Streams.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStreams = Streams.TestCase


def test_a_full_table_says_so() -> None:
    streams = table()
    for stream in range(CAPACITY):
        streams.add(stream, 0.0)
    with pytest.raises(TableFull, match="holds 6"):
        streams.add(99, 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"receive": (CodecSpec("GSM", 3, 8000),)},
        {"send": CodecSpec("L16", 11, 44100)},
        {"receive": (CodecSpec("PCMU", 128, 8000),)},
        {"send_event": CodecSpec("TELEPHONE-EVENT", -1, 8000)},
        {"send_cn": CodecSpec("CN", 300, 8000)},
        {"send_state": SendState(1 << 40, 0, 0)},
        {"remote": Address("example.org", 4000)},
        {"remote": Address("127.0.0.1", 70000)},
        {"remote_rtcp": Address("x", 4001)},
    ],
)
def test_a_description_that_makes_no_sense_changes_nothing(bad: dict) -> None:
    streams = table()
    row = streams.add(1, 0.0)
    streams.configure(row, spec(1), 0, 0)
    before = {name: np.copy(column) for name, column in vars(streams).items() if isinstance(column, np.ndarray)}
    with pytest.raises(ValueError):
        streams.configure(row, spec(1, **bad), 0, 1)
    assert streams.specs[1] == spec(1)
    for name, column in before.items():
        assert np.array_equal(column, getattr(streams, name)), name


@pytest.mark.parametrize(
    ("ptime", "sent"), [(10, 10), (20, 20), (25, 20), (30, 30), (40, 40), (60, 60), (5, 10), (90, 60)]
)
def test_packet_times_are_those_we_can_send(ptime: int, sent: int) -> None:
    streams = table()
    row = streams.add(1, 0.0)
    streams.configure(row, spec(1, ptime=ptime), 0, 0)
    assert streams.ptime[row] == sent
    streams.configure(row, spec(1, ptime=ptime, send=OPUS), 0, 0)
    assert streams.ptime[row] == {30: 20}.get(sent, sent)
    streams.configure(row, spec(1, ptime=ptime, send=CodecSpec("L16", 97, 48000)), 0, 0)
    assert 96 * streams.ptime[row] + 12 + SPARE <= STRIDE


def test_the_numbers_of_a_stream_that_goes_on_are_taken_once() -> None:
    streams = table()
    row = streams.add(1, 0.0)
    state = SendState(77, 65000, 123, 4)
    streams.configure(row, spec(1, send_state=state), 0, 0)
    assert (streams.ssrc[row], streams.sequence[row], streams.timestamp[row], streams.rollover[row]) == (
        77,
        65000,
        123,
        4,
    )
    streams.sent[row], streams.sequence[row] = 5, 65005
    streams.configure(row, spec(1, send_state=state), 0, 0)
    assert streams.sequence[row] == 65005


def test_first_numbers_are_random_and_far_from_the_wrap() -> None:
    streams = table()
    rows = [streams.add(stream, 0.0) for stream in range(CAPACITY)]
    assert len({int(streams.ssrc[row]) for row in rows}) == CAPACITY
    assert all(streams.sequence[row] < 1 << 15 for row in rows)


def test_room_indices_are_reused_and_a_dropped_rooms_streams_are_in_none() -> None:
    streams = table()
    one, two = streams.set_room(SetRoom(10)), streams.set_room(SetRoom(20))
    assert streams.set_room(SetRoom(10, agc=True)) == one
    row = streams.add(1, 0.0)
    streams.configure(row, spec(1, room=10), one, 0)
    assert streams.drop_room(10) == one
    assert streams.room[row] == 0
    assert streams.drop_room(10) == 0
    assert streams.set_room(SetRoom(30)) == one != two


def test_latches_go_from_nothing_to_expected_to_latched() -> None:
    streams = table()
    row = streams.add(1, 0.0)
    streams.configure(row, spec(1, None), 0, 0)
    assert streams.latch[row] == NO_ADDRESS
    streams.configure(row, spec(1), 0, 0)
    assert streams.latch[row] == EXPECTED
    assert streams.latch_at(row, address_words(*msg(HOSTS[0])))
    assert streams.latch[row] == LATCHED
    assert not streams.latch_at(row, address_words(*msg(HOSTS[0])))
    assert streams.latch_at(row, address_words(*msg(HOSTS[1])))
    streams.configure(row, spec(1, muted=True), 0, 0)
    assert streams.latch[row] == LATCHED  # nothing of its address changed


def msg(address: Address) -> tuple[str, int]:
    return address.host, address.port


def test_what_each_payload_type_means() -> None:
    streams = table()
    row = streams.add(1, 0.0)
    receive = (OPUS, PCMU, CodecSpec("telephone-event", 101, 8000), CodecSpec("CN", 13, 8000))
    streams.configure(row, spec(1, receive=receive), 0, 0)
    assert streams.kinds[row, [96, 0, 101, 13, 8]].tolist() == [Kind.OPUS, Kind.PCMU, Kind.EVENT, Kind.CN, Kind.NONE]
    assert streams.main_kind[row] == Kind.OPUS
