"""Others' ICE, DTLS and SRTP against ours on a real socket: Chromium, aiortc, OpenSSL."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from bridge.signalling.flow import Flow
from bridge.signalling.transport_parameters import Fingerprint, Setup, TransportParameters
from gateways.webrtc import dtls
from gateways.webrtc.event import Closed, Connected, ConsentLost, Failed, Keys
from gateways.webrtc.ice import candidates
from server.tcp_relay import TcpRelay
from tests.gateways.webrtc.port import Driver, Media, Port, description, parameters
from tests.interop.ports import free_ports
from tests.interop.process import need

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]


def is_audio(packet: bytes) -> bool:
    return packet[1] & 0x7F == 0


async def speak(port: Driver, media: Media, to: Flow, packets: int = 25) -> None:
    """Half a second of mu-law."""
    for n in range(packets):
        header = b"\x80\x00" + n.to_bytes(2, "big") + (160 * n).to_bytes(4, "big") + (77).to_bytes(4, "big")
        port.send(media.sealed(header + b"\x55" * 160), to)
        await asyncio.sleep(0.02)


async def hear(port: Driver, media: Media) -> None:
    """At least five packets come, and all of them open."""
    start = len(port.media)
    await port.until(lambda: sum(map(is_audio, port.media[start:])) >= 5, "voice")
    voice = [packet for packet in port.media[start:] if is_audio(packet)]
    assert all(media.opened(packet) is not None for packet in voice)


# ---------------------------------------------------------------------------------------------------- aiortc


@pytest.fixture
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    import aioice.ice

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.mark.usefixtures("on_loopback")
def test_aiortc() -> None:
    from aiortc import RTCPeerConnection, RTCSessionDescription
    from aiortc.mediastreams import AudioStreamTrack

    async def call() -> None:
        async with Port() as port:
            peer = RTCPeerConnection()
            try:
                peer.addTrack(AudioStreamTrack())
                await peer.setLocalDescription(await peer.createOffer())
                answer = port.offered(peer.localDescription.sdp)
                await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
                keys = await port.keys()
                media = Media(keys.send, keys.receive)
                await hear(port, media)
                await speak(port, media, keys.remote)
                stats = await peer.getReceivers()[0].getStats()
                inbound = [s for s in stats.values() if s.type == "inbound-rtp"]
                assert inbound[0].packetsReceived >= 20
            finally:
                await peer.close()
            await port.until(lambda: port.of(Closed), "close_notify")
            assert not port.of(Failed)

    asyncio.run(call())


# -------------------------------------------------------------------------------------------------- Chromium

OFFER = """async () => {
  const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
  tone.connect(out); tone.start();
  const peer = window.peer = new RTCPeerConnection({bundlePolicy: "max-bundle", ...window.configuration});
  peer.addTrack(out.stream.getAudioTracks()[0], out.stream);
  await peer.setLocalDescription(await peer.createOffer());
  return peer.localDescription.sdp;
}"""
ANSWER = """async sdp => {
  const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
  tone.connect(out); tone.start();
  const peer = window.peer = new RTCPeerConnection();
  await peer.setRemoteDescription({type: "offer", sdp});
  peer.addTrack(out.stream.getAudioTracks()[0], out.stream);
  await peer.setLocalDescription(await peer.createAnswer());
  return peer.localDescription.sdp;
}"""
RESTART = """async () => {
  await peer.setLocalDescription(await peer.createOffer({iceRestart: true}));
  return peer.localDescription.sdp;
}"""
TAKE = "sdp => peer.setRemoteDescription({type: 'answer', sdp})"
RECEIVED = """async () => {
  const all = [...(await peer.getStats()).values()];
  return {inbound: all.find(s => s.type == "inbound-rtp")?.packetsReceived ?? 0,
          pair: all.find(s => s.type == "candidate-pair" && s.nominated)?.state,
          protocol: all.find(s => s.type == "local-candidate" && s.id == all.find(
            s => s.type == "candidate-pair" && s.nominated)?.localCandidateId)?.protocol,
          transport: all.find(s => s.type == "transport"), state: peer.connectionState};
}"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A page."""
    from playwright.async_api import async_playwright

    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


