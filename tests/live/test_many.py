"""Many phones at once, by real SIP: all get sound, and afterwards nothing is left of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.interop.process import until

from .canary import HOLE
from .phone import Exchange
from .server import Server

pytestmark = pytest.mark.interop
CALLS = 200
ROUNDS = 5 if os.environ.get("VISIOPONT_LONG") else 3
GROWTH = 10 * CALLS * ROUNDS
"""kB from the second round on: the first fills tables and caches, and a call's transactions linger for 32 s, longer
than all rounds take (some 4 kB a call)."""


@pytest.mark.timeout(60 + 40 * ROUNDS)
def test_two_hundred_calls_come_and_go(tmp_path: Path, exchange: Exchange) -> None:
    with Server(tmp_path, {"rooms.ad_hoc": True}) as server:
        lines = [exchange.line() for _ in range(4)]
        sizes, files = [], []
        for number in range(ROUNDS):
            room = server.room(f"many{number}")
            phones = [lines[n % 4].dial(room, {0: 450, 1: 850}.get(n, 0)) for n in range(CALLS)]
            for phone in phones[2:]:
                phone.gait = "mute"
            until(lambda: all(phone.up for phone in phones), "all calls up", 30.0)  # noqa: B023
            time.sleep(1.0)
            since = time.time()
            time.sleep(2.0)
            for phone in phones[2:]:
                heard = phone.heard(since)
                assert heard.tones((450, 850)) == {450, 850}
                assert heard.gap < HOLE + exchange.held_up(since)
                assert len(heard.packets) >= 85
            assert phones[0].heard(since).tones((450, 850)) == {850}
            assert len(server.people(f"many{number}")) == CALLS
            for phone in phones:
                phone.line.hang_up(phone)
            until(lambda: all(phone.ended is not None for phone in phones), "the end of all", 20.0)  # noqa: B023
            until(lambda: not server.status()["calls"], "no call", 20.0)
            exchange.phones.clear()
            until(lambda: not any(found["on"] for found in server.status()["rooms"]), "no room that is on", 2.0)
            worker = server.status()["workers"][0]
            assert (worker["streams"], worker["restarts"]) == (0, 0)
            server.api.delete(f"/api/v1/rooms/many{number}")
            sizes.append(server.memory())
            files.append(server.files())
        print("kB:", sizes, "files:", files)
        assert files[0] == files[-1]
        for pid, size in sizes[-1].items():
            assert size - sizes[1][pid] < GROWTH
