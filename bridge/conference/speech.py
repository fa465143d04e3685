"""Sentences as clips: (what to say, the language, the directories of recordings) -> names for the worker's ``Say``.

Directories are looked through in the order given; the built-in prompts come last and have everything. A sentence comes
whole from one directory, so that its lead, number and end are one voice. Directories are listed once a process.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .asterisk import asterisk_key, asterisk_recipes
from .number import digit_pieces, spoken_number
from .phrase import Phrase, Spoken
from .prompts import HERE, LANGUAGES
from .recipe import KEY, Recipe, Slot, own_recipe

PAUSE = "silence:250"
"""After a sentence, before the next one."""
BETWEEN_NAMES = "silence:150"
BETWEEN_DIGITS = "silence:80"
_SUFFIXES = (".wav", ".sln16", ".g722", ".sln", ".ulaw", ".alaw")
"""What :func:`bridge.media.clip.load_clip` reads, best first."""
_FOLDERS = ("", "digits/")
"""Where clips are below the directory of a language: here, and as Asterisk's sets have the numbers."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One directory of recordings in one language."""

    path: str
    files: Mapping[str, str]
    """Name without suffix, ``digits/`` included -> absolute file name."""


@dataclass(frozen=True, slots=True)
class _Filling:
    """What goes into a recipe's slots."""

    language: str
    number: int | None = None
    names: tuple[str, ...] = ()
    digits: str = ""


def clips(spoken: Spoken, language: str, directories: Sequence[str | Path] = ()) -> tuple[str, ...]:
    """The clips of a sentence, then a pause.

    Args:
        language: ``fr-CA`` or ``en-CA``.
        directories: each the directory of a language (``.../fr_CA_f_June``) or the parent of such directories.

    Raises:
        ValueError: no such language, or a number beyond :data:`.number.LARGEST`.
    """
    if spoken.phrase is Phrase.CHOOSE_LANGUAGE:
        return tuple(clip for each in LANGUAGES for clip in (*_sentence(spoken, each, directories), PAUSE))
    said = [*_sentence(spoken, language, directories), PAUSE]
    if spoken.phrase is Phrase.KEYS:
        for digits, action in spoken.keys:
            said += _key(digits, action, language, directories)
    return tuple(said)


def digits(keys: str, language: str, directories: Sequence[str | Path] = ()) -> tuple[str, ...]:
    """A PIN, a room's number or keys, read out one by one."""
    filling = _Filling(language, digits=keys)
    return (*_first([(Slot.DIGITS,)], [(Slot.DIGITS,)], filling, directories), PAUSE)


def lacking(language: str, directories: Sequence[str | Path]) -> tuple[str, ...]:
    """Those of ``directories`` that hold nothing in ``language``: a misspelt setting, most likely."""
    return tuple(str(each) for each in directories if not any(shelf.files for shelf in _listed(str(each), language)))


def _sentence(spoken: Spoken, language: str, directories: Sequence[str | Path]) -> tuple[str, ...]:
    filling = _Filling(language, spoken.number, spoken.names)
    return _first([own_recipe(spoken)], asterisk_recipes(spoken), filling, directories)


def _key(keys: str, action: str, language: str, directories: Sequence[str | Path]) -> tuple[str, ...]:
    """ "To mute yourself, press star six."; nothing for an action that has no words."""
    filling = _Filling(language, digits=keys)
    said = _first([(f"key-{action}", *KEY)], asterisk_key(action), filling, directories)
    return (*said, PAUSE) if said else ()


def _first(
    own: Iterable[Recipe], asterisk: Iterable[Recipe], filling: _Filling, directories: Sequence[str | Path]
) -> tuple[str, ...]:
    """The first shelf that has every clip of one of the recipes; empty: none has."""
    for shelf in shelves(filling.language, tuple(map(str, directories))):
        for ours, recipe in (*((True, each) for each in own), *((False, each) for each in asterisk)):
            found = _fill(recipe, filling, shelf, ours=ours)
            if found is not None:
                return found
    return ()


def _fill(recipe: Recipe, filling: _Filling, shelf: Shelf, *, ours: bool) -> tuple[str, ...] | None:
    said: list[str] = []
    for part in recipe:
        if part is Slot.NAMES:
            said += (clip for name in filling.names for clip in (name, BETWEEN_NAMES))
            continue
        for name in _names(part, filling, ours):
            if name not in shelf.files:
                return None
            said.append(shelf.files[name])
            if part is Slot.DIGITS:
                said.append(BETWEEN_DIGITS)
    return tuple(said)


def _names(part: str | Slot, filling: _Filling, ours: bool) -> tuple[str, ...]:
    if isinstance(part, str):
        return (str(part),)
    if part is Slot.DIGITS:
        pieces = digit_pieces(filling.digits)
    else:
        pieces = spoken_number(filling.number or 0, filling.language, feminine=part is Slot.FEMININE)
    return tuple(f"{'number-' if ours else 'digits/'}{piece}" for piece in pieces)


@functools.lru_cache(maxsize=64)
def shelves(language: str, directories: tuple[str, ...]) -> tuple[Shelf, ...]:
    """Where a language's clips are looked for, in order; the built-in ones last.

    Raises:
        ValueError: no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no prompts in {language!r}; there are {', '.join(LANGUAGES)}")
    found = [shelf for directory in directories for shelf in _listed(directory, language)]
    return (*found, _shelf(HERE / language))


def _listed(directory: str, language: str) -> list[Shelf]:
    """The directory itself if its name, or where a link leads, says the language; else those in it that do."""
    path = Path(directory)
    if _speaks(path.name, language) or _speaks(path.resolve().name, language):
        return [_shelf(path)]
    try:
        inside = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    except OSError:
        return []
    # "fr-CA" before "fr", "fr" before "fr_CA_f_June": whoever made the short name chose what it stands for.
    inside.sort(key=lambda name: (not _same(name, language), len(name), name))
    seen: dict[Path, Path] = {}
    for name in inside:
        if _speaks(name, language):
            seen.setdefault((path / name).resolve(), path / name)
    return [_shelf(each) for each in seen.values()]


def _same(name: str, language: str) -> bool:
    return name.replace("_", "-").lower() == language.lower()


def _speaks(name: str, language: str) -> bool:
    """Does a directory's name begin with the language: ``fr``, ``fr-CA``, ``fr_CA_f_June``?"""
    return re.split(r"[-_.]", name.lower(), maxsplit=1)[0] == language[:2]


def _shelf(path: Path) -> Shelf:
    files: dict[str, tuple[int, str]] = {}
    for folder in _FOLDERS:
        try:
            entries = sorted(entry.name for entry in os.scandir(path / folder))
        except OSError:
            continue
        for entry in entries:
            name, suffix = os.path.splitext(entry)
            if suffix.lower() in _SUFFIXES:
                rank = _SUFFIXES.index(suffix.lower())
                best = files.get(folder + name)
                if best is None or rank < best[0]:
                    files[folder + name] = (rank, str((path / folder / entry).absolute()))
    return Shelf(str(path), MappingProxyType({name: file for name, (_, file) in files.items()}))
