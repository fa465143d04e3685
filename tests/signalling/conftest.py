"""The weather: every scenario that takes ``net`` runs on a quiet network, and on bad ones with several seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.signalling.network import Network

WEATHER = {
    "calm": {"seed": 1},
    "lossy": {"seed": 2, "loss": 0.2},
    "repeating": {"seed": 3, "repeat": 0.5, "delay": 0.2},
    "storm": {"seed": 4, "loss": 0.2, "repeat": 0.3, "delay": 0.3},
    "storm again": {"seed": 5, "loss": 0.25, "repeat": 0.2, "delay": 0.25},
}


@pytest.fixture(params=list(WEATHER))
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    """Afterwards nothing may be left of any call."""
    network = Network(**WEATHER[request.param])
    yield network
    network.settle()


@pytest.fixture
def calm() -> Iterator[Network]:
    network = Network()
    yield network
    network.settle()
