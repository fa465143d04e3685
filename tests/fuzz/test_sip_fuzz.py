"""Whatever the network sends, the SIP parser raises one exception type, the endpoint none; its tables stay small."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import IncomingCall, OfferReceived, ReferReceived, SubscribeReceived
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.framing import BrokenFraming, Framer
from bridge.signalling.message import (
    Headers,
    MalformedMessage,
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    Via,
    parse,
    split,
)
from bridge.signalling.registrar import Registrar
from tests.fuzz.atheris_targets import TARGETS

TORTURE = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "signalling/rfc4475").glob("*.dat"))]
UDP = Flow(Transport.UDP, ("127.0.0.1", 5060), ("127.0.0.2", 5060))
WS = Flow(Transport.WS, ("127.0.0.1", 8080), ("127.0.0.2", 40001))
TCP = Flow(Transport.TCP, ("127.0.0.1", 5060), ("127.0.0.2", 40000))


def dialogue() -> list[bytes]:
    """Good messages of one call and around it: what mutations start from."""

    def make(method: str, number: int, *headers: tuple[str, str], body: bytes = b"", tag: str = "") -> bytes:
        return bytes(
            Request.build(
                method,
                "sip:demo@127.0.0.1",
                [
                    ("Via", f"SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK{method}{number};rport"),
                    ("Max-Forwards", "70"),
                    ("From", '"Al \\"x\\"" <sip:al@127.0.0.2>;tag=1'),
                    ("To", f"<sip:demo@127.0.0.1>{tag}"),
                    ("Call-ID", "fuzz"),
                    ("CSeq", f"{number} {method}"),
                    ("Contact", "<sip:al@127.0.0.2:5060;transport=udp>;q=0.5"),
                    *headers,
                ],
                body,
            )
        )

    sdp = ("Content-Type", "application/sdp")
    timer = (("Supported", "timer, 100rel, replaces"), ("Session-Expires", "1800;refresher=uac"), ("Min-SE", "90"))
    return [
        make("INVITE", 1, sdp, *timer, ("Record-Route", "<sip:p@127.0.0.3;lr>"), body=b"v=0\r\n"),
        make("INVITE", 1, ("Replaces", "a@b;to-tag=1;from-tag=2;early-only"), ("Require", "replaces, 100rel")),
        make("ACK", 1),
        make("CANCEL", 1),
        make("PRACK", 2, ("RAck", "1 1 INVITE")),
        make("UPDATE", 3, sdp, *timer, body=b"v=0\r\n"),
        make("BYE", 4),
        make("OPTIONS", 5, ("Accept", "application/sdp")),
        make("REGISTER", 6, ("Expires", "3600"), ("Authorization", 'Digest username="a", realm="b", nonce="c"')),
        make("SUBSCRIBE", 7, ("Event", "conference"), ("Expires", "600"), ("Accept", "application/*")),
        make("REFER", 8, ("Refer-To", "<sip:c@127.0.0.3?Replaces=x%3Bto-tag%3D1>"), ("Refer-Sub", "true")),
        make("NOTIFY", 9, ("Event", "refer"), ("Subscription-State", "active"), body=b"SIP/2.0 200 OK\r\n"),
        make("INFO", 10, ("Content-Type", "application/dtmf-relay"), body=b"Signal=1\r\n"),
        make("MESSAGE", 11, ("Content-Type", "text/plain"), body=b"hello"),
    ]


SEEDS = dialogue() + TORTURE
SPLICES = (
    *(bytes([octet]) for octet in b':;,"<>@\\=%\0\xff\r\n '),
    *(b"", b"\r\n", b"\r\n\r\n", b"\r\n ", b"\xc3\xa9", b"9" * 40, b"-1", b"SIP/2.0", b"z9hG4bK", b"tel:"),
    *(b";tag=", b";rport", b"Content-Length: 5\r\n", b"l:\r\n", b"Require: x\r\n", b"Contact: *\r\n"),
)


def mutated(rng: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(damaged) + 1)
        end = at + rng.choice((0, 0, 1, 1, 2, 20))
        damaged[at:end] = rng.choice((*SPLICES, bytes([rng.randrange(256)]), rng.choice(SEEDS)[:60]))
    return bytes(damaged)


def examine(data: bytes) -> None:
    """Parse, and read everything that anybody reads."""
    try:
        message = parse(data)
    except MalformedMessage as error:
        if error.request is not None:
            bytes(Response.answering(error.request, error.status, tag="x"))
        return
    _ = message.from_.tag, message.to.uri, message.cseq, message.via.branch, message.call_id, message.contacts
    _ = message.route, message.record_route, message.require, message.supported, message.content_type
    _ = [contact.quality for contact in message.contacts]
    again = parse(bytes(message))
    assert bytes(again) == bytes(message)
    assert (again.cseq, again.from_, again.to) == (message.cseq, message.from_, message.to)


# --------------------------------------------------------------------------------------------------- parsers


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("sip:a@b.example ", "sip:a@b.example:{} "),
        ("192.0.2.1:5060", "192.0.2.1:{}"),
        ("CSeq: 1 ", "CSeq: {} "),
        ("Max-Forwards: 70", "Max-Forwards: {}"),
        ("Content-Length: 0", "Content-Length: {}"),
        ("tag=1", "tag=1;expires={}"),
        ("To: <sip:b@b.example>", "To: <sip:b@b.example:{}>"),
    ],
)
def test_numbers_of_thousands_of_digits(text: str, long: str) -> None:
    """More than Python reads: not one may raise anything else."""
    request = (
        "OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n"
        "From: <sip:a@b.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    assert text in request
    with contextlib.suppress(MalformedMessage):
        parse(request.replace(text, long.format("1" * 5000)).encode())
    with contextlib.suppress(MalformedMessage):
        parse(f"SIP/2.0 200 OK\r\n{request.partition(chr(10))[2]}".replace(text, long.format("1" * 5000)).encode())


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    examine(data)


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_good_start(data: bytes) -> None:
    examine(SEEDS[0][:200] + data)
    examine(b"SIP/2.0 200 OK\r\n" + data)
    examine(b"INVITE sip:x@y SIP/2.0\r\n" + data)


@given(st.text(max_size=100))
def test_any_text_as_a_part(text: str) -> None:
    for read in (Uri.parse, NameAddr.parse, Via.parse):
        with contextlib.suppress(ParseError):
            read(text)
    split(text)


token = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-.!%*_+`'~", min_size=1, max_size=10)
host = st.from_regex(r"\A[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,8}){0,2}\Z") | st.sampled_from(["127.0.0.1", "[::1]"])
value = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)


@given(
    st.sampled_from(["sip", "sips"]),
    st.none() | st.text("abc123;?/&=+$,-_.!~*'()%", min_size=1, max_size=10),
    host,
    st.none() | st.integers(0, 65535),
    st.lists(st.tuples(token.map(str.lower), st.none() | token), max_size=3),
)
def test_a_uri_prints_as_it_reads(
    scheme: str, user: str | None, name: str, port: int | None, parameters: list[tuple[str, str | None]]
) -> None:
    uri = Uri(scheme, user, name, port, tuple(parameters))
    assert Uri.parse(str(uri)) == uri


@given(
    token.filter(lambda name: name.upper() != "ACK"),
    host,
    st.lists(st.tuples(token, value), max_size=6),
    st.binary(max_size=100),
)
def test_a_request_prints_as_it_reads(method: str, name: str, extra: list[tuple[str, str]], body: bytes) -> None:
    fields = [
        ("Via", f"SIP/2.0/UDP {name};branch=z9hG4bKx"),
        ("From", f"<sip:a@{name}>;tag=1"),
        ("To", f"<sip:b@{name}>"),
        ("Call-ID", "c"),
        ("CSeq", f"1 {method}"),
        *((f"X-{key}", text) for key, text in extra),
    ]
    request = Request(method, Uri.parse(f"sip:b@{name}"), Headers(fields), body)
    again = parse(bytes(request))
    assert isinstance(again, Request)
    assert (again.method, str(again.uri), again.body) == (method, str(request.uri), body)
    assert [field for field in again.headers if field[0] != "Content-Length"] == fields


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(8))
def test_good_messages_with_damage(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(400):
        examine(mutated(rng, rng.choice(SEEDS)))


@pytest.mark.parametrize(
    "data",
    [
        b"INVITE sip:x SIP/2.0\r\nVia: " + b"," * 60000 + b"\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x" + b";a" * 30000 + b"\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nFrom: " + b'"' * 60000 + b"\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nFrom: " + b"\\" * 60000 + b"\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\n" + b"a: b\r\n" * 10000 + b"\r\n",
        b"INVITE sip:x SIP/2.0\r\na:" + b"\r\n " * 20000 + b"\r\n\r\n",
        b"INVITE sip:" + b"a" * 60000 + b" SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP " + b"a." * 30000 + b"!\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP " + b" " * 60000 + b"!\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nContact: " + b"<sip:x>," * 8000 + b"\r\n\r\n",
        b"\r\n" * 30000,
        b" " * 60000,
        b"A" * 60000,
        SEEDS[0].replace(b"Max-Forwards: 70", b"Content-Type: " + b"a" * 30000 + b" " * 30000),
        SEEDS[0].replace(b"CSeq: 1 INVITE", b"CSeq: " + b"9" * 50000 + b" INVITE"),
        SEEDS[0].replace(b"Contact: <", b"Contact: " + b"a " * 25000 + b"<"),
    ],
)
def test_nothing_takes_long(data: bytes) -> None:
    start = time.perf_counter()
    examine(data)
    assert time.perf_counter() - start < 0.5


# ---------------------------------------------------------------------------------------------------- framing


@given(st.lists(st.sampled_from(SEEDS[:14]), max_size=4), st.lists(st.integers(0, 3000), max_size=10))
def test_a_stream_gives_the_same_messages_however_it_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"\r\n\r\n".join(messages)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    framer, found = Framer(), []
    for start, end in itertools.pairwise(edges):
        found += list(framer.feed(stream[start:end]))
    assert found == messages


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_any_stream(pieces: list[bytes]) -> None:
    framer = Framer()
    with contextlib.suppress(BrokenFraming):
        for piece in pieces:
            list(framer.feed(piece))


# --------------------------------------------------------------------------------------------------- endpoint


class Subject:
    """An endpoint whose conference says yes to everything."""

    def __init__(self, rng: random.Random) -> None:
        self.settings = EndpointSettings(max_calls=20, max_subscriptions=20, rejections_per_minute=0)
        self.core = Endpoint(self.settings, rng, registrar=Registrar())
        self.now = 0.0
        self.sent: list[bytes] = []

    def receive(self, data: bytes, flow: Flow) -> None:
        self.core.receive(data, flow, self.now)
        self.drain(flow)

    def drain(self, flow: Flow) -> None:
        for _ in range(20):
            for data, _ in self.core.datagrams():
                self.sent.append(data)
                if not data:
                    self.core.closed(flow, self.now)
            events = list(self.core.events())
            for event in events:
                self.react(event)
            if not events:
                return

    def react(self, event: object) -> None:
        match event:
            case IncomingCall(call):
                self.core.ring(call, self.now, b"v=0\r\n")
                self.core.answer(call, b"v=0\r\n", self.now)
            case OfferReceived(call):
                self.core.accept(call, b"v=0\r\n", self.now)
            case ReferReceived(refer):
                self.core.accept_refer(refer, self.now)
            case SubscribeReceived(subscription):
                self.core.accept_subscription(subscription, self.now)
                self.core.notify(subscription, b"<x/>", self.now)

    def pass_time(self, seconds: float, flow: Flow) -> None:
        self.now += seconds
        for _ in range(1000):
            when = self.core.deadline()
            if when is None or when > self.now:
                return
            self.core.expire(self.now)
            self.drain(flow)


@pytest.mark.fuzz
@pytest.mark.parametrize("flow", [UDP, TCP, WS], ids=["udp", "tcp", "ws"])
@pytest.mark.parametrize("seed", range(4))
def test_an_endpoint_fed_with_damage_raises_nothing_and_keeps_little(seed: int, flow: Flow) -> None:
    rng = random.Random(seed)
    subject = Subject(random.Random(seed))
    for n in range(600):
        data = rng.choice(SEEDS[:14] if rng.random() < 0.7 else SEEDS)
        if subject.sent and rng.random() < 0.3:
            data = echoed(rng, subject)
        if rng.random() < 0.5:
            data = data.replace(b"Call-ID: fuzz", b"Call-ID: f%d" % rng.randrange(50)).replace(
                b"z9hG4bK", b"z9hG4bK%d" % n
            )
        if rng.random() < 0.7:
            data = mutated(rng, data)
        subject.receive(data, flow)
        subject.pass_time(rng.choice((0.0, 0.01, 0.5, 5.0)), flow)
        held = subject.core.held()
        assert held["calls"] <= 40
        assert held["subscriptions"] <= 20
        assert held["transactions"] <= 1200
        del subject.sent[:-20]
    subject.core.closed(flow, subject.now)
    for _ in range(200):
        subject.pass_time(40.0, flow)
    assert not any(subject.core.held().values()), subject.core.held()


def echoed(rng: random.Random, subject: Subject) -> bytes:
    """Something that fits: a response to a request of ours, or a request in a dialog of ours."""
    data = rng.choice(subject.sent) or b"\r\n"
    try:
        message = parse(data)
    except MalformedMessage:
        return data
    if isinstance(message, Request):
        code = rng.choice((100, 180, 200, 302, 401, 404, 422, 481, 491, 503))
        return bytes(Response.answering(message, code, headers=[("Contact", "<sip:al@127.0.0.2>")], tag="2"))
    request = rng.choice(SEEDS[:14])
    to = message.headers["To"].encode("utf-8", "surrogateescape")
    return request.replace(b"To: <sip:demo@127.0.0.1>", b"To: " + to)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_targets_of_the_guided_fuzzer_hold_on_their_seeds(name: str) -> None:
    target, seeds = TARGETS[name]
    rng = random.Random(name)
    for _ in range(50):
        seed = rng.choice(seeds)
        target(seed)
        target(mutated(rng, seed))
