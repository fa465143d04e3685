"""Requests for keyframes by all who receive one encoding, brought down to what the encoding can bear."""

from __future__ import annotations

from typing import Final

INTERVAL: Final = 0.5
"""Seconds between two keyframes of an encoding: each is as large as many frames between, so everybody's picture gets
worse by them, and one keyframe answers all who asked since the last one."""
REQUESTERS: Final = 1024
"""FIR command sequence numbers remembered."""


class KeyframeLimiter:
    """One to an encoding. The first request is answered at once, those too close to the last keyframe by one later."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval
        self._last = float("-inf")
        self._asked = False
        self._commands: dict[int, int] = {}

    def ask(self) -> None:
        """Somebody needs a keyframe (PLI, SIP INFO, a new receiver, a change of encoding)."""
        self._asked = True

    def command(self, requester: int, number: int) -> bool:
        """A FIR came; a repetition has the number of the one before and is none (RFC 5104 §4.3.1.2).

        Args:
            requester: SSRC of its sender.
            number: its command sequence number.

        Returns:
            Whether it was new.
        """
        if self._commands.get(requester) == number:
            return False
        self._commands.pop(requester, None)
        self._commands[requester] = number
        if len(self._commands) > REQUESTERS:
            del self._commands[next(iter(self._commands))]
        self._asked = True
        return True

    def due(self, now: float) -> bool:
        """Whether the next frame is to be a keyframe; ask before encoding each."""
        return self._asked and now - self._last >= self.interval

    def sent(self, now: float) -> None:
        """A keyframe was encoded, for whatever reason: it answers all who asked."""
        self._last = now
        self._asked = False
