"""The lite agent, check by check."""

from __future__ import annotations

import random

import pytest

from bridge.signalling.flow import Flow
from gateways.webrtc import stun
from gateways.webrtc.ice import (
    CONSENT,
    IN_USE,
    MAX_GENERATIONS,
    Checked,
    ConsentLost,
    Credentials,
    Forgotten,
    IceAgent,
    Restarted,
    Selected,
    candidates,
)
from tests.gateways.webrtc.air import here

A, B, C = (here((f"198.51.100.{n}", 5000)) for n in (1, 2, 3))
CONTROLLING = (stun.ICE_CONTROLLING, bytes(8))


@pytest.fixture
def agent() -> IceAgent:
    return IceAgent(random.Random(1).randbytes)


def check(
    agent: IceAgent,
    flow: Flow,
    now: float = 0.0,
    *,
    nominate: bool = False,
    priority: int | None = 100,
    credentials: Credentials | None = None,
    role: tuple[int, bytes] = CONTROLLING,
    extra: tuple[tuple[int, bytes], ...] = (),
    signed: bool = True,
) -> stun.Message:
    """The agent's answer."""
    credentials = credentials or agent.local
    attributes = [(stun.USERNAME, f"{credentials.ufrag}:them".encode()), role, *extra]
    if priority is not None:
        attributes.append((stun.PRIORITY, priority.to_bytes(4, "big")))
    if nominate:
        attributes.append((stun.USE_CANDIDATE, b""))
    password = credentials.password.encode() if signed else None
    agent.receive(stun.parse(stun.build(stun.REQUEST, bytes(12), attributes, password=password)), flow, now)
    ((data, to),) = list(agent.datagrams())
    assert to == flow
    return stun.parse(data)


def test_credentials_are_long_enough_and_of_ice_chars(agent: IceAgent) -> None:
    local = agent.local
    assert (len(local.ufrag), len(local.password)) == (8, 24)
    assert all(c.isalnum() or c in "+/" for c in local.ufrag + local.password)
    assert local.password not in repr(local)


def test_an_authentic_check_is_answered_with_the_address_it_came_from(agent: IceAgent) -> None:
    answer = check(agent, A)
    assert answer.kind == stun.SUCCESS
    assert answer.mapped() == A.remote
    assert answer.verified(agent.local.password.encode())
    assert stun.FINGERPRINT in answer.attributes
    assert list(agent.events()) == [Checked(A)]
    assert agent.selected is None


@pytest.mark.parametrize(
    ("how", "code", "authentic"),
    [
        ({"signed": False}, 400, False),
        ({"credentials": Credentials("nobody", "x" * 24)}, 401, False),
        ({"extra": ((0x7777, b"?"),)}, 420, True),
        ({"role": (stun.ICE_CONTROLLED, bytes(8))}, 487, True),
        ({"role": (stun.ICE_CONTROLLED, b"\xff" * 8)}, 487, True),
        ({"priority": None}, 400, True),
    ],
)
def test_other_checks_are_refused_and_not_remembered(
    how: dict[str, object], code: int, authentic: bool, agent: IceAgent
) -> None:
    answer = check(agent, A, nominate=True, **how)  # type: ignore[arg-type]
    assert (answer.kind, answer.error) == (stun.ERROR, code)
    assert answer.verified(agent.local.password.encode()) is authentic
    assert not list(agent.events())
    assert not agent.remotes
    if code == 420:
        assert answer.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\x77\x77"


def test_a_wrong_password_with_the_right_fragment(agent: IceAgent) -> None:
    assert check(agent, A, credentials=Credentials(agent.local.ufrag, "x" * 24)).error == 401


@pytest.mark.parametrize("kind", [stun.INDICATION, stun.SUCCESS, stun.ERROR])
def test_what_is_no_request_is_not_answered(kind: int, agent: IceAgent) -> None:
    password = agent.local.password.encode()
    attributes = [(stun.USERNAME, f"{agent.local.ufrag}:x".encode()), (stun.PRIORITY, bytes(4))]
    assert not agent.receive(stun.parse(stun.build(kind, bytes(12), attributes, password=password)), A, 0.0)
    assert not list(agent.datagrams())


