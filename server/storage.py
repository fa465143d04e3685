"""What survives a restart: registrar bindings, written behind the signalling's back and durable within a second.

Signalling only marks what changed; one thread of our own writes it. Nothing here is awaited by a call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger("storage")

VERSION = 1
"""Of the tables below. A database of another version is refused, not guessed at."""
COALESCE = 0.2
"""Seconds in which changes are gathered into one transaction: a thousand phones that register at once cost few."""
RETRY = 1.0
"""Seconds until the next try when the database could not be written."""

metadata = MetaData()
schema = Table("schema", metadata, Column("version", Integer, primary_key=True))
binding = Table(
    "binding",
    metadata,
    Column("aor", String(255), primary_key=True),
    Column("contact", String(512), primary_key=True),
    Column("expires", Float, nullable=False),
    Column("document", Text, nullable=False),
)


class WrongVersion(Exception):
    """The database was made by another version of Visiopont."""


@dataclass(frozen=True, slots=True)
class Row:
    """One binding as it is kept."""

    aor: str
    contact: str
    expires: float
    """Wall clock (Unix seconds): the monotonic clock does not survive a reboot."""
    document: Mapping[str, Any]
    """The rest, as JSON."""


def address(url: str, data: Path) -> str:
    """The database's URL; SQLite in ``data`` if none was set."""
    return url or f"sqlite:///{data / 'visiopont.db'}"


def _open(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _durable(connection: Any, _record: Any) -> None:
            # WAL: one writer, readers beside it, and a commit is one fsync.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
                connection.execute(f"PRAGMA {pragma}")

    metadata.create_all(engine)
    with engine.begin() as connection:
        version = connection.execute(select(schema.c.version)).scalar()
        if version is None:
            connection.execute(insert(schema).values(version=VERSION))
        elif version != VERSION:
            engine.dispose()
            raise WrongVersion(f"the database is of version {version}, this program's is {VERSION}")
    return engine


class Storage:
    """Open it, load, and then only :meth:`replace`."""

    def __init__(self, url: str) -> None:
        """Raises:
        SQLAlchemyError, WrongVersion: it can't be opened.
        """
        self._engine = _open(url)
        self._thread = ThreadPoolExecutor(1, "storage")
        self._dirty: dict[str, tuple[Row, ...]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.failures = 0

    def bindings(self, wall: float) -> list[Row]:
        """All that are valid at ``wall``; the others are forgotten."""
        with self._engine.begin() as connection:
            connection.execute(delete(binding).where(binding.c.expires <= wall))
            rows = connection.execute(select(binding).order_by(binding.c.aor, binding.c.contact)).all()
        return [Row(row.aor, row.contact, row.expires, json.loads(row.document)) for row in rows]

    def replace(self, aor: str, rows: Sequence[Row]) -> None:
        """From now on these are the bindings of ``aor``; none: it has left. At once for us, on disk within a second.

        Only the last state of each address of record waits, so what waits is bounded by the registrar's own table.
        """
        self._dirty[aor] = tuple(rows)
        self._wake.set()

    def start(self) -> None:
        """Begin to write; needs the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._write_behind())

    async def close(self) -> None:
        """Write what waits, and let go."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._flush()
        self._thread.shutdown()
        self._engine.dispose()

    async def _write_behind(self) -> None:
        while not self._closing:
            await self._wake.wait()
            await asyncio.sleep(COALESCE)
            self._wake.clear()
            if not await self._flush() and not self._closing:
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def _flush(self) -> bool:
        changes, self._dirty = self._dirty, {}
        if not changes:
            return True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, changes)
        except (SQLAlchemyError, OSError, ValueError) as error:  # ValueError: what the driver can't encode
            self._dirty = changes | self._dirty  # what changed meanwhile is newer
            self.failures += 1
            log.error("registrations not written; trying again", addresses=len(changes), error=str(error))
            return False
        return True

    def _write(self, changes: Mapping[str, Sequence[Row]]) -> None:
        rows = [
            {"aor": row.aor, "contact": row.contact, "expires": row.expires, "document": json.dumps(row.document)}
            for found in changes.values()
            for row in found
        ]
        with self._engine.begin() as connection:
            for aor in changes:
                connection.execute(delete(binding).where(binding.c.aor == aor))
            if rows:
                connection.execute(insert(binding), rows)
