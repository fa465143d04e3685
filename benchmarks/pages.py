"""The sockets that browsers' pages keep beside their calls (``/r/ROOM/live``): what comes is read and let go, as far as
it is nothing that a page waits for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from .sockets import Sockets

PROTOCOL = "visiopont.room.1"


@dataclass(slots=True)
class Page:
    participant: int = 0
    """Its own number; 0: not welcomed yet."""
    closed: bool = False
    shows: dict[str, int] = field(default_factory=dict)
    """Of its tiles, by MID, the participant."""


class Pages:
    """They are opened one by one, and looked at now and then by :meth:`read`."""

    def __init__(self, port: int, room: str = "bench") -> None:
        self._sockets = Sockets(port, f"/r/{room}/live", PROTOCOL)
        self.all: dict[int, Page] = {}

    def open(self, number: int, call: str) -> None:
        """
        Args:
            call: its Call-ID.

        Raises:
            OSError: nobody listens.
        """
        self._sockets.open(number)
        self.all[number] = Page()
        self.say(number, {"type": "hello", "call": call, "token": None, "language": "en"})

    def read(self) -> None:
        """Take what came."""
        for number, text in self._sockets.read():
            page = self.all[number]
            if not text:
                page.closed = True
            elif text.startswith(b'{"type":"welcome"') and (you := re.search(rb'"you":(\d+)', text)):
                page.participant = int(you[1])
            elif text.startswith(b'{"type":"tiles"'):
                page.shows = dict(json.loads(text)["shows"])

    def say(self, number: int, what: dict[str, object]) -> None:
        self._sockets.say(number, json.dumps(what).encode())

    def close(self) -> None:
        self._sockets.close()
