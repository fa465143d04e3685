"""The active speaker: named soon, kept through pauses, never made of noise."""

import numpy as np

from bridge.mixer.speaker import SpeakerDetector

BEATS_A_SECOND = 50
HUM = 2.0e3
"""-57 dBov: a quiet line."""


def speech(rng: np.random.Generator, beats: int, level: float = 2.0e6) -> np.ndarray:
    """Levels of talking: syllables of 100 to 250 ms, gaps of 40 to 120 ms, now and then a breath."""
    out: list[float] = []
    while len(out) < beats:
        out += list(level * rng.lognormal(0, 0.7, int(rng.integers(5, 13))))
        out += [HUM] * int(rng.integers(2, 7) if rng.random() < 0.85 or len(out) < 30 else rng.integers(15, 30))
    return np.array(out[:beats], np.float32)


def noise(rng: np.random.Generator, beats: int, level: float) -> np.ndarray:
    """Levels of steady noise: those of 160 samples' mean square scatter by a tenth."""
    return (level * rng.chisquare(160, beats) / 160).astype(np.float32)


class Stage:
    def __init__(self, levels: dict[int, np.ndarray], rooms: dict[int, int] | None = None) -> None:
        self.levels = levels
        self.rows = np.array(sorted(levels))
        self.rooms = np.array([(rooms or {}).get(row, 1) for row in self.rows.tolist()], np.int32)
        self.detector = SpeakerDetector(16)

    def run(self, start: int = 0, stop: int | None = None, muted: tuple[int, ...] = ()) -> list[tuple[int, int, int]]:
        """[(beat, room, row)] of the changes."""
        found = []
        audible = ~np.isin(self.rows, muted)
        for beat in range(start, stop or len(self.levels[int(self.rows[0])])):
            power = np.array([self.levels[row][beat] for row in self.rows.tolist()], np.float32)
            found += [(beat, *change) for change in self.detector.update(self.rows, self.rooms, power, audible)]
        return found


def test_a_speaker_is_named_within_300_ms():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lead = 100
        talk = np.concatenate((noise(rng, lead, HUM), speech(rng, 100)))
        changes = Stage({0: talk, 1: noise(rng, 200, HUM)}).run()
        first = next(beat for beat, _, row in changes if row == 0)
        assert first - lead < 15  # beats


def test_steady_talk_is_named_in_160_ms():
    changes = Stage({0: np.concatenate((np.full(50, HUM), np.full(50, 1e6))).astype(np.float32)}).run()
    assert changes == [(57, 1, 0)]


def test_noise_of_ten_lines_names_nobody():
    rng = np.random.default_rng(1)
    levels = {row: noise(rng, 3000, 10 ** rng.uniform(2, 3.9)) for row in range(10)}
    assert Stage(levels).run() == []


def test_a_fan_that_is_switched_on_is_let_go_and_never_named_again():
    rng = np.random.default_rng(2)
    fan = np.concatenate((noise(rng, 100, HUM), noise(rng, 3000, 1.0e5)))
    changes = Stage({0: fan}).run()
    assert len(changes) <= 2
    assert not changes or changes[-1] == (changes[-1][0], 1, -1)
    assert not changes or changes[-1][0] < 100 + 5 * BEATS_A_SECOND


def test_a_cough_or_a_click_is_no_speech():
    levels = np.full(600, HUM, np.float32)
    for at in range(50, 600, 100):
        levels[at : at + 7] = 1e8
    assert Stage({0: levels}).run() == []


def test_a_monologue_over_noise_is_one_speaker():
    rng = np.random.default_rng(3)
    changes = Stage({0: speech(rng, 3000), 1: noise(rng, 3000, 8e3), 2: noise(rng, 3000, 3e4)}).run()
    assert [row for beat, _, row in changes if beat > 300] == []
    assert changes[-1][2] == 0


def test_speakers_who_take_turns_are_named_in_turn():
    rng = np.random.default_rng(4)
    quiet = noise(rng, 250, HUM)
    levels = {
        0: np.concatenate((speech(rng, 250), quiet, speech(rng, 250))),
        1: np.concatenate((quiet, speech(rng, 250), quiet)),
    }
    assert [row for _, _, row in Stage(levels).run()] == [0, 1, 0]


def test_an_aside_does_not_take_the_floor():
    rng = np.random.default_rng(6)
    levels = {0: speech(rng, 1500), 1: speech(rng, 1500, 2e5)}
    changes = Stage(levels).run()
    assert len([row for beat, _, row in changes if beat > 100]) <= 4


def test_who_falls_silent_is_the_speaker_for_a_second_and_a_half():
    talk = np.concatenate((np.full(50, 1e6), np.full(200, HUM))).astype(np.float32)
    (named, ended) = Stage({0: talk}).run()
    assert named[2] == 0
    assert ended[2] == -1
    assert 70 <= ended[0] - 50 <= 80


def test_a_muted_talker_is_not_the_speaker():
    talk = np.full(200, 1e6, np.float32)
    stage = Stage({0: talk})
    assert [row for _, _, row in stage.run(0, 100)] == [0]
    assert [row for _, _, row in stage.run(100, 200, muted=(0,))] == [-1]


def test_rooms_have_a_speaker_each():
    rng = np.random.default_rng(7)
    levels = {0: speech(rng, 200), 1: noise(rng, 200, HUM), 2: speech(rng, 200)}
    stage = Stage(levels, {0: 1, 1: 1, 2: 2})
    stage.run()
    assert stage.detector.speaker == {1: 0, 2: 2}


def test_a_row_that_is_used_again_has_no_past():
    stage = Stage({0: np.full(60, 1e6, np.float32)})
    stage.run()
    stage.detector.reset(0)
    assert stage.detector.speaker == {}
    assert not stage.detector.active(np.array([0]))[0]


def test_all_rooms_at_once_equal_each_room_alone():
    rng = np.random.default_rng(8)
    levels = {row: speech(rng, 400, 10 ** rng.uniform(5, 7)) for row in range(6)}
    rooms = {0: 1, 1: 1, 2: 2, 3: 2, 4: 300, 5: 300}
    together = Stage(levels, rooms).run()
    for room in (1, 2, 300):
        mine = {row: levels[row] for row in levels if rooms[row] == room}
        alone = Stage(mine, rooms).run()
        assert alone == [change for change in together if change[1] == room]