def test_chromium() -> None:
    """It hears and is heard, and restarts ICE."""
    need("chromium", "chromium")

    async def call() -> None:
        async with Port() as port, chromium() as page:
            await page.evaluate(TAKE, port.offered(await page.evaluate(OFFER)))
            keys = await port.keys()
            media = Media(keys.send, keys.receive)
            await hear(port, media)
            await speak(port, media, keys.remote)
            stats = await page.evaluate(RECEIVED)
            assert stats["inbound"] >= 20
            assert stats["pair"] == "succeeded"
            assert stats["state"] == "connected"
            assert stats["transport"]["srtpCipher"].replace("SRTP_", "") in (
                "AEAD_AES_128_GCM",
                "AES_CM_128_HMAC_SHA1_80",
            )
            assert stats["transport"]["iceRole"] == "controlling"

            answer = port.offered(await page.evaluate(RESTART))
            assert port.gateway.held()["fragments"] == 2
            await page.evaluate(TAKE, answer)
            await port.until(lambda: port.gateway.held()["fragments"] == 1, "a check with the new credentials")
            await hear(port, media)
            assert len(port.of(Keys)) == 1
            assert not port.of(Failed)
            await page.evaluate("() => peer.close()")
            await port.until(lambda: port.of(Closed), "close_notify")

    asyncio.run(call())


@asynccontextmanager
async def relayed(port: Port) -> AsyncIterator[TcpRelay]:
    """The port is reached by TCP alone."""
    relay = TcpRelay("127.0.0.1", [free_ports(2)], [port.local])
    try:
        relay.arm()
        port.candidates = candidates([], tcp=[("127.0.0.1", relay.ports[0])])
        yield relay
    finally:
        await relay.close()


def test_chromium_over_tcp() -> None:
    """A network that blocks UDP: the only candidate is TCP's. The relay may die."""
    need("chromium", "chromium")

    async def call() -> None:
        async with Port() as port, relayed(port) as relay, chromium() as page:
            await page.evaluate(TAKE, port.offered(await page.evaluate(OFFER)))
            keys = await port.keys()
            media = Media(keys.send, keys.receive)
            await hear(port, media)
            await speak(port, media, keys.remote)
            stats = await page.evaluate(RECEIVED)
            assert stats["inbound"] >= 20
            assert stats["state"] == "connected"
            assert stats["protocol"] == "tcp"
            await port.until(lambda: relay.figures().sent > 20, "figures")
            assert relay.figures().refused == relay.figures().late == 0

            os.kill(relay.pid, signal.SIGKILL)
            answer = port.offered(await page.evaluate(RESTART))
            await page.evaluate(TAKE, answer)
            await port.until(lambda: relay.restarts == 1, "another relay")
            await hear(port, media)
            await page.evaluate("() => peer.close()")
            await port.until(lambda: port.of(Closed), "close_notify")

    asyncio.run(call())


def test_chromium_that_is_offered_to() -> None:
    """We offer: the ClientHello may come before the answer does."""
    need("chromium", "chromium")

    async def call() -> None:
        async with Port() as port, chromium() as page:
            own = port.candidates
            ours = port.do(lambda gateway, now: gateway.open("peer", None, local=port.local, candidates=own, now=now))
            answer = await page.evaluate(ANSWER, description("a=mid:0", ours))
            await port.until(lambda: port.of(Connected), "a nominated pair")
            await asyncio.sleep(0.5)
            assert not port.of(Keys)
            port.do(lambda gateway, now: gateway.update("peer", parameters(answer), now))
            keys = await port.keys()
            await hear(port, Media(keys.send, keys.receive))

    asyncio.run(call())


# --------------------------------------------------------------------------------------------------- OpenSSL

