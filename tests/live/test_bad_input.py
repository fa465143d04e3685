"""A call goes on undisturbed while strangers send whatever they like, and nothing that they send makes us grow."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.interop.process import Process

from .canary import HOLE
from .phone import Exchange, Phone
from .server import ROOT, Server

pytestmark = pytest.mark.interop
SECONDS = 60 if os.environ.get("VISIOPONT_LONG") else 15
RATE = 2000
GROWTH = 12_000 if SECONDS < 60 else 30_000
"""kB that a process may grow from the flood's first third to its end. Tables fill up to their bounds: transactions for
32 s, 4,096 sources of errors for 80 s at the 50 new addresses a second; over two minutes control was seen to reach
130 MB and stay there. A kB for each packet would be 80 MB."""
FEW_CALLS = {"sip.calls_per_second": 2}
"""What of the mutated INVITEs is valid is answered, and gets media until its ACK is given up: not so many that the
machine's load is what we measure."""


def junk(server: Server, seconds: float, rate: int = RATE, seed: int = 1) -> Process:
    command = [sys.executable, "-m", "tests.live.junk", "--sip", f"127.0.0.1:{server.port}", "--media",
               f"{server.media}-{server.media_ports[-1]}", "--seconds", str(seconds), "--rate", str(rate), "--seed",
               str(seed)]  # fmt: skip
    return Process(command, server.directory / "junk.log", limit=seconds + 30, cwd=ROOT)


def undisturbed(phone: Phone, since: float, others: list[int]) -> None:
    """Nothing but the others' tones, and no hole longer than the machine itself makes."""
    while time.time() < since + 1.0:
        time.sleep(0.1)
    heard, held_up = phone.heard(since), phone.line.exchange.held_up(since)
    print(f"heard {others}: gap {1000 * heard.gap:.0f} ms, impurity {heard.impurity(others):.1f} dB, "
          f"skipped {heard.skipped}, held up {1000 * held_up:.0f} ms")  # fmt: skip
    assert heard.gap < HOLE + held_up
    assert len(heard.sources) == 1
    assert heard.skipped == 0
    assert phone.undecryptable == 0
    if held_up < 0.040:  # else the phones' own packets came in bursts, longer than a jitter buffer that knew none holds
        assert heard.impurity(others) < -25


@pytest.mark.timeout(SECONDS + 90)
def test_a_call_among_random_and_mutated_packets(tmp_path: Path, exchange: Exchange) -> None:
    with Server(tmp_path, FEW_CALLS) as server:
        room = server.room("calm")
        alice, bob = exchange.phone(room, 450), exchange.phone(room, 850, srtp=True)
        time.sleep(1.0)
        since = time.time()
        before = server.memory()
        with junk(server, SECONDS) as strangers:
            time.sleep(SECONDS / 3)
            early = server.memory()
            strangers.wait(SECONDS + 20)
            after = server.memory()
            print("sent:", strangers.text.strip())
        print("worker:", server.status()["workers"][0])
        print("kB before, after a third, after all:", *(list(m.values()) for m in (before, early, after)))
        print("log:", server.process.log.stat().st_size, "bytes")
        undisturbed(alice, since, [850])
        undisturbed(bob, since, [450])
        server.assert_no_bug()
        for pid, size in after.items():
            assert size - early[pid] < GROWTH
        assert server.process.log.stat().st_size < 200_000 + 10_000 * SECONDS
        assert alice.up
        assert bob.up
        third = exchange.phone(room, 1250)
        third.listen(0.5)
        assert third.listen(1.0).tones((450, 850)) == {450, 850}
