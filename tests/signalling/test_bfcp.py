"""Floor control (RFC 8855): messages, and transcripts of clients with the server, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling import bfcp
from bridge.signalling.bfcp import (
    Assembly,
    Attribute,
    BfcpError,
    Error,
    Fragment,
    Kind,
    Message,
    Primitive,
    Status,
    Stream,
)
from bridge.signalling.bfcp_server import (
    BURST,
    QUEUE,
    REPETITIONS,
    T1,
    T2,
    FloorLeft,
    FloorServer,
    FloorWanted,
    Holder,
    Peer,
)

UDP = Peer("udp", ("192.0.2.9", 5000))
TCP = Peer("tcp", ("192.0.2.9", 40000), 1)
FLOOR = bfcp.number(Kind.FLOOR_ID, 1)

# A FloorRequest for floor 1 as an implementation would write it: version 1, conference 4711, transaction 7, user 3.
REQUEST = bytes.fromhex("20 01 0001 00001267 0007 0003 0504 0001")


class Client:
    """One end; the network between is perfect unless a test says otherwise."""

    def __init__(
        self, server: FloorServer, conference: int = 4711, user: int = 3, peer: Peer = UDP, version: int = 2
    ) -> None:
        self.server, self.conference, self.user, self.peer = server, conference, user, peer
        self.version = 1 if peer.transport == "tcp" else version
        self.transaction = 0
        self.now = 0.0
        server.admit(conference, user)

    def send(self, primitive: Primitive, *attributes: Attribute, transaction: int = 0, **kw: int) -> list[Message]:
        """What the server answers at once."""
        self.transaction += not transaction
        conference, user = kw.get("conference", self.conference), kw.get("user", self.user)
        number = transaction or self.transaction
        message = Message(primitive, conference, number, user, attributes, self.version)
        self.server.receive(bfcp.build(message), self.peer, self.now)
        return self.take()

    def take(self) -> list[Message]:
        out = list(self.server.datagrams())
        assert all(peer == self.peer for _, peer in out)
        return [bfcp.parse(data, peer.transport) for data, peer in out]

    def acknowledge(self, notice: Message) -> list[Message]:
        kind = {
            Primitive.FLOOR_REQUEST_STATUS: Primitive.FLOOR_REQUEST_STATUS_ACK,
            Primitive.FLOOR_STATUS: Primitive.FLOOR_STATUS_ACK,
        }[Primitive(notice.primitive)]
        return self.send(kind, transaction=notice.transaction)

    def wait(self, seconds: float) -> list[Message]:
        found: list[Message] = []
        end = self.now + seconds
        while (due := self.server.deadline()) is not None and due <= end:
            self.now = due
            self.server.expire(self.now)
            found += self.take()
        self.now = end
        return found


def states(message: Message) -> tuple[int, Status]:
    """Request and status of a FloorRequestStatus."""
    information = message.first(Kind.FLOOR_REQUEST_INFORMATION)
    assert information is not None
    overall = next(each for each in information.inside if each.kind == Kind.OVERALL_REQUEST_STATUS)
    assert overall.number == information.number
    return information.number, Status(overall.inside[0].content[0])


def error(messages: Sequence[Message]) -> Error:
    [message] = messages
    assert message.primitive == Primitive.ERROR
    attribute = message.first(Kind.ERROR_CODE)
    assert attribute is not None
    return Error(attribute.content[0])


def granted(client: Client) -> int:
    """It asks and gets; the number of its request."""
    [pending] = client.send(Primitive.FLOOR_REQUEST, FLOOR)
    number, status = states(pending)
    assert status is Status.PENDING
    assert list(client.server.events()) == [FloorWanted(client.conference)]
    client.server.show(client.conference, Holder(client.conference, "Ann"), client.now)
    [notice] = client.take()
    assert states(notice) == (number, Status.GRANTED)
    if client.peer.transport == "udp":
        client.acknowledge(notice)
    return number


def depth(attribute: Attribute) -> int:
    """Groups within each other."""
    return 1 + max(map(depth, attribute.inside), default=0) if attribute.kind in bfcp.GROUPS else 0


class TestMessages:
    def test_a_known_request_reads_as_it_is(self) -> None:
        message = bfcp.parse(REQUEST, "tcp")
        assert message == Message(
            Primitive.FLOOR_REQUEST, 4711, 7, 3, (Attribute(Kind.FLOOR_ID, b"\0\1", (), True),), 1
        )
        assert bfcp.build(message) == REQUEST

    def test_padding_is_not_content(self) -> None:
        name = bfcp.text(Kind.USER_DISPLAY_NAME, "Zoé")
        data = bfcp.build(Message(Primitive.HELLO, 1, 2, 3, (name, FLOOR)))
        assert len(data) % 4 == 0
        assert bfcp.parse(data, "udp").attributes[0].text == "Zoé"

    def test_names_are_cut_between_characters(self) -> None:
        assert bfcp.text(Kind.USER_DISPLAY_NAME, "é" * 100).text == "é" * 32

    @pytest.mark.parametrize(
        ("data", "transport", "code"),
        [
            (b"", "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:11], "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:-1], "udp", Error.INCORRECT_LENGTH),
            (REQUEST + b"\0\0\0\0", "udp", Error.INCORRECT_LENGTH),
            (b"\x60" + REQUEST[1:], "udp", Error.UNSUPPORTED_VERSION),
            (b"\x40" + REQUEST[1:], "tcp", Error.UNSUPPORTED_VERSION),
            (REQUEST[:2] + b"\xff\xff" + REQUEST[4:], "udp", Error.INCORRECT_LENGTH),
            (REQUEST[:12] + b"\x05\x01\0\1", "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:12] + b"\x05\x05\0\1", "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:12] + b"\x05\x03\0\1", "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:12] + b"\x1f\x02\0\1", "udp", Error.UNABLE_TO_PARSE),
            (REQUEST[:12] + b"\x7d\x04\0\1", "udp", Error.UNKNOWN_ATTRIBUTE),
        ],
    )
    def test_what_is_none_raises_one_exception_that_says_what_to_answer(
        self, data: bytes, transport: bfcp.Transport, code: Error
    ) -> None:
        with pytest.raises(BfcpError) as found:
            bfcp.parse(data, transport)
        assert found.value.code is code

    def test_unknown_attributes_that_need_not_be_understood_are_passed_over(self) -> None:
        assert bfcp.parse(REQUEST[:12] + b"\x7c\x04\0\1", "tcp").attributes == ()

    def test_groups_within_groups_end_somewhere(self) -> None:
        nested = Attribute(Kind.OVERALL_REQUEST_STATUS, b"\0\1")
        for _ in range(5):
            nested = Attribute(Kind.FLOOR_REQUEST_INFORMATION, b"\0\1", (nested,))
        with pytest.raises(BfcpError):
            bfcp.parse(bfcp.build(Message(Primitive.HELLO, 1, 2, 3, (nested,))), "udp")

    @given(st.binary(max_size=200))
    def test_any_bytes_raise_nothing_else(self, data: bytes) -> None:
        for transport in ("udp", "tcp"):
            try:
                bfcp.read(data, transport)  # type: ignore[arg-type]
            except BfcpError:
                continue

    attributes = st.recursive(
        st.builds(bfcp.number, st.sampled_from(sorted(bfcp.NUMBERS)), st.integers(0, 65535))
        | st.builds(lambda text: bfcp.text(Kind.STATUS_INFO, text), st.text(max_size=20)),
        lambda inside: st.builds(
            lambda kind, value, parts: bfcp.group(kind, value, *parts),
            st.sampled_from(sorted(bfcp.GROUPS)), st.integers(0, 65535), st.lists(inside, max_size=2),
        ),
        max_leaves=4,
    )  # fmt: skip

    @given(
        st.builds(
            Message,
            st.sampled_from(Primitive),
            st.integers(0, 2**32 - 1),
            st.integers(0, 65535),
            st.integers(0, 65535),
            st.lists(attributes, max_size=4).map(tuple),
            st.sampled_from([1, 2]),
            st.booleans(),
        )
    )
    def test_what_is_written_is_read_again(self, message: Message) -> None:
        if all(depth(each) <= bfcp.DEPTH for each in message.attributes):
            assert bfcp.parse(bfcp.build(message), "udp") == message


def parts(data: bytes, size: int) -> list[bytes]:
    """A message in fragments of ``size`` octets."""
    head, body = data[:12], data[12:]
    found = []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        found.append(
            bytes((head[0] | 8,)) + head[1:] + (at // 4).to_bytes(2, "big") + (len(part) // 4).to_bytes(2, "big") + part
        )
    return found


class TestFragments:
    data = bfcp.build(
        Message(Primitive.FLOOR_REQUEST, 4711, 7, 3, (FLOOR, bfcp.text(Kind.PARTICIPANT_PROVIDED_INFO, "x" * 40)))
    )

    @given(st.permutations(range(6)))
    def test_are_put_together_in_whatever_order(self, order: list[int]) -> None:
        assembly = Assembly()
        found = []
        for place in order:
            fragment = bfcp.read(parts(self.data, 8)[place], "udp")
            assert isinstance(fragment, Fragment)
            found.append(assembly.take(fragment))
        assert [message for message in found if message is not None] == [bfcp.parse(self.data, "udp")]

    def test_that_overlap_are_refused(self) -> None:
        assembly = Assembly()
        first, second = parts(self.data, 24)[:2]
        shifted = second[:12] + b"\0\4" + second[14:]
        fragments = [bfcp.read(part, "udp") for part in (first, shifted)]
        assert isinstance(fragments[0], Fragment)
        assert isinstance(fragments[1], Fragment)
        assembly.take(fragments[0])
        with pytest.raises(BfcpError):
            assembly.take(fragments[1])

    def test_reach_the_server(self) -> None:
        server = FloorServer()
        client = Client(server)
        for part in parts(self.data, 16):
            server.receive(part, UDP, 0.0)
        [answer] = client.take()
        assert states(answer)[1] is Status.PENDING

    def test_of_a_message_that_never_ends_keep_no_more_than_one(self) -> None:
        assembly = Assembly()
        for transaction in range(100):
            whole = bfcp.build(Message(Primitive.FLOOR_REQUEST, 4711, transaction, 3, (FLOOR, FLOOR, FLOOR)))
            fragment = bfcp.read(parts(whole, 4)[0], "udp")
            assert isinstance(fragment, Fragment)
            assert assembly.take(fragment) is None
        assert len(assembly._parts) == 1


class TestStreams:
    @given(st.lists(st.integers(1, 9), max_size=60))
    def test_messages_come_out_whole_however_they_are_cut(self, cuts: list[int]) -> None:
        data, stream, found = REQUEST * 5, Stream(), []
        for cut in [*cuts, len(data)]:
            found += stream.feed(data[:cut])
            data = data[cut:]
        assert found == [REQUEST] * 5

    def test_anything_else_ends_it(self) -> None:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x20\x01\xff\xff" + bytes(8)):
            with pytest.raises(BfcpError):
                list(Stream().feed(junk))


class TestScenarios:
    @pytest.mark.parametrize("peer", [UDP, TCP])
    def test_hello_request_grant_release(self, peer: Peer) -> None:
        server = FloorServer()
        client = Client(server, peer=peer)
        [hello] = client.send(Primitive.HELLO)
        assert hello.primitive == Primitive.HELLO_ACK
        primitives = hello.first(Kind.SUPPORTED_PRIMITIVES)
        assert primitives is not None
        assert {Primitive.FLOOR_REQUEST, Primitive.FLOOR_RELEASE, Primitive.FLOOR_STATUS} <= set(primitives.content)
        assert hello.transaction == client.transaction
        assert hello.response is (peer is UDP)
        number = granted(client)
        [released] = client.send(Primitive.FLOOR_RELEASE, bfcp.number(Kind.FLOOR_REQUEST_ID, number))
        assert states(released) == (number, Status.RELEASED)
        assert list(server.events()) == [FloorLeft(4711)]
        server.show(4711, None, client.now)
        assert client.take() == []
        assert server.deadline() is None

    def test_another_takes_it_and_the_first_is_told(self) -> None:
        server = FloorServer()
        first, second = Client(server), Client(server, 4712, 9, Peer("udp", ("192.0.2.10", 5000)))
        number = granted(first)
        second.send(Primitive.FLOOR_REQUEST, FLOOR)
        holder = Holder(4712, "Bob")
        server.show(4711, holder, 0.0)
        [revoked] = first.take()
        assert states(revoked) == (number, Status.REVOKED)
        assert not revoked.response
        first.acknowledge(revoked)
        server.show(4712, holder, 0.0)
        [notice] = second.take()
        assert states(notice)[1] is Status.GRANTED
        assert (
            error(first.send(Primitive.FLOOR_RELEASE, bfcp.number(Kind.FLOOR_REQUEST_ID, number)))
            is Error.NO_SUCH_REQUEST
        )
        assert list(server.events()) == [FloorWanted(4712)]

    def test_a_room_that_says_no(self) -> None:
        server = FloorServer()
        client = Client(server)
        client.send(Primitive.FLOOR_REQUEST, FLOOR)
        server.deny(4711, 0.0)
        [denied] = client.take()
        assert states(denied)[1] is Status.DENIED
        client.acknowledge(denied)
        list(server.events())
        assert granted(client)

    def test_a_request_that_is_withdrawn(self) -> None:
        server = FloorServer()
        client = Client(server)
        [pending] = client.send(Primitive.FLOOR_REQUEST, FLOOR)
        [cancelled] = client.send(Primitive.FLOOR_RELEASE, bfcp.number(Kind.FLOOR_REQUEST_ID, states(pending)[0]))
        assert states(cancelled)[1] is Status.CANCELLED
        assert list(server.events()) == [FloorWanted(4711), FloorLeft(4711)]

    def test_who_asks_again_gets_the_state_of_the_same_request(self) -> None:
        server = FloorServer()
        client = Client(server)
        number = granted(client)
        [again] = client.send(Primitive.FLOOR_REQUEST, FLOOR)
        assert states(again) == (number, Status.GRANTED)
        assert list(server.events()) == []
        [queried] = client.send(Primitive.FLOOR_REQUEST_QUERY, bfcp.number(Kind.FLOOR_REQUEST_ID, number))
        assert states(queried) == (number, Status.GRANTED)
        [user] = client.send(Primitive.USER_QUERY)
        assert user.primitive == Primitive.USER_STATUS
        assert states(user) == (number, Status.GRANTED)

    def test_who_watches_the_floor_is_told_who_has_it(self) -> None:
        server = FloorServer()
        client = Client(server)
        [status] = client.send(Primitive.FLOOR_QUERY, FLOOR)
        assert status.first(Kind.FLOOR_REQUEST_INFORMATION) is None
        server.show(4711, Holder(0, "Zoé"), 0.0)
        [told] = client.take()
        assert told.primitive == Primitive.FLOOR_STATUS
        information = told.first(Kind.FLOOR_REQUEST_INFORMATION)
        assert information is not None
        [beneficiary] = [each for each in information.inside if each.kind == Kind.BENEFICIARY_INFORMATION]
        assert beneficiary.inside[0].text == "Zoé"
        assert beneficiary.number != client.user
        client.acknowledge(told)
        server.show(4711, Holder(0, "Zoé"), 0.0)
        assert client.take() == []
        server.show(4711, None, 0.0)
        [free] = client.take()
        assert free.first(Kind.FLOOR_REQUEST_INFORMATION) is None
        client.acknowledge(free)
        client.send(Primitive.FLOOR_QUERY)
        server.show(4711, Holder(0, "Zoé"), 0.0)
        assert client.take() == []

    def test_goodbye_gives_the_floor_back(self) -> None:
        server = FloorServer()
        client = Client(server)
        granted(client)
        [answer] = client.send(Primitive.GOODBYE)
        assert answer.primitive == Primitive.GOODBYE_ACK
        assert list(server.events()) == [FloorLeft(4711)]
        server.show(4711, Holder(0, "Bob"), 0.0)
        assert client.take() == []

    def test_a_connection_that_ends_gives_it_back(self) -> None:
        server = FloorServer()
        client = Client(server, peer=TCP)
        granted(client)
        server.disconnected(Peer("tcp", ("192.0.2.9", 40000), 2))
        assert list(server.events()) == []
        server.disconnected(TCP)
        assert list(server.events()) == [FloorLeft(4711)]

    def test_old_phones_speak_version_1_over_udp(self) -> None:
        client = Client(FloorServer(), version=1)
        [hello] = client.send(Primitive.HELLO)
        assert (hello.version, hello.response) == (1, False)
        granted(client)


class TestErrors:
    @pytest.mark.parametrize(
        ("primitive", "attributes", "code"),
        [
            (Primitive.FLOOR_REQUEST, (), Error.INVALID_FLOOR),
            (Primitive.FLOOR_REQUEST, (bfcp.number(Kind.FLOOR_ID, 2),), Error.INVALID_FLOOR),
            (Primitive.FLOOR_REQUEST, (FLOOR, bfcp.number(Kind.BENEFICIARY_ID, 9)), Error.UNAUTHORIZED),
            (Primitive.FLOOR_RELEASE, (), Error.NO_SUCH_REQUEST),
            (Primitive.FLOOR_RELEASE, (bfcp.number(Kind.FLOOR_REQUEST_ID, 9),), Error.NO_SUCH_REQUEST),
            (Primitive.FLOOR_REQUEST_QUERY, (bfcp.number(Kind.FLOOR_REQUEST_ID, 9),), Error.NO_SUCH_REQUEST),
            (Primitive.FLOOR_QUERY, (bfcp.number(Kind.FLOOR_ID, 2),), Error.INVALID_FLOOR),
            (Primitive.USER_QUERY, (bfcp.number(Kind.BENEFICIARY_ID, 9),), Error.UNAUTHORIZED),
            (Primitive.CHAIR_ACTION, (), Error.UNAUTHORIZED),
            (Primitive.USER_STATUS, (), Error.UNKNOWN_PRIMITIVE),
        ],
    )
    def test_are_told(self, primitive: Primitive, attributes: tuple[Attribute, ...], code: Error) -> None:
        server = FloorServer()
        client = Client(server)
        assert error(client.send(primitive, *attributes)) is code
        assert list(server.events()) == []

    def test_a_malformed_message_is_counted_and_answered(self) -> None:
        server = FloorServer()
        client = Client(server)
        bad = bfcp.build(Message(Primitive.FLOOR_REQUEST, 4711, 7, 3))[:12]
        server.receive(bad[:2] + b"\0\1" + bad[4:] + b"\x7d\4\0\1", UDP, 0.0)
        [answer] = client.take()
        assert error([answer]) is Error.UNKNOWN_ATTRIBUTE
        attribute = answer.first(Kind.ERROR_CODE)
        assert attribute is not None
        assert attribute.content == bytes((4, 62 << 1))
        assert server.malformed == 1

    @pytest.mark.parametrize("wrong", [{"conference": 1}, {"user": 1}])
    def test_strangers_get_no_answer_over_udp_and_a_word_over_tcp(self, wrong: dict[str, int]) -> None:
        server = FloorServer()
        assert Client(server).send(Primitive.FLOOR_REQUEST, FLOOR, **wrong) == []
        code = Error.NO_SUCH_CONFERENCE if "conference" in wrong else Error.NO_SUCH_USER
        assert error(Client(server, peer=TCP).send(Primitive.FLOOR_REQUEST, FLOOR, **wrong)) is code
        assert server.strangers == 2
        assert list(server.events()) == []

    def test_who_comes_from_elsewhere_is_a_stranger(self) -> None:
        server = FloorServer()
        client = Client(server)
        server.admit(4711, 3, hosts=frozenset({"192.0.2.8"}))
        assert client.send(Primitive.HELLO) == []
        server.admit(4711, 3, hosts=frozenset({"192.0.2.8", "192.0.2.9"}))
        assert client.send(Primitive.HELLO)

    def test_after_the_call_there_is_nobody(self) -> None:
        server = FloorServer()
        client = Client(server)
        granted(client)
        server.dismiss(4711)
        assert client.send(Primitive.HELLO) == []
        assert len(server) == 0
        server.show(4711, None, 0.0)
        server.deny(4711, 0.0)


class TestLoss:
    def test_an_answer_that_got_lost_is_given_again_and_nothing_is_done_twice(self) -> None:
        server = FloorServer()
        client = Client(server)
        first = client.send(Primitive.FLOOR_REQUEST, FLOOR)
        again = client.send(Primitive.FLOOR_REQUEST, FLOOR, transaction=client.transaction)
        assert again == first
        assert list(server.events()) == [FloorWanted(4711)]
        client.now += T2 + 1
        [later] = client.send(Primitive.FLOOR_REQUEST, FLOOR, transaction=client.transaction)
        assert states(later) == states(first[0])

    def test_a_notice_is_repeated_until_it_is_acknowledged(self) -> None:
        server = FloorServer()
        client = Client(server)
        client.send(Primitive.FLOOR_REQUEST, FLOOR)
        server.show(4711, Holder(4711, "Ann"), 0.0)
        [notice] = client.take()
        assert server.deadline() == T1
        assert client.wait(T1) == [notice]
        assert client.wait(2 * T1) == [notice]
        client.acknowledge(notice)
        assert server.deadline() is None
        assert client.wait(60) == []

    def test_who_acknowledges_nothing_is_gone(self) -> None:
        server = FloorServer()
        client = Client(server)
        client.send(Primitive.FLOOR_REQUEST, FLOOR)
        server.show(4711, Holder(4711, "Ann"), 0.0)
        list(server.events())
        client.take()
        assert len(client.wait(60)) == REPETITIONS
        assert list(server.events()) == [FloorLeft(4711)]
        assert client.send(Primitive.HELLO), "and may come back"

    def test_only_the_right_acknowledgement_counts(self) -> None:
        server = FloorServer()
        client = Client(server)
        client.send(Primitive.FLOOR_QUERY, FLOOR)
        server.show(4711, Holder(0, "Bob"), 0.0)
        [notice] = client.take()
        client.send(Primitive.FLOOR_REQUEST_STATUS_ACK, transaction=notice.transaction)
        client.send(Primitive.FLOOR_STATUS_ACK, transaction=notice.transaction + 1)
        assert client.wait(T1) == [notice]

    def test_notices_go_one_at_a_time_and_are_not_piled_up(self) -> None:
        server = FloorServer()
        client = Client(server)
        client.send(Primitive.FLOOR_QUERY, FLOOR)
        for number in range(50):
            server.show(4711, Holder(0, f"P{number}"), 0.0)
        [first] = client.take()
        seen = [first]
        while more := client.acknowledge(seen[-1]):
            seen += more
        assert len(seen) == 1 + QUEUE
        last = seen[-1].first(Kind.FLOOR_REQUEST_INFORMATION)
        assert last is not None
        assert last.inside[-1].inside[0].text == "P49"

    def test_a_flood_is_not_answered_for_ever(self) -> None:
        client = Client(FloorServer())
        answers = sum(len(client.send(Primitive.HELLO)) for _ in range(1000))
        assert answers == BURST
        client.now += 1.0
        assert client.send(Primitive.HELLO)


@given(st.data())
def test_nothing_that_comes_hurts_anybody_else(data: st.DataObject) -> None:
    server = FloorServer()
    good = Client(server, 99, 9, Peer("udp", ("192.0.2.99", 5000)))
    number = granted(good)
    bad = Client(server)
    for step in range(data.draw(st.integers(1, 8))):
        whole = bfcp.build(
            Message(
                data.draw(st.sampled_from(list(Primitive))), 4711, step, 3,
                tuple(data.draw(st.lists(TestMessages.attributes, max_size=3))), data.draw(st.sampled_from([1, 2])),
            )
        )  # fmt: skip
        mangled = bytearray(whole)
        for _ in range(data.draw(st.integers(0, 3))):
            mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(mangled)))
        sent = bytes(mangled) if data.draw(st.booleans()) else bytes(mangled[:cut])
        server.receive(sent, bad.peer, 0.0)
        for out, _ in server.datagrams():
            bfcp.parse(out, "udp")
    assert all(event.conference == 4711 for event in server.events())
    [state] = good.send(Primitive.FLOOR_REQUEST_QUERY, bfcp.number(Kind.FLOOR_REQUEST_ID, number))
    assert states(state) == (number, Status.GRANTED)
