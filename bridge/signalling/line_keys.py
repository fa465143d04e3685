"""SRTP keys of one m-line, offer after offer (RFC 4568), and the proto that it is offered under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from . import sdes
from .media_line import SECURE, Unacceptable
from .sdes import Crypto, RandomBytes

BEST_EFFORT_SUITES = 2
"""Suites offered where SRTP is only wished: more than two lines of keys push an INVITE over the 1,300 bytes that UDP
may carry (RFC 3261 §18.1.1), and the phones concerned know the first."""


class LineKeys:
    def __init__(
        self, suites: Sequence[str], srtp: Literal["off", "offered", "required"], random_bytes: RandomBytes
    ) -> None:
        self._suites, self._srtp, self._random = tuple(suites), srtp, random_bytes
        self.sending: Crypto | None = None
        """Our key in force."""
        self._spare: dict[str, Crypto] = {}
        """Keys that were offered, or will be, and never used, by suite."""

    def check(self, secure: bool | None) -> None:
        """Raises ValueError for a wish that the settings rule out."""
        if (secure is False and self._srtp == "required") or (secure and self._srtp == "off"):
            raise ValueError(f"SRTP is {self._srtp}")

    def security(self, secure: bool | None, in_force: str | None) -> tuple[str, tuple[Crypto, ...]]:
        """Proto and keys of an offer.

        Args:
            secure: True: RTP/SAVP and nothing else; False: no keys; None: in a call as it is, before it as the settings
                say.
            in_force: the line's proto in the description in force, "" where it has none; None: nothing is in force.

        Raises:
            ValueError: the settings rule that out.
        """
        self.check(secure)
        if secure is None and in_force is not None:
            secure = self.sending is not None
            if in_force in SECURE or (in_force and not secure):
                return in_force, self._to_offer() if secure else ()
            return "RTP/AVP", self._to_offer()[:BEST_EFFORT_SUITES] if secure else ()
        if secure or (secure is None and self._srtp == "required"):
            return "RTP/SAVP", self._to_offer()
        if secure is None and self._srtp == "offered":
            return "RTP/AVP", self._to_offer()[:BEST_EFFORT_SUITES]
        return "RTP/AVP", ()

    def _to_offer(self) -> tuple[Crypto, ...]:
        """One a suite, that in force first and unchanged: a new key would cut what is being sent."""
        current = self.sending
        suites = sorted(self._suites, key=lambda suite: current is None or suite != current.suite)
        keys: list[Crypto] = []
        for tag, suite in enumerate(suites, 1):
            if current is not None and suite == current.suite:
                keys.append(replace(current, tag=tag))
                continue
            if suite not in self._spare:
                self._spare[suite] = sdes.generate(suite, tag, self._random)
            keys.append(replace(self._spare[suite], tag=tag))
        return tuple(keys)

    def answer(self, crypto: Sequence[str], *, secure: bool) -> tuple[Crypto, Crypto] | None:
        """(theirs, ours) for an answer to ``crypto``; None: none, and none is needed.

        Raises:
            Unacceptable: none will do, and the line (``secure``) or the settings demand one.
        """
        keys = sdes.choose(crypto, self._suites, self._random, self.sending)
        if keys is None and (secure or self._srtp == "required"):
            raise Unacceptable(488, 305, f"SRTP with one of {', '.join(self._suites)} is needed")
        return keys

    def accepted(
        self, offered: Sequence[Crypto], crypto: Sequence[str], *, secure: bool
    ) -> tuple[Crypto, Crypto] | None:
        """(theirs, ours) after an answer with ``crypto``.

        Args:
            secure: the offer's or the answer's proto demands keys.

        Raises:
            Unacceptable: it takes none of those offered.
        """
        keys = sdes.match(offered, crypto)
        if keys is None and (secure or (offered and crypto)):
            raise Unacceptable(488, 305, "the answer takes none of our SRTP keys")
        if keys is None and self._srtp == "required":
            raise Unacceptable(488, 305, "SRTP is needed")
        return keys

    def use(self, keys: tuple[Crypto, Crypto] | None) -> None:
        """These are in force from now on."""
        self.sending = keys[1] if keys else None
        if self.sending is not None:
            # Used now: once it goes out of force it must never come back (RFC 3711 §9.1).
            self._spare.pop(self.sending.suite, None)
