"""Our own phones: that they measure what they say they do, on calls that nothing disturbs."""

from __future__ import annotations

import pytest

from .canary import HOLE
from .phone import Exchange
from .server import Server

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("srtp", [False, True])
def test_two_hear_each_other_and_nothing_else(server: Server, exchange: Exchange, srtp: bool) -> None:
    room = server.room("two")
    alice, bob = exchange.phone(room, 450, srtp=srtp), exchange.phone(room, 850, srtp=srtp)
    alice.listen(0.7)
    heard = alice.listen(2.0)
    assert heard.tones((450, 850)) == {850}
    assert heard.impurity([850]) < -25
    assert heard.gap < HOLE
    assert (len(heard.sources), heard.skipped, heard.backwards) == (1, 0, False)
    assert heard.impurity([450]) > 10
    assert bob.heard(heard.packets[0].arrival).tones((450, 850)) == {450}
    assert alice.undecryptable == bob.undecryptable == 0
    alice.hang_up()
    bob.hang_up()
