"""WHIP and WHEP with others' WebRTC: aiortc, GStreamer and Chromium in a room with a telephone in it."""

from __future__ import annotations

import asyncio
import fractions
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.interop.ports import free_ports
from tests.interop.process import Process, need
from tests.interop.process import until as soon

from .phone import Exchange
from .server import Server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(110)]

OURS, THEIRS = 700, 450
"""Hertz of the publisher's tone, and of the telephone's."""
RATE = 48_000
WIDTH, HEIGHT, FPS = 640, 360, 15
ROUND = (WIDTH - 120) / WIDTH
"""After which the square begins again on the left, in widths."""
PORTS = 32
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    import aioice.ice

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    first = free_ports(PORTS)
    settings = {
        "video.ports": f"{first}-{first + PORTS - 1}",
        "webrtc.port": free_ports(2),
        "media.silence_timeout": 5.0,
    }
    with Server(tmp_path, settings) as running:
        yield running


# -------------------------------------------------------------------------------------------------- aiortc


class Tone:
    """Samples of a sine at half of full scale."""

    def __init__(self, frequency: int) -> None:
        self._frequency, self._at = frequency, 0

    def frame(self) -> av.AudioFrame:
        n = self._at + np.arange(RATE // 50)
        wave = (16_000 * np.sin(2 * np.pi * self._frequency * n / RATE)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, fractions.Fraction(1, RATE)
        self._at += len(n)
        return frame


class Square:
    """A green square that goes to the right over red."""

    def __init__(self) -> None:
        self._count = 0

    def frame(self) -> av.VideoFrame:
        pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        pixels[:] = (200, 30, 30)
        at = self._count * 8 % (WIDTH - 120)
        pixels[120:240, at : at + 120] = (30, 200, 30)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = self._count * 90_000 // FPS, fractions.Fraction(1, 90_000)
        self._count += 1
        return frame


def track(kind: str, source: Tone | Square, every: float) -> Any:
    from aiortc import MediaStreamTrack

    class Source(MediaStreamTrack):
        def __init__(self) -> None:
            super().__init__()
            self._due = time.monotonic()

        async def recv(self) -> Any:
            await asyncio.sleep(max(0.0, self._due - time.monotonic()))
            self._due += every
            return source.frame()

    Source.kind = kind
    return Source()


def publisher(codec: str = "") -> Any:
    from aiortc import RTCPeerConnection, RTCRtpSender

    peer = RTCPeerConnection()
    peer.addTransceiver(track("audio", Tone(OURS), 0.02), direction="sendonly")
    picture = peer.addTransceiver(track("video", Square(), 1 / FPS), direction="sendonly")
    if codec:
        known = RTCRtpSender.getCapabilities("video").codecs
        picture.setCodecPreferences([each for each in known if each.mimeType == f"video/{codec}"])
    return peer


def player() -> tuple[Any, dict[str, Any]]:
    """And what it is given, by kind."""
    from aiortc import RTCPeerConnection

    peer = RTCPeerConnection()
    got: dict[str, Any] = {}
    for kind in ("audio", "video"):
        peer.addTransceiver(kind, direction="recvonly")
    peer.on("track", lambda each: got.__setitem__(each.kind, each))
    return peer, got


async def begin(client: httpx.AsyncClient, path: str, peer: Any) -> httpx.Response:
    from aiortc import RTCSessionDescription

    await peer.setLocalDescription(await peer.createOffer())
    answer = await client.post(path, content=peer.localDescription.sdp.encode(), headers=SDP)
    assert answer.status_code == 201, answer.text
    await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    return answer


async def hear(source: Any, seconds: float) -> NDArray[np.float64]:
    """Mono, -1 to 1."""
    heard: list[NDArray[np.float64]] = []
    while sum(map(len, heard)) < seconds * RATE:
        frame = await asyncio.wait_for(source.recv(), 5)
        assert frame.sample_rate == RATE
        heard.append(frame.to_ndarray().reshape(-1, len(frame.layout.channels)).mean(axis=1) / 32768)
    return np.concatenate(heard)


def loud(wave: NDArray[np.float64], frequency: int) -> float:
    """dB of a tone, full scale 0."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) * 4 / len(wave)
    near = slice(int((frequency - 5) * len(wave) / RATE), int((frequency + 5) * len(wave) / RATE) + 1)
    return float(20 * np.log10(spectrum[near].max() + 1e-9))


def green(pixels: NDArray[np.uint8]) -> float:
    """Where the square is, as a part of the width of its picture, which may have any place; nan: it is not shown."""
    difference = pixels[..., 1].astype(int) - pixels[..., 0]
    square, red = (difference > 80).nonzero()[1], (difference < -80).nonzero()[1]
    if len(square) < 100 or len(red) < 5 * len(square):
        return float("nan")
    left, right = np.percentile(red, (1, 99))
    return float((square.mean() - left) / (right - left))


async def see(source: Any, pictures: int) -> list[NDArray[np.uint8]]:
    return [(await asyncio.wait_for(source.recv(), 5)).to_ndarray(format="rgb24") for _ in range(pictures)]


async def square(source: Any) -> None:
    """It is seen, and going to the right."""
    async with asyncio.timeout(15):
        while np.isnan(green((await see(source, 1))[0])):
            pass
    seen = await see(source, 45)
    at = np.array([green(pixels) for pixels in seen])
    shown = ~np.isnan(at)
    assert shown.mean() > 0.7, "on a busy machine a picture may stop, and a card stand in its place"
    steps = np.diff(at[shown]) % ROUND
    assert (steps > 0.005).sum() >= 8
    assert np.mean(steps < ROUND / 2) > 0.9, "or some may be left out"


@asynccontextmanager
async def closing(*peers: Any) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for peer in peers:
            stack.push_async_callback(peer.close)
        yield


def with_client(server: Server, act: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(base_url=server.api.base_url, timeout=10.0) as client:
            await act(client)

    asyncio.run(run())


async def until(done: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(done):
        assert time.monotonic() < end, f"after {seconds:g} s: not yet {what}"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_aiortc_publishes_and_plays(server: Server, exchange: Exchange, codec: str) -> None:
    phone = exchange.phone(server.room("studio"), THEIRS)

    async def act(client: httpx.AsyncClient) -> None:
        sends, (plays, got) = publisher(codec), player()
        async with closing(sends, plays):
            published = await begin(client, "/r/studio/whip?name=Régie", sends)
            played = await begin(client, "/r/studio/whep", plays)
            await until(lambda: len(server.people("studio")) == 3, "all in the room")
            people = {person["name"]: person for person in server.people("studio")}
            assert {"Régie", "WHEP"} < people.keys()
            await hear(got["audio"], 1.5)
            wave, _ = await asyncio.gather(hear(got["audio"], 2.0), square(got["video"]))
            assert loud(wave, OURS) > -30
            assert loud(wave, THEIRS) > -40
            assert loud(wave, 1100) < loud(wave, OURS) - 30
            heard = await asyncio.to_thread(phone.listen, 1.5)
            assert heard.tones((OURS, THEIRS)) == {OURS}, "the telephone hears who publishes, and not itself"
            inbound = [each for each in (await sends.getStats()).values() if each.type == "inbound-rtp"]
            assert not inbound, "who publishes gets nothing"
            assert people["Régie"]["media"]["video"][0]["in"]["codec"] == codec
            assert (await client.delete(published.headers["location"])).status_code == 200
            await until(lambda: len(server.people("studio")) == 2, "gone who published")
            assert (await client.delete(played.headers["location"])).status_code == 200
            await until(lambda: len(server.people("studio")) == 1, "gone who played")

    with_client(server, act)
    phone.hang_up()


def test_a_session_ends_with_its_consent(server: Server, exchange: Exchange) -> None:
    """RFC 7675: whoever is gone without a word no longer says that it wants media. Both a publisher's, and a player's,
    who sends nothing anyway."""
    phone = exchange.phone(server.room("studio"), THEIRS)

    async def act(client: httpx.AsyncClient) -> None:
        sends, (plays, got) = publisher(), player()
        async with closing(sends, plays):
            published = await begin(client, "/r/studio/whip", sends)
            played = await begin(client, "/r/studio/whep", plays)
            await hear(got["audio"], 0.5)
        assert len(server.people("studio")) == 3, "to close is no word"
        began = time.monotonic()
        await until(lambda: len(server.people("studio")) == 1, "both gone", 60.0)
        print(f"gone after {time.monotonic() - began:.1f} s")
        for answer in (published, played):
            assert (await client.delete(answer.headers["location"])).status_code == 404

    with_client(server, act)
    phone.hang_up()


# ----------------------------------------------------------------------------------------------- GStreamer

SYSTEM = "/usr/bin/python3"
"""Debian's own, which has GStreamer's bindings."""
NEEDED = (
    "gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good python3-gst-1.0"
)


def need_gstreamer() -> None:
    found = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import GstWebRTC"
    need("gst-inspect-1.0", f"gstreamer1.0-tools {NEEDED}")
    for command in ([SYSTEM, "-c", found], ["gst-inspect-1.0", "--exists", "webrtcbin"]):
        if subprocess.run(command, capture_output=True, timeout=30).returncode:
            need("GStreamer's webrtcbin, for Python", NEEDED)


def gstreamer(server: Server, kind: str, seconds: int) -> Process:
    client = Path(__file__).with_name("gstreamer.py")
    arguments = [kind, f"{server.api.base_url}/r/studio/{kind}", str(seconds), str(server.directory)]
    return Process([SYSTEM, str(client), *arguments], server.directory / f"{kind}.log", limit=seconds + 30.0)


def test_gstreamer_publishes_and_plays(server: Server, exchange: Exchange) -> None:
    need_gstreamer()
    phone = exchange.phone(server.room("studio"), THEIRS)
    with gstreamer(server, "whip", 25), gstreamer(server, "whep", 20) as plays:
        soon(lambda: len(server.people("studio")) == 3, "all in the room", 20.0)
        phone.listen(1.0)
        assert phone.listen(1.5).tones((600, THEIRS)) == {600}
        assert plays.wait(40) == 0, plays.text
    wave = np.fromfile(server.directory / "sound.raw", np.int16)[-2 * RATE :] / 32768
    assert loud(wave, 600) > -30
    assert loud(wave, THEIRS) > -40
    assert loud(wave, 1100) < loud(wave, 600) - 30
    width, height = map(int, (server.directory / "picture.txt").read_text().split())
    pixels = np.fromfile(server.directory / "picture.raw", np.uint8).reshape(height, width, 3)
    blue = pixels[..., 2].astype(int) - pixels[..., 0] > 150
    assert blue.mean() > 0.03, "its picture is seen, large or small"
    phone.hang_up()


# ------------------------------------------------------------------------------------------------ Chromium

PUBLISH = """async (frequency) => {
    peer = new RTCPeerConnection();
    const context = new AudioContext(), tone = context.createOscillator(), out = context.createMediaStreamDestination();
    tone.frequency.value = frequency; tone.connect(out); tone.start();
    peer.addTransceiver(out.stream.getAudioTracks()[0], {direction: "sendonly"});
    const canvas = document.createElement("canvas"); canvas.width = 640; canvas.height = 360;
    const drawn = canvas.getContext("2d"); let at = 0;
    setInterval(() => {
        drawn.fillStyle = "rgb(200,30,30)"; drawn.fillRect(0, 0, 640, 360);
        drawn.fillStyle = "rgb(30,200,30)"; drawn.fillRect(at, 120, 120, 120); at = (at + 8) % 520;
    }, 1000 / 15);
    peer.addTransceiver(canvas.captureStream(15).getVideoTracks()[0], {direction: "sendonly"});
    await peer.setLocalDescription(); return peer.localDescription.sdp;
}"""
TAKE = """async (sdp) => { await peer.setRemoteDescription({type: "answer", sdp}); }"""
RESTART = """async () => { peer.restartIce(); await peer.setLocalDescription(); return peer.localDescription.sdp; }"""
PAIR = """async () => {
    const all = [...(await peer.getStats()).values()], transport = all.find((each) => each.type == "transport");
    const pair = all.find((each) => each.id == transport.selectedCandidatePairId);
    return {state: peer.iceConnectionState, ufrag: transport.iceLocalUsernameFragment, sent: pair ? pair.bytesSent : 0};
}"""
"""Of the selected pair, which after a restart is another one."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A page."""
    from playwright.async_api import async_playwright

    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        try:
            page = await browser.new_page()
            await page.evaluate("() => { window.peer = null; }")
            yield page
        finally:
            await browser.close()


def field(text: str, name: str) -> str:
    return next(line.partition(":")[2] for line in text.splitlines() if line.startswith(f"a={name}:"))


def test_chromium_publishes_and_restarts_ice(server: Server, exchange: Exchange) -> None:
    need("chromium", "chromium")
    phone = exchange.phone(server.room("studio"), THEIRS)

    async def act(client: httpx.AsyncClient) -> None:
        plays, got = player()
        async with closing(plays), chromium() as page:
            offer = await page.evaluate(PUBLISH, OURS)
            answer = await client.post("/r/studio/whip", content=offer.encode(), headers=SDP)
            assert answer.status_code == 201, answer.text
            where, tag = answer.headers["location"], answer.headers["etag"]
            await page.evaluate(TAKE, answer.text)
            mine = f"a=ice-ufrag:{field(offer, 'ice-ufrag')}\r\na=ice-pwd:{field(offer, 'ice-pwd')}\r\n"
            trickled = await client.patch(where, content=mine.encode(), headers=FRAGMENT | {"If-Match": tag})
            assert trickled.status_code == 204
            await begin(client, "/r/studio/whep", plays)
            await square(got["video"])
            assert (await asyncio.to_thread(phone.listen, 1.5)).tones((OURS,)) == {OURS}

            again = await page.evaluate(RESTART)
            new = f"a=ice-ufrag:{field(again, 'ice-ufrag')}\r\na=ice-pwd:{field(again, 'ice-pwd')}\r\n"
            assert new != mine
            done = await client.patch(where, content=new.encode(), headers=FRAGMENT | {"If-Match": "*"})
            assert done.status_code == 200, done.text
            assert done.headers["etag"] != tag
            changed = answer.text
            for name in ("ice-ufrag", "ice-pwd"):
                changed = changed.replace(field(answer.text, name), field(done.text, name))
            await page.evaluate(TAKE, changed)
            await asyncio.sleep(2)
            before = await page.evaluate(PAIR)
            await asyncio.sleep(1)
            after = await page.evaluate(PAIR)
            assert after["state"] in ("connected", "completed")
            assert after["ufrag"] == field(again, "ice-ufrag")
            assert after["sent"] > before["sent"]
            await square(got["video"])
            assert (await asyncio.to_thread(phone.listen, 1.5)).tones((OURS,)) == {OURS}
            assert len(server.people("studio")) == 3
            assert (await client.delete(where)).status_code == 200

    with_client(server, act)
    phone.hang_up()
