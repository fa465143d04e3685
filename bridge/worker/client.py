"""Control's side of the media workers: starts them, tells them, and puts a new one in a dead one's place.

What a worker needs to know is kept here in its last form, as the declarative commands say it; a fresh worker is told
it all again, with every stream's sending state as of its last report. A spare process with everything imported stands
by, so that callers hear a gap of some hundred milliseconds and nobody is hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from .kind import CLOCK_RATE, kind_of
from .protocol import (
    Address,
    Begin,
    Capture,
    Captured,
    Command,
    DropRoom,
    DropStream,
    Event,
    Frames,
    Hush,
    Latched,
    Ready,
    Report,
    Said,
    Say,
    SendState,
    SetRoom,
    SetStream,
    SetTalker,
    SrtpKey,
    Stop,
    Trouble,
    pack,
    unpack_event,
)

log = structlog.get_logger("worker")

SKIP = 256
"""Sequence numbers left out after a restart: more than a stream can have sent since its last report (1 s at 10 ms is
100), so that no SRTP packet index is ever used twice (RFC 3711 §9.1)."""
FRESH = 2.0
"""Seconds for which :data:`SKIP` is enough. A report that is older was the last that we got round to reading: the
worker sent on meanwhile, and what it reported of that died with it."""
PACKETS_A_SECOND = 100
"""Of a stream, at most: packets of 10 ms."""
STALLED = 4.0
"""Seconds without a report (due every second) after which a worker is taken for hung and replaced."""
RETRY = 0.5
"""Seconds until a process that could not be started is tried again."""
RESTARTS = 5
"""Restarts within a minute before we stop and say so: something is wrong that a restart does not cure."""
AT_ONCE = 64 << 10
"""Bytes of commands that are not held back until the loop's turn ends: a crowd's are worth a wakening."""
BACKLOG = 16 << 20
"""Bytes of commands a worker may leave unread before it is taken for hung."""

EventSink = Callable[[int, Event], None]
Sent = TypeVar("Sent", bound=msgspec.Struct)
Told = TypeVar("Told", bound=msgspec.Struct)
AUDIO = "bridge.worker.process"


@dataclass(slots=True)
class _Process:
    popen: subprocess.Popen[bytes]
    sock: socket.socket


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where a stream stands, as far as we know."""

    when: float
    state: SendState
    receive_rollover: int

    @classmethod
    def drawn(cls, now: float) -> Numbers:
        """Random numbers to begin with (RFC 3550 §5.1), the sequence number in the lower half: SRTP's first wrap is far
        away (RFC 3711 §3.3.1)."""
        state = SendState(1 + secrets.randbelow(0xFFFFFFFF), secrets.randbits(15), secrets.randbits(32))
        return cls(now, state, 0)

    def resumed(self, now: float, clock: int, skip: int = SKIP) -> Numbers:
        """Where a fresh process goes on: its time has passed at ``clock`` Hz, and ``skip`` numbers are left out."""
        state = self.state
        sequence = state.sequence + skip + int(max(0.0, now - self.when - FRESH) * PACKETS_A_SECOND)
        resumed = SendState(
            ssrc=state.ssrc,
            sequence=sequence & 0xFFFF,
            timestamp=(state.timestamp + int((now - self.when) * clock)) & 0xFFFFFFFF,
            rollover=state.rollover + (sequence >> 16),
            rtcp_index=state.rtcp_index + SKIP,
        )
        return Numbers(now, resumed, self.receive_rollover)


class _Resumable(Protocol):
    @property
    def srtp_send(self) -> SrtpKey | None: ...
    @property
    def srtp_receive(self) -> SrtpKey | None: ...


Spec = TypeVar("Spec", bound=_Resumable)


def resumed(spec: Spec, numbers: Numbers) -> Spec:
    """A stream's description with its numbers going on and its keys at their index."""
    changes: dict[str, object] = {"send_state": numbers.state}
    if spec.srtp_send is not None:
        changes["srtp_send"] = msgspec.structs.replace(spec.srtp_send, rollover=numbers.state.rollover)
    if spec.srtp_receive is not None:
        changes["srtp_receive"] = msgspec.structs.replace(spec.srtp_receive, rollover=numbers.receive_rollover)
    again: Spec = msgspec.structs.replace(spec, **changes)  # type: ignore[type-var]
    return again


