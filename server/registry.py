"""Registrations: terminals with us, kept across restarts, and we with providers."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import structlog

from bridge.signalling.event import BindingsChanged, RegistrationChanged
from bridge.signalling.registrar import Binding, Registrar, StoredBinding

from .storage import Row, Storage

log = structlog.get_logger("registry")


class Registry:
    def __init__(self, registrar: Registrar, storage: Storage) -> None:
        self._registrar, self._storage = registrar, storage
        self._providers: dict[int, str] = {}
        self._ours: dict[int, RegistrationChanged] = {}
        self._bindings: dict[str, tuple[str, ...]] = {}

    def recover(self, now: float) -> int:
        """Take up what another life of ours kept; how many bindings still hold."""
        wall = time.time()
        rows = self._storage.bindings(wall)
        held = self._registrar.load([_stored(row) for row in rows], now, wall)
        for row in rows:
            found = self._registrar.bindings(row.aor, now)
            if found:
                self._bindings[row.aor] = tuple(binding.contact for binding in found)
        return held

    def name(self, registration: int, provider: str) -> None:
        """What people call a registration of ours."""
        self._providers[registration] = provider

    def changed(self, event: BindingsChanged | RegistrationChanged, now: float) -> None:
        if isinstance(event, RegistrationChanged):
            self._ours[event.registration] = event
            return
        if event.contacts:
            self._bindings[event.aor] = event.contacts
        else:
            self._bindings.pop(event.aor, None)
        stored = self._registrar.dump(now, time.time(), event.aor)
        self._storage.replace(event.aor, [Row(one.aor, one.contact, one.expires, asdict(one)) for one in stored])

    def count(self) -> int:
        """Addresses of record with a binding."""
        return len(self._registrar)

    def bindings(self, uri: str, now: float) -> list[Binding]:
        """The terminals of a user of ours, the one to call first leading."""
        return self._registrar.bindings(uri, now)

    def shown(self) -> list[dict[str, Any]]:
        """For the API."""
        terminals = [{"aor": aor, "contacts": contacts} for aor, contacts in sorted(self._bindings.items())]
        return terminals + [
            {
                "provider": self._providers.get(number, str(number)),
                "registered": event.registered,
                "code": event.code,
                "reason": event.reason,
                "expires": event.expires,
            }
            for number, event in self._ours.items()
        ]


def _stored(row: Row) -> StoredBinding:
    values = dict(row.document)
    for key in ("local", "remote"):
        values[key] = tuple(values[key])
    return StoredBinding(**values)
