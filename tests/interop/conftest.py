from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a file, each in rooms of its own."""
    directory: Path = tmp_path_factory.mktemp("server")
    with Server(directory) as running:
        yield running


@pytest.fixture(autouse=True)
def no_traceback(request: pytest.FixtureRequest) -> Iterator[None]:
    """Names the test in which the server first logged one."""
    if "server" not in request.fixturenames:
        yield
        return
    running: Server = request.getfixturevalue("server")
    before = running.tracebacks()
    yield
    assert running.tracebacks() == before, running.process.text[-6000:]
