"""The mix of many rooms at once against sums written out."""

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.mixer.limit import Limiter
from bridge.mixer.mix import AudioMix, Voices

NOBODY = np.zeros(0, np.intp)


def voices(rate: int, rows: list[int], rooms: list[int], levels: list[int]) -> Voices:
    """Constant sounds: what a sum of them is can be seen at a glance."""
    pcm = np.repeat(np.array(levels, np.int16)[:, None], rate // 50, axis=1)
    return Voices(rate, np.array(rows, np.intp), np.array(rooms, np.int32), pcm)


def sine(rate: int, hertz: float, beat: int, amplitude: float = 8000.0) -> np.ndarray:
    n = rate // 50
    t = np.arange(beat * n, (beat + 1) * n) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def test_a_sum_beyond_16_bits_on_the_way_is_exact_in_the_end():
    mix = AudioMix(4)
    mix.begin([voices(8000, [0, 1, 2], [1, 1, 1], [30000, 30000, -30000])])
    total, heard = mix.total(8000, np.array([1]))
    assert heard.tolist() == [True]
    assert (Limiter(2).apply(np.array([1]), total) == 30000).all()


def test_everybody_hears_all_but_himself():
    mix = AudioMix(4)
    mix.begin([voices(8000, [0, 1, 2], [1, 1, 1], [30000, 30000, -30000])])
    total, _ = mix.total(8000, np.array([1]))
    heard = total - mix.own(8000, np.array([0, 1, 2, 3]))
    assert heard[:, 0].tolist() == [0, 0, 60000, 30000]


def test_rooms_do_not_hear_each_other():
    mix = AudioMix(8)
    mix.begin([voices(8000, [0, 1, 2, 3], [5, 2, 5, 9], [1, 20, 300, 4000])])
    total, heard = mix.total(8000, np.array([2, 3, 5, 9]))
    assert total[:, 7].tolist() == [20, 0, 301, 4000]
    assert heard.tolist() == [True, False, True, True]


def test_many_small_rooms_are_summed_at_once():
    rng = np.random.default_rng(1)
    rooms = np.repeat(np.arange(1, 301, dtype=np.int32), 4)
    pcm = rng.integers(-32768, 32768, (1200, 160)).astype(np.int16)
    order = rng.permutation(1200)
    mix = AudioMix(1200)
    mix.begin([Voices(8000, order.astype(np.intp), rooms[order], pcm[order])])
    total, _ = mix.total(8000, np.arange(1, 301))
    assert np.array_equal(total, pcm.astype(np.int32).reshape(300, 4, 160).sum(axis=1))


def test_runs_of_any_length_are_summed_exactly():
    """Rooms of one, of a few, and of more than the short way is for."""
    rng = np.random.default_rng(2)
    sizes = [1, 4, 2, 7, 3]
    for more in ([], [40]):
        rooms = np.repeat(np.arange(1, len(sizes + more) + 1, dtype=np.int32), sizes + more)
        pcm = rng.integers(-32768, 32768, (len(rooms), 160)).astype(np.int16)
        mix = AudioMix(len(rooms))
        mix.begin([Voices(8000, np.arange(len(rooms)), rooms, pcm)])
        total, _ = mix.total(8000, np.unique(rooms))
        for room in np.unique(rooms).tolist():
            assert np.array_equal(total[room - 1], pcm[rooms == room].astype(np.int32).sum(axis=0))
        assert np.array_equal(mix.own(8000, np.arange(len(rooms))), pcm)


def test_announcements_are_nobodys_own():
    mix = AudioMix(2)
    announcement = Voices(16000, np.array([-1]), np.array([1], np.int32), np.full((1, 320), 700, np.int16))
    mix.begin([voices(16000, [1], [1], [50]), announcement])
    total, _ = mix.total(16000, np.array([1]))
    assert (total - mix.own(16000, np.array([0, 1])))[:, 0].tolist() == [750, 700]
    assert mix.talks(np.array([0, 1])).tolist() == [False, True]


def test_gain_is_applied_before_the_sum():
    mix = AudioMix(2)
    block = voices(8000, [0, 1], [1, 1], [1000, 1000])
    block.gain = np.array([0.5, 2.0], np.float32)
    mix.begin([block])
    assert mix.total(8000, np.array([1]))[0][0, 0] == 2500
    assert mix.own(8000, np.array([0, 1]))[:, 0].tolist() == [500, 2000]


def test_a_talker_at_another_rate_does_not_hear_himself():
    """His own voice is resampled on two ways, with the sum and alone; what is left is rounding."""
    mix = AudioMix(2)
    for beat in range(6):
        pcm = sine(16000, 900, beat)[None]
        mix.begin([Voices(16000, np.array([0]), np.array([1], np.int32), pcm)])
        total, _ = mix.total(8000, np.array([1]))
        assert np.abs(total - mix.own(8000, np.array([0]))).max() <= 1
    assert np.abs(total).max() > 7000


def test_a_talker_who_comes_back_to_the_mix_brings_nothing_old_along():
    mix = AudioMix(2)
    for beat in range(8):
        talks = beat not in (3, 4, 5)
        pcm = sine(16000, 700 + 90 * beat, beat)[None]
        mix.begin([Voices(16000, np.array([0]), np.array([1], np.int32), pcm)] if talks else [])
        total, _ = mix.total(8000, np.array([1]))
        own = mix.own(8000, np.array([0]))
        if talks:
            assert np.abs(total - own).max() <= 1


def test_the_resamplers_tail_is_heard_once_and_then_silence():
    mix = AudioMix(2)
    heard = []
    for beat in range(6):
        mix.begin([Voices(16000, np.array([0]), np.array([1], np.int32), sine(16000, 900, beat)[None])] * (beat < 3))
        total, is_heard = mix.total(8000, np.array([1]))
        heard.append(bool(is_heard[0]))
        if beat == 3:
            assert total[0, :32].any()
            assert not total[0, 40:].any()
    assert heard == [True, True, True, True, False, False]


def test_a_room_index_that_is_used_again_starts_silent():
    mix = AudioMix(2)
    mix.begin([Voices(16000, np.array([0]), np.array([1], np.int32), sine(16000, 900, 0)[None])])
    mix.total(8000, np.array([1]))
    mix.forget_room(1)
    mix.begin([])
    total, heard = mix.total(8000, np.array([1]))
    assert not heard[0]
    assert not total.any()


def test_room_indices_may_grow():
    mix = AudioMix(4)
    for room in (3, 500, 3):
        mix.begin([voices(16000, [0], [room], [100])])
        total, heard = mix.total(48000, np.array([room]))
        assert heard[0]
    assert abs(int(total[0, -1]) - 100) <= 1


TALKERS = st.lists(
    st.tuples(st.sampled_from([8000, 16000, 48000]), st.integers(1, 4), st.integers(-32768, 32767)),
    min_size=1,
    max_size=10,
)


@settings(deadline=None)
@given(TALKERS, st.sampled_from([8000, 16000, 48000]))
def test_all_rooms_at_once_equal_each_room_alone(talkers, rate):
    def total(which: list[int], rooms: list[int]) -> tuple[np.ndarray, np.ndarray]:
        mix = AudioMix(len(talkers))
        for beat in range(2):
            blocks = []
            for source in (8000, 16000, 48000):
                mine = [i for i in which if talkers[i][0] == source]
                if mine:
                    levels = [talkers[i][2] // (beat + 1) for i in mine]
                    blocks.append(voices(source, mine, [talkers[i][1] for i in mine], levels))
            mix.begin(blocks)
            sums, _ = mix.total(rate, np.array(rooms))
        return sums, mix.own(rate, np.array(which, np.intp))

    everyone = list(range(len(talkers)))
    together, own = total(everyone, [1, 2, 3, 4])
    for room in (1, 2, 3, 4):
        mine = [i for i in everyone if talkers[i][1] == room]
        if not mine:
            assert not together[room - 1].any()
            continue
        alone, own_alone = total(mine, [room])
        assert np.abs(together[room - 1] - alone[0]).max() <= 1  # the matrix product's order of summing
        assert np.abs(own[mine] - own_alone).max() <= 1


def test_beats_allocate_nothing_that_stays():
    mix, limiter = AudioMix(64), Limiter(64)
    rng = np.random.default_rng(3)
    rooms = np.repeat(np.arange(1, 9, dtype=np.int32), 4)

    def run(beats: int) -> None:
        for beat in range(beats):
            pcm = rng.integers(-20000, 20000, (32, 320)).astype(np.int16)
            mix.begin([Voices(16000, np.arange(32), rooms, pcm)] if beat % 3 else [])
            for rate in (8000, 16000, 48000):
                total, _ = mix.total(rate, np.arange(1, 9))
                limiter.apply(np.arange(1, 9), total)
                mix.own(rate, np.arange(32))

    run(10)
    tracemalloc.start()
    try:
        run(5)
        before = tracemalloc.get_traced_memory()[0]
        run(60)
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()
