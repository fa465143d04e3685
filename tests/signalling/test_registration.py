"""REGISTER through whole endpoints: terminals with us, and we with a provider. Virtual time, a bad network."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from bridge.signalling.auth import Credentials
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import BindingsChanged, CallAnswered, IncomingCall, RegistrationChanged, Rejected
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.identity import REMEMBERED, Plain
from bridge.signalling.message import Request, Response, Uri
from bridge.signalling.registrar import Registrar, RegistrarSettings
from bridge.signalling.stack import Incoming

from .network import Network, Phone

US, THEM, SPARE = ("192.0.2.1", 5060), ("192.0.2.9", 5060), ("192.0.2.8", 5060)
ALICE, OTHER = ("198.51.100.1", 5062), ("198.51.100.2", 5062)
WAY = Flow(Transport.UDP, US, THEM)
PASSWORDS = {"alice": "secret", "salle": "geheim"}
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


class Terminal(Phone):
    """A phone that registers, and answers challenges."""

    def __init__(self, network: Network, address: tuple[str, int], password: str = "secret", **kw: Any) -> None:
        super().__init__(network, address, **kw)
        self.credentials = Credentials("alice", password, rng=random.Random(address[0]))
        self.cseq, self.call_id = 0, f"call@{address[0]}"

    def request(self, method: str = "REGISTER", contact: str = "", **fields: str) -> Request:
        self.cseq += 1
        host, port = self.place[1]
        headers = {
            "Via": f"SIP/2.0/{self.place[0]} {host}:{port};branch=z9hG4bK{host}{self.cseq};rport",
            "Max-Forwards": "70",
            "From": "<sip:alice@192.0.2.1>;tag=t",
            "To": "<sip:alice@192.0.2.1>",
            "Call-ID": self.call_id,
            "CSeq": f"{self.cseq} {method}",
            "Contact": contact or f"<sip:alice@{host}:{port}>",
            "User-Agent": "Terminal 1",
            **fields,
        }
        return Request.build(method, "sip:192.0.2.1", list(headers.items()))

    def ask(self, method: str = "REGISTER", **fields: str) -> list[int]:
        """Statuses, challenges answered."""
        statuses: list[int] = []
        asked = self.request(method, **fields)
        for _ in range(3):
            response = self.exchange(asked)
            statuses.append(response.status)
            if response.status != 401:
                break
            asked = self.request(method, **fields)
            if not self.credentials.answer(response, asked):
                break
        return statuses

    def exchange(self, asked: Request) -> Response:
        """Repeats as Timer E does, until the final response."""
        for _ in range(12):
            self.send(asked, US)
            self.network.run(0.5)
            for message in self.got:
                if isinstance(message, Response) and message.status >= 200 and message.cseq == asked.cseq:
                    return message
        raise AssertionError("no response")


def office(network: Network, **kw: Any) -> tuple[Endpoint, Registrar]:
    registrar = Registrar(RegistrarSettings(domain="192.0.2.1"))
    return network.endpoint(US, registrar=registrar, passwords=PASSWORDS.get, **kw), registrar


# Terminals that register with us


@pytest.mark.parametrize("seed", range(5))
def test_a_terminal_registers_by_digest_over_a_bad_network(seed: int) -> None:
    network = Network(seed, loss=0.2, repeat=0.2)
    us, registrar = office(network)
    alice = Terminal(network, ALICE)
    assert alice.ask() == [401, 200]
    assert [binding.flow.remote for binding in registrar.bindings("sip:alice@h", network.now)] == [ALICE]
    assert network.the(us, BindingsChanged).contacts == ("sip:alice@198.51.100.1:5062",)
    network.run(3600)
    assert network.events(us, BindingsChanged)[-1].contacts == ()
    assert us.deadline() is None


def test_every_algorithm_is_offered_and_md5_alone_is_enough() -> None:
    network = Network()
    office(network)
    alice = Terminal(network, ALICE)
    response = alice.exchange(alice.request())
    offered = response.headers.raw("WWW-Authenticate")
    assert ["algorithm=SHA-256" in offered[0], "algorithm=MD5" in offered[1]] == [True, True]
    only = Response.answering(alice.request(), 401, headers=[("WWW-Authenticate", offered[1])])
    asked = alice.request()
    assert alice.credentials.answer(only, asked)
    assert alice.exchange(asked).status == 200


def algorithms(response: Response) -> list[str]:
    assert response.status == 401
    return [value.partition("algorithm=")[2].partition(",")[0] for value in response.headers.raw("WWW-Authenticate")]


@pytest.mark.parametrize("agent", ["baresip v1.0.0 (x86_64/linux)", ""])
def test_phones_that_choke_on_sha_256_are_asked_for_md5_alone(agent: str) -> None:
    network = Network()
    office(network)
    alice = Terminal(network, ALICE)
    assert algorithms(alice.exchange(alice.request(**{"User-Agent": agent}))) == ["MD5"]
    assert alice.ask(**{"User-Agent": agent}) == [401, 200]


def test_a_phone_that_did_not_understand_is_asked_for_md5_the_next_time() -> None:
    network = Network()
    office(network)
    alice, other = Terminal(network, ALICE), Terminal(network, OTHER)
    assert algorithms(alice.exchange(alice.request())) == ["SHA-256", "MD5"]
    assert algorithms(alice.exchange(alice.request())) == ["SHA-256", "MD5"], "two at once are no sign"
    network.run(30)
    assert alice.ask() == [401, 200]
    assert algorithms(alice.exchange(alice.request())) == ["MD5"], "and remembered"
    assert algorithms(other.exchange(other.request())) == ["SHA-256", "MD5"]


def test_a_phone_that_understood_is_asked_for_sha_256_for_ever() -> None:
    network = Network()
    office(network)
    alice = Terminal(network, ALICE)
    for _ in range(3):
        assert alice.ask() == [401, 200]
        network.run(30)
    assert algorithms(alice.exchange(alice.request())) == ["SHA-256", "MD5"]


def test_no_md5_where_it_is_not_offered() -> None:
    network = Network()
    office(network, settings=EndpointSettings(digest_algorithms=("SHA-256",)))
    alice = Terminal(network, ALICE)
    assert algorithms(alice.exchange(alice.request(**{"User-Agent": "baresip v1.0.0"}))) == ["SHA-256"]


def test_phones_that_never_answer_are_a_bounded_number() -> None:
    plain = Plain()
    request = Terminal(Network(), ALICE).request()
    for n in range(REMEMBERED + 500):
        incoming = Incoming(None, request, Flow(Transport.UDP, US, (f"host{n}", 1)))  # type: ignore[arg-type]
        plain.asked(incoming, float(n))
    assert len(plain) == REMEMBERED


def test_a_wrong_password_binds_nothing_and_is_slowed_down() -> None:
    network = Network()
    us, registrar = office(network, settings=EndpointSettings(rejections_per_minute=5))
    alice = Terminal(network, ALICE, password="guess")
    assert alice.ask() == [401, 401]
    assert [event.code for event in network.events(us, Rejected)] == [401, 401]
    assert len(registrar) == 0
    for n in range(4):
        alice.call_id = f"again{n}"
        assert alice.ask() == [401, 401]
    alice.call_id = "silence"
    with pytest.raises(AssertionError, match="no response"):
        alice.ask()
    other = Terminal(network, OTHER)
    assert other.ask() == [401, 200]


def test_a_replayed_register_is_challenged_anew() -> None:
    network = Network()
    _, registrar = office(network)
    alice = Terminal(network, ALICE)
    alice.ask()
    stolen = next(r for _, data, _ in network.log if b"Authorization" in (r := data) and data.startswith(b"REGISTER"))
    network.run(60)
    thief = Phone(network, ("203.0.113.66", 5060))
    # Another branch, so that it is no retransmission to the transaction layer.
    thief.send(stolen.replace(b"z9hG4bK198", b"z9hG4bKxxx").replace(b"198.51.100.1:5062>", b"203.0.113.66>"), US)
    network.run(1)
    (response,) = thief.got
    assert response.status == 401
    assert "stale=true" in response.headers["WWW-Authenticate"]
    assert len(registrar.bindings("sip:alice@h", network.now)) == 1


def test_two_phones_on_one_address_of_record() -> None:
    network = Network()
    us, registrar = office(network)
    one, two = Terminal(network, ALICE), Terminal(network, OTHER)
    assert one.ask(contact="<sip:alice@198.51.100.1:5062>;q=0.5") == [401, 200]
    assert two.ask(contact="<sip:alice@198.51.100.2:5062>;q=0.9") == [401, 200]
    assert [b.flow.remote for b in registrar.bindings("sip:alice@h", network.now)] == [OTHER, ALICE]
    assert one.ask(Expires="0", contact="<sip:alice@198.51.100.1:5062>")[-1] == 200
    assert network.events(us, BindingsChanged)[-1].contacts == ("sip:alice@198.51.100.2:5062",)


def test_nobody_registers_in_anothers_name() -> None:
    network = Network()
    _, registrar = office(network)
    alice = Terminal(network, ALICE)
    assert alice.ask(To="<sip:salle@192.0.2.1>") == [401, 403]
    assert alice.ask(From="<sip:salle@192.0.2.1>;tag=t", To="<sip:salle@192.0.2.1>") == [401, 403]
    assert len(registrar) == 0


def test_hostile_credentials_are_400() -> None:
    network = Network()
    us, _ = office(network)
    alice = Terminal(network, ALICE)
    assert alice.ask(Authorization='Digest realm="visiopont", username="alice') == [400]
    assert network.the(us, Rejected).code == 400


def test_without_a_registrar_nobody_registers() -> None:
    network = Network()
    network.endpoint(US)
    assert Terminal(network, ALICE).ask() == [405]


def test_a_call_reaches_a_terminal_by_the_way_it_registered() -> None:
    network = Network()
    us, registrar = office(network)
    alice = Terminal(network, ALICE)
    assert alice.ask(contact="<sip:alice@10.0.0.7:5060>") == [401, 200]
    (binding,) = registrar.bindings("sip:alice@h", network.now)
    us.dial(binding.contact, [binding.flow], SDP, network.now, from_uri="sip:room@192.0.2.1")
    network.run(1)
    assert str(alice.requests("INVITE")[0].uri) == "sip:alice@10.0.0.7:5060"


@pytest.mark.parametrize("method", ["INVITE", "REFER", "SUBSCRIBE", "MESSAGE"])
def test_calls_are_challenged_when_so_set(method: str) -> None:
    network = Network()
    us, _ = office(network, settings=EndpointSettings(authenticate_calls=True))
    alice = Terminal(network, ALICE)
    first = alice.exchange(alice.request(method))
    assert (first.status, network.events(us, IncomingCall)) == (401, [])
    if method == "INVITE":
        asked = alice.request(method)
        assert alice.credentials.answer(first, asked)
        alice.send(asked, US)
        network.run(0.2)
        assert network.the(us, IncomingCall).user == "alice"
    guest = alice.exchange(alice.request("OPTIONS"))
    assert guest.status == 200


# We with a provider


def provider(network: Network, address: tuple[str, int] = THEM, **kw: Any) -> tuple[Endpoint, Registrar]:
    registrar = Registrar(RegistrarSettings(domain="provider.example", **kw))
    settings = EndpointSettings(realm="provider.example")
    return network.endpoint(address, registrar=registrar, passwords=PASSWORDS.get, settings=settings), registrar


def bound(registrar: Registrar, network: Network) -> list[str]:
    return [binding.contact for binding in registrar.bindings("sip:salle@provider.example", network.now)]


def changes(network: Network, us: Endpoint) -> list[tuple[bool, int]]:
    return [(event.registered, event.code) for event in network.events(us, RegistrationChanged)]


def registering(us: Endpoint, network: Network, password: str = "geheim", *more: Flow, expires: int = 600) -> int:
    return us.register("sip:provider.example", [WAY, *more], "salle", password, expires, network.now)


@pytest.mark.parametrize("seed", range(5))
def test_we_register_and_stay_registered_over_a_bad_network(seed: int) -> None:
    network = Network(seed, loss=0.2, repeat=0.1)
    us, (_, registrar) = network.endpoint(US), provider(network)
    number = registering(us, network)
    network.run(10)
    assert changes(network, us) == [(True, 200)]
    for _ in range(40):
        network.run(100)
        assert bound(registrar, network) == ["sip:salle@192.0.2.1:5060"]
    assert changes(network, us) == [(True, 200)]
    us.unregister(number, network.now)
    network.run(40)
    assert bound(registrar, network) == []
    assert changes(network, us) == [(True, 200), (False, 200)]
    assert (us.held()["registrations"], us.deadline()) == (0, None)


def test_refreshes_send_their_credentials_ahead() -> None:
    network = Network()
    us = network.endpoint(US)
    provider(network)
    registering(us, network, expires=120)
    network.run(130)
    assert (network.sent("SIP/2.0 401"), network.sent("SIP/2.0 200")) == (1, 3)
    counts = [data.partition(b"nc=")[2][:8] for _, data, _ in network.log if b"nc=" in data]
    assert counts == [b"00000001", b"00000002", b"00000003"], (
        "RFC 7616 §3.4: the requests that were sent with the nonce"
    )


def test_a_call_to_our_registration_comes_in_though_calls_need_proof() -> None:
    network = Network()
    settings = EndpointSettings(authenticate_calls=True, domains=frozenset({"conf.example"}))
    us = network.endpoint(US, settings=settings)
    them, registrar = provider(network)
    registering(us, network)
    network.run(1)
    (binding,) = registrar.bindings("sip:salle@provider.example", network.now)
    network.when(us, IncomingCall, lambda event: us.answer(event.call, SDP, network.now))
    them.dial(binding.contact, [binding.flow], SDP, network.now, from_uri="sip:+15145550100@provider.example")
    network.run(2)
    assert network.the(us, IncomingCall).from_uri == "sip:+15145550100@provider.example"
    assert network.events(them, CallAnswered)
    stranger = Terminal(network, ALICE)
    asked = stranger.request("INVITE")
    asked.uri = Uri.parse(binding.contact)
    assert stranger.exchange(asked).status == 401


def test_a_provider_that_refers_proves_itself_as_anybody() -> None:
    network = Network()
    us = network.endpoint(US, settings=EndpointSettings(authenticate_calls=True))
    them = Terminal(network, THEM)
    registering(us, network)
    network.run(0.2)
    asked = them.request("REFER", **{"Refer-To": "<sip:expensive@example.org>"})
    asked.uri = Uri.parse("sip:salle@192.0.2.1:5060")
    assert them.exchange(asked).status == 401


def test_a_wrong_password_is_told_and_tried_ever_more_seldom() -> None:
    network = Network()
    us, _ = network.endpoint(US), provider(network)
    registering(us, network, "guess")
    network.run(2)
    assert changes(network, us) == [(False, 401)]
    assert network.sent("REGISTER") == 2, "one challenge, one answer"
    times = []
    while network.now < 20_000 and len(times) < 12:
        before = len(changes(network, us))
        network.run(5)
        if len(changes(network, us)) > before:
            times.append(network.now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 15 <= times[0] <= 40
    assert all(gap <= 1810 for gap in gaps)
    assert min(gaps[-3:]) >= 890


def test_a_dead_provider_is_left_for_the_spare_one() -> None:
    network = Network()
    us, (_, registrar) = network.endpoint(US), provider(network, SPARE)
    registering(us, network, "geheim", Flow(Transport.UDP, US, SPARE))
    network.run(40)
    assert changes(network, us) == [(True, 200)]
    assert bound(registrar, network) == ["sip:salle@192.0.2.1:5060"]


def test_silence_keeps_what_is_registered_until_it_lapses_and_comes_back() -> None:
    network = Network()
    us, (_, registrar) = network.endpoint(US), provider(network)
    registering(us, network, expires=300)
    network.run(1)
    dead: Callable[[bytes, Flow], bool] = lambda data, flow: True  # noqa: E731
    network.drop = dead
    network.run(320)
    assert changes(network, us)[:2] == [(True, 200), (True, 408)]
    assert (False, 408) in changes(network, us)
    network.drop = lambda data, flow: False
    network.run(1800)
    assert changes(network, us)[-1] == (True, 200)
    assert bound(registrar, network) == ["sip:salle@192.0.2.1:5060"]


def test_an_interval_too_brief_is_raised() -> None:
    network = Network()
    us, _ = network.endpoint(US), provider(network, min_expires=900)
    registering(us, network, expires=300)
    network.run(2)
    assert network.the(us, RegistrationChanged).expires == 900


def test_less_than_asked_for_is_respected() -> None:
    network = Network()
    us, (_, registrar) = network.endpoint(US), provider(network, max_expires=90)
    registering(us, network, expires=3600)
    for _ in range(20):
        network.run(30)
        assert len(bound(registrar, network)) == 1


def test_a_connection_that_ends_is_registered_anew() -> None:
    network = Network()
    us = network.endpoint(US, transport=Transport.TCP)
    registrar = Registrar(RegistrarSettings(domain="provider.example"))
    network.endpoint(THEM, transport=Transport.TCP, registrar=registrar, passwords=PASSWORDS.get)
    way = Flow(Transport.TCP, US, THEM)
    us.register("sip:provider.example", [way], "salle", "geheim", 3600, network.now)
    network.run(1)
    assert network.sent("REGISTER") == 2
    network.cut(way)
    network.run(31)
    assert network.sent("REGISTER") == 3
    assert changes(network, us) == [(True, 200)]


@pytest.mark.parametrize(("transport", "least", "most"), [(Transport.UDP, 20, 25), (Transport.TCP, 5, 6)])
def test_the_way_to_the_provider_is_kept_open(transport: Transport, least: int, most: int) -> None:
    network = Network()
    us = network.endpoint(US, transport=transport)
    registrar = Registrar(RegistrarSettings(domain="provider.example"))
    network.endpoint(THEM, transport=transport, registrar=registrar)
    number = us.register("sip:provider.example", [Flow(transport, US, THEM)], "salle", "x", 3600, network.now)
    network.run(600)
    assert least <= sum(data == b"\r\n\r\n" for _, data, _ in network.log) <= most
    us.unregister(number, network.now)
    network.run(40)
    network.log.clear()
    network.run(600)
    assert network.log == []


def test_retry_after_is_respected() -> None:
    network = Network()
    us = network.endpoint(US)
    them = Phone(network, THEM)
    registering(us, network)
    network.run(0.3)
    them.send(Response.answering(them.requests("REGISTER")[0], 500, headers=[("Retry-After", "3000 (busy)")]), US)
    network.run(2900)
    asked = len({request.cseq for request in them.requests("REGISTER")})
    network.run(120)
    assert (asked, len({request.cseq for request in them.requests("REGISTER")})) == (1, 2)


def test_leaving_while_registering_ends_at_once_or_after_the_answer() -> None:
    network = Network()
    us, (_, registrar) = network.endpoint(US), provider(network)
    number = registering(us, network)
    us.unregister(number, network.now)
    us.unregister(number, network.now)
    us.unregister(12345, network.now)
    network.run(40)
    assert bound(registrar, network) == []
    assert [registered for registered, _ in changes(network, us)] == [False]
    assert us.deadline() is None


@pytest.mark.parametrize(
    ("uri", "user", "ways"),
    [("nonsense", "a", [WAY]), ("tel:+1", "a", [WAY]), ("sip:p.example", "", [WAY]), ("sip:p.example", "a", [])],
)
def test_what_cannot_be_registered(uri: str, user: str, ways: list[Flow]) -> None:
    us = Network().endpoint(US)
    with pytest.raises(ValueError):
        us.register(uri, ways, user, "x", 60, 0.0)
    assert us.deadline() is None
