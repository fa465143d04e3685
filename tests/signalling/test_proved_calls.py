"""Calls that have to prove who makes them (RFC 8760), through the whole endpoint."""

from __future__ import annotations

import random

import pytest

from bridge.signalling.auth import Credentials
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import BindingsChanged, CallAnswered, CallEnded, IncomingCall, Rejected
from bridge.signalling.registrar import Registrar
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import A, B, answering, dial, ended, request

PASSWORDS = {"alice": "secret", "bob": "word"}


def strict(net: Network, **kw: object) -> Endpoint:
    settings = EndpointSettings(authenticate_calls=True, **kw)  # type: ignore[arg-type]
    return net.endpoint(B, settings=settings, passwords=PASSWORDS.get)


def as_alice(password: str = "secret") -> Credentials:
    return Credentials("alice", password, rng=random.Random(1))


def test_a_call_with_the_right_password(net: Network) -> None:
    alice, bob = net.endpoint(A), strict(net)
    answering(net, bob)
    ours = dial(net, alice, credentials=as_alice())
    net.run(30)
    assert net.the(alice, CallAnswered).call == ours
    assert net.the(bob, IncomingCall).user == "alice"
    alice.hangup(ours, net.now)
    net.run(20)
    assert ended(net, bob, net.the(bob, IncomingCall).call)


@pytest.mark.parametrize("credentials", [None, as_alice("wrong"), Credentials("carol", "x")])
def test_a_call_without_the_right_password(net: Network, credentials: Credentials | None) -> None:
    alice, bob = net.endpoint(A), strict(net)
    ours = dial(net, alice, credentials=credentials)
    net.run(30)
    assert ended(net, alice, ours) == CallEnded(ours, 401, "Unauthorized", False)
    assert not net.events(bob, IncomingCall)


def test_a_call_in_another_name(net: Network) -> None:
    alice, bob = net.endpoint(A), strict(net)
    ours = dial(net, alice, credentials=Credentials("bob", "word", rng=random.Random(1)))
    net.run(30)
    assert ended(net, alice, ours) == CallEnded(ours, 403, "From names somebody else", False)
    assert not net.events(bob, IncomingCall)


def test_a_first_challenge_is_not_held_against_anybody(calm: Network) -> None:
    alice, bob = calm.endpoint(A), strict(calm, rejections_per_minute=3)
    answering(calm, bob)
    for _ in range(10):
        ours = dial(calm, alice, credentials=as_alice())
        calm.run(1)
        alice.hangup(ours, calm.now)
        calm.run(1)
    assert len(calm.events(alice, CallAnswered)) == 10
    assert {event.code for event in calm.events(bob, Rejected)} == {401}, "counted they are"


def test_a_terminal_registers(calm: Network) -> None:
    bob = calm.endpoint(B, registrar=Registrar())
    phone = Phone(calm, A)
    phone.send(request("REGISTER", headers=(("Expires", "100"),)), B)
    calm.run(0.2)
    assert phone.responses("REGISTER") == [200]
    assert calm.the(bob, BindingsChanged).contacts == ("sip:hand@192.0.2.1:5060",)
    calm.run(101)
    assert [event.contacts for event in calm.events(bob, BindingsChanged)] == [("sip:hand@192.0.2.1:5060",), ()]


@pytest.mark.parametrize(("token", "answered"), [("good.one", True), ("bad.one", False)])
def test_a_bearer_token_that_is_vouched_for_needs_no_password(net: Network, token: str, answered: bool) -> None:
    alice, bob = net.endpoint(A), strict(net)
    bob.believe(lambda token: token == "good.one")
    answering(net, bob)
    ours = dial(net, alice, headers=[("Authorization", f"Bearer {token}")])
    net.run(30)
    assert bool(net.events(alice, CallAnswered)) == answered
    assert bool(ended(net, alice, ours)) != answered
    if answered:
        alice.hangup(ours, net.now)
        net.run(20)


def test_a_token_is_for_calls_alone(calm: Network) -> None:
    net = calm
    alice, bob = Phone(net, A), strict(net)
    bob.believe(lambda token: True)
    alice.send(request("MESSAGE", headers=(("Authorization", "Bearer good.one"),), body=b"x"), B)
    net.run(1)
    assert alice.responses() == [401]
