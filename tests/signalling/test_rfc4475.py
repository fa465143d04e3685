"""The torture messages of RFC 4475: each through the whole endpoint, answered as its section says.

The files are the RFC's own bytes (its appendix A). Where the RFC leaves a choice, the comment says which is ours.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import BindingsChanged, IncomingCall, Malformed, MessageReceived, Rejected
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Headers, MalformedMessage, Request, Response, parse
from bridge.signalling.registrar import Registrar

HERE = Path(__file__).parent / "rfc4475"
NAMES = sorted(path.stem for path in HERE.glob("*.dat"))
UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.200", 5060))
TCP = Flow(Transport.TCP, ("192.0.2.1", 5060), ("192.0.2.200", 40000))

CALL = 0
"""An INVITE that comes to the conference."""
DROPPED = -1

EXPECTED = {
    # 3.1.1: valid
    "wsinv": 481,  # its To has a tag, and there is no such dialog
    "intmeth": 405,
    "esc01": CALL,
    "escnull": 200,
    "esc02": 405,  # an escape in a method makes another method
    "lwsdisp": 200,
    "longreq": CALL,
    "dblreq": 200,  # the REGISTER; the INVITE behind its Content-Length is no message
    "semiuri": 200,
    "transports": 200,
    "mpart01": 200,
    "unreason": DROPPED,  # responses to nothing of ours
    "noreason": DROPPED,
    # 3.1.2: invalid
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": DROPPED,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": CALL,  # header parameters in a Request-URI are ignored (§19.1.5), as the RFC allows
    "baddate": 400,
    "regbadct": 400,
    "badaspec": 400,
    "baddn": 400,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": DROPPED,
    # 3.2: transaction layer
    "badbranch": 200,  # matched by its fields, as RFC 2543 did
    # 3.3: application layer
    "insuf": 400,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 404,  # no such user, as §10.3 step 5 has it
    "bext01": 420,
    "invut": 415,
    "regaut01": 200,  # nobody asked for proof; 401 where somebody does (below)
    "multi01": 400,
    "mcl01": 400,
    "bcast": DROPPED,
    "zeromf": 200,  # we forward nothing: it is for us
    "cparam01": 200,
    "cparam02": 200,
    "regescrt": 200,
    "sdp01": 406,
    # 3.4: backward compatibility
    "inv2543": CALL,
}


def load(name: str) -> bytes:
    return (HERE / f"{name}.dat").read_bytes()


def endpoint(**kw: object) -> Endpoint:
    return Endpoint(EndpointSettings(), random.Random(1), registrar=Registrar(), **kw)  # type: ignore[arg-type]


def through(name: str, flow: Flow = UDP, **kw: object) -> tuple[Endpoint, list[Response], list[object]]:
    core = endpoint(**kw)
    core.receive(load(name), flow, 0.0)
    sent = [_read(data) for data, _ in core.datagrams() if data]
    return core, sent, list(core.events())


def _read(data: bytes) -> Response:
    """What a request has that can't be read its response has too (§8.2.6.2)."""
    try:
        message = parse(data)
    except MalformedMessage:
        return Response(int(data[8:11]), "", Headers())
    assert isinstance(message, Response)
    return message


def test_all_of_them_are_here() -> None:
    assert sorted(EXPECTED) == NAMES
    assert len(NAMES) == 49


@pytest.mark.parametrize("name", NAMES)
def test_each_is_answered_as_its_section_says(name: str) -> None:
    core, responses, events = through(name)
    wanted = EXPECTED[name]
    if wanted == CALL:
        assert [type(event) for event in events] == [IncomingCall]
        assert responses == []
        assert core.calls == 1
    elif wanted == DROPPED:
        assert responses == []
        assert core.calls == 0
    else:
        assert [response.status for response in responses] == [wanted]
        assert core.calls == 0
        if wanted >= 400:
            assert any(isinstance(event, (Rejected, Malformed)) for event in events)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_each_over_a_stream_in_pieces_harms_nothing(name: str, size: int) -> None:
    core, data = endpoint(), load(name)
    for start in range(0, len(data), size):
        core.receive(data[start : start + size], TCP, 0.0)
    list(core.datagrams())
    core.closed(TCP, 1.0)
    list(core.events())
    for _ in range(200):
        when = core.deadline()
        if when is None or when > 400:
            break
        core.expire(when)
        list(core.datagrams())
    assert core.held()["transactions"] <= 1


@pytest.mark.parametrize("name", [name for name in NAMES if EXPECTED[name] in (CALL, 200, 481)])
def test_what_is_valid_reads_and_prints(name: str) -> None:
    message = parse(load(name))
    again = parse(bytes(message))
    fields = [[(k, v) for k, v in m.headers if k.lower() != "content-length"] for m in (message, again)]
    assert fields[0] == fields[1]
    assert (again.body, again.call_id, again.cseq) == (message.body, message.call_id, message.cseq)


def request(name: str) -> Request:
    message = parse(load(name))
    assert isinstance(message, Request)
    return message


# ------------------------------------------------------------------------------------------ 3.1.1, the values


def test_wsinv() -> None:
    message = request("wsinv")
    assert message.uri.parameter("unknownparam") == ""
    assert (message.to.tag, message.from_.tag) == ("1918181833n", "98asjd8")
    assert message.from_.display == 'J Rosenberg \\"'
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert message.headers["Max-Forwards"] == "0068"
    assert message.headers["Subject"] == ""
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert len(message.headers.getlist("Via")) == 3
    assert message.headers["NewFangledHeader"] == "newfangled value continued newfangled value"
    (contact,) = message.contacts
    assert contact.display == 'Quoted string ""'
    assert (contact.parameter("newparam"), contact.parameter("secondparam")) == ("newvalue", "")
    assert contact.quality == pytest.approx(0.33)
    assert message.route == ["<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"]
    assert len(message.body) == 150


