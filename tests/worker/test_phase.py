"""Where in the 20 ms the beat goes, in virtual time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.jitter import PLAY, STRETCH, JitterBuffer
from bridge.worker.phase import BEAT, BEYOND, GAIN, SLIDE, Phase

NOW = 1000.0
MARGIN = 0.001
LEAST = MARGIN + BEYOND
"""Seconds that a stream is best early."""


def keep(phase: Phase, phases: list[float], beats: int, *, due: float = NOW, margin: float = MARGIN) -> list[float]:
    """Beats while streams come at these phases; returns the instants."""
    dues = []
    for _ in range(beats):
        dues.append(due)
        phase.see(due, np.array([wait(due, arrival) for arrival in phases]), np.full(len(phases), margin))
        due += BEAT + phase.shift(due)
    return dues


def wait(due: float, arrival: float) -> float:
    """Seconds from a stream's arrival until the beat."""
    return (due - arrival) % BEAT


@given(st.floats(0, 0.01999), st.floats(0, 0.01999))
@settings(deadline=None, max_examples=40)
def test_one_talker_waits_for_the_margin_and_little_more(arrival: float, start: float) -> None:
    dues = keep(Phase(), [arrival], 700, due=NOW + start)
    assert LEAST - 0.0003 <= wait(dues[-1], arrival) <= LEAST + GAIN + 0.0005


def test_a_talker_whose_packets_are_unsteady_is_given_more_time() -> None:
    steady = keep(Phase(), [0.005], 700, due=NOW + 0.004)[-1]
    unsteady = keep(Phase(), [0.005], 700, due=NOW + 0.004, margin=0.004)[-1]
    assert 0.002 < wait(unsteady, 0.005) - wait(steady, 0.005) < 0.004


def test_it_slides_slowly() -> None:
    dues = np.array(keep(Phase(), [0.005], 700, due=NOW + 0.015))
    steps = np.diff(dues) - BEAT
    assert np.abs(steps).max() <= SLIDE + 1e-9
    assert np.abs(steps[-100:]).max() < 1e-9


def test_a_stream_that_is_a_packet_too_deep_does_not_keep_it_from_the_others_phase() -> None:
    phase = Phase()
    phase.see(NOW, np.array([0.0055, 0.0255]), np.full(2, MARGIN))
    assert np.count_nonzero(phase._weight) == 1


def test_it_goes_the_shorter_way() -> None:
    dues = keep(Phase(), [0.0175], 700, due=NOW + 0.0165)  # best a little after the next packet: 3 ms later
    assert 0 < dues[-1] - dues[0] - 699 * BEAT < 0.005


def test_several_talkers_wait_least_on_the_whole() -> None:
    phases = [0.001, 0.003, 0.004]
    dues = keep(Phase(), phases, 700, due=NOW + 0.0155)
    mean = float(np.mean([wait(dues[-1], arrival) for arrival in phases]))
    best = min(float(np.mean([(t - a - LEAST) % BEAT for a in phases])) for t in np.arange(0, BEAT, 1e-4))
    assert mean - LEAST < best + GAIN + 0.0003


def test_where_all_phases_are_as_good_it_stays() -> None:
    phases = np.linspace(0, 0.0199, 200).tolist()
    dues = keep(Phase(), phases, 500, due=NOW + 0.007)
    assert dues[-1] == pytest.approx(dues[0] + 499 * BEAT, abs=1e-6)


def test_it_does_not_move_for_little() -> None:
    dues = keep(Phase(), [0.005], 500, due=NOW + 0.005 + LEAST + GAIN - 0.0005)
    assert dues[-1] == pytest.approx(dues[0] + 499 * BEAT, abs=1e-6)


def test_nobody_talks_and_it_stays() -> None:
    dues = keep(Phase(), [], 200)
    assert dues[-1] == pytest.approx(dues[0] + 199 * BEAT, abs=1e-6)


def test_short_turns_do_not_move_it_to_and_fro() -> None:
    """Two who interrupt each other every 200 ms, half a beat apart: either phase is as good, one is kept."""
    phase, due, dues = Phase(), NOW + 0.0075, []
    for turn in range(100):
        part = keep(phase, [0.005 if turn % 2 else 0.015], 10, due=due)
        dues += part
        due = part[-1] + BEAT + phase.shift(part[-1])
    moved = np.abs(np.diff(np.array(dues) - np.arange(len(dues)) * BEAT)).sum()
    assert moved < 0.025


def listen(talker: float, unsteady: float, beats: int, seed: int = 1) -> tuple[np.ndarray, int]:
    """A talker's packets through a jitter buffer by beats that follow it.

    Returns:
        (beats,) seconds that each packet waited, nan where none was played; and how often it was late from the
        hundredth beat on.
    """
    rng = np.random.default_rng(seed)
    buffer, phase, row = JitterBuffer(1), Phase(), np.zeros(1, np.intp)
    buffer.reset(0, 8000)
    arrivals = NOW + talker + BEAT * np.arange(beats + 100) + rng.uniform(0, unsteady, beats + 100)
    due, at, waits, late = NOW + BEAT, 0, np.full(beats, np.nan), 0
    for beat in range(beats):
        while arrivals[at] <= due:
            number = np.array([at])
            buffer.insert(row, number, (number * 160).astype(np.uint32), number * 0 + 1, arrivals[at : at + 1], number)
            at += 1
        verdict = STRETCH
        for _ in range(2):
            popped = buffer.pop(row, due, np.ones(1, np.bool_))
            verdict = int(popped.verdicts[0])
            if not popped.shrink[0]:
                break
        late += beat > 100 and verdict == STRETCH
        waits[beat] = buffer.delay[0] if verdict == PLAY else np.nan
        slack = buffer.slack(row)
        phase.see(due, slack[np.isfinite(slack)], buffer.margin(row)[np.isfinite(slack)])
        moved = phase.shift(due)
        buffer.beat_moved(moved)
        due += BEAT + moved
    return waits, late


@pytest.mark.parametrize("talker", [0.0, 0.0085, 0.0177])
@pytest.mark.parametrize("unsteady", [0.0003, 0.005])
def test_whoever_talks_is_heard_a_few_ms_later_and_hardly_ever_too_late(talker: float, unsteady: float) -> None:
    waits, late = listen(talker, unsteady, 1000)
    assert np.nanmean(waits[-300:]) < 0.0055 + unsteady
    assert np.nanmax(waits[-300:]) < 0.0065 + unsteady
    assert late <= 2