def _spawn(module: str) -> _Process:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        popen = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    return _Process(popen, ours)


class Spare:
    """One process that has done its imports and waits."""

    def __init__(self, module: str = AUDIO, *, keep: bool = True) -> None:
        self._module = module
        self._keep = keep
        self._waiting: _Process | None = None

    def take(self) -> _Process:
        """The spare, if it lives; another one starts in its place."""
        taken, self._waiting = self._waiting, None
        if taken is None or taken.popen.poll() is not None:
            taken = _spawn(self._module)
        return taken

    def refill(self) -> None:
        if self._keep and (self._waiting is None or self._waiting.popen.poll() is not None):
            with contextlib.suppress(OSError):  # the next death finds none, and starts one itself
                self._waiting = _spawn(self._module)

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.sock.close()  # it reads the end and goes
            try:
                self._waiting.popen.wait(5)
            except subprocess.TimeoutExpired:  # still importing, on a machine that has no time
                self._waiting.popen.kill()
                self._waiting.popen.wait()
            self._waiting = None


class Supervisor(ABC, Generic[Sent, Told]):
    """One media process, whichever it is at the moment; its heirs know what it must be told after a death."""

    patience = STALLED

    def __init__(
        self,
        number: int,
        begin: Begin,
        sink: Callable[[int, Told], None],
        spare: Spare,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Args:
        descriptors: what goes with ``begin``: its bundle ports' sockets, its relays' ends. They stay the caller's.
        """
        self.number = number
        self._begin = begin
        self._descriptors = list(descriptors)
        self._sink = sink
        self._spare = spare
        self._process: _Process | None = None
        self._out = bytearray()
        self._gathering = False
        """What is written leaves at the end of this turn of the loop."""
        self._blocked = False
        """Its socket was full: it says when there is room."""
        self._ready: asyncio.Future[Ready] | None = None
        self._stopping = False
        self._restarts: list[float] = []
        self.restarts = 0
        self.failed = False
        self._heard = 0.0

    @abstractmethod
    def _unpack(self, body: bytes) -> Told:
        """Read an event; raises :class:`msgspec.MsgspecError`."""

    @abstractmethod
    def _remember(self, command: Sent) -> Sent:
        """Keep what must be said again after a restart; the command as it is to be sent."""

    @abstractmethod
    def _known(self, now: float) -> Iterable[Sent]:
        """All that a fresh process must be told."""

    @abstractmethod
    def _note(self, event: Told) -> None:
        """Learn from an event where the process stands."""

    def _bereaved(self) -> None:
        """The process died and another one is on its way."""

    @property
    def pid(self) -> int:
        return self._process.popen.pid if self._process else 0

    async def start(self) -> Ready:
        """Start the process; returns when its ports are bound.

        Raises:
            OSError: it could not bind any, or died.
        """
        self._ready = asyncio.get_running_loop().create_future()
        self._launch()
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), 30)
        except TimeoutError:
            raise OSError("the media worker did not start within 30 s: is the machine overloaded?") from None

    def send(self, command: Sent) -> None:
        """Tell the worker; what it must still know after a restart is remembered."""
        command = self._remember(command)
        if self._process is not None:
            self._write(command)

    async def stop(self) -> None:
        """Let it say goodbye to its streams and end."""
        self._stopping = True
        if self._process is None:
            return
        self._write(Stop())
        self._flush()
        process = self._process
        for _ in range(100):
            if process.popen.poll() is not None:
                break
            await asyncio.sleep(0.02)
        else:
            process.popen.kill()
        self._detach()

    # ------------------------------------------------------------------------------------- the process

    def _launch(self) -> None:
        self._process = self._spare.take()
        self._frames = Frames()
        self._out.clear()
        self._blocked = False
        self._heard = time.monotonic()
        asyncio.get_running_loop().add_reader(self._process.sock, self._read)
        # The first that goes into a fresh socket: there is room for it. Where the process is dead, reading tells.
        with contextlib.suppress(OSError):
            socket.send_fds(self._process.sock, [pack(self._begin)], self._descriptors)

    def _detach(self) -> None:
        if self._process is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._process.sock)
        loop.remove_writer(self._process.sock)
        self._process.sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.popen.wait(1)
        self._process = None

    def _write(self, command: msgspec.Struct) -> None:
        """Commands of one turn of the loop leave together: every send wakes the worker, whose priority is higher than
        ours, and a call takes several."""
        if self._process is None:
            return
        self._out += pack(command)
        if len(self._out) > BACKLOG:
            log.error("worker reads no commands; replacing it", worker=self.number)
            self._process.popen.send_signal(signal.SIGKILL)
        elif self._blocked:
            pass
        elif len(self._out) > AT_ONCE:
            self._flush()
        elif not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_soon(self._flush_gathered)

    def _flush_gathered(self) -> None:
        self._gathering = False
        if not self._blocked:
            self._flush()

    def _flush(self) -> None:
        if self._process is None:
            return
        loop = asyncio.get_running_loop()
        try:
            while self._out:
                sent = self._process.sock.send(self._out[: 1 << 18])
                del self._out[:sent]
        except BlockingIOError:
            self._blocked = True
            loop.add_writer(self._process.sock, self._flush)
            return
        except OSError:
            pass  # it died; reading tells
        if self._blocked:
            self._blocked = False
            loop.remove_writer(self._process.sock)

    def _read(self) -> None:
        assert self._process is not None
        try:
            data = self._process.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died()
            return
        for frame in self._frames.feed(data):
            try:
                self._hear(self._unpack(frame))
            except msgspec.MsgspecError as error:
                log.error("worker said something unknown", worker=self.number, error=str(error))

    def check(self, now: float) -> None:
        """Call every second or so: a worker that hangs is killed, and replaced like one that died."""
        if self._process is None or self._ready is not None or self._stopping:
            return
        if now - self._heard > self.patience:
            log.error("worker hangs; replacing it", worker=self.number, silent_s=round(now - self._heard, 1))
            self._process.popen.send_signal(signal.SIGKILL)
            self._heard = now

    def _hear(self, event: Told) -> None:
        self._heard = time.monotonic()
        if isinstance(event, Ready):
            self._spare.refill()
            if self._ready is not None:
                self._ready.set_result(event)
                self._ready = None
            else:
                self._replay()
        elif isinstance(event, Trouble) and self._ready is not None:
            self._ready.set_exception(OSError(event.reason))
            self._ready = None
        self._note(event)
        self._sink(self.number, event)

    def _replay(self) -> None:
        """Tell a fresh worker all that the dead one knew."""
        told = 0
        for command in self._known(time.monotonic()):
            self._write(command)
            told += 1
        log.info("worker is back", worker=self.number, commands=told)

    def _died(self) -> None:
        assert self._process is not None
        status = self._process.popen.poll()
        self._detach()
        if self._stopping:
            return
        now = time.monotonic()
        if self._ready is not None:
            self._ready.set_exception(OSError(f"the media worker ended with status {status}"))
            self._ready = None
            return
        self._restarts = [t for t in self._restarts if now - t < 60] + [now]
        self.restarts += 1
        log.error("worker died; starting another in its place", worker=self.number, status=status)
        if len(self._restarts) > RESTARTS:
            self.failed = True
            log.critical("worker died too often; its rooms stay silent until the server is restarted")
            return
        self._relaunch()

    def _relaunch(self) -> None:
        if self._stopping:
            return
        try:
            self._launch()
        except OSError as error:  # no process, no descriptor to be had: a flood elsewhere on the machine
            log.error("no worker can be started; trying again", worker=self.number, error=str(error))
            asyncio.get_running_loop().call_later(RETRY, self._relaunch)
            return
        self._bereaved()


class Worker(Supervisor[Command, Event]):
    """One audio worker."""

    def __init__(
        self, number: int, begin: Begin, sink: EventSink, spare: Spare, descriptors: Sequence[int] = ()
    ) -> None:
        super().__init__(number, begin, sink, spare, descriptors)
        self._rooms: dict[int, SetRoom] = {}
        self._streams: dict[int, SetStream] = {}
        self._talkers: dict[int, SetTalker] = {}
        self._latched: dict[int, Address] = {}
        self._reached: dict[int, Numbers] = {}
        self._saying: dict[int, Say] = {}
        self._capturing: dict[int, Capture] = {}

    @property
    def streams(self) -> int:
        return len(self._streams) + len(self._talkers)

    def _unpack(self, body: bytes) -> Event:
        return unpack_event(body)

    def _numbers(self, stream: int) -> Numbers:
        known = self._reached.get(stream)
        if known is None:
            known = self._reached[stream] = Numbers.drawn(time.monotonic())
        return known

    def _remember(self, command: Command) -> Command:
        if isinstance(command, SetStream):
            if command.send_state is None:
                command = msgspec.structs.replace(command, send_state=self._numbers(command.stream).state)
            elif command.stream not in self._reached:
                self._reached[command.stream] = Numbers(time.monotonic(), command.send_state, 0)
        match command:
            case SetRoom():
                self._rooms[command.room] = command
            case DropRoom():
                self._rooms.pop(command.room, None)
            case SetStream():
                before = self._streams.get(command.stream)
                if before is not None and (before.remote, before.port) != (command.remote, command.port):
                    self._latched.pop(command.stream, None)
                self._streams[command.stream] = command
            case SetTalker():
                self._talkers[command.stream] = command
            case DropStream():
                for table in (self._streams, self._talkers, self._latched, self._reached):
                    table.pop(command.stream, None)
                self._forget_saying(stream=command.stream)
                for capture in [c for c in self._capturing.values() if c.stream == command.stream]:
                    del self._capturing[capture.capture]
            case Say():
                if command.interrupt:
                    self._forget_saying(stream=command.stream, room=command.room)
                self._saying[command.say] = command
            case Hush():
                self._forget_saying(stream=command.stream, room=command.room)
            case Capture():
                self._capturing[command.capture] = command
            case _:
                pass
        return command

    def _forget_saying(self, *, stream: int = 0, room: int = 0) -> None:
        for say in [s for s in self._saying.values() if (s.stream, s.room) == (stream, room)]:
            del self._saying[say.say]

    def _note(self, event: Event) -> None:
        match event:
            case Latched():
                self._latched[event.stream] = event.remote
            case Report():
                for figures in event.streams:
                    if figures.stream in self._streams:
                        when = event.made or self._heard
                        numbers = Numbers(when, figures.send_state, figures.receive_rollover)
                        self._reached[figures.stream] = numbers
            case Said():
                self._saying.pop(event.say, None)
            case Captured():
                self._capturing.pop(event.capture, None)
            case _:
                pass

    def _bereaved(self) -> None:
        for say in list(self._saying.values()):
            if not say.loop:  # what was being said is over: whoever waits for its end must not wait for ever
                self._hear(Said(say=say.say, error="the media worker was restarted"))
        for capture in list(self._capturing.values()):
            self._hear(Captured(capture=capture.capture, stream=capture.stream, seconds=0.0))

    def _known(self, now: float) -> Iterable[Command]:
        yield from self._rooms.values()
        for spec in self._streams.values():
            yield self._resumed(spec, now)
        yield from self._talkers.values()
        yield from self._saying.values()

    def _resumed(self, spec: SetStream, now: float) -> SetStream:
        """A stream's description as of now: its true address, its numbers going on, its keys at their index."""
        latched = self._latched.get(spec.stream)
        if latched is not None:
            spec = msgspec.structs.replace(spec, remote=latched)
        clock = int(CLOCK_RATE[kind_of(spec.send)]) if spec.send else 8000
        numbers = self._numbers(spec.stream).resumed(now, clock)
        # Another death before the next report goes on from here: no SRTP packet index may come twice.
        self._reached[spec.stream] = numbers
        return resumed(spec, numbers)
