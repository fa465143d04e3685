"""Which stream a datagram belongs to: (socket, source address) -> row, for a whole batch at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.media.wire import U32, U64

_EMPTY = -1
_GONE = -2


class AddressTable:
    """An open-addressing hash table over arrays.

    Keys are compared whole (family, port, address and socket), so a collision costs a probe and never a mix-up. The
    multipliers are drawn at random: a stranger can't choose addresses that collide.
    """

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self._bits = max(4, int(12 * capacity - 1).bit_length())  # thinly filled: each probe costs a whole pass
        self._size = 1 << self._bits
        self._rows: NDArray[np.int32] = np.full(self._size, _EMPTY, np.int32)
        self._keys: U64 = np.zeros((self._size, 3), np.uint64)
        self._multipliers: U64 = rng.integers(1 << 62, (1 << 63) - 1, size=6, dtype=np.uint64) | np.uint64(1)
        self._used = 0

    @staticmethod
    def keys(sockets: NDArray[np.intp], sources: U32) -> U32:
        """(n, 6) key words: socket, family and port, four address words."""
        keys = np.empty((len(sockets), 6), np.uint32)
        keys[:, 0] = sockets
        keys[:, 1] = sources[:, 0]
        keys[:, 2:] = sources[:, 2:6]
        return keys

    def _hash(self, keys: U64) -> NDArray[np.intp]:
        """(n, 3) keys as words of 64 bits -> (n,) places. Each half word has a multiplier of its own."""
        low, m = np.uint64(0xFFFFFFFF), self._multipliers
        mixed = np.zeros(len(keys), np.uint64)
        for word in range(3):
            column = keys[:, word]
            mixed += (column & low) * m[2 * word] + (column >> np.uint64(32)) * m[2 * word + 1]
        mixed ^= mixed >> np.uint64(29)
        mixed *= m[0]
        mixed >>= np.uint64(64 - self._bits)
        return mixed.view(np.int64)

    def find(self, keys: U32) -> NDArray[np.intp]:
        """(n,) rows, -1 where the key is unknown."""
        wide = keys.view(np.uint64)
        at = self._hash(wide)
        found = self._rows[at].astype(np.intp)
        left = ((found != _EMPTY) & ((found == _GONE) | ~self._same(at, wide))).nonzero()[0]
        while left.size:
            at[left] = (at[left] + 1) & (self._size - 1)
            rows = self._rows[at[left]]
            found[left] = rows
            left = left[(rows != _EMPTY) & ((rows == _GONE) | ~self._same(at[left], wide[left]))]
        return found

    def _same(self, at: NDArray[np.intp], keys: U64) -> NDArray[np.bool_]:
        """(n,) whether the keys stand at those places."""
        stored = self._keys[at]
        same: NDArray[np.bool_] = stored[:, 0] == keys[:, 0]
        same &= stored[:, 1] == keys[:, 1]
        same &= stored[:, 2] == keys[:, 2]
        return same

    def put(self, key: U32, row: int) -> None:
        """Add a key, or point it at another row."""
        if (self._used + 1) * 2 > self._size:
            self._rebuild()
        wide = key.view(np.uint64)
        at, place = int(self._hash(wide[None])[0]), -1
        while self._rows[at] != _EMPTY:
            if self._rows[at] == _GONE:
                place = at if place < 0 else place
            elif (self._keys[at] == wide).all():
                self._rows[at] = row
                return
            at = (at + 1) & (self._size - 1)
        if place < 0:
            place = at
            self._used += 1
        self._rows[place] = row
        self._keys[place] = wide

    def drop(self, key: U32, row: int) -> None:
        """Forget a key, if it still leads to ``row``."""
        wide = key.view(np.uint64)
        at = int(self._hash(wide[None])[0])
        while self._rows[at] != _EMPTY:
            if self._rows[at] == row and (self._keys[at] == wide).all():
                self._rows[at] = _GONE
                return
            at = (at + 1) & (self._size - 1)

    def _rebuild(self) -> None:
        """Sweep the graves out; double when it is full of the living."""
        live = np.flatnonzero(self._rows >= 0)
        rows, keys = self._rows[live].copy(), self._keys[live].copy()
        if len(live) * 4 > self._size:
            self._bits += 1
            self._size = 1 << self._bits
            self._keys = np.zeros((self._size, 3), np.uint64)
        self._rows = np.full(self._size, _EMPTY, np.int32)
        self._used = 0
        for row, key in zip(rows.tolist(), keys, strict=True):
            self.put(key.view(np.uint32), row)
