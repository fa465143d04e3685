"""A media worker under test, driven by its own protocol without any signalling."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import msgspec

from bridge.worker.protocol import (
    Address,
    Begin,
    CodecSpec,
    Command,
    Event,
    Frames,
    Ready,
    Report,
    SetRoom,
    SetStream,
    SrtpKey,
    Stop,
    pack,
    unpack_event,
)

CODECS = {
    "PCMU": CodecSpec("PCMU", 0, 8000),
    "PCMA": CodecSpec("PCMA", 8, 8000),
    "G722": CodecSpec("G722", 9, 8000),
    "OPUS": CodecSpec("OPUS", 96, 48000, 2, fec=True),
    "L16": CodecSpec("L16", 97, 16000),
}


@dataclass(slots=True)
class Phone:
    """One stream to set up."""

    room: int
    address: tuple[str, int]
    port: int
    codec: str = "PCMU"
    key_in: bytes = b""
    key_out: bytes = b""
    """SRTP master key and salt of what it sends and of what it is sent; none: plain RTP."""

    def spec(self, stream: int) -> SetStream:
        """How control would describe it."""
        spec, remote = CODECS[self.codec], Address(*self.address)
        return SetStream(
            stream=stream,
            room=self.room,
            port=self.port,
            remote=remote,
            remote_rtcp=remote,
            rtcp_mux=True,
            send=spec,
            receive=(spec,),
            srtp_send=SrtpKey("AES_CM_128_HMAC_SHA1_80", self.key_out) if self.key_out else None,
            srtp_receive=SrtpKey("AES_CM_128_HMAC_SHA1_80", self.key_in) if self.key_in else None,
        )


class MediaServer:
    """One worker process; a thread reads what it says, as control would."""

    def __init__(self, ports: range, *, capacity: int, cpu: int = 0, host: str = "127.0.0.1") -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bridge.worker.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._frames = Frames()
        self._said: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(Begin(host=host, ports=tuple(ports), capacity=capacity, cpu=cpu))
        ready = self._first()
        self.pids = [self._process.pid]
        self.ports = ready.ports

    def send(self, command: Command) -> None:
        self._socket.sendall(pack(command))

    def populate(self, rooms: dict[int, SetRoom], phones: list[Phone]) -> None:
        """Rooms, and streams numbered from 1."""
        for room in rooms.values():
            self.send(room)
        for number, phone in enumerate(phones, 1):
            self.send(phone.spec(number))

    def events(self) -> list[Event]:
        """All that was said since the last call."""
        said, self._said = self._said, []
        return [unpack_event(body) for body in said]

    def reports(self) -> list[Report]:
        return [event for event in self.events() if isinstance(event, Report)]

    def stop(self) -> None:
        try:
            self.send(Stop())
            self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(5)
        self._reader.join(2)
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(1 << 20)
            except OSError:
                return
            if not data:
                return
            self._said += self._frames.feed(data)

    def _first(self) -> Ready:
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            for event in self.events():
                if isinstance(event, Ready):
                    return event
                raise OSError(f"the worker says {msgspec.to_builtins(event)}")
            time.sleep(0.02)
        raise OSError("the worker did not start")
