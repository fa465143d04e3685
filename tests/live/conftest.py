from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .phone import Exchange
from .server import Server


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange() as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running
