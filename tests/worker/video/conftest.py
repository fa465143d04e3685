"""A studio to each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worker.video.terminals import Studio


@pytest.fixture
def studio() -> Iterator[Studio]:
    made = Studio()
    yield made
    made.close()
