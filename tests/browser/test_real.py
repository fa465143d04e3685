"""The page and the bridge itself: two browsers and a telephone in one room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..interop.phones import Baresip
from ..interop.ports import free_ports
from ..server.process import Bridge, bridge
from .conftest import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
ANNA, BEN, PHONE = 600, 900, 1400
"""Hz that each sends; no whole multiples of each other."""
RED, BLUE = "rgb(210, 20, 20)", "rgb(20, 20, 210)"
DEVICE = """
(() => {
  const [frequency, colour] = %s;
  navigator.mediaDevices.getUserMedia = async ({audio, video}) => {
    const tracks = [];
    if (audio) {
      const context = new AudioContext(), out = context.createMediaStreamDestination();
      const tone = new OscillatorNode(context, {frequency});
      tone.connect(new GainNode(context, {gain: 0.2})).connect(out);
      tone.start();
      tracks.push(...out.stream.getTracks());
    }
    if (video) {
      const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
      const pen = canvas.getContext("2d");
      let frame = 0;
      setInterval(() => {
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 640, 360);
        pen.fillStyle = "#fff";
        pen.fillRect(40 + frame++ %% 500, 300, 40, 40);
      }, 60);
      tracks.push(...canvas.captureStream(15).getTracks());
    }
    return new MediaStream(tracks);
  };
})();
"""
LISTEN = """
() => {
  const context = new AudioContext(), analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  context.createMediaStreamSource(document.querySelector("audio").srcObject).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  window.level = (frequency) => {
    analyser.getFloatFrequencyData(bins);
    return bins[Math.round(frequency * analyser.fftSize / context.sampleRate)];
  };
}
"""
SEES = """
(wanted) => {
  const video = document.querySelector(".stage video");
  if (!video.videoWidth) return 0;
  const canvas = new OffscreenCanvas(64, 36), pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0, 64, 36);
  const {data} = pen.getImageData(0, 0, 64, 36);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = data.slice(at, at + 3);
    if (green < 90 && (wanted === "red" ? red > 140 && blue < 90 : blue > 140 && red < 90)) found++;
  }
  return found / (64 * 36);
}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIOPONT_WEBRTC__PORT", str(free_ports(2)))
        ports = [free_ports(32), free_ports(32)]
        flags = ["--media-ports", f"{ports[0]}-{ports[0] + 31}", "--video-ports", f"{ports[1]}-{ports[1] + 31}"]
        with bridge(tmp_path_factory.mktemp("bridge"), *flags) as running:
            yield running


@pytest.fixture
def join(visit: Callable[..., Any], served: Bridge) -> Callable[..., Any]:
    """``join(room, name, frequency, colour, script)``: a page that is in the room and hears."""

    def come(room: str, name: str, frequency: int, colour: str, script: str = "") -> Any:
        page = visit("about:blank")
        page.context.add_init_script(script)
        page.context.add_init_script(DEVICE % [frequency, colour])
        page.goto(f"{served.http}/r/{room}")
        page.locator(".preview video").wait_for()
        page.locator("#name").fill(name)
        page.get_by_role("button", name="Rejoindre la conférence").click()
        settle(page)
        return page

    return come


def settle(page: Any) -> None:
    page.locator(".toolbar").wait_for()
    until(page, "document.querySelector('audio')?.srcObject?.getAudioTracks().length")
    page.evaluate(LISTEN)


def open_room(served: Bridge, name: str) -> str:
    quiet = {"entry": "silent", "announce_alone": False, "announce_people": False}
    answer = served.post("/api/v1/rooms", {"name": name, **quiet})
    assert answer.status_code == 201, answer.text
    return name


def hears(page: Any, *frequencies: int, but: int) -> None:
    """Each of them, far above its own."""
    for frequency in frequencies:
        until(page, f"level({frequency}) > -60 && level({frequency}) > level({but}) + 20", 20.0)


def test_two_browsers_and_a_telephone(join: Callable[..., Any], served: Bridge, tmp_path: Path) -> None:
    room = open_room(served, "trio")
    anna, ben = join(room, "Anna", ANNA, RED), join(room, "Ben", BEN, BLUE)
    host, port = served.udp
    with Baresip(tmp_path, tone=PHONE) as phone:
        phone.call(f"sip:{room}@{host}:{port}")
        hears(anna, BEN, PHONE, but=ANNA)
        hears(ben, ANNA, PHONE, but=BEN)
        assert phone.heard(2.0).heard((ANNA, BEN, PHONE)) == {ANNA, BEN}
    assert until(anna, f"({SEES})('blue')", 20.0) > 0.02
    assert until(ben, f"({SEES})('red')", 20.0) > 0.02
    anna.keyboard.press("Alt+Shift+KeyC")
    anna.keyboard.type("Bonjour Ben")
    anna.keyboard.press("Enter")
    ben.get_by_role("button", name="Messages, 1 non lu").wait_for()
    anna.get_by_role("button", name="Partager l'écran").click()
    until(ben, "document.querySelector('.caption').textContent.startsWith('Anna présente')")
    anna.locator(".sharing").get_by_role("button").click()
    until(ben, "!document.querySelector('.caption').textContent.includes('présente')")


