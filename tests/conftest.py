"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_TIME = ("browser", "interop", "live")
"""Tests with real clients and servers, in real time. On a shared machine now and then one of them gets no time for some
seconds: it has a second chance, and the summary lists it as RERUN. What fails twice has failed."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))
