"""Many callers by real SIP: one socket that places N calls, each with the media address of a phone of the crowd; or
one WebSocket each, as browsers call."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .sockets import Sockets

PACE = 0.004
"""Seconds between two INVITEs: 250 a second."""
AGAIN = 1.0
"""Seconds after which an INVITE without an answer is sent again."""
PATIENCE = 20.0
"""Seconds for all answers; what is not answered is asked again every second (RFC 3261 §17.1.1.2, coarser)."""


@dataclass(slots=True)
class Dialog:
    """One answered call."""

    answer: str
    media: tuple[str, int]
    """Where the server expects its packets."""


class Callers:
    """Places calls to ``sip:ROOM@127.0.0.1:port`` and keeps them."""

    def __init__(self, port: int, room: str = "bench") -> None:
        self._target, self._room = port, room
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        own = self._socket.getsockname()[1]
        self._via, self._contact = f"UDP 127.0.0.1:{own}", f"sip:bench@127.0.0.1:{own}"
        self._dialogs: dict[int, Dialog] = {}
        self._run = os.urandom(4).hex()
        """In Call-IDs, which nobody else is to guess or to have used before."""
        self._asked: dict[int, tuple[float, str]] = {}
        self._told: list[tuple[int, str]] = []

    def call(self, addresses: list[tuple[str, int]], offers: Sequence[str] = ()) -> list[tuple[str, int]]:
        """One call a phone; where each is to send.

        Args:
            offers: one each; none: of PCMU at its address.

        Raises:
            OSError: calls are refused or not answered.
        """
        end = time.monotonic() + PATIENCE
        while len(self._dialogs) < len(addresses):
            if time.monotonic() > end:
                raise OSError(f"{len(addresses) - len(self._dialogs)} of {len(addresses)} calls were not answered")
            for n, address in enumerate(addresses):
                if n not in self._dialogs:
                    self._send("INVITE", n, offers[n] if offers else _offer(*address))
                    self._hear(PACE)
            self._hear(1.0)
        return [self._dialogs[n].media for n in range(len(addresses))]

    def answer(self, n: int) -> str:
        """The message that answered a call."""
        return self._dialogs[n].answer

    # One by one, without waiting (:class:`.browsers.Entrance`)

    def ask(self, number: int, offer: str) -> None:
        self._asked[number] = (time.monotonic(), offer)
        self._send("INVITE", number, offer)

    def told(self) -> list[tuple[int, str]]:
        self._socket.setblocking(False)
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            self._take(data.decode())
        now = time.monotonic()
        for number, (last, offer) in self._asked.items():
            if now - last > AGAIN:
                self._asked[number] = (now, offer)
                self._send("INVITE", number, offer)
        told, self._told = self._told, []
        return told

    def reply(self, number: int, answer: str) -> None:
        raise NotImplementedError("in SIP it is we who offer here")

    def call_id(self, number: int) -> str:
        return f"{number}@{self._run}"

    def hang_up(self) -> None:
        for n in self._dialogs:
            self._send("BYE", n)
            self._hear(PACE)
        self._hear(1.0)
        self._socket.close()

    def _hear(self, seconds: float) -> None:
        """Take answers for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                message = self._socket.recv(65536).decode()
            except TimeoutError:
                return
            _, status = self._take(message)
            if status >= 300:
                raise OSError(f"a call was refused: {message.splitlines()[0]}")

    def _take(self, message: str) -> tuple[int, int]:
        """A message; of which call it is, and the final status of its INVITE if it is one, 0 if not."""
        first = re.match(r"SIP/2\.0 (\d+)", message)
        number = int(_field(message, "Call-ID").split("@")[0])
        if first is None or "INVITE" not in _field(message, "CSeq") or first[1].startswith("1"):
            return number, 0
        status = int(first[1])
        asked = self._asked.pop(number, None)
        if status >= 300:
            self._send("ACK", number, to=_field(message, "To"))
            if asked is not None:
                self._told.append((number, message.splitlines()[0]))
            return number, status
        host, port = re.search(r"c=IN IP4 (\S+)", message), re.search(r"m=audio (\d+)", message)
        if host is None or port is None:
            raise OSError("an answer has no audio")
        self._dialogs[number] = Dialog(message, (host[1], int(port[1])))
        self._send("ACK", number)
        if asked is not None:
            self._told.append((number, message.split("\r\n\r\n", 1)[1]))
        return number, status

    def _send(self, method: str, n: int, body: str = "", *, to: str = "") -> None:
        held = self._dialogs.get(n)
        uri, to = f"sip:{self._room}@127.0.0.1:{self._target}", to or f"<sip:{self._room}@127.0.0.1>"
        branch = f"{self._run}{'INVITE' if method == 'ACK' and held is None else method}{n}"  # RFC 3261 §17.1.1.3
        if held is not None:
            uri, to = _field(held.answer, "Contact").split("<")[1].split(">")[0], _field(held.answer, "To")
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self._via};branch=z9hG4bK{branch};rport",
            f"From: <sip:{n}@127.0.0.1>;tag={n}",
            f"To: {to}",
            f"Call-ID: {self.call_id(n)}",
            f"CSeq: {2 if method == 'BYE' else 1} {method}",
            f"Contact: <{self._contact}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        message = "\r\n".join(lines) + "\r\n\r\n" + body
        self._put(n, message.encode())

    def _put(self, n: int, message: bytes) -> None:
        self._socket.sendto(message, ("127.0.0.1", self._target))


class WebCallers(Callers):
    """The same over WebSockets (RFC 7118), one a caller, which are open before they call, as a page has it."""

    def __init__(self, port: int, http: int, n: int, room: str = "bench") -> None:
        super().__init__(port, room)
        self._sockets = Sockets(http, "/sip", "sip")
        self._via, self._contact = "WS bench.invalid", "sip:bench@bench.invalid;transport=ws"
        for number in range(n):
            self._sockets.open(number)

    def told(self) -> list[tuple[int, str]]:
        for _, text in self._sockets.read():
            if text:
                self._take(text.decode())
        told, self._told = self._told, []
        return told

    def hang_up(self) -> None:
        for n in self._dialogs:
            self._send("BYE", n)
        self._sockets.close()
        self._socket.close()

    def _put(self, n: int, message: bytes) -> None:
        self._sockets.say(n, message)


def _offer(host: str, port: int) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\n"
    )


def _field(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""
