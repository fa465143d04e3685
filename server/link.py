"""The key of signed links: made at the first start, kept in the data directory, read by nobody else."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from bridge.conference import link
from bridge.conference.link import KEY, MAX_HOURS, MAX_NAME, BadLink, Link
from bridge.conference.participant import ROLES, Role

FILE = "link.key"
HOURS = 24.0
"""That a link lives unless somebody says otherwise: a working day's notice."""


def read_key(data: Path) -> bytes:
    """The key in ``data``, made if there is none. Take the file away, and no link that was given out opens anything.

    Raises:
        OSError: it can't be read or made, or is no key; others than its owner can read it.
    """
    path = data / FILE
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY))
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise OSError(f"{path}: others can read the links' key: chmod 600, or take it away and start again")
        key = file.read(KEY + 1)
    if len(key) != KEY:
        raise OSError(f"{path}: this is no key of links: take it away and start again")
    return key


class Links:
    """Makes links, and reads them."""

    def __init__(self, key: bytes, wall: Callable[[], float] = time.time) -> None:
        self._key, self._wall = key, wall

    def make(self, room: str, role: Role, hours: float, name: str = "") -> tuple[str, Link]:
        """A token and what it grants.

        Raises:
            ValueError: says which of these is wrong.
        """
        if role not in ROLES:
            raise ValueError(f"role {role!r}: write host or guest")
        if not 0 < hours <= MAX_HOURS:
            raise ValueError(f"hours: write a number up to {MAX_HOURS}")
        if len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"name: write one line of at most {MAX_NAME} characters")
        granted = Link(room, role, int(self._wall() + hours * 3600), name)
        return link.sign(granted, self._key), granted

    def __call__(self, token: str) -> Link:
        """What a token grants now. Raises BadLink."""
        return link.read(token, self._key, self._wall())

    def read(self, token: str, room: str) -> Link:
        """Likewise, for that room. Raises BadLink."""
        found = self(token)
        if found.room != room:
            raise BadLink("other-room")
        return found
