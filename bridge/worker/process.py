"""The media process: waits for its orders, then keeps the beat until it is told to stop or control goes away."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from .beat import Beat
from .protocol import Begin, Frames, Report, Stop, Trouble, pack, unpack_command

BEAT = 0.020
"""Seconds: the packet time that nearly every phone uses (RFC 3551 §4.2)."""
CATCH_UP = 5
"""Beats that may be made up for at once after a stall; beyond that the time is lost for good, and counted."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)"""
NICE = -10
"""Before all else on the machine, where it may be: a voice that comes late is heard by all."""
FAILURES = 50
"""Beats that may fail (each may lose packet slots) before the process gives way to another."""
MOST_DESCRIPTORS = 64
"""Sockets and relays that come with the first command: a few for each worker of the other medium."""
BACKLOG = 8 << 20
"""Bytes of events that wait for a control that does not read; then reports are left out."""


class Link:
    """The worker's end of the socket pair; never blocks a beat."""

    def __init__(self, sock: socket.socket, unpack: Callable[[bytes], object] = unpack_command) -> None:
        """Args:
        unpack: reads a command, of which :class:`.protocol.Begin` is one.
        """
        self._sock = sock
        self._unpack = unpack
        self._frames = Frames()
        self._out = bytearray()
        self.open = True
        self.descriptors: list[int] = []
        """What came with the first command; they are ours now."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, event: msgspec.Struct, *, spare: bool = False) -> None:
        """Args:
        spare: it may be left out where control doesn't keep up.
        """
        if len(self._out) > BACKLOG and (spare or isinstance(event, Report)):
            return
        self._out += pack(event)

    def flush(self) -> None:
        try:
            while self._out:
                sent = self._sock.send(self._out[: 1 << 18])
                del self._out[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.open = False

    def commands(self) -> list[bytes]:
        try:
            data = self._sock.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            data = b""
        if not data:
            self.open = False
            return []
        return self._frames.feed(data)

    def _first(self) -> list[bytes]:
        """As :meth:`commands`, with the descriptors that come along."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, 1 << 18, MOST_DESCRIPTORS)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            data, descriptors = b"", []
        self.descriptors += descriptors
        self.open = bool(data)
        return self._frames.feed(data)

    def obey(self, engine: Engine, messages: list[bytes]) -> bool:
        """Have commands carried out; false when told to stop."""
        for message in messages:
            try:
                command = self._unpack(message)
            except msgspec.MsgspecError as error:
                self.send(Trouble(reason=f"not a command: {error}"))
                continue
            if isinstance(command, Stop):
                return False
            engine.obey(command, time.monotonic())
        return True

    def wait(self, seconds: float) -> bool:
        """Until control says something (true) or the time has passed."""
        return bool(select.select([self._sock], [], [], seconds)[0])

    def first(self) -> tuple[Begin | None, list[bytes]]:
        """Block for the first command; what came with it is for later."""
        while self.open:
            self.wait(60.0)
            found = self._first()
            if found:
                command = self._unpack(found[0])
                return (command if isinstance(command, Begin) else None), found[1:]
        return None, []


class Engine(Protocol):
    """What a media process keeps going: the beat of its medium."""

    def obey(self, command: Any, now: float) -> None: ...

    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Engine)


def serve(
    link: Link, nice: int, make: Callable[[Begin, list[int]], Kept], keep: Callable[[Kept, Link, list[bytes]], None]
) -> int:
    """Serve one control process; returns the exit status.

    Args:
        nice: the process's priority.
        make: the engine, of the first command and the descriptors that came with it; raises OSError.
        keep: keeps it going, with the commands that came along, until told to stop.
    """
    begin, early = link.first()
    if begin is None:
        return 0
    if begin.cpu >= 0:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {begin.cpu})
    with contextlib.suppress(OSError):  # worth having, not worth failing for
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        engine = make(begin, link.descriptors)
    except OSError as error:
        link.send(Trouble(reason=str(error)))
        link.flush()
        return 1
    link.flush()
    gc.collect()
    gc.freeze()
    gc.disable()  # collections happen between beats, when there is time
    try:
        keep(engine, link, early)
    finally:
        engine.close()
        link.flush()
    return 0


def run(link: Link) -> int:
    """Serve one control process; returns the exit status."""
    return serve(link, NICE, lambda begin, fds: Beat(begin, link.send, time.monotonic(), fds), _keep)


def _keep(beat: Beat, link: Link, early: list[bytes]) -> None:
    due, beats, failures = time.monotonic(), 0, 0
    running = link.obey(beat, early)
    while running and link.open:
        now = time.monotonic()
        if now < due:
            lead = beat.lead
            if lead and now >= due - lead:
                beat.receive_ahead()
            elif link.wait(due - lead - now):
                running = link.obey(beat, link.commands())
            continue
        if now - due > CATCH_UP * BEAT:
            lost = int((now - due) / BEAT)
            beat.lose(lost)
            due += lost * BEAT
        try:
            beat.run(now, time.time(), late=now - due)
        except Exception:
            # One beat is lost, not the calls; but where it goes on, a fresh process is told everything again.
            failures += 1
            link.send(Trouble(reason=f"a beat failed: {traceback.format_exc(limit=-3)}"))
            if failures >= FAILURES:
                raise
        due += BEAT + beat.shift(due)
        beats += 1
        link.flush()
        running = link.obey(beat, link.commands())
        if beats % 250 == 0 and due - time.monotonic() > BEAT / 2:
            gc.collect(1 if beats % 3000 else 2)


def keep_memory() -> None:
    """Blocks of a beat's size come from the heap and stay there: glibc would map and unmap them every 20 ms, which is
    a page fault for each 4 kB of them."""
    with contextlib.suppress(AttributeError, OSError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 64 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)


def link_from(arguments: list[str], unpack: Callable[[bytes], object] = unpack_command) -> Link:
    """Our end of control's socket pair, whose number is the first argument; signals are for control, which tells us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sock = socket.socket(fileno=int(arguments[1]))
    sock.setblocking(False)
    return Link(sock, unpack)


def main() -> int:
    """``python -m bridge.worker.process FD``: FD is our end of control's socket pair."""
    keep_memory()
    return run(link_from(sys.argv))


if __name__ == "__main__":
    sys.exit(main())