def test_a_reload_comes_back_into_the_room(join: Callable[..., Any], served: Bridge) -> None:
    room = open_room(served, "again")
    anna, ben = join(room, "Anna", ANNA, RED), join(room, "Ben", BEN, BLUE)
    hears(ben, ANNA, but=BEN)
    anna.reload()
    settle(anna)
    hears(anna, BEN, but=ANNA)
    hears(ben, ANNA, but=BEN)
    until(ben, "document.querySelector('#polite').textContent.includes('Anna a quitté')")


def test_muting_is_heard_and_seen(join: Callable[..., Any], served: Bridge) -> None:
    room = open_room(served, "mute")
    anna, ben = join(room, "Anna", ANNA, RED), join(room, "Ben", BEN, BLUE)
    hears(ben, ANNA, but=BEN)
    anna.get_by_role("button", name="Couper le micro").click()
    until(ben, f"level({ANNA}) < -80")
    ben.get_by_role("button", name="Participants, 2 participants").click()
    ben.locator(".people li", has_text="Anna").get_by_text("micro coupé").wait_for()
    anna.get_by_role("button", name="Ouvrir le micro").click()
    hears(ben, ANNA, but=BEN)
    anna.get_by_role("button", name="Lever la main").click()
    anna.get_by_role("button", name="1re dans la file").wait_for()
    ben.locator(".people li", has_text="Anna").get_by_text("main levée, 1re").wait_for()


OPENED = """
(() => {
  const Before = RTCPeerConnection;
  window.opened = [];
  window.RTCPeerConnection = class extends Before {
    constructor(...how) {
      super(...how);
      opened.push(this);
    }
  };
  window.streams = async (type) =>
    [...(await opened[0].getStats()).values()].filter((one) => one.type === type && one.kind === "video");
  window.composed = async () => (await streams("inbound-rtp")).find(({ mid }) => mid === "1")?.framesDecoded ?? 0;
})();
"""
TILE = """
(name) => {
  const cell = [...document.querySelectorAll(".cell")].find((one) => one.querySelector(".name").textContent === name);
  const video = cell?.querySelector("video");
  if (!video?.videoWidth || video.hidden) return "";
  const pen = new OffscreenCanvas(8, 8).getContext("2d");
  pen.drawImage(video, 0, 0, 8, 8);
  const [red, green, blue] = pen.getImageData(7, 1, 1, 1).data;
  return green < 90 && red > 140 ? "red" : green < 90 && blue > 140 ? "blue" : "other";
}
"""


def test_the_gallery_shows_each_by_itself(
    visit: Callable[..., Any], join: Callable[..., Any], served: Bridge, tmp_path: Path
) -> None:
    room = open_room(served, "tiles")
    anna, ben = join(room, "Anna", ANNA, RED, OPENED), join(room, "Ben", BEN, BLUE, OPENED)
    until(anna, f"({SEES})('blue')", 20.0)
    host, port = served.udp
    with Baresip(tmp_path, tone=PHONE) as phone:
        phone.call(f"sip:{room}@{host}:{port}")
        until(anna, "document.querySelector('.tool[aria-label^=\"Participants, 3\"]')")
        anna.get_by_role("button", name="Passer à la galerie").click()
        until(anna, f"({TILE})('Ben') === 'blue'", 20.0)
        assert anna.locator(".cell").count() == 2
        layers = "streams('outbound-rtp').then((found) => found.filter((one) => one.framesSent).length)"
        until(ben, f"{layers}.then((count) => count > 1)", 20.0)
        anna.wait_for_timeout(700)
        before = anna.evaluate("composed()")
        anna.wait_for_timeout(1000)
        assert anna.evaluate("composed()") == before > 0
        ben.get_by_role("button", name="Fermer la caméra", exact=True).click()
        until(anna, f"({TILE})('Ben') === ''", 20.0)
        ben.get_by_role("button", name="Ouvrir la caméra", exact=True).click()
        until(anna, f"({TILE})('Ben') === 'blue'", 20.0)
        ben.get_by_role("button", name="Partager l'écran").click()
        until(anna, f"({TILE})('Écran de Ben')", 20.0)
        hears(anna, BEN, PHONE, but=ANNA)
    anna.keyboard.press("Alt+Shift+KeyG")
    until(anna, f"composed().then((now) => now > {before})", 20.0)
    until(anna, f"({SEES})('blue')", 20.0)