EXPORT = ["-use_srtp", "SRTP_AES128_CM_SHA1_80", "-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "60"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[list[str], Fingerprint]:
    """Arguments for openssl, an RSA certificate as SIP phones have, and its SHA-512 fingerprint."""
    need("openssl", "openssl")
    names = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=phone"]
    subprocess.run([*new, "-out", names[0], "-keyout", names[1]], check=True, capture_output=True, timeout=30)
    der = ssl.PEM_cert_to_DER_cert(Path(names[0]).read_text())
    return ["-cert", names[0], "-key", names[1]], Fingerprint("sha-512", hashlib.sha512(der).digest())


class Lost:
    """The first datagrams that carry a given record fall, in one direction."""

    def __init__(self, record: int, ours: bool, count: int = 2) -> None:
        self.record, self.ours, self.left = record, ours, count

    def __call__(self, data: bytes, ours: bool) -> bool:
        if not 20 <= data[0] < 64 or ours is not self.ours or not self.left:
            return False
        fits = any(record[0] == self.record for record in dtls._records(data))
        self.left -= fits
        return fits


LOSSES = {
    "none": None,
    "our flights": Lost(dtls.HANDSHAKE, ours=True),
    "its flights": Lost(dtls.HANDSHAKE, ours=False),
    "our change of ciphers": Lost(dtls.CHANGE_CIPHER_SPEC, ours=True),
    "its change of ciphers": Lost(dtls.CHANGE_CIPHER_SPEC, ours=False),
}


@pytest.mark.parametrize("role", ["s_client", "s_server"])
@pytest.mark.parametrize(("mtu", "loss"), [("1400", "none"), *(("300", loss) for loss in LOSSES)])
def test_openssl_without_ice(role: str, mtu: str, loss: str, certificate: tuple[list[str], Fingerprint]) -> None:
    """A phone without ICE is found at the address that its description names, in either role."""
    arguments, fingerprint = certificate

    async def call() -> None:
        async with Port() as port:
            where = ("127.0.0.1", free_ports(2))
            if lost := copy(LOSSES[loss]):
                port.lose = lost
            setup = Setup.ACTIVE if role == "s_client" else Setup.PASSIVE
            remote = TransportParameters((fingerprint,), setup, address=where)
            ends = [
                *(
                    ["-connect", f"127.0.0.1:{port.local[1]}", "-bind", f"127.0.0.1:{where[1]}"]
                    if role == "s_client"
                    else []
                ),
                *(["-accept", f"127.0.0.1:{where[1]}", "-Verify", "1"] if role == "s_server" else []),
            ]
            if role == "s_client":
                port.do(lambda gateway, now: gateway.open("phone", remote, local=port.local, now=now))
            process = await asyncio.create_subprocess_exec(
                *["timeout", "-k", "2", "20", "openssl", role, "-dtls1_2", "-mtu", mtu, *arguments, *EXPORT, *ends],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                if role == "s_server":
                    port.do(lambda gateway, now: gateway.open("phone", remote, local=port.local, now=now))
                await port.until(lambda: port.of(Keys), "keys", 15)
                keys = port.of(Keys)[0]
                assert keys.send.suite == "AES_CM_128_HMAC_SHA1_80"
                assert [event.remote.remote for event in port.of(Connected)] == [where]
                found = None
                assert process.stdout is not None
                async for line in process.stdout:
                    if found := re.search(rb"Keying material: ([0-9A-F]+)", line):
                        break
                port.do(lambda gateway, now: gateway.close("phone", now))
                await process.communicate(b"Q\n")
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            assert not port.of(ConsentLost)
            send, receive = keys.send.material, keys.receive.material
            client, server = (receive, send) if role == "s_client" else (send, receive)
            ours = client[:16] + server[:16] + client[16:] + server[16:]
            assert found is not None
            assert not lost or not lost.left
            assert bytes.fromhex(found[1].decode()) == ours

    asyncio.run(call())
