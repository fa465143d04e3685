"""Keys: named events from any of their packets, tones by ITU-T Q.24, and nothing out of a voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.clip import resample
from bridge.media.dtmf import DIGITS, HIGH, LOW, EventReceiver, EventSender, InbandDetector, tones

PAD = "123A456B789C*0#D"


def packet(code: int, *, end: bool = False, duration: int = 160) -> list[int]:
    return [code, 0x80 * end | 10, duration >> 8, duration & 255]


def event(code: int, packets: int = 4, clock: int = 8000) -> list[list[int]]:
    """The packets of one key: it goes on, then ends three times."""
    step = clock // 50
    parts = [packet(code, duration=step * (n + 1)) for n in range(packets)]
    return parts + 3 * [packet(code, end=True, duration=step * (packets + 1))]


def hear(receiver: EventReceiver, packets: list[tuple[int, list[int]]], *, row: int = 0, now: float = 0.0) -> str:
    stamps = np.array([stamp & 0xFFFFFFFF for stamp, _ in packets], np.uint32)
    payload = np.array([data for _, data in packets], np.uint8).reshape(-1, 4)
    heard: list[tuple[int, str]] = []
    for start in range(0, len(packets), 100):  # as beats would bring them
        part = slice(start, start + 100)
        heard += receiver.receive(np.full(len(stamps[part]), row), stamps[part], payload[part], now)
    assert all(who == row for who, _ in heard)
    return "".join(digit for _, digit in heard)


def keys(digits: str, start: int = 0xFFFFF000) -> list[tuple[int, list[int]]]:
    """The packets of several keys, 200 ms apart; the timestamp wraps on the way."""
    return [(start + 1600 * n, data) for n, digit in enumerate(digits) for data in event(DIGITS.index(digit))]


# ------------------------------------------------------------------------------------------- events in


def test_each_key_is_told_once_and_in_order() -> None:
    assert hear(EventReceiver(1), keys(DIGITS)) == DIGITS


def test_a_key_pressed_twice_is_two_keys() -> None:
    assert hear(EventReceiver(1), keys("1122")) == "1122"


@given(st.lists(st.booleans(), min_size=7, max_size=7).filter(any))
def test_any_packet_of_an_event_is_enough(kept: list[bool]) -> None:
    packets = [(4000, data) for data, keep in zip(event(5), kept, strict=True) if keep]
    assert hear(EventReceiver(1), packets) == "5"


@given(st.text("0123456789", min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_reordered_and_repeated_packets_press_nothing_more(digits: str, random) -> None:
    packets = keys(digits)
    packets += random.choices(packets, k=10)
    random.shuffle(packets)
    assert sorted(hear(EventReceiver(1), packets)) == sorted(digits)


def test_a_late_packet_of_the_last_key_does_not_press_it_again() -> None:
    receiver = EventReceiver(1)
    assert hear(receiver, keys("12")) == "12"
    assert hear(receiver, keys("1")[-1:], now=0.3) == ""


def test_a_key_held_for_a_minute_is_one_key() -> None:
    receiver = EventReceiver(1)
    heard, start = "", 100
    for _ in range(7):  # segments of 65535 units, 8.19 s each (RFC 4733 §2.5.1.3)
        heard += hear(receiver, [(start, packet(3, duration=d)) for d in (*range(400, 0xFFFF, 400), 0xFFFF)])
        start += 0xFFFF
    heard += hear(receiver, [(start, data) for data in event(3)])
    assert heard == "3"
    assert hear(receiver, [(start + 3000, data) for data in event(3)], now=70.0) == "3"


def test_a_long_key_is_one_key_though_the_end_of_a_segment_is_lost() -> None:
    receiver = EventReceiver(1)
    assert hear(receiver, [(0, packet(3, duration=d)) for d in range(400, 0xFFFF - 1200, 400)]) == "3"
    assert hear(receiver, [(0xFFFF, packet(3, duration=400))], now=8.2) == ""


def test_the_same_key_again_after_all_ends_were_lost_is_another_press() -> None:
    receiver = EventReceiver(1)
    assert hear(receiver, [(0, packet(3, duration=400))]) == "3"
    assert hear(receiver, [(0xFFFF, packet(3, duration=400))], now=8.2) == "3"


def test_what_is_no_key_presses_none() -> None:
    assert hear(EventReceiver(1), [(n, packet(code)) for n, code in enumerate((16, 32, 64, 255))]) == ""


def test_a_flood_of_events_takes_the_beat_from_nobody() -> None:
    receiver = EventReceiver(2)
    looked_at: list[int] = []
    look = receiver._is_news
    receiver._is_news = lambda row, *rest: looked_at.append(row) or look(row, *rest)  # type: ignore[method-assign,func-returns-value]
    rows = np.array([0] * 5000 + [1])
    stamps = np.arange(5001, dtype=np.uint32) * 1600
    heard = receiver.receive(rows, stamps, np.tile(np.array(packet(5), np.uint8), (5001, 1)), 0.0)
    assert (1, "5") in heard
    assert looked_at.count(0) == 128
    assert looked_at.count(1) == 1


def test_a_flood_of_events_is_bounded_and_then_forgiven() -> None:
    receiver = EventReceiver(1)
    flood = [(1000 * n, packet(1)) for n in range(2000)]
    assert 10 <= len(hear(receiver, flood)) <= 40
    assert hear(receiver, [(5_000_000, packet(2))], now=1.0) == "2"


def test_a_new_stream_in_the_row_begins_anew() -> None:
    receiver = EventReceiver(2)
    assert hear(receiver, keys("1")) == "1"
    receiver.reset(0)
    assert hear(receiver, keys("1")) == "1"


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(keys("129"))), max_size=40))
def test_many_rows_at_once_hear_what_each_hears_alone(mixed: list[tuple[int, tuple[int, list[int]]]]) -> None:
    together, alone = EventReceiver(3), EventReceiver(3)
    rows = np.array([row for row, _ in mixed], np.intp)
    stamps = np.array([stamp & 0xFFFFFFFF for _, (stamp, _) in mixed], np.uint32)
    payload = np.array([data for _, (_, data) in mixed], np.uint8).reshape(-1, 4)
    heard = together.receive(rows, stamps, payload, 0.0)
    for row in range(3):
        mine = [part for who, part in mixed if who == row]
        assert "".join(d for who, d in heard if who == row) == hear(alone, mine, row=row)


# ------------------------------------------------------------------------------------------- events out


def sent(digits: str, clock: int = 8000, stamps: int = 0) -> list[list[tuple[bool, int, bytes]]]:
    sender, beats = EventSender(digits, clock, stamps), []
    while (packets := sender.packets()) is not None:
        beats.append(packets)
        assert len(beats) < 1000
    return beats


def test_an_event_is_sent_as_rfc_4733_says() -> None:
    beats = sent("5")
    out = [(n, *beat[0]) for n, beat in enumerate(beats) if beat]
    assert [marker for _, marker, _, _ in out] == [True] + [False] * (len(out) - 1)
    assert all(offset == 160 * n for n, _, offset, _ in out)  # the timestamp stays that of the beginning
    durations = [int.from_bytes(payload[2:], "big") for *_, payload in out]
    assert durations == [160, 320, 480, 640, 800, 800, 800]
    assert [payload[1] >> 7 for *_, payload in out] == [0, 0, 0, 0, 1, 1, 1]  # the end three times
    assert {payload[0] for *_, payload in out} == {5}
    assert beats[len(out) :] == [[]] * 3  # a pause


def test_durations_and_timestamps_have_their_own_clocks() -> None:
    (_, offset, payload) = sent("1", 8000, 48000)[2][0]
    assert offset == 2 * 960
    assert int.from_bytes(payload[2:], "big") == 3 * 160


@given(st.text(DIGITS, max_size=12), st.sampled_from([8000, 16000, 48000]))
def test_what_is_sent_is_received(digits: str, clock: int) -> None:
    receiver, heard = EventReceiver(1), ""
    for n, beat in enumerate(sent(digits, clock)):
        heard += hear(receiver, [(7 + clock // 50 * n - offset, list(data)) for _, offset, data in beat], now=n / 50)
    assert heard == digits


@pytest.mark.parametrize("make", [lambda d: EventSender(d, 8000), lambda d: tones(d, 8000)])
def test_a_key_that_no_telephone_has_is_refused(make) -> None:
    with pytest.raises(ValueError, match="no telephone"):
        make("1x")


# ------------------------------------------------------------------------------------------------ tones


def listen(pcm: np.ndarray, detector: InbandDetector | None = None) -> str:
    detector = detector or InbandDetector(1)
    whole = np.concatenate((pcm, np.zeros(-len(pcm) % 160 + 320))).astype(np.int16)
    blocks = whole.reshape(-1, 1, 160)
    return "".join(digit for block in blocks for _, digit in detector.receive(np.array([0]), block))


def tone(digit: str, ms: float, *, off: float = 0.0, twist: float = 0.0, level: float = 3000.0, lead: int = 0):
    """A key of some length; ``twist``: dB by which the low tone is above the high one."""
    t = np.arange(int(8 * ms))
    low, high = divmod(PAD.index(digit), 4)
    first = level * 10 ** (twist / 40) * np.sin(2 * np.pi * LOW[low] * (1 + off) * t / 8000 + 1)
    second = level * 10 ** (-twist / 40) * np.sin(2 * np.pi * HIGH[high] * (1 + off) * t / 8000 + 2)
    return np.concatenate((np.zeros(lead), first + second, np.zeros(400)))


OFFSETS = range(0, 160, 31)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_our_own_tones_are_heard(rate: int) -> None:
    pcm = tones(DIGITS, rate)
    assert len(pcm) == len(DIGITS) * rate // 5
    assert np.abs(pcm).max() < 12000
    assert listen(pcm[:: rate // 8000]) == DIGITS


@pytest.mark.parametrize("digit", DIGITS)
def test_40_ms_are_a_key(digit: str) -> None:
    for lead in OFFSETS:
        assert listen(tone(digit, 40, lead=lead)) == digit


@pytest.mark.parametrize("digit", DIGITS)
def test_23_ms_are_none(digit: str) -> None:
    for lead in OFFSETS:
        assert listen(tone(digit, 23, lead=lead)) == ""


@pytest.mark.parametrize(("off", "heard"), [(0.015, True), (-0.015, True), (0.035, False), (-0.035, False)])
def test_frequencies_are_taken_by_q24(off: float, heard: bool) -> None:
    for digit in DIGITS:
        assert listen(tone(digit, 60, off=off, lead=50)) == (digit if heard else "")


@pytest.mark.parametrize(("twist", "heard"), [(8, True), (-4, True), (11, False), (-7, False)])
def test_twist_is_taken_by_q24(twist: float, heard: bool) -> None:
    for digit in DIGITS:
        assert listen(tone(digit, 60, twist=twist, lead=50)) == (digit if heard else "")


@pytest.mark.parametrize("level", [150, 1000, 16000])
def test_quiet_and_loud_keys_are_heard(level: float) -> None:
    assert listen(tone("7", 50, level=level)) == "7"


def test_a_pause_of_40_ms_makes_two_keys_and_a_dropout_of_10_ms_one() -> None:
    for lead in OFFSETS:
        part = tone("5", 60, lead=lead)[:-400]
        assert listen(np.concatenate((part, np.zeros(320), part[lead:]))) == "55"
        assert listen(np.concatenate((part, np.zeros(80), part[lead:]))) == "5"


def test_a_long_press_is_one_key() -> None:
    assert listen(tone("9", 3000)) == "9"


def test_noise_and_single_tones_are_no_key() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(8000 * 4)
    assert listen(rng.normal(0, 4000, 8000 * 20)) == ""
    for hertz in (350, 440, 480, 697, 941, 1209, 1477):
        assert listen(8000 * np.sin(2 * np.pi * hertz * t / 8000)) == ""
    assert listen(4000 * np.sin(2 * np.pi * 350 * t / 8000) + 4000 * np.sin(2 * np.pi * 440 * t / 8000)) == ""


def test_keys_are_heard_through_noise() -> None:
    rng = np.random.default_rng(2)
    pcm = tones(DIGITS, 8000).astype(float)
    assert listen(pcm + rng.normal(0, 600, len(pcm))) == DIGITS  # 15 dB below


def test_a_reset_row_has_no_past() -> None:
    detector = InbandDetector(1)
    for start in range(0, 320, 160):
        detector.receive(np.array([0]), tone("5", 100)[None, start : start + 160].astype(np.int16))
    detector.reset(0)
    fresh = InbandDetector(1)
    for name, column in vars(fresh).items():
        if isinstance(column, np.ndarray):
            assert (getattr(detector, name) == column).all(), name


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_many_rows_at_once_detect_what_each_detects_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sounds = rng.normal(0, 30, (6, 160 * 40))
    for row in range(6):
        pcm = tones("".join(rng.choice(list(DIGITS), 3)), 8000)
        at = int(rng.integers(0, 1600))
        sounds[row, at : at + len(pcm)] += pcm
    blocks = sounds.astype(np.int16).reshape(6, 40, 160)
    together = InbandDetector(6)
    heard = [pair for n in range(40) for pair in together.receive(np.arange(6), blocks[:, n])]
    for row in range(6):
        alone = InbandDetector(6)
        mine = [pair for n in range(40) for pair in alone.receive(np.array([row]), blocks[row : row + 1, n])]
        assert [pair for pair in heard if pair[0] == row] == mine
        assert len(mine) == 3


def test_no_voice_presses_a_key(speech: np.ndarray) -> None:
    detector = InbandDetector(4)
    pcm = resample(speech, 16000, 8000)
    quarter = len(pcm) // 640 * 160
    blocks = pcm[: 4 * quarter].reshape(4, -1, 160)
    assert [pair for n in range(blocks.shape[1]) for pair in detector.receive(np.arange(4), blocks[:, n])] == []
