"""Who is called: a terminal of ours, or somebody elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from bridge.io import Listener
from bridge.resolve import Unresolved
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Uri
from bridge.signalling.registrar import Binding
from server import derived
from server.reach import Reach
from server.registry import Registry
from server.settings import Settings

LISTENERS = [Listener.parse("udp:0.0.0.0:5070")]
TERMINAL = Flow(Transport.UDP, ("127.0.0.1", 5070), ("127.0.0.1", 7000))
ELSEWHERE = Flow(Transport.UDP, ("127.0.0.1", 5070), ("127.0.0.1", 8000))


class Registered:
    """alice is."""

    def bindings(self, uri: str, now: float) -> list[Binding]:
        if Uri.parse(uri).user != "alice":
            return []
        contact = "sip:alice@127.0.0.1:7000"
        return [Binding("sip:alice@localhost", contact, (), 1.0, now + 60, "x", 1, TERMINAL, now)]


async def elsewhere(uri: str) -> Sequence[Flow]:
    return [ELSEWHERE]


def reached(uri: str, **sip: Any) -> Flow:
    settings = Settings.model_validate({"sip": sip})
    reach = Reach(
        cast(Registry, Registered()),
        elsewhere,
        ours=lambda uri: derived.ours(settings, uri, LISTENERS),
        accounts={"alice", "bob"},
    )
    return asyncio.run(reach(uri)).targets[0]


@pytest.mark.parametrize("uri", ["sip:alice@127.0.0.1:5070", "sip:alice@localhost", "sip:alice@[::1]:5070"])
def test_a_terminal_of_ours_is_reached_where_it_registered(uri: str) -> None:
    assert reached(uri) == TERMINAL


@pytest.mark.parametrize("uri", ["sip:alice@provider.example", "sip:alice@127.0.0.1:5072", "sip:alice@192.0.2.77:5070"])
def test_who_has_the_same_name_elsewhere_is_somebody_else(uri: str) -> None:
    assert reached(uri) == ELSEWHERE


def test_a_domain_of_ours_means_us_and_another_one_does_not() -> None:
    assert reached("sip:alice@ville.example", domains=["ville.example"]) == TERMINAL
    assert reached("sip:alice@autre.example", domains=["ville.example"]) == ELSEWHERE


def test_a_terminal_that_is_not_registered_is_not_called_as_a_room_of_ours() -> None:
    with pytest.raises(Unresolved, match="bob is not registered now"):
        reached("sip:bob@127.0.0.1:5070")
    assert reached("sip:bob@provider.example") == ELSEWHERE
    assert reached("sip:room@127.0.0.1:5070") == ELSEWHERE, "no account: another room, perhaps"
