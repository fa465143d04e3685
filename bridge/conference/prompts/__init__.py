"""The sentences of :mod:`bridge.conference.phrase` in words (``fr-CA.toml``, ``en-CA.toml``) and as sound."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("fr-CA", "en-CA")


@dataclass(frozen=True, slots=True)
class Voice:
    """How espeak-ng speaks a language."""

    name: str
    """Of ``espeak-ng --voices``."""
    speed: int
    """Words a minute."""
    pitch: int
    """0 to 99."""
    gap: int
    """Tens of milliseconds between words."""


@dataclass(frozen=True, slots=True)
class Texts:
    """One language's file of words."""

    voice: Voice
    texts: dict[str, str]
    """File name without suffix -> what is said."""


@functools.cache
def texts(language: str) -> Texts:
    """The words of ``fr-CA`` or ``en-CA``: sentences, keys' actions and numbers."""
    data = tomllib.loads((HERE / f"{language}.toml").read_text(encoding="utf-8"))
    numbers = {f"number-{number}": words for number, words in data["numbers"].items()}
    return Texts(Voice(**data["voice"]), data["sentences"] | data["keys"] | numbers)
