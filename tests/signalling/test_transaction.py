"""The four machines, matching, response routing and the answers that the layer gives by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, Response, parse
from bridge.signalling.transaction import (
    T1,
    Acknowledged,
    Cancelled,
    ClientEnded,
    LayerEvent,
    Overloaded,
    RequestReceived,
    ResponseReceived,
    TransactionFailed,
    TransactionLayer,
    Unreadable,
)

US, THEM = ("192.0.2.1", 5060), ("192.0.2.9", 40000)
UDP = Flow(Transport.UDP, US, THEM)
TCP = Flow(Transport.TCP, US, THEM)


class Bench:
    """A layer with its time."""

    def __init__(self, **kw: object) -> None:
        self.layer = TransactionLayer(random.Random(3), **kw)  # type: ignore[arg-type]
        self.now = 0.0
        self.sent: list[tuple[float, bytes, Flow]] = []

    def receive(self, message: Request | Response | bytes, flow: Flow = UDP) -> list[LayerEvent]:
        self.layer.receive(bytes(message), flow, self.now)
        return self.drain()

    def drain(self) -> list[LayerEvent]:
        self.sent += [(self.now, data, flow) for data, flow in self.layer.outgoing()]
        return list(self.layer.events())

    def run(self, seconds: float) -> list[LayerEvent]:
        end = self.now + seconds
        events = self.drain()
        for _ in range(1000):
            when = self.layer.deadline()
            if when is None or when > end:
                break
            self.now = when
            self.layer.expire(self.now)
            events += self.drain()
        self.now = end
        return events

    def times(self) -> list[float]:
        self.drain()
        return [round(when, 6) for when, _, _ in self.sent]

    def messages(self) -> list[Request | Response]:
        self.drain()
        return [parse(data) for _, data, _ in self.sent if data]

    def codes(self) -> list[int]:
        return [message.status for message in self.messages() if isinstance(message, Response)]


def request(method: str = "INVITE", branch: str = "z9hG4bKa1", via: str = "192.0.2.9:40000", extra: str = "") -> bytes:
    cseq = "INVITE" if method == "INVITE" else method
    return (
        f"{method} sip:demo@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch={branch}{extra}\r\n"
        f"From: <sip:a@x>;tag=1\r\nTo: <sip:demo@192.0.2.1>\r\nCall-ID: c1\r\nCSeq: 7 {cseq}\r\n"
        "Max-Forwards: 70\r\nContact: <sip:a@192.0.2.9>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def ours(method: str = "INVITE", body: bytes = b"", route: str = "") -> Request:
    headers = [
        ("Max-Forwards", "70"),
        ("From", "<sip:demo@x>;tag=9"),
        ("To", "<sip:bob@192.0.2.9>"),
        ("Call-ID", "c2"),
        ("CSeq", f"1 {method}"),
        *([("Route", route)] if route else []),
    ]
    return Request.build(method, "sip:bob@192.0.2.9", headers, body)


def answer(bench: Bench, status: int, tag: str = "b") -> Response:
    """Their response to our last request."""
    last = [m for m in bench.messages() if isinstance(m, Request) and m.method not in ("ACK", "CANCEL")][-1]
    return Response.answering(last, status, tag=tag)


def accept(bench: Bench, events: list[LayerEvent], status: int) -> None:
    (received,) = [event for event in events if isinstance(event, RequestReceived)]
    bench.layer.respond(received.transaction, Response.answering(received.request, status, tag="t"), bench.now)
    bench.drain()


def kinds(events: list[LayerEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


# ------------------------------------------------------------------------------------------- client, INVITE


def test_an_invite_without_answer_is_sent_seven_times_and_fails_after_64_t1() -> None:
    bench = Bench()
    client = bench.layer.request(ours(), UDP, 0.0)
    events = bench.run(40)
    assert bench.times() == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert events == [TransactionFailed(client, 408, "Request Timeout"), ClientEnded(client)]
    assert len(bench.layer) == 0
    assert bench.layer.deadline() is None


def test_a_provisional_response_stops_the_retransmissions_and_every_one_is_passed_up() -> None:
    bench = Bench()
    bench.layer.request(ours(), UDP, 0.0)
    assert kinds(bench.receive(answer(bench, 100)) + bench.receive(answer(bench, 180))) == ["ResponseReceived"] * 2
    assert bench.run(300) == []
    assert len(bench.sent) == 1


@pytest.mark.parametrize(("flow", "lingers"), [(UDP, 32.0), (TCP, 0.0)])
def test_a_refusal_is_acknowledged_each_time_but_passed_up_once(flow: Flow, lingers: float) -> None:
    bench = Bench()
    client = bench.layer.request(ours(route="<sip:proxy@192.0.2.9;lr>"), flow, 0.0)
    refusal = answer(bench, 486, tag="theirs")
    events = bench.receive(refusal, flow) + bench.receive(refusal, flow)
    assert [type(e) for e in events if not isinstance(e, ClientEnded)] == [ResponseReceived]
    acks = [m for m in bench.messages() if isinstance(m, Request) and m.method == "ACK"]
    assert len(acks) == (2 if lingers else 1)
    invite = bench.messages()[0]
    assert isinstance(invite, Request)
    assert acks[0].via.branch == invite.via.branch
    assert acks[0].to.tag == "theirs"
    assert acks[0].route == ["<sip:proxy@192.0.2.9;lr>"]
    assert str(acks[0].cseq.number) == "1"
    assert ClientEnded(client) in events + bench.run(lingers)
    assert len(bench.layer) == 0


def test_every_2xx_is_passed_up_for_64_t1_and_none_is_acknowledged_here() -> None:
    bench = Bench()
    client = bench.layer.request(ours(), UDP, 0.0)
    for tag in "xxy":
        (event,) = bench.receive(answer(bench, 200, tag))
        assert isinstance(event, ResponseReceived)
    assert len(bench.sent) == 1
    assert bench.run(31.9) == []
    assert bench.run(0.2) == [ClientEnded(client)]
    assert bench.receive(answer(bench, 200)) == []


# --------------------------------------------------------------------------------------------------- CANCEL


def test_cancel_waits_for_a_provisional_response() -> None:
    bench = Bench()
    client = bench.layer.request(ours(route="<sip:p@192.0.2.9;lr>"), UDP, 0.0)
    bench.layer.cancel(client, 0.0)
    assert len(bench.messages()) == 1
    bench.receive(answer(bench, 180))
    invite, cancel = bench.messages()
    assert isinstance(cancel, Request)
    assert isinstance(invite, Request)
    assert (cancel.method, str(cancel.uri), cancel.cseq.number) == ("CANCEL", str(invite.uri), 1)
    assert cancel.headers.raw("Via") == invite.headers.raw("Via")
    assert cancel.route == invite.route
    assert cancel.to.tag is None
    bench.receive(answer(bench, 180))
    assert len(bench.messages()) == 2


def test_a_cancelled_invite_that_gets_no_final_response_ends_after_64_t1() -> None:
    bench = Bench()
    client = bench.layer.request(ours(), UDP, 0.0)
    bench.receive(answer(bench, 180))
    bench.layer.cancel(client, 0.0)
    cancel = bench.messages()[-1]
    assert isinstance(cancel, Request)
    bench.receive(Response.answering(cancel, 200, tag="b"))
    assert TransactionFailed(client, 408, "Request Timeout") in bench.run(33)
    assert len(bench.layer) == 0


def test_cancel_after_the_final_response_is_not_sent() -> None:
    bench = Bench()
    client = bench.layer.request(ours(), UDP, 0.0)
    bench.receive(answer(bench, 200))
    bench.layer.cancel(client, 0.0)
    assert len(bench.messages()) == 1


# --------------------------------------------------------------------------------------- client, non-INVITE


def test_a_request_without_answer_is_sent_at_most_every_4_s_and_fails_after_64_t1() -> None:
    bench = Bench()
    client = bench.layer.request(ours("BYE"), UDP, 0.0)
    events = bench.run(40)
    assert bench.times() == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert events == [TransactionFailed(client, 408, "Request Timeout"), ClientEnded(client)]


def test_after_a_provisional_response_a_request_is_sent_every_4_s_still() -> None:
    bench = Bench()
    bench.layer.request(ours("BYE"), UDP, 0.0)
    bench.receive(answer(bench, 100))
    events = bench.run(40)
    assert bench.times() == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert kinds(events) == ["TransactionFailed", "ClientEnded"]


def test_a_final_response_is_passed_up_once() -> None:
    bench = Bench()
    client = bench.layer.request(ours("BYE"), UDP, 0.0)
    assert kinds(bench.receive(answer(bench, 200))) == ["ResponseReceived"]
    assert bench.receive(answer(bench, 200)) == []
    assert bench.run(5.1) == [ClientEnded(client)]
    assert len(bench.layer) == 0


def test_over_a_stream_nothing_is_sent_twice_and_nothing_lingers() -> None:
    bench = Bench()
    client = bench.layer.request(ours("OPTIONS"), TCP, 0.0)
    bench.run(10)
    assert len(bench.sent) == 1
    assert kinds(bench.receive(answer(bench, 200), TCP)) == ["ResponseReceived", "ClientEnded"]
    assert client.state == "terminated"


def test_a_response_that_matches_nothing_is_dropped() -> None:
    bench = Bench()
    bench.layer.request(ours("BYE"), UDP, 0.0)
    stray = answer(bench, 200)
    stray.headers.replace_first("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother")
    assert bench.receive(stray) == []
    other_method = answer(bench, 200)
    other_method.headers.replace_first("CSeq", "1 INVITE")
    assert bench.receive(other_method) == []


# ------------------------------------------------------------------------------------------- server, INVITE


def test_an_unanswered_invite_gets_100_after_200_ms_and_again_when_it_comes_again() -> None:
    bench = Bench()
    assert kinds(bench.receive(request())) == ["RequestReceived"]
    bench.run(0.3)
    assert (bench.codes(), bench.times()) == ([100], [0.2])
    assert bench.receive(request()) == []
    assert bench.codes() == [100, 100]


def test_a_quick_answer_spares_the_100() -> None:
    bench = Bench()
    accept(bench, bench.receive(request()), 180)
    bench.run(1)
    assert bench.codes() == [180]


def test_a_refusal_is_sent_again_until_its_ack() -> None:
    bench = Bench()
    accept(bench, bench.receive(request()), 404)
    bench.run(8)
    assert bench.times() == [0, 0.5, 1.5, 3.5, 7.5]
    assert bench.receive(request("ACK")) == []
    bench.run(4.9)
    assert bench.receive(request()) == []
    assert len(bench.sent) == 5
    assert len(bench.layer) == 1
    bench.run(0.2)
    assert len(bench.layer) == 0


def test_a_refusal_that_nobody_acknowledges_is_given_up_after_64_t1() -> None:
    bench = Bench()
    accept(bench, bench.receive(request()), 404)
    bench.run(33)
    assert bench.times()[-1] == 31.5
    assert len(bench.layer) == 0


def test_after_a_2xx_invites_are_absorbed_and_the_ack_is_passed_up() -> None:
    bench = Bench()
    events = bench.receive(request())
    accept(bench, events, 200)
    assert bench.receive(request()) == []
    assert bench.codes() == [200]
    assert kinds(bench.receive(request("ACK", branch="z9hG4bKother"))) == ["Acknowledged"]
    assert kinds(bench.receive(request("ACK"))) == ["Acknowledged"]  # a branch that should have been another
    accept(bench, events, 200)
    accept(bench, events, 486)
    assert bench.codes() == [200, 200]
    bench.run(32.1)
    assert len(bench.layer) == 0


def test_cancel_is_answered_here_and_told_while_there_is_no_final_response() -> None:
    bench = Bench()
    events = bench.receive(request())
    (received,) = events
    assert isinstance(received, RequestReceived)
    received.transaction.tag = "ours"
    assert bench.receive(request("CANCEL")) == [Cancelled(received.transaction)]
    assert bench.receive(request("CANCEL")) == []
    assert bench.codes() == [200, 200]
    assert bench.messages()[-1].to.tag == "ours"
    accept(bench, events, 487)
    assert bench.codes() == [200, 200, 487]


def test_cancel_of_what_was_answered_changes_nothing() -> None:
    bench = Bench()
    accept(bench, bench.receive(request()), 200)
    assert bench.receive(request("CANCEL")) == []
    assert bench.codes() == [200, 200]


@pytest.mark.parametrize("branch", ["z9hG4bKother", "z9hG4bKa1"])
def test_cancel_of_nothing_gets_481(branch: str) -> None:
    bench = Bench()
    if branch == "z9hG4bKa1":  # the right branch, but another call: a stranger guesses
        bench.receive(request())
        guess = request("CANCEL").replace(b"Call-ID: c1", b"Call-ID: c9")
    else:
        guess = request("CANCEL", branch=branch)
    assert bench.receive(guess) == []
    assert bench.codes() == [481]


def test_an_rfc_2543_invite_is_matched_by_its_fields() -> None:
    bench = Bench()
    accept(bench, bench.receive(request(branch="1")), 404)
    assert bench.receive(request(branch="1")) == []
    assert bench.codes() == [404, 404]
    ack = request("ACK", branch="1").replace(b"To: <sip:demo@192.0.2.1>", b"To: <sip:demo@192.0.2.1>;tag=t")
    assert bench.receive(ack) == []
    bench.run(3)
    assert bench.codes() == [404, 404]


# --------------------------------------------------------------------------------------- server, non-INVITE


def test_a_request_that_comes_again_gets_the_same_response_for_64_t1() -> None:
    bench = Bench()
    events = bench.receive(request("OPTIONS"))
    assert bench.receive(request("OPTIONS")) == []
    assert bench.sent == []
    accept(bench, events, 200)
    bench.run(31)
    assert bench.receive(request("OPTIONS")) == []
    assert len({data for _, data, _ in bench.sent}) == 1
    assert len(bench.sent) == 2
    bench.run(1.1)
    assert len(bench.layer) == 0
    assert kinds(bench.receive(request("OPTIONS"))) == ["RequestReceived"]


def test_an_abandoned_request_is_new_when_it_comes_again() -> None:
    bench = Bench()
    for _ in range(3):
        (received,) = bench.receive(request("OPTIONS"))
        assert isinstance(received, RequestReceived)
        bench.layer.abandon(received.transaction)
        assert len(bench.layer) == 0
    assert bench.sent == []
    assert bench.layer.deadline() is None


# ---------------------------------------------------------------------------------- where responses go (§18)


@pytest.mark.parametrize(
    ("via", "extra", "port", "top"),
    [
        ("192.0.2.9:40000", "", 40000, "SIP/2.0/UDP 192.0.2.9:40000;branch=z9hG4bKa1"),
        ("192.0.2.9", "", 5060, "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa1"),
        ("10.0.0.5:5070", "", 5070, "SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKa1;received=192.0.2.9"),
        (
            "10.0.0.5:5070", ";rport", 40000,
            "SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKa1;rport=40000;received=192.0.2.9",
        ),
        ("192.0.2.9", ";rport;x=1", 40000, "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa1;rport=40000;x=1;received=192.0.2.9"),
        (
            "192.0.2.9:40000", ";maddr=224.0.1.75", 40000,
            "SIP/2.0/UDP 192.0.2.9:40000;branch=z9hG4bKa1;maddr=224.0.1.75",
        ),
    ],
)  # fmt: skip
def test_a_response_over_udp_goes_to_the_source(via: str, extra: str, port: int, top: str) -> None:
    bench = Bench()
    accept(bench, bench.receive(request("OPTIONS", via=via, extra=extra)), 200)
    ((_, data, flow),) = bench.sent
    assert flow == Flow(Transport.UDP, US, ("192.0.2.9", port))
    assert parse(data).headers.raw("Via") == [top]


def test_all_vias_come_back_in_their_order() -> None:
    data = request("OPTIONS", extra=", SIP/2.0/TCP b;branch=z9hG4bKb\r\nv: SIP/2.0/UDP c;branch=z9hG4bKc")
    bench = Bench()
    accept(bench, bench.receive(data, Flow(Transport.UDP, US, ("192.0.2.8", 1))), 200)
    hops = [str(hop).partition(";")[0] for hop in bench.messages()[0].headers.getlist("Via")]
    assert hops == ["SIP/2.0/UDP 192.0.2.9:40000", "SIP/2.0/TCP b", "SIP/2.0/UDP c"]
    assert bench.messages()[0].via.parameter("received") == "192.0.2.8"


def test_a_response_over_tcp_goes_back_on_the_connection_and_elsewhere_if_that_is_gone() -> None:
    bench = Bench()
    events = bench.receive(request(via="192.0.2.9:5070"), TCP)
    accept(bench, events, 180)
    bench.layer.closed(TCP, bench.now)
    accept(bench, events, 200)
    assert [flow for _, _, flow in bench.sent] == [TCP, Flow(Transport.TCP, US, ("192.0.2.9", 5070))]
    bench.run(33)
    assert len(bench.layer) == 0


def test_our_via_names_the_advertised_address() -> None:
    bench = Bench(contact=lambda flow: ("2001:db8::5", 5080))
    bench.layer.request(ours(), UDP, 0.0)
    bench.layer.send(ours("ACK"), UDP, 0.0)
    invite, ack = bench.messages()
    assert invite.headers["Via"].startswith("SIP/2.0/UDP [2001:db8::5]:5080;branch=z9hG4bK")
    assert invite.headers["Via"].endswith(";rport")
    assert invite.via.branch != ack.via.branch


# --------------------------------------------------------------------------------- connections, large requests


def test_a_broken_connection_fails_its_transactions_and_no_others() -> None:
    bench = Bench()
    gone = bench.layer.request(ours("BYE"), TCP, 0.0)
    bench.layer.request(ours("INFO"), Flow(Transport.TCP, US, ("192.0.2.9", 40001)), 0.0)
    bench.layer.closed(Flow(Transport.TCP, ("192.0.2.77", 1), THEM), 0.0)  # whichever listener it belonged to
    assert bench.drain() == [TransactionFailed(gone, 503, "Service Unavailable"), ClientEnded(gone)]
    assert len(bench.layer) == 1


def test_a_large_request_goes_by_tcp() -> None:
    bench = Bench()
    bench.layer.request(ours(body=b"x" * 1200), UDP, 0.0)
    ((_, data, flow),) = bench.sent or [(0, d, f) for d, f in bench.layer.outgoing()]
    assert flow == TCP
    assert parse(data).via.transport == "TCP"


def test_a_large_request_falls_back_to_udp_where_tcp_fails_and_the_peer_is_remembered() -> None:
    bench = Bench()
    client = bench.layer.request(ours(body=b"x" * 1200), UDP, 0.0)
    bench.run(0.1)
    bench.layer.closed(TCP, bench.now)
    bench.run(1)
    assert [flow for _, _, flow in bench.sent] == [TCP, UDP, UDP]
    first, again, _ = bench.messages()
    assert (first.via.transport, again.via.transport) == ("TCP", "UDP")
    assert first.via.branch == again.via.branch
    assert kinds(bench.receive(Response.answering(again, 200, tag="b"))) == ["ResponseReceived"]  # type: ignore[arg-type]
    bench.layer.request(ours("INFO", body=b"x" * 1200), UDP, bench.now)
    bench.drain()
    assert bench.sent[-1][2] == UDP
    bench.run(601)
    bench.layer.send(ours("ACK", body=b"x" * 1200), UDP, bench.now)
    bench.drain()
    assert bench.sent[-1][2] == TCP
    assert client.state == "terminated"


def test_messages_in_pieces_and_joined() -> None:
    bench = Bench()
    stream = b"\r\n" + request("OPTIONS", "z9hG4bK1") + request("OPTIONS", "z9hG4bK2") + b"\r\n\r\n"
    events: list[LayerEvent] = []
    for n in range(0, len(stream), 7):
        events += bench.receive(stream[n : n + 7], TCP)
    assert kinds(events) == ["RequestReceived"] * 2
    assert [data for _, data, _ in bench.sent] == [b"\r\n"]


def test_a_stream_without_framing_is_answered_and_closed() -> None:
    bench = Bench()
    big = request("MESSAGE").replace(b"Content-Length: 0", b"Content-Length: 70000")
    assert kinds(bench.receive(big, TCP)) == ["Unreadable"]
    assert bench.codes() == [513]
    assert bench.sent[-1][1:] == (b"", TCP)


def test_a_message_that_drips_in_is_not_waited_for() -> None:
    bench = Bench()
    message = request("OPTIONS")
    for n in range(40):
        bench.receive(message[n : n + 1], TCP)
        if any(data == b"" for _, data, _ in bench.sent):
            break
        bench.run(1.0)
    assert bench.sent[-1][1:] == (b"", TCP)
    assert bench.now == 64 * T1


@pytest.mark.parametrize("more", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_a_stream_between_two_messages_is_left_open(more: bytes) -> None:
    bench = Bench()
    message = request("OPTIONS")
    bench.receive(message[:100], TCP)
    bench.run(20.0)
    bench.receive(message[100:] + more, TCP)
    bench.run(100.0)
    assert all(data for _, data, _ in bench.sent)


def test_each_message_has_the_whole_time() -> None:
    bench = Bench()
    message = request("OPTIONS")
    bench.receive(message[:10], TCP)
    for _ in range(5):
        bench.run(20.0)
        bench.receive(message[10:] + message[:10], TCP)
    assert all(data for _, data, _ in bench.sent)
    bench.layer.closed(TCP, bench.now)
    bench.run(100.0)
    assert all(data for _, data, _ in bench.sent)


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0\0\0", b"\0" * 20, b"\0\1\0\0" + b"!" * 16, b"\r\n"])
def test_keep_alives_over_udp_are_silently_taken(data: bytes) -> None:
    bench = Bench()
    assert bench.receive(data) == []
    assert bench.sent == []


# ------------------------------------------------------------------------------------------ stateless answers


def test_a_malformed_request_is_answered_without_a_transaction() -> None:
    bench = Bench()
    bad = request().replace(b"Max-Forwards: 70", b"Max-Forwards: x")
    for _ in range(2):
        assert kinds(bench.receive(bad)) == ["Unreadable"]
    assert bench.codes() == [400, 400]
    assert len({data for _, data, _ in bench.sent}) == 1
    assert len(bench.layer) == 0


def test_a_malformed_request_of_a_silenced_source_is_not_answered() -> None:
    bench = Bench(silent=lambda flow, now: flow.remote[0] == "192.0.2.9")
    assert kinds(bench.receive(request().replace(b"CSeq: 7", b"CSeq: x"))) == ["Unreadable"]
    assert bench.sent == []


def test_a_malformed_ack_is_never_answered() -> None:
    bench = Bench()
    bench.receive(request("ACK").replace(b"CSeq: 7", b"CSeq: x"))
    assert bench.sent == []


def test_a_full_table_answers_503() -> None:
    bench = Bench(limit=3)
    events: list[LayerEvent] = []
    for n in range(5):
        events += bench.receive(request("OPTIONS", f"z9hG4bK{n}"))
    assert kinds(events) == ["RequestReceived"] * 3 + ["Overloaded"] * 2
    assert events[-1] == Overloaded(UDP, "OPTIONS")
    assert bench.codes() == [503, 503]
    assert 5 <= int(bench.messages()[-1].headers["Retry-After"]) <= 10
    assert len(bench.layer) == 3


def test_any_source_of_unreadable_bytes_is_told_about() -> None:
    bench = Bench()
    (event,) = bench.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(event, Unreadable)
    assert bench.sent == []


# ------------------------------------------------------------------------------------------------- the tables


def rows() -> Iterator[tuple[str, str, str]]:
    from bridge.signalling import transaction_table as tables

    for name in ("INVITE_CLIENT", "CLIENT", "INVITE_SERVER", "SERVER"):
        for state, row in getattr(tables, name).items():
            for cause in row:
                yield name, state, cause


@pytest.mark.parametrize(("name", "state", "cause"), list(rows()))
def test_a_timer_that_the_next_state_does_not_know_is_stopped(name: str, state: str, cause: str) -> None:
    from bridge.signalling import transaction_table as tables

    table: tables.Table = getattr(tables, name)
    step = table[tables.State(state)][tables.Cause(cause)]
    timers = set(tables.DURATION) | set(tables.DOUBLING)
    running = {c for c in table[tables.State(state)] if c in timers} - {cause}
    assert running - set(step.stop) <= set(table[step.state])


def test_acknowledged_carries_the_flow() -> None:
    bench = Bench()
    (event,) = bench.receive(request("ACK"))
    assert isinstance(event, Acknowledged)
    assert event.flow == UDP
