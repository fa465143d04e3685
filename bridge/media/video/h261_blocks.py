"""Where the macroblocks of an H.261 GOB begin, and what a packet that begins with one must say (H.261 §4.2.3, RFC 4587
§4.1). Codes are followed by their lengths alone: no coefficient is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .payload import PayloadError


@dataclass(frozen=True, slots=True)
class Boundary:
    """The bit at which a macroblock begins, and what decoding there must know."""

    bit: int
    group: int
    """GN of its GOB."""
    address: int
    """Of the macroblock before it, 1 to 33."""
    quantiser: int
    across: int
    """The vector of the macroblock before it, -15 to 15; 0 where the next is not predicted by it."""
    down: int


def _codes(text: str) -> dict[str, int]:
    return {code: int(value) for value, code in (pair.split(":") for pair in text.split())}


_ADDRESS = _codes(
    "1:1 2:011 3:010 4:0011 5:0010 6:00011 7:00010 8:0000111 9:0000110 10:00001011 11:00001010 12:00001001 13:00001000 "
    "14:00000111 15:00000110 16:0000010111 17:0000010110 18:0000010101 19:0000010100 20:0000010011 21:0000010010 "
    "22:00000100011 23:00000100010 24:00000100001 25:00000100000 26:00000011111 27:00000011110 28:00000011101 "
    "29:00000011100 30:00000011011 31:00000011010 32:00000011001 33:00000011000 0:00000001111"
)
"""Table 1; 0 is stuffing."""
_INTRA, _QUANT, _VECTOR, _PATTERN = 1, 2, 4, 8
_TYPE = {
    "0001": _INTRA,
    "0000001": _INTRA | _QUANT,
    "1": _PATTERN,
    "00001": _PATTERN | _QUANT,
    "000000001": _VECTOR,
    "00000001": _VECTOR | _PATTERN,
    "0000000001": _VECTOR | _PATTERN | _QUANT,
    "001": _VECTOR,
    "01": _VECTOR | _PATTERN,
    "000001": _VECTOR | _PATTERN | _QUANT,
}
"""Table 2."""
_DIFFERENCE = _codes(
    "0:1 1:010 -1:011 2:0010 -2:0011 3:00010 -3:00011 4:0000110 -4:0000111 5:00001010 -5:00001011 6:00001000 "
    "-6:00001001 7:00000110 -7:00000111 8:0000010110 -8:0000010111 9:0000010100 -9:0000010101 10:0000010010 "
    "-10:0000010011 11:00000100010 -11:00000100011 12:00000100000 -12:00000100001 13:00000011110 -13:00000011111 "
    "14:00000011100 -14:00000011101 15:00000011010 -15:00000011011 -16:00000011001"
)
"""Table 3; each stands for itself and for what is 32 away from it."""
_BLOCKS = _codes(
    "60:111 4:1101 8:1100 16:1011 32:1010 12:10011 48:10010 20:10001 40:10000 28:01111 44:01110 52:01101 56:01100 "
    "1:01011 61:01010 2:01001 62:01000 24:001111 36:001110 3:001101 63:001100 5:0010111 9:0010110 17:0010101 "
    "33:0010100 6:0010011 10:0010010 18:0010001 34:0010000 7:00011111 11:00011110 19:00011101 35:00011100 13:00011011 "
    "49:00011010 21:00011001 41:00011000 14:00010111 50:00010110 22:00010101 42:00010100 15:00010011 51:00010010 "
    "23:00010001 43:00010000 25:00001111 37:00001110 26:00001101 38:00001100 29:00001011 45:00001010 53:00001001 "
    "57:00001000 30:00000111 46:00000110 54:00000101 58:00000100 31:000000111 47:000000110 55:000000101 59:000000100 "
    "27:000000011 39:000000010"
)
"""Table 4."""
_COEFFICIENT = {
    "11": 3,
    "011": 4,
    "010": 5,
    "0011": 6,
    "00101": 6,
    "00100": 9,
    "0001": 7,
    "00001": 8,
    "000001": 20,
    "0000001": 11,
    "00000001": 13,
    "000000001": 14,
}
"""Table 5: lengths by prefix, with their signs; 000001 is the escape with run and level. 10 ends a block."""
WINDOW: Final = 11
_END: Final = 2


def _table(codes: dict[str, int]) -> list[tuple[int, int] | None]:
    """By the next WINDOW bits: length of the code, and its value."""
    table: list[tuple[int, int] | None] = [None] * (1 << WINDOW)
    for code, value in codes.items():
        free = WINDOW - len(code)
        begin = int(code, 2) << free
        table[begin : begin + (1 << free)] = [(len(code), value)] * (1 << free)
    return table


def _lengths() -> list[int]:
    table = [0] * (1 << WINDOW)
    for prefix, length in (*_COEFFICIENT.items(), ("10", _END)):
        free = WINDOW - len(prefix)
        begin = int(prefix, 2) << free
        table[begin : begin + (1 << free)] = [length] * (1 << free)
    return table


_ADDRESSES, _TYPES, _DIFFERENCES, _PATTERNS = map(_table, (_ADDRESS, _TYPE, _DIFFERENCE, _BLOCKS))
_COEFFICIENTS = _lengths()


class _Reader:
    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data + bytes(4)
        self.at, self.end = at, end

    def take(self, bits: int) -> int:
        """At most 24 bits."""
        octet = self.at >> 3
        word = int.from_bytes(self._data[octet : octet + 4], "big")
        value = word >> (32 - (self.at & 7) - bits) & ((1 << bits) - 1)
        self.at += bits
        return value

    def code(self, table: list[tuple[int, int] | None]) -> int:
        found = table[self.take(WINDOW)]
        if found is None:
            raise PayloadError("no code of H.261")
        self.at += found[0] - WINDOW
        return found[1]

    def skip_block(self, *, intra: bool) -> None:
        """Coefficients up to the end of the block. The first of one that is not intra has a shorter code for 1."""
        data, at, end, lengths = self._data, self.at, self.end, _COEFFICIENTS
        if intra:
            at += 8
        elif data[at >> 3] >> (7 - (at & 7)) & 1:
            at += 2
        while at < end:
            octet = at >> 3
            window = (data[octet] << 16 | data[octet + 1] << 8 | data[octet + 2]) >> (13 - (at & 7)) & 0x7FF
            length = lengths[window]
            if not length:
                break
            at += length
            if length == _END:
                self.at = at
                return
        raise PayloadError("a block without its end")


def boundaries(frame: bytes, begin: int, end: int) -> list[Boundary]:
    """Where macroblocks of a GOB begin, but for the first.

    Args:
        begin, end: bits at which its start code lies and the next thing begins.

    Raises:
        PayloadError: it is no GOB.
    """
    reader = _Reader(frame, begin + 16, end)
    group, quantiser = reader.take(4), reader.take(5)
    while reader.take(1):
        reader.take(8)
    address = across = down = 0
    found: list[Boundary] = []
    while end - reader.at > WINDOW or _ends(reader, end):
        at = reader.at
        step = reader.code(_ADDRESSES)
        if not step:
            continue  # stuffing
        if address:
            found.append(Boundary(at, group, address, quantiser, across, down))
        # Vectors are predicted only from the neighbour to the left, in one row of eleven (§4.2.3.4).
        if step != 1 or (address + step) % 11 == 1:
            across = down = 0
        address += step
        if address > 33:
            raise PayloadError("a macroblock behind its GOB")
        kind = reader.code(_TYPES)
        if kind & _QUANT:
            quantiser = reader.take(5)
        if kind & _VECTOR:
            across = (across + reader.code(_DIFFERENCES) + 16) % 32 - 16
            down = (down + reader.code(_DIFFERENCES) + 16) % 32 - 16
        else:
            across = down = 0
        pattern = 63 if kind & _INTRA else reader.code(_PATTERNS) if kind & _PATTERN else 0
        for block in range(6):
            if pattern & 32 >> block:
                reader.skip_block(intra=bool(kind & _INTRA))
    return found


def _ends(reader: _Reader, end: int) -> bool:
    """Whether something but padding is left in the last bits."""
    left = end - reader.at
    if left <= 0:
        return False
    value = reader.take(left)
    reader.at -= left
    return value != 0
