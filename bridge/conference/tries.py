"""Wrong PINs, counted over all calls and pages: whoever guesses soon has to wait, however often he begins anew."""

from __future__ import annotations

from bridge.signalling.throttle import Throttle, site

CALLER = (0.1, 9.0)
"""Wrong PINs of one caller: one in ten minutes in the long run, and nine at once, which is three calls of somebody who
reads the wrong line of the invitation. All 10,000 PINs of four digits take ten weeks."""
PLACE = (0.5, 60.0)
"""Those of all callers at one address: callers choose their names, so this is what holds a guesser who changes his (two
weeks for the 10,000). An office behind one NAT, or a provider's trunk, may mistype sixty times on the hour."""
SOURCES = 4096
"""Callers, and places, that are remembered; who was wrong least recently is forgotten."""


class Tries:
    """Sans-IO. Ask :meth:`refuse` before a PIN is looked at, and say nothing of one that comes too soon: else right
    ones would be told from wrong ones all the same."""

    def __init__(self) -> None:
        self._callers = Throttle(CALLER[0], burst=CALLER[1], sources=SOURCES)
        self._places = Throttle(PLACE[0], burst=PLACE[1], sources=SOURCES)
        self.wrong = 0
        """PINs so far that were."""
        self.refused = 0
        """Tries so far that came too soon."""

    def __len__(self) -> int:
        """Callers and places that are remembered."""
        return len(self._callers) + len(self._places)

    def failed(self, address: str, caller: str, now: float) -> None:
        """A wrong PIN.

        Args:
            address: IP address that it came from.
            caller: who it was, as it says; empty: nobody knows, and the address alone counts.
        """
        self.wrong += 1
        place = site(address)
        self._places.charge(place, now)
        if caller:
            self._callers.charge((place, caller), now)

    def wait(self, address: str, caller: str, now: float) -> float:
        """Seconds before that caller may try a PIN; 0: now."""
        place = site(address)
        waits = self._places.wait(place, now), self._callers.wait((place, caller), now) if caller else 0.0
        return max(waits)

    def refuse(self, address: str, caller: str, now: float) -> float:
        """As :meth:`wait`, where somebody tries one now: it is counted when that is too soon."""
        wait = self.wait(address, caller, now)
        self.refused += wait > 0
        return wait