def test_the_last_nominated_pair_is_selected(agent: IceAgent) -> None:
    check(agent, A)
    check(agent, B)
    check(agent, A, nominate=True, priority=200)
    assert agent.selected == A
    check(agent, A, nominate=True, priority=200)
    check(agent, B, nominate=True, priority=100)
    assert agent.selected == B
    assert [e for e in agent.events() if isinstance(e, Selected)] == [Selected(A), Selected(B)]


def test_a_check_without_nomination_moves_nothing(agent: IceAgent) -> None:
    check(agent, A, nominate=True)
    check(agent, B, priority=900)
    assert agent.selected == A


def test_of_aggressively_nominated_pairs_the_highest_priority_wins(agent: IceAgent) -> None:
    check(agent, B, nominate=True, priority=200)
    check(agent, A, nominate=True, priority=100)
    assert agent.selected == B
    check(agent, C, nominate=True, priority=300)
    assert agent.selected == C
    check(agent, A, nominate=True, priority=100)
    assert agent.selected == C
    # One that is not in use any more is no rival.
    check(agent, A, IN_USE + 0.1, nominate=True, priority=100)
    assert agent.selected == A


def test_consent_lasts_thirty_seconds_from_the_last_check_on_the_selected_pair(agent: IceAgent) -> None:
    assert agent.deadline() is None
    check(agent, A, 1.0, nominate=True)
    check(agent, B, 20.0)
    check(agent, A, 10.0)
    assert agent.deadline() == 10.0 + CONSENT
    list(agent.events())
    agent.expire(39.9)
    assert not list(agent.events())
    agent.expire(40.0)
    assert list(agent.events()) == [ConsentLost(A), Forgotten(A)]
    assert agent.selected is None
    check(agent, A, 45.0, nominate=True)
    assert list(agent.events()) == [Checked(A), Selected(A)]


def test_without_a_selected_pair_consent_ends_with_the_last_check_on_any(agent: IceAgent) -> None:
    check(agent, A, 1.0)
    check(agent, B, 5.0)
    list(agent.events())
    assert agent.deadline() == 5.0 + CONSENT
    agent.expire(5.0 + CONSENT)
    assert list(agent.events()) == [ConsentLost(B), Forgotten(A), Forgotten(B)]
    assert agent.deadline() is None


def test_old_credentials_hold_until_the_first_check_with_the_new(agent: IceAgent) -> None:
    old = agent.local
    check(agent, A, nominate=True, priority=900)
    check(agent, B)
    new = agent.restart()
    assert agent.restarting
    assert new.ufrag != old.ufrag
    assert agent.ufrags == (old.ufrag, new.ufrag)
    assert check(agent, A, 1.0, credentials=old).kind == stun.SUCCESS
    list(agent.events())
    assert check(agent, C, 2.0).kind == stun.SUCCESS
    assert list(agent.events()) == [Restarted((old.ufrag,)), Forgotten(B), Checked(C)]
    assert agent.selected == A  # until another is nominated
    assert check(agent, A, 3.0, credentials=old).error == 401
    check(agent, C, 3.0, nominate=True, priority=1)
    assert agent.selected == C


def test_an_aggressive_nomination_after_a_restart_is_not_outdone_by_the_old_pair(agent: IceAgent) -> None:
    check(agent, A, nominate=True, priority=900)
    agent.restart()
    check(agent, B, 1.0, nominate=True, priority=1)
    assert agent.selected == B


def test_restarts_without_a_check_are_bounded(agent: IceAgent) -> None:
    first = agent.local
    for _ in range(20):
        agent.restart()
    assert len(agent.ufrags) == MAX_GENERATIONS
    assert agent.ufrags[0] == first.ufrag
    assert len([e for e in agent.events() if isinstance(e, Restarted)]) == 21 - MAX_GENERATIONS


def test_candidates_prefer_in_the_order_given_and_udp_to_tcp() -> None:
    found = candidates([("2001:db8::1", 3478), ("192.0.2.1", 3478)], tcp=[("192.0.2.1", 443)])
    assert [c.priority for c in found] == sorted((c.priority for c in found), reverse=True)
    assert all(0 < c.priority < 1 << 31 for c in found)
    assert len({c.foundation for c in found}) == 3
    assert str(found[0]) == f"1 1 udp {(126 << 24) + (65535 << 8) + 255} 2001:db8::1 3478 typ host"
    assert str(found[2]).endswith("192.0.2.1 443 typ host tcptype passive")
