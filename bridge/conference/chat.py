"""What is written in a room: the last messages, in order, for who comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HISTORY = 200
"""Messages of a room that are kept, while its conference is on."""
LONGEST = 2000
"""Characters of a message."""


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    """Counts from 1 in this process: a page that comes back tells by it what it has missed."""
    participant: int
    name: str
    """As it was then."""
    text: str
    at: str
    """ISO 8601, in UTC."""


class Chat:
    """One room's."""

    def __init__(self, clock: Callable[[], str], numbers: Callable[[], int]) -> None:
        """``clock``: the time of day, as messages say it. ``numbers``: one never given before."""
        self._clock, self._numbers = clock, numbers
        self._kept: deque[Message] = deque(maxlen=HISTORY)

    def add(self, participant: int, name: str, text: str) -> Message:
        """``text``: as :func:`readable` made it."""
        message = Message(self._numbers(), participant, name, text, self._clock())
        self._kept.append(message)
        return message

    def last(self, count: int) -> Sequence[Message]:
        """The newest ones, the oldest of them first."""
        return list(self._kept)[-count:]


def readable(text: str) -> str:
    """Without what nobody reads: control characters but line ends, blanks at both ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable() or c in "\t\u200d\ufe0f") for line in lines).strip()
