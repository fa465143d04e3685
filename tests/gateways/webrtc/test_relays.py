"""A real TURN server takes the credentials that we hand out, and carries a call to our port; others' it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways.webrtc import turn
from gateways.webrtc.event import Failed
from tests.gateways.webrtc.port import Media, Port
from tests.gateways.webrtc.test_real_peers import OFFER, RECEIVED, TAKE, chromium, hear, speak
from tests.interop.ports import free_ports
from tests.interop.process import Process, need, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]
SECRET = "north of the river"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[int]:
    """coturn, as docs/install.md has it, on loopback; its port."""
    need("turnserver", "coturn")
    first = free_ports(64)
    command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout", "--simple-log"]
    command += ["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--listening-port", str(first)]
    command += ["--min-port", str(first + 8), "--max-port", str(first + 63), "--realm", "visiopont"]
    command += ["--use-auth-secret", "--static-auth-secret", SECRET, "--allow-loopback-peers"]
    command += ["--denied-peer-ip", "0.0.0.0-255.255.255.255", "--allowed-peer-ip", "127.0.0.1", "--no-multicast-peers"]
    command += ["--denied-peer-ip", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
    command += ["--userdb", str(tmp_path / "turndb"), "--pidfile", str(tmp_path / "pid")]
    with Process(command, tmp_path / "turn.log", limit=60):
        until(lambda: listens(first), "coturn's listener")
        yield first


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def servers(port: int, transport: str, secret: str = SECRET, now: float | None = None) -> list[dict[str, Any]]:
    """As a page gets them."""
    when = time.time() if now is None else now
    found = turn.ice_servers([f"turn:127.0.0.1:{port}?transport={transport}"], secret, "demo-0a1b2c3d", when)
    return [dict(server) for server in found]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_aiortc_by_a_relay(relay: int, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no candidate but the relay's."""
    import aioice.ice
    from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
    from aiortc.mediastreams import AudioStreamTrack

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])

    async def call() -> None:
        async with Port() as port:
            [server] = servers(relay, transport)
            peer = RTCPeerConnection(RTCConfiguration([RTCIceServer(**server)]))
            try:
                peer.addTrack(AudioStreamTrack())
                await peer.setLocalDescription(await peer.createOffer())
                assert " typ relay " in peer.localDescription.sdp
                answer = port.offered(peer.localDescription.sdp)
                await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
                keys = await port.keys()
                media = Media(keys.send, keys.receive)
                await hear(port, media)
                await speak(port, media, keys.remote)
                stats = await peer.getReceivers()[0].getStats()
                assert [s.packetsReceived >= 20 for s in stats.values() if s.type == "inbound-rtp"] == [True]
                assert relay + 8 <= keys.remote.remote[1] < relay + 64
            finally:
                await peer.close()
            assert not port.of(Failed)

    asyncio.run(call())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_chromium_by_a_relay(relay: int, transport: str) -> None:
    need("chromium", "chromium")

    async def call() -> None:
        async with Port() as port, chromium() as page:
            configuration = {"iceServers": servers(relay, transport), "iceTransportPolicy": "relay"}
            await page.evaluate("given => { window.configuration = given; }", configuration)
            await page.evaluate(TAKE, port.offered(await page.evaluate(OFFER)))
            keys = await port.keys()
            media = Media(keys.send, keys.receive)
            await hear(port, media)
            await speak(port, media, keys.remote)
            assert (await page.evaluate(RECEIVED))["inbound"] >= 20
            assert relay + 8 <= keys.remote.remote[1] < relay + 64
            await page.evaluate("() => peer.close()")

    asyncio.run(call())


@pytest.mark.parametrize("fault", ["another secret", "over"])
def test_credentials_of_others_and_of_yesterday_are_refused(relay: int, fault: str) -> None:
    from aioice import turn as client

    secret = SECRET if fault == "over" else "south"
    [server] = servers(relay, "udp", secret, time.time() - 86_400 if fault == "over" else None)

    async def allocate(username: str, password: str) -> None:
        transport, _ = await client.create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=("127.0.0.1", relay),
            username=username,
            password=password,
        )
        transport.close()
        await asyncio.sleep(0.1)

    with pytest.raises(Exception, match="401"):
        asyncio.run(allocate(server["username"], server["credential"]))
    [good] = servers(relay, "udp")
    asyncio.run(allocate(good["username"], good["credential"]))
