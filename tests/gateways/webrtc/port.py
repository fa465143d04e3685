"""The gateway on a real UDP socket, as a test may run it: all packets go through asyncio, which the server avoids."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy as np

from bridge.media.srtp import SPARE, SrtpTable
from bridge.signalling.flow import Flow
from bridge.signalling.flow import Transport as Carrier
from bridge.signalling.transport_parameters import Fingerprint, Setup, TransportParameters
from bridge.worker.protocol import SrtpKey
from gateways.webrtc.event import Connected, GatewayEvent, Keys
from gateways.webrtc.gateway import Gateway
from gateways.webrtc.ice import candidates
from tests.gateways.webrtc.air import OURS
from tests.interop.ports import free_ports

T = TypeVar("T")


class Driver:
    """The contract of cores with a real clock."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.local = (host, free_ports(2))
        self.gateway = Gateway(OURS, os.urandom)
        self.events: list[GatewayEvent] = []
        self.media: list[bytes] = []
        """RTP and RTCP that came, as they came."""
        self.lose: Callable[[bytes, bool], bool] = lambda data, ours: False
        """A test's own loss."""
        self.candidates = candidates([self.local])
        self._timer: asyncio.TimerHandle | None = None

    def send(self, data: bytes, to: Flow) -> None:
        raise NotImplementedError

    def do(self, act: Callable[[Gateway, float], T]) -> T:
        """One mutation, then what the contract of cores says."""
        result = act(self.gateway, time.monotonic())
        for data, flow in self.gateway.datagrams():
            if not self.lose(data, True):
                self.send(data, flow)
        self.events.extend(self.gateway.events())
        when = self.gateway.deadline()
        self.rest()
        if when is not None:
            delay = max(0.0, when - time.monotonic())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, lambda: self.do(lambda gateway, now: gateway.expire(now)))
        return result

    def rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def took(self, data: bytes, flow: Flow) -> None:
        """A packet came."""
        if self.lose(data, False):
            return
        if data and 128 <= data[0] < 192:
            self.media.append(data)
            return
        self.do(lambda gateway, now: gateway.receive(data, flow, now))

    async def until(self, condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds} s: not yet {what}; {self.events} {self.gateway.counters}")
            await asyncio.sleep(0.02)
        return found

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    async def keys(self) -> Keys:
        await self.until(lambda: bool(self.of(Keys) and self.of(Connected)), "keys")
        return self.of(Keys)[-1]

    # ------------------------------------------------------------------------------------- descriptions

    def offered(self, sdp: str, id: str = "peer") -> str:
        """Our answer to a browser's offer: its first audio codec of those we can make here, recvonly or sendrecv."""
        remote = parameters(sdp)

        def answer(gateway: Gateway, now: float) -> TransportParameters:
            if id in gateway._transports:
                return gateway.update(id, remote, now)
            return gateway.open(id, remote, local=self.local, candidates=self.candidates, now=now)

        return description(sdp, self.do(answer))


class Port(Driver, asyncio.DatagramProtocol):
    """``async with Port() as port``: one UDP socket."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=self.local)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()
        self._socket.close()
        await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.took(data, Flow(Carrier.UDP, self.local, (addr[0], addr[1])))

    def send(self, data: bytes, to: Flow) -> None:
        self._socket.sendto(data, to.remote)


def parameters(sdp: str) -> TransportParameters:
    def values(name: str) -> list[str]:
        return re.findall(rf"^a={name}:(.*?)\r?$", sdp, re.MULTILINE)

    fingerprints = tuple(dict.fromkeys(map(Fingerprint.parse, values("fingerprint"))))
    return TransportParameters(
        fingerprints, Setup(values("setup")[0]), values("ice-ufrag")[0], values("ice-pwd")[0], lite="a=ice-lite" in sdp
    )


def description(offer: str, ours: TransportParameters, codec: str = "0 PCMU/8000") -> str:
    """An answer of one audio line, which the offer has too."""
    mid = re.findall(r"^a=mid:(.*?)\r?$", offer, re.MULTILINE)[0]
    type_, name = codec.split()
    at = ours.candidates[0]
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        f"a=group:BUNDLE {mid}",
        f"m=audio {at.port} UDP/TLS/RTP/SAVPF {type_}",
        f"c=IN IP4 {at.address}",
        f"a=mid:{mid}",
        "a=sendrecv",
        "a=rtcp-mux",
        f"a=ice-ufrag:{ours.ufrag}",
        f"a=ice-pwd:{ours.password}",
        *(f"a=fingerprint:{fingerprint}" for fingerprint in ours.fingerprints),
        f"a=setup:{ours.setup}",
        f"a=rtpmap:{type_} {name}",
        "a=ssrc:77 cname:here",
        *(f"a=candidate:{candidate}" for candidate in ours.candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"


class Media:
    """SRTP with a transport's keys, one packet at a time."""

    def __init__(self, send: SrtpKey, receive: SrtpKey) -> None:
        self._table = SrtpTable(1)
        self._table.set_send(0, send.suite, send.material)
        self._table.set_receive(0, receive.suite, receive.material)

    def _through(self, call: Callable[..., Any], packet: bytes) -> bytes | None:
        memory = np.zeros(len(packet) + SPARE, np.uint8)
        memory[: len(packet)] = np.frombuffer(packet, np.uint8)
        length = np.array([len(packet)], np.int32)
        ok = call(np.zeros(1, np.intp), np.array([memory.ctypes.data], np.uint64), length)
        return memory[: int(length[0])].tobytes() if ok[0] else None

    def opened(self, packet: bytes) -> bytes | None:
        return self._through(self._table.unprotect, packet)

    def sealed(self, packet: bytes) -> bytes:
        sealed = self._through(self._table.protect, packet)
        assert sealed is not None
        return sealed
