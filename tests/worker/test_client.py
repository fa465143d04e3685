"""Control's side of a real worker process: calls outlive it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bridge.worker import protocol as say
from bridge.worker.client import AT_ONCE, RESTARTS, SKIP, Spare, Worker, _Process
from bridge.worker.protocol import (
    Begin,
    Captured,
    CodecSpec,
    DropStream,
    Event,
    Key,
    Report,
    Said,
    SendState,
    SetRoom,
    SetStream,
    pack,
)
from tests.worker.phones import EVENT, FIRST_PORT, Phone, sine, strength


class Calls:
    """A worker, its events, and phones that talk to it in real time."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.spare = Spare()
        span = tuple(range(FIRST_PORT, FIRST_PORT + 8, 2))
        self.worker = Worker(1, Begin("127.0.0.1", span, 32), lambda _, event: self.events.append(event), self.spare)
        self.phones: list[Phone] = []
        self.times: dict[int, list[float]] = {}

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, done: Callable[[], object], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "it did not happen in time"
            await asyncio.sleep(0.01)

    async def talk(self, seconds: float, hertz: float = 500) -> None:
        """Every phone sends and collects every 20 ms."""
        beats = int(seconds * 50)
        start = time.monotonic()
        for n in range(beats):
            for phone in self.phones:
                phone.send(sine(hertz + 200 * phone.stream, phone.rate, 50)[n % 50])
                if phone.collect():
                    self.times.setdefault(phone.stream, []).append(time.monotonic())
            await asyncio.sleep(max(0.0, start + (n + 1) * 0.02 - time.monotonic()))


@asynccontextmanager
async def calls() -> AsyncIterator[Calls]:
    made = Calls()
    try:
        await made.worker.start()
        yield made
    finally:
        await made.worker.stop()
        made.spare.close()
        for phone in made.phones:
            phone.close()


