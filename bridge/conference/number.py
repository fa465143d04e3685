"""Numbers as the clips that speak them, in French and English: few pieces, so that a person can record them all."""

from __future__ import annotations

LARGEST = 999_999
_KEYS = {"*": "star", "#": "pound"}


def spoken_number(number: int, language: str, *, feminine: bool = False) -> tuple[str, ...]:
    """The pieces of a number: 2134 is ``2 thousand 1 hundred 30 4``, in French ``2 thousand hundred 30 4``.

    Pieces are ``0`` to ``20``, the tens (French: 30 to 60 and 80), ``hundred``, ``thousand``, and in French ``et`` and
    ``1-feminine``: before a feminine noun ("vingt et une minutes") if ``feminine``.

    Raises:
        ValueError: not within 0 to :data:`LARGEST`.
    """
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{number} is not within 0 to {LARGEST}")
    french = language.startswith("fr")
    thousands, rest = divmod(number, 1000)
    pieces: list[str] = []
    if thousands:
        # "mille", never "un mille"; what precedes it stays masculine: "vingt et un mille".
        pieces += [] if french and thousands == 1 else _below_thousand(thousands, french)
        pieces.append("thousand")
    if rest or not thousands:
        pieces += _below_thousand(rest, french)
    if french and feminine and pieces[-1] == "1":
        pieces[-1] = "1-feminine"
    return tuple(pieces)


def _below_thousand(number: int, french: bool) -> list[str]:
    hundreds, rest = divmod(number, 100)
    pieces: list[str] = []
    if hundreds:
        pieces += ["hundred"] if french and hundreds == 1 else [str(hundreds), "hundred"]
    if rest or not hundreds:
        pieces += _french_below_hundred(rest) if french else _english_below_hundred(rest)
    return pieces


def _english_below_hundred(number: int) -> list[str]:
    tens, ones = divmod(number, 10)
    return [str(number)] if number < 20 or not ones else [str(tens * 10), str(ones)]


def _french_below_hundred(number: int) -> list[str]:
    tens, ones = divmod(number, 10)
    if tens in (7, 9):  # soixante-douze, quatre-vingt-douze
        tens, ones = tens - 1, ones + 10
    if number < 20 or not ones:
        return [str(number)]
    # vingt et un, soixante et onze; but quatre-vingt-un, quatre-vingt-onze
    joined = ["et"] if ones in (1, 11) and tens != 8 else []
    return [str(tens * 10), *joined, str(ones)]


def digit_pieces(keys: str) -> tuple[str, ...]:
    """Keys of a telephone one by one: ``*6`` is ``star 6``; what is no key is left out."""
    return tuple(_KEYS.get(key, key) for key in keys if key in _KEYS or (key.isascii() and key.isdigit()))
