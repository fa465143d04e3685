"""Bindings outlive the process."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from server.storage import Row, Storage, WrongVersion, address


def row(aor: str, contact: str, expires: float = 1e10) -> Row:
    return Row(aor, contact, expires, {"q": 1.0, "remote": ["192.0.2.1", 5060]})


def kept(url: str, wall: float = 0.0) -> list[Row]:
    async def read() -> list[Row]:
        storage = Storage(url)
        try:
            return storage.bindings(wall)
        finally:
            await storage.close()

    return asyncio.run(read())


def change(url: str, *changes: tuple[str, list[Row]], close: bool = True) -> Storage:
    async def write() -> Storage:
        storage = Storage(url)
        storage.start()
        for aor, rows in changes:
            storage.replace(aor, rows)
        if close:
            await storage.close()
        return storage

    return asyncio.run(write())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return address("", tmp_path)


def test_what_was_replaced_is_there_after_a_restart(url: str) -> None:
    change(url, ("sip:a@x", [row("sip:a@x", "sip:1"), row("sip:a@x", "sip:2")]), ("sip:b@x", [row("sip:b@x", "sip:3")]))
    change(url, ("sip:a@x", [row("sip:a@x", "sip:2")]), ("sip:b@x", []))
    assert kept(url) == [row("sip:a@x", "sip:2")]


def test_what_has_expired_is_forgotten(url: str) -> None:
    change(url, ("sip:a@x", [row("sip:a@x", "sip:1", 100.0), row("sip:a@x", "sip:2", 200.0)]))
    assert [found.contact for found in kept(url, 150.0)] == ["sip:2"]
    assert [found.contact for found in kept(url, 0.0)] == ["sip:2"]


def test_it_is_on_disk_within_a_second_without_anybody_waiting(url: str) -> None:
    async def write() -> int:
        storage = Storage(url)
        storage.start()
        storage.replace("sip:a@x", [row("sip:a@x", "sip:1")])
        await asyncio.sleep(0.9)
        with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
            found = other.execute("select count(*) from binding").fetchone()[0]
        other.close()
        await storage.close()
        return int(found)

    assert asyncio.run(write()) == 1


def test_changes_of_one_user_are_written_once(url: str) -> None:
    async def write() -> int:
        storage = Storage(url)
        storage.start()
        for n in range(1000):
            storage.replace("sip:a@x", [row("sip:a@x", f"sip:{n}")])
        waiting = len(storage._dirty)
        await storage.close()
        return waiting

    assert asyncio.run(write()) == 1
    assert [found.contact for found in kept(url)] == ["sip:999"]


def test_what_could_not_be_written_is_written_later(url: str) -> None:
    async def write() -> int:
        storage = Storage(url)
        with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
            other.execute("alter table binding rename to away")
        storage.replace("sip:a@x", [row("sip:a@x", "sip:1")])
        assert not await storage._flush()
        with other:
            other.execute("alter table away rename to binding")
        other.close()
        await storage.close()
        return storage.failures

    assert asyncio.run(write()) == 1
    assert [found.contact for found in kept(url)] == ["sip:1"]


def test_a_database_of_another_version_is_refused(url: str) -> None:
    change(url)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
        other.execute("update schema set version = 99")
    other.close()
    with pytest.raises(WrongVersion, match="version 99"):
        Storage(url)


def test_a_database_whose_driver_is_missing_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises((ImportError, SQLAlchemyError)):
        Storage("postgresql+nodriver://x/y")
