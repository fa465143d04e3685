"""Tiles from end to end: a browser is shown others' pictures, each by itself, as these sent them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..interop.ports import free_ports
from ..server.process import Bridge, bridge
from .conftest import until
from .test_real import BEN, BLUE, DEVICE, RED, join, open_room, served

__all__ = ["join", "served"]
pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
COME = """
async ([room, howMany, name]) => {
  const { Phone } = await import("/client/signalling.js");
  const about = await (await fetch(`/r/${room}/about`)).json();
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const phone = new Phone({ socket: `ws://${location.host}/sip`, sip: about.sip });
  phone.start();
  await phone.ready(5000);
  const call = phone.call({
    sip: about.sip, name, token: null, language: "en", video: true, iceServers: [],
    tracks: { microphone: media.getAudioTracks()[0], camera: media.getVideoTracks()[0] },
  });
  await new Promise((go) => call.addEventListener("accepted", go, { once: true }));
  window.said = [];
  window.live = new WebSocket(`ws://${location.host}/r/${room}/live`, "visiopont.room.1");
  live.onmessage = ({ data }) => said.push(JSON.parse(data));
  live.onopen = () => live.send(JSON.stringify({ type: "hello", call: call.id, language: "en" }));
  window.last = (type) => said.findLast((message) => message.type === type);
  window.tiles = [];
  window.more = async (count) => {
    for (let each = 0; each < count; each++) {
      const tile = call.connection.addTransceiver("video", { direction: "recvonly" });
      const video = document.createElement("video");
      Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream([tile.receiver.track]) });
      document.body.append(video);
      tiles.push(Object.assign(tile, { video }));
    }
    await call.reoffer();
  };
  await more(howMany);
  window.call = call;
  window.decoded = async (mid) => {
    for (const each of (await call.connection.getStats()).values())
      if (each.type === "inbound-rtp" && each.kind === "video" && each.mid === mid) return each.framesDecoded;
    return 0;
  };
}
"""
PORT = r"call.connection.remoteDescription.sdp.match(/a=candidate:.* (\d+) typ/)[1]"
"""Where the bridge takes its media."""
COLOUR = """
(place) => {
  const { video } = tiles[place];
  if (!video.videoWidth) return "";
  const canvas = new OffscreenCanvas(16, 9), pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0, 16, 9);
  const [red, green, blue] = pen.getImageData(8, 2, 1, 1).data;
  return green < 90 && red > 140 && blue < 90 ? "red" : green < 90 && blue > 140 && red < 90 ? "blue" : "other";
}
"""


@contextmanager
def running(directory: Path, workers: int, command: str) -> Iterator[Bridge]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIOPONT_WEBRTC__PORT", str(free_ports(2)))
        for section in ("MEDIA", "VIDEO"):
            patch.setenv(f"VISIOPONT_{section}__WORKERS", str(workers))
        ports = [free_ports(32), free_ports(32)]
        flags = ["--media-ports", f"{ports[0]}-{ports[0] + 31}", "--video-ports", f"{ports[1]}-{ports[1] + 31}"]
        with bridge(directory, *flags, command=command) as found:
            yield found


def wish(page: Any, *wishes: dict[str, Any], composed: bool = True) -> None:
    page.evaluate(
        "([wishes, composed]) => live.send(JSON.stringify({ type: 'tiles', composed, tiles: wishes.map((wish, place) =>"
        " ({ mid: tiles[place].mid, ...wish })) }))",
        [list(wishes), composed],
    )


def number(page: Any, name: str) -> int:
    """Of the participant of that name."""
    found: int = until(page, f"last('roster')?.participants.find((each) => each.name === '{name}' && each.video)?.id")
    return found


def shows(page: Any, place: int, participant: int, seconds: float = 20.0) -> None:
    until(page, f"last('tiles')?.shows[tiles[{place}].mid] === {participant}", seconds)


def enter(
    visit: Callable[..., Any], served: Bridge, room: str, tiles: int, name: str = "Anna", colour: str = RED
) -> Any:
    page = visit("about:blank")
    page.context.add_init_script(DEVICE % [600, colour])
    page.goto(f"{served.http}/r/{room}")
    until(page, "window.JsSIP")
    page.evaluate(COME, [room, tiles, name])
    until(page, "window.last('welcome')")
    return page


def test_a_browser_sees_another_in_a_tile(
    visit: Callable[..., Any],
    join: Callable[..., Any],
    served: Bridge,
) -> None:
    room = open_room(served, "gallery")
    ben = join(room, "Ben", BEN, BLUE)
    anna = enter(visit, served, room, 2)
    blue, me = number(anna, "Ben"), number(anna, "Anna")
    wish(anna, {"participant": blue, "height": 360}, {"participant": 0})
    shows(anna, 0, blue)
    until(anna, f"({COLOUR})(0) === 'blue'", 20.0)
    assert anna.evaluate("[tiles[0].video.videoWidth, tiles[0].video.videoHeight]") == [640, 360]
    shows(anna, 1, blue)
    until(anna, f"({COLOUR})(1) === 'blue'", 20.0)
    assert anna.evaluate("said.filter(({ type }) => type === 'refused')") == []

    wish(anna, {"participant": me}, {"paused": True}, composed=False)
    shows(anna, 0, me)
    until(anna, f"({COLOUR})(0) === 'red'", 20.0)
    shows(anna, 1, 0)
    anna.wait_for_timeout(500)
    before = anna.evaluate("Promise.all(['1', tiles[0].mid, tiles[1].mid].map(decoded))")
    anna.wait_for_timeout(1500)
    after = anna.evaluate("Promise.all(['1', tiles[0].mid, tiles[1].mid].map(decoded))")
    assert after[0] == before[0] > 0, "the composed picture"
    assert after[1] > before[1] + 5
    assert after[2] == before[2]

    wish(anna, {"participant": blue}, {"participant": 0})
    until(anna, f"decoded('1').then((now) => now > {after[0]})", 20.0)
    shows(anna, 0, blue)
    ben.get_by_role("button", name="Fermer la caméra", exact=True).click()
    shows(anna, 0, 0)
    assert anna.evaluate("last('tiles').reasons[tiles[0].mid]") in ("absent", "stalled")
    ben.get_by_role("button", name="Ouvrir la caméra", exact=True).click()
    shows(anna, 0, blue)

    anna.evaluate("(tiles.shift().stop(), call.reoffer())")
    wish(anna, {"paused": True})
    anna.evaluate("more(1)")
    assert anna.evaluate("tiles.map((tile) => tile.currentDirection)") == ["recvonly", "recvonly"]
    wish(anna, {"paused": True}, {"participant": blue})
    shows(anna, 1, blue)
    until(anna, f"({COLOUR})(1) === 'blue'", 20.0)
    lines = anna.evaluate("call.connection.localDescription.sdp.match(/^m=video/gm).length")
    assert lines == 3, "the m-line is used again"


def test_whoever_is_painted_here_can_not_be_forwarded(visit: Callable[..., Any], tmp_path: Path) -> None:
    with running(tmp_path, 1, "demo") as served:
        page = enter(visit, served, "demo", 1)
        other = "last('roster')?.participants.find((each) => !each.you && each.video)?.id"
        wish(page, {"participant": until(page, other)})
        until(page, "last('tiles')?.reasons[tiles[0].mid] === 'absent'", 20.0)
        until(page, "decoded('1').then((now) => now > 5)", 20.0)
        page.close()


def test_tiles_go_on_at_another_worker(visit: Callable[..., Any], tmp_path: Path) -> None:
    """Whoever is moved to a room there is offered the same lines at another address."""
    with running(tmp_path, 2, "serve") as served:
        rooms = [open_room(served, name) for name in ("here", "there")]
        anna, ben = enter(visit, served, rooms[0], 1), enter(visit, served, rooms[1], 1, name="Ben", colour=BLUE)
        before = anna.evaluate(PORT)
        blue, me = number(ben, "Ben"), number(anna, "Anna")
        wish(anna, {"participant": 0, "height": 360})
        moved = served.post(f"/api/v1/rooms/{rooms[0]}/participants/{me}/move", {"room": rooms[1]})
        assert moved.status_code < 300, moved.text
        until(anna, f"last('welcome').room === '{rooms[1]}'")
        until(anna, f"{PORT} !== '{before}'")
        shows(anna, 0, blue)
        until(anna, f"({COLOUR})(0) === 'blue'", 20.0)
        wish(anna, {"participant": blue})
        until(anna, "decoded(tiles[0].mid).then((now) => now > 20)", 20.0)
        anna.close()
        ben.close()
