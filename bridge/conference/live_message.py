"""What a page beside a call may say on its socket, and nothing else: JSON objects, told apart by ``type``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
"""A participant's."""
Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]


class Said(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """Fields that nobody knows are passed over: a newer page may say more."""


class Hello(Said, frozen=True):
    """The first of all: whose page it is."""

    call: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    """The Call-ID of its INVITE, which nobody else knows."""
    token: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    language: Word = "fr"


class Chat(Said, frozen=True):
    text: str


class Hand(Said, frozen=True):
    up: bool


class Mute(Said, frozen=True):
    """Itself."""

    muted: bool


class Layout(Said, frozen=True):
    """Its own; null: what the others see."""

    layout: Word | None


class Rename(Said, frozen=True):
    """Itself."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class Language(Said, frozen=True):
    language: Word


class Admit(Said, frozen=True):
    id: Number | Literal["all"]


class MuteOther(Said, frozen=True, tag="mute_other"):
    id: Number
    muted: bool


class MuteAll(Said, frozen=True, tag="mute_all"):
    muted: bool = True


class Remove(Said, frozen=True):
    id: Number


class Lock(Said, frozen=True):
    locked: bool


class Lower(Said, frozen=True):
    """Somebody's hand."""

    id: Number


class End(Said, frozen=True):
    """The conference, for all."""


class RoomLayout(Said, frozen=True, tag="room_layout"):
    layout: Word


class Tile(msgspec.Struct, frozen=True):
    """What is wanted in one tile."""

    mid: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    """The m-line's, in the call."""
    participant: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    """0: whoever speaks."""
    height: Annotated[int, msgspec.Meta(ge=0, le=8192)] = 0
    """On the screen, in pixels; 0: it does not matter."""
    paused: bool = False
    """Out of sight."""
    content: bool = False
    """What that participant shows; with 0 what is shown in the room."""


class Tiles(Said, frozen=True):
    """All that it wants to see: a tile that is left out is sent nothing."""

    tiles: Annotated[tuple[Tile, ...], msgspec.Meta(max_length=64)]
    composed: bool = True
    """The one picture of all, too."""


Command: TypeAlias = (
    Hand | Mute | Layout | Rename | Admit | MuteOther | MuteAll | Remove | Lock | Lower | End | RoomLayout
)
"""What a room does."""
Spoken: TypeAlias = Hello | Chat | Language | Tiles | Command

_decoder: msgspec.json.Decoder[Spoken] = msgspec.json.Decoder(Spoken)


class NotUnderstood(ValueError):
    """It is none of these."""


def read(text: str | bytes) -> Spoken:
    """Raises NotUnderstood, whatever comes."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotUnderstood(str(error)) from None