def test_intmeth() -> None:
    message = request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.host == "example.com"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.from_.parameter("fromparam''~+*_!.-%") == "работающий"
    assert message.headers["extensionHeader-!.%*+_`'~"] == "\ufeff大停電"


def test_esc01() -> None:
    message = request("esc01")
    assert (message.uri.scheme, message.uri.user) == ("sip", "sips%3Auser%40example.com")
    assert message.to.uri.user == "%75se%72"
    assert str(message.contacts[0].uri) == "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"


def test_escnull_registers_two_contacts() -> None:
    _, (ok,), events = through("escnull")
    assert [str(contact.uri) for contact in ok.contacts] == [
        "sip:%00@host5.example.com",
        "sip:%00%00@host5.example.com",
    ]
    assert any(isinstance(event, BindingsChanged) for event in events)


def test_esc02_has_two_contacts() -> None:
    message = request("esc02")
    assert message.to.display == "%Z%45"
    assert [contact.uri.user for contact in message.contacts] == ["alias1", "alias3"]
    _, (refusal,), _ = through("esc02")
    assert "REGISTER" not in refusal.headers["Allow"].split(", ")


def test_lwsdisp() -> None:
    assert request("lwsdisp").from_.display == "caller"


def test_longreq() -> None:
    message = request("longreq")
    assert len(message.headers.raw("Via")) == 34
    assert message.headers["Via"] == "SIP/2.0/TCP sip33.example.com"
    assert len(message.from_.tag or "") > 150
    assert message.from_.uri.user == "amazinglylongcallername" * 5


def test_dblreq_is_a_register_and_nothing_else() -> None:
    core, (ok,), events = through("dblreq")
    assert ok.cseq.method == "REGISTER"
    assert [type(event) for event in events] == [BindingsChanged]
    assert core.calls == 0


def test_semiuri() -> None:
    uri = request("semiuri").uri
    assert (uri.user, uri.host, uri.parameters) == ("user;par=u%40example.net", "example.com", ())


def test_transports() -> None:
    message = request("transports")
    assert message.via.transport == "UDP"
    assert [hop.split()[0] for hop in message.headers.getlist("Via")] == [
        f"SIP/2.0/{name}" for name in ("UDP", "SCTP", "TLS", "UNKNOWN", "TCP")
    ]


def test_mpart01_keeps_its_binary_body() -> None:
    _, _, events = through("mpart01")
    (heard,) = [event for event in events if isinstance(event, MessageReceived)]
    assert heard.content_type == "multipart/mixed"
    assert len(heard.body) == 553
    assert b"\x82" in heard.body


def test_unreason_and_noreason() -> None:
    message = parse(load("unreason"))
    assert isinstance(message, Response)
    assert message.status == 200
    assert message.reason.startswith("= 2**3 * 5**2 но сто девяносто девять")
    assert bytes(parse(bytes(message))) == bytes(message)
    silent = parse(load("noreason"))
    assert isinstance(silent, Response)
    assert (silent.status, silent.reason) == (100, "")


# -------------------------------------------------------------------------------------- 3.1.2, 3.3, 3.4 more


@pytest.mark.parametrize("name", ["bigcode", "scalarlg", "badinv01"])
def test_what_cannot_be_answered_is_malformed(name: str) -> None:
    with pytest.raises(MalformedMessage):
        parse(load(name))


def test_escruri_makes_no_route() -> None:
    _, _, events = through("escruri")
    (event,) = events
    assert isinstance(event, IncomingCall)
    assert "Route" not in dict(event.headers)


def test_a_stream_that_promises_more_than_it_sends_is_waited_for() -> None:
    core = endpoint()
    core.receive(load("clerr"), TCP, 0.0)
    assert list(core.events()) == []
    core.closed(TCP, 1.0)
    assert list(core.datagrams()) == []


def test_bext01_names_what_is_not_supported() -> None:
    _, (refusal,), _ = through("bext01")
    assert refusal.headers["Unsupported"] == "nothingSupportsThis, nothingSupportsThisEither"


def test_invut_says_what_would_be_accepted() -> None:
    _, (refusal,), _ = through("invut")
    assert "application/sdp" in refusal.headers["Accept"]


def test_regaut01_is_challenged_where_proof_is_wanted() -> None:
    _, (refusal,), _ = through("regaut01", passwords={"j.user": "x"}.get)
    assert refusal.status == 401
    assert refusal.headers["WWW-Authenticate"].startswith("Digest ")


def test_zeromf_elsewhere_gets_483() -> None:
    core = Endpoint(EndpointSettings(domains=frozenset({"ours.example"})), random.Random(1))
    core.receive(load("zeromf"), UDP, 0.0)
    ((data, _),) = core.datagrams()
    assert data.startswith(b"SIP/2.0 483")


@pytest.mark.parametrize(
    ("name", "contact"),
    [
        ("cparam01", "<sip:+19725552222@gw1.example.net>;unknownparam"),
        ("cparam02", "<sip:+19725552222@gw1.example.net;unknownparam>"),
        ("regescrt", "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"),
    ],
)
def test_what_is_bound(name: str, contact: str) -> None:
    _, (ok,), _ = through(name)
    assert ok.headers["Contact"].startswith(contact)


def test_inv2543_is_matched_and_ended_without_tags_of_theirs() -> None:
    core, _, events = through("inv2543")
    (event,) = events
    assert isinstance(event, IncomingCall)
    core.answer(event.call, b"v=0\r\n", 0.1)
    ((data, _),) = core.datagrams()
    response = parse(data)
    assert response.to.tag
    assert response.record_route == ["<sip:UserB@example.com;maddr=ss1.example.com>"]
