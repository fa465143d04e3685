"""Debian's Janus with browsers: AudioBridge for sound, VideoRoom for pictures, which it forwards.

A participant has two peer connections there, for the two are different plugins: one for sound, and one subscription to
all the pictures that it sees; who has a camera publishes by a third.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from typing import Any, ClassVar

from .descriptions import CAMERA, Wish
from .janus import JanusServer

ROOM = 1
FAILURES = 3
"""Requests in a row without an answer, each after 10 s, after which nobody else is let in."""
LAYER = {360: 2, 180: 1, 90: 0}
"""Substreams by height; their order is told with the offer."""


class JanusRooms(JanusServer):
    """An :class:`.browsers.Entrance`. Its API is asked from a thread, one request after the other."""

    PLUGINS: ClassVar[tuple[str, ...]] = ("audiobridge", "videoroom")
    MEDIA: ClassVar[str] = 'media: {{\n  rtp_port_range = "{ports.start}-{ports.stop}"\n}}\n'

    def __init__(self, ports: range, n: int, *, cameras: int, heights: tuple[int, ...], cpu: int = 0) -> None:
        """
        Args:
            n: participants.
            cameras: so many of the first have one.
            heights: of the tiles of each; as many as there are cameras at most.
        """
        super().__init__(ports, cpu=cpu, rate=48000)
        self._n, self._cameras, self._heights = n, cameras, heights
        room = {"request": "create", "room": ROOM, "publishers": cameras, "bitrate": 0, "videocodec": "vp8"}
        self._ask(
            {"janus": "message", "session_id": self._session, "handle_id": self._attach("videoroom"), "body": room}
        )
        self._handles: dict[int, int] = {}
        self._feeds: dict[int, int] = {}
        """Of the cameras, by participant."""
        self._wanted: queue.SimpleQueue[tuple[int, str, bool]] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def wishes(self) -> list[Wish]:
        """Of the peer connections: sound of all, cameras, subscriptions of all."""
        sound, camera, watching = Wish(video=""), Wish(audio=False, video="sendonly"), Wish(audio=False, answers=True)
        return [sound] * self._n + [camera] * self._cameras + [watching] * self._n

    def ask(self, number: int, offer: str) -> None:
        self._wanted.put((number, offer, False))

    def reply(self, number: int, answer: str) -> None:
        self._wanted.put((number, answer, True))

    def told(self) -> list[tuple[int, str]]:
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._found.get_nowait())
        return found

    def stop(self) -> None:
        self._over.set()
        self._thread.join(15)
        super().stop()

    # The thread

    def _work(self) -> None:
        self._socket.settimeout(10)
        failures = 0
        while not self._over.is_set():
            try:
                number, text, answers = self._wanted.get(timeout=0.2)
            except queue.Empty:
                self._drain()
                continue
            if failures >= FAILURES:
                self._found.put((number, "Janus answers no more"))
                continue
            try:
                if answers:
                    self._talk(self._handles[number], {"request": "start"}, ("answer", text))
                else:
                    self._found.put((number, self._asked(number, text)))
                failures = 0
            except OSError as error:
                failures += isinstance(error, TimeoutError)
                self._found.put((number, f"Janus: {error}"))

    def _asked(self, number: int, offer: str) -> str:
        if number < self._n:
            handle = self._handles[number] = self._attach("audiobridge")
            return self._described(self._talk(handle, {"request": "join", "room": ROOM}, ("offer", offer)))
        handle = self._handles[number] = self._attach("videoroom")
        if number < self._n + self._cameras:
            joined = self._talk(handle, {"request": "join", "room": ROOM, "ptype": "publisher"})
            self._feeds[number - self._n] = joined["plugindata"]["data"]["id"]
            return self._described(self._talk(handle, {"request": "publish"}, ("offer", offer)))
        own = number - self._n - self._cameras
        feeds = [feed for participant, feed in sorted(self._feeds.items()) if participant != own]
        streams = [
            {"feed": feed, "mid": CAMERA, "substream": LAYER[height]}
            for feed, height in zip(feeds, self._heights, strict=False)
        ]
        return self._described(
            self._talk(handle, {"request": "join", "room": ROOM, "ptype": "subscriber", "streams": streams})
        )

    def _talk(self, handle: int, body: dict[str, Any], description: tuple[str, str] | None = None) -> dict[str, Any]:
        message: dict[str, Any] = {
            "janus": "message",
            "session_id": self._session,
            "handle_id": handle,
            "body": body,
        }
        if description is not None:
            message["jsep"] = {"type": description[0], "sdp": description[1], "rid_order": "lmh"}
        return self._ask(message, event=True)

    def _described(self, event: dict[str, Any]) -> str:
        try:
            return str(event["jsep"]["sdp"])
        except KeyError:
            raise OSError(json.dumps(event.get("plugindata"))) from None

    def _drain(self) -> None:
        """Events that nobody waits for."""
        self._socket.settimeout(0.001)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            for _ in range(1000):
                self._socket.recv(1 << 16)
        self._socket.settimeout(10)