def test_a_killed_workers_calls_go_on_within_a_second() -> None:
    async def run() -> None:
        async with calls() as c:
            ports = c.of(say.Ready)[0].ports
            c.worker.send(SetRoom(1))
            suites = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "")
            c.phones += [Phone(n + 1, "L16", ports[n], suite=suite) for n, suite in enumerate(suites)]
            for phone in c.phones:
                phone.sequence = 65500  # it wraps meanwhile, so that there is a rollover counter to go on with
                c.worker.send(phone.spec(1))
            await c.talk(2.0)
            before = c.worker.pid
            last = [phone.packets[-1] for phone in c.phones]
            counts = [len(phone.packets) for phone in c.phones]
            os.kill(before, signal.SIGKILL)
            killed = time.monotonic()
            await c.talk(2.5)
            assert c.worker.pid != before
            assert c.worker.restarts == 1
            assert c.of(say.Ready)[-1].ports == ports
            for place, phone in enumerate(c.phones):
                fresh = phone.packets[counts[place] :]
                gap = next(t for t in c.times[phone.stream] if t > killed + 0.05) - killed
                print(f"gap {gap:.3f} s")
                assert gap < 1.0
                # libsrtp on the far side decrypted all of it (Phone.collect raises where it can't)
                assert {p.ssrc for p in fresh} == {last[place].ssrc}
                ahead = (fresh[-len(fresh) // 2].sequence - last[place].sequence) & 0xFFFF
                assert 0 < ahead < SKIP + 200
                pcm = phone.decode(fresh)[-8000:]
                for other in c.phones:
                    level = strength(pcm, 500 + 200 * other.stream, 16000)
                    assert level < 100 if other is phone else level > 6000
                stamps = [(p.timestamp - last[place].timestamp) & 0xFFFFFFFF for p in fresh]
                assert stamps == sorted(stamps)  # time goes on, it does not jump back
                assert max(stamps) < 16000 * 4

    asyncio.run(run())


def test_a_spare_that_does_not_go_is_killed() -> None:
    class Stuck:
        """Waits for nobody until it is killed."""

        killed = False

        def kill(self) -> None:
            self.killed = True

        def wait(self, seconds: float | None = None) -> int:
            if not self.killed:
                raise subprocess.TimeoutExpired("stuck", seconds or 0)
            return -signal.SIGKILL

    ours, theirs = socket.socketpair()
    spare, stuck = Spare(keep=False), Stuck()
    spare._waiting = _Process(stuck, ours)  # type: ignore[arg-type]
    spare.close()
    theirs.close()
    assert stuck.killed
    spare.close()


def test_numbers_go_on_further_from_an_old_report() -> None:
    """Control was held up for a minute: what the worker reported meanwhile was never read."""
    worker = Worker(1, Begin("127.0.0.1", (), 8), lambda _, event: None, Spare(keep=False))
    phone = SetStream(7, 0, 16000, None, None, False, CodecSpec("PCMU", 0, 8000), ())
    worker.send(phone)
    figures = say.StreamReport(7, 0, 0, 0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0, 0, SendState(5, 65000, 1000, 2), 0)
    for made, ahead, passed in ((1000.0, SKIP, 0.5), (940.0, SKIP + 5800, 60.5)):
        worker._note(Report((figures,), 1.0, 1.0, 1.0, 0, 1.0, 0, 0, made))
        [again] = worker._known(1000.5)
        assert isinstance(again, SetStream)
        state = again.send_state
        assert state is not None
        assert (state.rollover << 16) + state.sequence >= (2 << 16) + 65000 + ahead
        assert state.timestamp == 1000 + passed * 8000


def test_numbers_that_control_has_given_hold_before_the_first_report_too() -> None:
    """Its session descriptions tell the SSRC."""
    worker = Worker(1, Begin("127.0.0.1", (), 8), lambda _, event: None, Spare(keep=False))
    given = SendState(4711, 9, 1000)
    worker.send(SetStream(7, 0, 16000, None, None, False, CodecSpec("PCMU", 0, 8000), (), send_state=given))
    [again] = worker._known(time.monotonic())
    assert isinstance(again, SetStream)
    assert again.send_state is not None
    assert (again.send_state.ssrc, again.send_state.rollover) == (4711, 0)
    assert again.send_state.sequence >= 9 + SKIP


def test_a_killed_worker_is_replaced_even_without_a_spare() -> None:
    async def run() -> None:
        async with calls() as c:
            port = c.of(say.Ready)[0].ports[0]
            c.worker.send(SetRoom(1))
            c.phones.append(Phone(1, "PCMU", port))
            c.worker.send(c.phones[0].spec(1))
            await c.talk(0.5)
            c.spare.close()
            os.kill(c.worker.pid, signal.SIGKILL)
            await c.until(lambda: len(c.of(say.Ready)) == 2)
            count = len(c.phones[0].packets)
            await c.talk(0.5)
            assert len(c.phones[0].packets) > count

    asyncio.run(run())


def test_a_worker_that_can_not_be_started_at_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with calls() as made:
            made.spare.close()
            tries: list[float] = []
            take = made.spare.take

            def none_yet() -> Any:
                tries.append(time.monotonic())
                if len(tries) == 1:
                    raise OSError("too many open files")
                return take()

            monkeypatch.setattr(made.spare, "take", none_yet)
            dead = made.worker.pid
            os.kill(dead, signal.SIGKILL)
            await made.until(lambda: len(tries) == 2 and made.worker.pid not in (0, dead))

    asyncio.run(run())


def test_who_waits_for_a_prompt_or_a_name_of_a_dead_worker_is_told() -> None:
    async def run() -> None:
        async with calls() as c:
            port = c.of(say.Ready)[0].ports[0]
            c.phones.append(Phone(1, "PCMU", port))
            c.worker.send(c.phones[0].spec(0))
            c.worker.send(say.Say(1, ("silence:60000",), stream=1))
            c.worker.send(say.Say(2, ("tone:beep",), stream=1, interrupt=False, loop=True))
            c.worker.send(say.Capture(3, 1, seconds=60.0))
            await c.until(lambda: c.of(Report))
            os.kill(c.worker.pid, signal.SIGKILL)
            await c.until(lambda: len(c.of(say.Ready)) == 2)
            assert [event.say for event in c.of(Said)] == [1]
            assert c.of(Captured) == [Captured(capture=3, stream=1, seconds=0.0)]
            await c.talk(1.0)  # the loop is played again
            assert strength(c.phones[0].decode(c.phones[0].packets)[-4000:], 1000, 8000) > 3000

    asyncio.run(run())


def test_a_worker_that_hangs_is_replaced() -> None:
    async def run() -> None:
        async with calls() as c:
            await c.until(lambda: c.of(Report))
            os.kill(c.worker.pid, signal.SIGSTOP)
            c.worker.check(time.monotonic() + 3.0)
            c.worker.check(time.monotonic() + 6.0)
            await c.until(lambda: len(c.of(say.Ready)) == 2)

    asyncio.run(run())


def test_a_worker_that_dies_again_and_again_is_given_up() -> None:
    async def run() -> None:
        async with calls() as c:
            for n in range(RESTARTS + 1):
                os.kill(c.worker.pid, signal.SIGKILL)
                if n < RESTARTS:
                    await c.until(lambda n=n: len(c.of(say.Ready)) == n + 2)
            await c.until(lambda: c.worker.failed)

    asyncio.run(run())


def test_dropped_streams_are_not_brought_back() -> None:
    async def run() -> None:
        async with calls() as c:
            port = c.of(say.Ready)[0].ports[0]
            c.phones.append(Phone(1, "PCMU", port, mux=True))
            c.worker.send(c.phones[0].spec(0))
            await c.talk(0.3)
            c.worker.send(DropStream(1))
            await c.until(lambda: any(192 <= data[1] <= 223 for data in c.phones[0].raw) or c.phones[0].collect())
            os.kill(c.worker.pid, signal.SIGKILL)
            await c.until(lambda: len(c.of(say.Ready)) == 2)
            await c.until(lambda: len(c.of(Report)) > 0)
            assert c.worker.streams == 0
            assert c.of(Report)[-1].streams == ()

    asyncio.run(run())


def test_a_key_comes_through_the_process() -> None:
    async def run() -> None:
        async with calls() as c:
            port = c.of(say.Ready)[0].ports[0]
            phone = Phone(1, "PCMU", port)
            c.phones.append(phone)
            c.worker.send(phone.spec(0, receive=(EVENT,)))
            await c.until(phone.collect)  # it is known from now on
            phone.send_payload(bytes([7, 0x8A, 3, 32]), 101)
            await c.until(lambda: c.of(Key))
            assert c.of(Key) == [Key(1, "7", "event")]

    asyncio.run(run())


def test_no_port_is_an_error_that_says_so() -> None:
    async def run() -> None:
        spare = Spare(keep=False)
        worker = Worker(1, Begin("203.0.113.1", (FIRST_PORT,), 8), lambda *_: None, spare)
        with pytest.raises(OSError, match="no media port"):
            await worker.start()
        await worker.stop()

    asyncio.run(run())


def test_what_is_heard_is_in_time() -> None:
    """A beat every 20 ms: packets come evenly."""

    async def run() -> None:
        async with calls() as c:
            port = c.of(say.Ready)[0].ports[0]
            c.phones.append(Phone(1, "PCMU", port))
            c.worker.send(c.phones[0].spec(0))
            await c.talk(1.5)
            report = c.of(Report)[-1]
            assert report.beats_late <= 5
            steps = {b.timestamp - a.timestamp for a, b in pairwise(c.phones[0].packets)}
            assert np.all(np.array(sorted(steps)) % 160 == 0)
            assert 45 <= len(c.phones[0].packets) <= 80

    asyncio.run(run())


class Watched(socket.socket):
    """Control's end of the socket pair, which notes what is sent."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.family, sock.type, fileno=sock.detach())
        self.sent: list[int] = []

    def send(self, data: Any, flags: int = 0) -> int:
        size = super().send(data, flags)
        self.sent.append(size)
        return size


def watched(worker: Worker) -> Watched:
    assert worker._process is not None
    loop = asyncio.get_running_loop()
    loop.remove_reader(worker._process.sock)
    worker._process.sock = Watched(worker._process.sock)
    loop.add_reader(worker._process.sock, worker._read)
    return worker._process.sock


def test_commands_of_one_turn_of_the_loop_leave_together_and_in_order() -> None:
    async def run() -> None:
        async with calls() as c:
            sock = watched(c.worker)
            commands = [SetRoom(1), say.DropRoom(1), SetRoom(2), say.DropRoom(2)]
            for command in commands:
                c.worker.send(command)
            assert sock.sent == []
            assert b"".join(map(pack, commands)) == c.worker._out
            await asyncio.sleep(0)
            assert sock.sent == [sum(len(pack(command)) for command in commands)]
            await asyncio.sleep(0)
            assert len(sock.sent) == 1

    asyncio.run(run())


def test_a_crowds_commands_do_not_wait_for_the_turns_end() -> None:
    async def run() -> None:
        async with calls() as c:
            sock = watched(c.worker)
            while not sock.sent:
                c.worker.send(say.Hush(stream=1))
            assert AT_ONCE < sock.sent[0] < AT_ONCE + 100
            assert not c.worker._out

    asyncio.run(run())
