"""A bridge to each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worker.phones import Bridge


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    yield made
    made.close()
