"""The loudest K, with hysteresis."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.mixer.select import HANGOVER, Selector

TALK = 1.0e6
"""-30 dBov"""


class Room:
    """One large room in virtual time."""

    def __init__(self, people: int, loudest: int) -> None:
        self.selector = Selector(people, loudest)
        self.rows = np.arange(people)
        self.people = people

    def beat(self, levels: dict[int, float], noise: float = 1.0) -> set[int]:
        power = np.full(self.people, noise, np.float32)
        for row, level in levels.items():
            power[row] = level
        rooms = np.ones(self.people, np.int32)
        chosen = self.selector.choose(self.rows, rooms, power, np.ones(self.people, np.bool_))
        return set(np.flatnonzero(chosen).tolist())


def test_a_small_room_is_mixed_whole_however_quiet():
    room = Room(4, 8)
    assert room.beat({}) == {0, 1, 2, 3}


def test_the_loudest_are_mixed_in_a_large_room():
    room = Room(20, 3)
    levels = {row: TALK * (row + 1) for row in range(6)}
    assert room.beat(levels) == {3, 4, 5}


def test_nobody_is_mixed_where_all_are_silent():
    assert Room(20, 3).beat({}) == set()


def test_a_talker_is_mixed_in_the_very_beat_in_which_he_begins():
    room = Room(20, 3)
    room.beat({})
    assert room.beat({7: TALK}) == {7}


def test_a_pause_between_words_does_not_cost_the_place():
    room = Room(20, 2)
    room.beat({0: TALK, 1: TALK})
    for _ in range(HANGOVER // 2):
        mixed = room.beat({1: TALK})
    assert 0 in mixed


def test_who_is_silent_for_long_leaves_the_mix():
    room = Room(20, 2)
    room.beat({0: TALK})
    for _ in range(4 * HANGOVER):
        mixed = room.beat({})
    assert mixed == set()


def test_equals_do_not_take_turns():
    """Three voices of nearly one level compete for two places: the first two keep them."""
    rng = np.random.default_rng(5)
    room = Room(20, 2)
    room.beat({0: TALK, 1: TALK})
    changes = 0
    before = {0, 1}
    for _ in range(250):
        mixed = room.beat({row: TALK * float(rng.uniform(0.6, 1.6)) for row in (0, 1, 2)})
        changes += mixed != before
        before = mixed
    assert changes == 0


def test_a_shout_takes_the_place_of_the_quietest():
    room = Room(20, 2)
    room.beat({0: TALK, 1: 2 * TALK})
    assert room.beat({0: TALK, 1: 2 * TALK, 2: 40 * TALK}) == {1, 2}


def test_muted_ones_take_no_place():
    selector = Selector(10, 2)
    eligible = np.ones(10, np.bool_)
    eligible[9] = False
    power = np.full(10, TALK, np.float32)
    power[9] = 100 * TALK
    chosen = selector.choose(np.arange(10), np.ones(10, np.int32), power, eligible)
    assert chosen.sum() == 2
    assert not chosen[9]


def test_each_room_has_its_own_number():
    selector = Selector(20, 8)
    selector.set_loudest(1, 1)
    selector.set_loudest(2, 4)
    rooms = np.repeat(np.array([1, 2], np.int32), 10)
    power = np.linspace(TALK, 2 * TALK, 20).astype(np.float32)
    chosen = selector.choose(np.arange(20), rooms, power, np.ones(20, np.bool_))
    assert chosen[:10].sum() == 1
    assert chosen[10:].sum() == 4


PEOPLE = st.lists(
    st.tuples(st.integers(1, 3), st.lists(st.integers(0, 10**6), min_size=3, max_size=3), st.booleans()),
    min_size=1,
    max_size=24,
    unique_by=lambda person: tuple(person[1]),
)


@given(PEOPLE)
def test_all_rooms_at_once_equal_each_room_alone(people):
    rooms = np.array([room for room, _, _ in people], np.int32)
    levels = np.array([level for _, level, _ in people], np.float32)
    eligible = np.array([may for _, _, may in people])
    together = Selector(len(people), 3)
    alone = [Selector(len(people), 3) for _ in range(4)]
    for beat in range(3):
        chosen = together.choose(np.arange(len(people)), rooms, levels[:, beat], eligible)
        for room in (1, 2, 3):
            at = np.flatnonzero(rooms == room)
            mine = alone[room].choose(at, rooms[at], levels[at, beat], eligible[at])
            # among equals any choice is right: levels decide
            assert sorted(levels[at[mine], beat]) == sorted(levels[at[chosen[at]], beat])
