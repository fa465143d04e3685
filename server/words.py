"""French (Canada) and English: which of them, and how a sentence is said in it.

English is written where it is said, French in :mod:`.french`, by its English sentence. A sentence with fields is
written as for :meth:`str.format`. What the engine says (its errors know nothing of languages) is translated as it
comes: :func:`translated` finds the sentence that it was made from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import Literal, TypeAlias

from .french import FRENCH

Language: TypeAlias = Literal["fr-CA", "en-CA"]
LONGEST = 600
"""Characters of a sentence that is translated: finding what a longer one was made from could take long, and only
strangers would write one."""
DEPTH = 3
"""Errors that quote errors: that many are looked into."""


def language(environment: Mapping[str, str] = os.environ) -> Language:
    """What the person at the terminal reads: ``VISIOPONT_LANGUAGE``, else what POSIX says (the first that is set of
    ``LC_ALL``, ``LC_MESSAGES``, ``LANG``)."""
    for name in ("VISIOPONT_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return "fr-CA" if value.lower().startswith("fr") else "en-CA"
    return "en-CA"


def accepted(header: str) -> Language:
    """What ``Accept-Language`` (RFC 9110 §12.5.4) likes best; English where it does not say."""
    best: tuple[float, Language] = (0.0, "en-CA")
    for part in header[:LONGEST].split(","):
        name, _, rest = part.strip().partition(";")
        found: Language | None = {"fr": "fr-CA", "en": "en-CA"}.get(name.strip().lower()[:2])  # type: ignore[assignment]
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", rest)
        quality = float(weight[1]) if weight else 1.0
        if found is not None and quality > best[0]:
            best = quality, found
    return best[1]


def say(sentence: str, **fields: object) -> str:
    """An English sentence in the language of the person at the terminal."""
    return told(language(), sentence, **fields)


def told(spoken: Language, sentence: str, **fields: object) -> str:
    """An English sentence in ``spoken``.

    >>> told("fr-CA", "Missing command.")
    'Il manque une commande.'
    """
    return frame(sentence, spoken).format(**fields)


def frame(sentence: str, spoken: Language | None = None) -> str:
    """An English sentence in ``spoken`` (or the terminal's language), its fields still to be filled in."""
    return typeset(FRENCH[sentence]) if (spoken or language()) == "fr-CA" else sentence


def line(subject: str, text: str, spoken: Language | None = None) -> str:
    """``subject: text``, as each language sets a colon."""
    return subject + ("\u00a0: " if (spoken or language()) == "fr-CA" else ": ") + text


def decimal(value: float, digits: int) -> str:
    """A number as one writes it here: with a comma in French."""
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if language() == "fr-CA" else text


def translated(sentence: str, spoken: Language | None = None, depth: int = DEPTH) -> str:
    """A sentence that comes with its fields filled in; as it is, if nobody has put it into French.

    >>> translated("room demo is on", "fr-CA")
    'room demo is on'
    """
    if (spoken or language()) != "fr-CA" or len(sentence) > LONGEST:
        return sentence
    for pattern, french in _patterns():
        found = pattern.fullmatch(sentence)
        if found is not None:
            fields = found.groupdict()
            if depth:
                fields = {name: translated(value, "fr-CA", depth - 1) for name, value in fields.items()}
            return french.format(**{name: _quoted(value) for name, value in fields.items()})
    return sentence


def typeset(french: str) -> str:
    """With the spaces that may not end a line (Office québécois de la langue française)."""
    return re.sub(r"(?<=«) | (?=»|:(?:\s|$)|%)", "\u00a0", french)


def _quoted(text: str) -> str:
    """What Python quoted, as French quotes it."""
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"":
        return f"«\u00a0{text[1:-1]}\u00a0»"
    return text


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """What recognises each sentence, and its French: those that say most for themselves come first."""
    found = []
    for english, french in FRENCH.items():
        parts = list(Formatter().parse(english))
        literal = "".join(text for text, *_ in parts)
        if len(literal.strip(" :.,()[]")) < 3:
            continue  # a mere frame would fit anything
        pattern = "".join(re.escape(text) + (f"(?P<{name}>.+?)" if name else "") for text, name, *_ in parts)
        found.append((len(literal), re.compile(pattern, re.DOTALL), typeset(french)))
    found.sort(key=lambda each: -each[0])
    return [(pattern, french) for _, pattern, french in found]
