"""Whoever has a call with us, from its first message to its last: on the way to a room, in it, or being called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.worker.protocol import StreamReport

from .admission import Admission
from .key import DigitFilter
from .leg import Hearing, Leg
from .participant import Kind, Language, Role
from .settings import RoomSettings

MAX_NAME = 128
"""Characters of a display name kept."""


@dataclass(slots=True, eq=False)
class Party:
    number: int
    """The participant's number, in rooms and events."""
    kind: Kind
    name: str
    uri: str
    leg: Leg | None = None
    user: str = ""
    """Who it is, when it has proved that."""
    bound_for: RoomSettings | None = None
    """The room that it dialled, or is called into."""
    invited: bool = False
    """We call it: neither lock nor lobby holds it."""
    vouched: bool = False
    """It came by a signed link: there is nothing to ask it."""
    role: Role = "guest"
    language: Language | None = None
    recorded_name: str = ""
    admission: Admission | None = None
    digits: DigitFilter = field(default_factory=DigitFilter)
    room: str = ""
    """The room that it is in, or whose lobby it is in."""
    hearing: Hearing = field(default_factory=Hearing)
    referral: int | None = None
    """The REFER that asked us to call it."""
    headers: tuple[tuple[str, str], ...] = ()
    """What our INVITE says besides (``Replaces`` of an attended transfer)."""
    talker: Talker | None = None
    leaving: str = ""
    """Why its call is being ended by us."""
    wake: Callable[[str, float], None] = field(default=lambda name, now: None, repr=False)
    """An alarm of its admission rings."""


@dataclass(slots=True, eq=False)
class Talker:
    """A simulated talker: a stream without a call."""

    worker: int
    stream: int
    clips: tuple[str, ...]
    turn: int
    turns: int
    picture: int = 0
    """Its painted picture's stream; 0: it has none."""
    report: StreamReport | None = None
    """Its worker's last figures."""


def readable(text: str, otherwise: str = "") -> str:
    """A name as people may see it: one line, no control characters, not too long."""
    words = "".join(char if char.isprintable() else " " for char in text[: 4 * MAX_NAME]).split()
    return " ".join(words)[:MAX_NAME] or otherwise
