"""What a room is like: read from the ``[room.NAME]`` sections of the settings, or set through the API."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from .key import KeyTable
from .participant import LANGUAGES, Language

LobbyPolicy: TypeAlias = Literal["off", "until-host", "until-admitted"]
Entry: TypeAlias = Literal["silent", "tone", "name"]
RoomLayout: TypeAlias = Literal["single", "strip", "grid", "side-by-side"]
LAYOUTS: tuple[RoomLayout, ...] = get_args(RoomLayout)
Presenters: TypeAlias = Literal["anyone", "hosts"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "language": LANGUAGES,
    "lobby": get_args(LobbyPolicy),
    "entry": get_args(Entry),
    "layout": LAYOUTS,
    "presenters": get_args(Presenters),
}
_NUMBERS = {"video_height": (1080, 720, 360, 180), "video_rate": (30, 25, 15)}
_NAME = re.compile(r"[\w.~+'-]{1,64}")
"""What may be dialled: letters of any language (escaped in a URI), digits, telephone numbers with their ``+``."""
_NUMBER = re.compile(r"[0-9]{1,64}")
"""As long as a name: a room may be named by its number."""
_SWITCHES = (
    "choose_language",
    "announce_alone",
    "announce_people",
    "mute_on_entry",
    "agc",
    "ends_with_host",
    "video",
    "show_voices",
)
_WHOLE = {"capacity": (1, 100_000), "loudest": (1, 64)}
_SECONDS = {"max_duration": 7 * 86400.0, "host_grace": 86400.0}
_PIN = re.compile(r"[0-9]{4,16}")
"""How long four digits hold out is in :mod:`.tries`."""
TITLE = 200
"""Characters; it goes into every conference-info document."""
FILE_NAME = 1024
"""Characters of a file's name, or of a URI."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """One room's settings.

    Raises:
        ValueError: one sentence that says which setting is wrong, and how to write it.
    """

    name: str
    """User part that is dialled, in lower case."""
    number: str = ""
    """Digits that are keyed to reach it; empty: none."""
    title: str = ""
    """What people read; empty: the name."""
    language: Language = "fr-CA"
    """Of the prompts, unless the caller chose another."""
    choose_language: bool = False
    """Ask each caller for the language first."""
    host_pin: str = dataclasses.field(default="", repr=False)
    """PIN of hosts; empty: nobody becomes host by PIN."""
    guest_pin: str = dataclasses.field(default="", repr=False)
    """PIN of guests; empty: they need none. After nine wrong PINs a caller has one more every ten minutes; all callers
    of one address, after sixty, one every two minutes."""
    lobby: LobbyPolicy = "off"
    """``until-host``: guests wait for the first host; ``until-admitted``: until a host or operator admits them."""
    capacity: int = 3000
    """Participants at most, the lobby's included."""
    max_duration: float = 0.0
    """Seconds from the first who is in to the end of the conference; 0: no end."""
    entry: Entry = "tone"
    """How comings and goings are made known: not at all, by a tone, by the recorded name."""
    announce_alone: bool = True
    """Tell who is alone in the room that they are."""
    announce_people: bool = True
    """Tell newcomers how many are in the room."""
    mute_on_entry: bool = False
    """Guests come in muted, by their own flag: ``*6`` opens the microphone."""
    loudest: int = 8
    """Voices mixed at once in a large room."""
    agc: bool = False
    """Level everybody's voice."""
    ends_with_host: bool = False
    """The conference ends when the last host has left, after ``host_grace``."""
    host_grace: float = 0.0
    """Seconds in which a host may come back (a dropped call) before ``ends_with_host`` ends the conference."""
    video: bool = True
    """The room has a picture, where the bridge has any."""
    layout: RoomLayout = "strip"
    """``single``: whoever speaks; ``strip``: the others in a strip beside; ``grid``: everybody alike;
    ``side-by-side``: the two who spoke last."""
    video_height: int = 720
    """Lines of the largest picture that anybody is sent: 1080, 720, 360 or 180."""
    video_rate: int = 30
    """Pictures a second at most: 30, 25 or 15."""
    show_voices: bool = False
    """Who sends no picture has a tile with the name."""
    reserved: str = ""
    """URI of whoever stays in view whoever speaks: the sign-language interpreter."""
    presenters: Presenters = "anyone"
    """Who may show something: ``anyone``, or ``hosts``."""
    logo: str = ""
    """Absolute name of a PNG file, shown in a corner; empty: none."""
    keys: tuple[tuple[str, str], ...] = ()
    """(digits, action) pairs that change the table of keys (:mod:`.key`): ``("*8", "lock")`` moves the lock to ``*8``;
    an empty action takes the key away."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def shown(self) -> str:
        """What people read: the title, else the name."""
        return self.title or self.name

    @property
    def table(self) -> KeyTable:
        """The keys in force."""
        return KeyTable.standard().changed(self.keys)

    @classmethod
    def read(cls, name: str, section: Mapping[str, Any]) -> RoomSettings:
        """From a TOML section or a JSON object (``keys`` is a table there: ``{"*8": "lock"}``).

        Raises:
            ValueError: also for a key that nobody knows.
        """
        return cls(name=name.lower(), **_read(name, {key: value for key, value in section.items() if key != "name"}))

    def changed(self, changes: Mapping[str, Any]) -> RoomSettings:
        """With some of them changed; the name can't be.

        Raises:
            ValueError: as for :meth:`read`.
        """
        if changes.get("name", self.name) != self.name:
            raise ValueError(f"room {self.name}: a room's name does not change; make another room")
        rest = {key: value for key, value in changes.items() if key != "name"}
        return dataclasses.replace(self, **_read(self.name, rest))


def _read(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(RoomSettings)} - {"name"}
    unknown = sorted(str(key) for key in section if key not in known)
    if unknown:
        raise ValueError(f"room {name}: no setting is called {unknown[0]}; there are {', '.join(sorted(known))}")
    values = dict(section)
    if isinstance(keys := values.get("keys"), Mapping):
        values["keys"] = tuple(keys.items())
    elif isinstance(keys, list):
        values["keys"] = tuple(tuple(pair) if isinstance(pair, list) else pair for pair in keys)
    for key in _SECONDS:
        if type(values.get(key)) is int:
            values[key] = float(values[key])
    return values


def _check(settings: RoomSettings) -> None:
    def wrong(key: str, how: str) -> ValueError:
        value = "" if key.endswith("_pin") else f" {getattr(settings, key)!r}"
        name = settings.name if isinstance(settings.name, str) and settings.name.isprintable() else "?"
        return ValueError(f"room {name[:64]}: {key}{value}: {how}")

    for key in ("name", "number", "title", "host_pin", "guest_pin", "reserved", "logo"):
        if not isinstance(getattr(settings, key), str):
            raise wrong(key, "write text, in quotes")
    if not _NAME.fullmatch(settings.name) or settings.name != settings.name.lower():
        raise wrong("name", "write 1 to 64 lower-case letters, digits or . _ ~ + ' -")
    if settings.number and not _NUMBER.fullmatch(settings.number):
        raise wrong("number", "write 1 to 64 digits, or leave it out")
    if len(settings.title) > TITLE or not (settings.title.isprintable()):
        raise wrong("title", f"write one line of at most {TITLE} characters")
    for key in ("reserved", "logo"):
        if len(getattr(settings, key)) > FILE_NAME or not getattr(settings, key).isprintable():
            raise wrong(key, f"write one line of at most {FILE_NAME} characters")
    if settings.logo and not (settings.logo.startswith("/") and settings.logo.lower().endswith(".png")):
        raise wrong("logo", "write the absolute name of a PNG file, as in /etc/visiopont/logo.png")
    for key, numbers in _NUMBERS.items():
        if type(getattr(settings, key)) is not int or getattr(settings, key) not in numbers:
            raise wrong(key, f"write one of {', '.join(map(str, numbers))}")
    for key, choices in _CHOICES.items():
        if getattr(settings, key) not in choices:
            raise wrong(key, f"write one of {', '.join(choices)}")
    for key in _SWITCHES:
        if not isinstance(getattr(settings, key), bool):
            raise wrong(key, "write true or false")
    for key, (least, most) in _WHOLE.items():
        value = getattr(settings, key)
        if type(value) is not int or not least <= value <= most:
            raise wrong(key, f"write a whole number from {least} to {most}")
    for key, longest in _SECONDS.items():
        value = getattr(settings, key)
        if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= longest:
            raise wrong(key, f"write seconds from 0 to {longest:.0f}")
    _check_pins(settings, wrong)
    if not isinstance(settings.keys, tuple):
        raise wrong("keys", 'write a table, as in {"*8" = "lock"}')
    try:
        KeyTable.standard().changed(settings.keys)
    except (TypeError, ValueError) as error:
        raise wrong("keys", str(error)) from None


def _check_pins(settings: RoomSettings, wrong: Any) -> None:
    for key in ("host_pin", "guest_pin"):
        pin = getattr(settings, key)
        if pin and not _PIN.fullmatch(pin):
            raise wrong(key, "write 4 to 16 digits, in quotes")
    if settings.host_pin and settings.host_pin == settings.guest_pin:
        raise wrong("guest_pin", "must differ from host_pin: the PIN tells hosts from guests")
    if settings.lobby == "until-host" and not settings.host_pin:
        raise wrong("lobby", "set host_pin too, or nobody could ever be the host that guests wait for")
