"""Sentences as clips: every phrase, number and key has its files; better recordings come first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.conference.key import Action
from bridge.conference.number import LARGEST, digit_pieces, spoken_number
from bridge.conference.phrase import Phrase, Spoken
from bridge.conference.prompts import HERE, LANGUAGES, texts
from bridge.conference.speech import PAUSE, clips, digits, lacking, shelves
from bridge.media.clip import load_clip

SOUNDS = Path("/usr/share/asterisk/sounds")
WITH_NUMBER = (Phrase.PEOPLE_IN_ROOM, Phrase.MINUTES_LEFT, Phrase.HAND_RAISED)
WITH_NAMES = (Phrase.HAS_JOINED, Phrase.HAS_LEFT, Phrase.ROLL_CALL)


@pytest.fixture(scope="session")
def asterisk() -> Path:
    missing = [each for each in ("fr", "en") if not list(SOUNDS.glob(f"{each}_*/digits/1.g722"))]
    if missing:
        reason = "not installed: " + " ".join(f"asterisk-core-sounds-{each}-g722" for each in missing)
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SOUNDS


def stems(said: tuple[str, ...]) -> list[str]:
    """Without directories, suffixes and pauses."""
    return [Path(clip).stem if clip.startswith("/") else clip for clip in said if not clip.startswith("silence:")]


def words(number: int, language: str, *, feminine: bool = False) -> str:
    text = texts(language).texts
    return " ".join(text[f"number-{piece}"] for piece in spoken_number(number, language, feminine=feminine))


def examples(phrase: Phrase) -> list[Spoken]:
    """A phrase with and without what can be put into it."""
    said = [Spoken(phrase)]
    said += [Spoken(phrase, number=number) for number in (0, 1, 2, 21, 71, 80, 100, 1101)]
    said += [Spoken(phrase, names=("capture:1", "/srv/names/2.wav"))]
    return [*said, Spoken(phrase, keys=tuple((f"*{at % 10}", action) for at, action in enumerate(Action)))]


# ------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "zéro"),
        (1, "un"),
        (17, "dix-sept"),
        (21, "vingt et un"),
        (22, "vingt deux"),
        (61, "soixante et un"),
        (70, "soixante dix"),
        (71, "soixante et onze"),
        (77, "soixante dix-sept"),
        (80, "quatre-vingt"),
        (81, "quatre-vingt un"),
        (90, "quatre-vingt dix"),
        (91, "quatre-vingt onze"),
        (99, "quatre-vingt dix-neuf"),
        (100, "cent"),
        (101, "cent un"),
        (200, "deux cent"),
        (1000, "mille"),
        (1100, "mille cent"),
        (2181, "deux mille cent quatre-vingt un"),
        (21000, "vingt et un mille"),
        (100000, "cent mille"),
    ],
)
def test_french_numbers(number: int, text: str) -> None:
    assert words(number, "fr-CA") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "une"),
        (21, "vingt et une"),
        (71, "soixante et onze"),
        (81, "quatre-vingt une"),
        (11, "onze"),
        (101, "cent une"),
    ],
)
def test_french_numbers_before_a_feminine_noun(number: int, text: str) -> None:
    assert words(number, "fr-CA", feminine=True) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (71, "seventy one"),
        (100, "one hundred"),
        (999, "nine hundred ninety nine"),
        (1000, "one thousand"),
        (2030, "two thousand thirty"),
        (100000, "one hundred thousand"),
    ],
)
def test_english_numbers(number: int, text: str) -> None:
    assert words(number, "en-CA") == text
    assert words(number, "en-CA", feminine=True) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_to_100000_has_its_files(language: str) -> None:
    have = {file.stem for file in (HERE / language).glob("number-*.g722")}
    pieces = {piece for n in range(100_001) for piece in spoken_number(n, language, feminine=n % 2 == 1)}
    assert {f"number-{piece}" for piece in pieces} <= have


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_numbers_sound_alike(language: str) -> None:
    said = {spoken_number(number, language) for number in range(20_000)}
    assert len(said) == 20_000


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_numbers_beyond_the_words_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(LARGEST)):
        spoken_number(number, "fr-CA")


def test_keys_are_read_one_by_one() -> None:
    assert digit_pieces("*60#x²") == ("star", "6", "0", "pound")
    assert stems(digits("407#", "fr-CA")) == ["number-4", "number-0", "number-7", "number-pound"]


# ----------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("phrase", Phrase)
def test_every_sentence_has_its_files(phrase: Phrase, language: str) -> None:
    for spoken in examples(phrase):
        said = clips(spoken, language)
        files = [clip for clip in said if clip.startswith(str(HERE))]
        assert files, spoken
        assert all(Path(file).is_file() for file in files)
        assert said[-1] == PAUSE


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_is_said_between_its_lead_and_its_end(language: str) -> None:
    assert stems(clips(Spoken(Phrase.PEOPLE_IN_ROOM, number=12), language)) == [
        "people-in-room",
        "number-12",
        "people-in-room-end",
    ]
    assert stems(clips(Spoken(Phrase.HAND_RAISED, number=3), language)) == ["hand-raised", "number-3"]


def test_one_is_not_a_plural() -> None:
    assert stems(clips(Spoken(Phrase.PEOPLE_IN_ROOM, number=1), "fr-CA")) == ["you-are-alone"]
    assert stems(clips(Spoken(Phrase.MINUTES_LEFT, number=1), "fr-CA")) == ["minutes-left-one"]
    assert "number-1-feminine" in stems(clips(Spoken(Phrase.MINUTES_LEFT, number=31), "fr-CA"))


def test_names_come_where_the_sentence_wants_them() -> None:
    names = ("capture:7", "/srv/names/8.wav")
    assert stems(clips(Spoken(Phrase.HAS_JOINED, names=names[:1]), "en-CA")) == ["capture:7", "has-joined"]
    assert stems(clips(Spoken(Phrase.ROLL_CALL, names=names), "en-CA")) == ["roll-call", "capture:7", "8"]
    assert stems(clips(Spoken(Phrase.HAS_JOINED), "en-CA")) == ["somebody-has-joined"]


def test_keys_are_read_out_in_order() -> None:
    spoken = Spoken(Phrase.KEYS, keys=(("*6", "mute-self"), ("**", "read-keys"), ("9", "no such action")))
    assert stems(clips(spoken, "fr-CA")) == [
        *("keys", "key-mute-self", "press", "number-star", "number-6"),
        *("key-read-keys", "press", "number-star", "number-star"),
    ]


def test_the_choice_of_a_language_is_offered_in_both() -> None:
    for language in LANGUAGES:
        said = [clip for clip in clips(Spoken(Phrase.CHOOSE_LANGUAGE), language) if clip != PAUSE]
        assert [Path(clip).parent.name for clip in said] == ["fr-CA", "en-CA"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="fr-CA, en-CA"):
        clips(Spoken(Phrase.GOODBYE), "de-DE")


# ------------------------------------------------------------------------------------------ better recordings


def record(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b"")
    return directory


def test_a_better_recording_is_taken_and_the_others_stay(tmp_path: Path) -> None:
    record(tmp_path / "fr-CA", "welcome.wav", "welcome.ulaw", "goodbye.mp3")
    assert clips(Spoken(Phrase.WELCOME), "fr-CA", [tmp_path])[0] == str(tmp_path / "fr-CA" / "welcome.wav")
    assert clips(Spoken(Phrase.GOODBYE), "fr-CA", [tmp_path])[0].startswith(str(HERE))
    assert clips(Spoken(Phrase.WELCOME), "en-CA", [tmp_path])[0].startswith(str(HERE))


def test_a_sentence_is_one_voice(tmp_path: Path) -> None:
    """A lead without its numbers is not used."""
    record(tmp_path / "fr", "people-in-room.wav", "people-in-room-end.wav", "number-2.wav")
    for number, expected in ((2, tmp_path / "fr"), (3, HERE / "fr-CA")):
        said = clips(Spoken(Phrase.PEOPLE_IN_ROOM, number=number), "fr-CA", [tmp_path])
        assert {str(Path(clip).parent) for clip in said if clip != PAUSE} == {str(expected)}


def test_directories_are_looked_through_in_order(tmp_path: Path) -> None:
    first = record(tmp_path / "a" / "en", "welcome.wav")
    second = record(tmp_path / "b" / "en", "welcome.wav", "goodbye.wav")
    both = [tmp_path / "a", tmp_path / "b"]
    assert clips(Spoken(Phrase.WELCOME), "en-CA", both)[0] == str(first / "welcome.wav")
    assert clips(Spoken(Phrase.GOODBYE), "en-CA", both)[0] == str(second / "goodbye.wav")


def test_the_short_name_of_a_language_is_preferred(tmp_path: Path) -> None:
    record(tmp_path / "fr_CA_f_June", "welcome.wav")
    record(tmp_path / "fr_CA_m_Paul", "welcome.wav")
    (tmp_path / "fr").symlink_to(tmp_path / "fr_CA_m_Paul")
    found = [Path(shelf.path).name for shelf in shelves("fr-CA", (str(tmp_path),))]
    assert found == ["fr", "fr_CA_f_June", "fr-CA"]


def test_a_directory_without_the_language_is_told(tmp_path: Path) -> None:
    record(tmp_path / "here" / "fr", "welcome.wav")
    wrong = [tmp_path / "here", tmp_path / "nowhere"]
    assert lacking("fr-CA", wrong) == (str(tmp_path / "nowhere"),)
    assert lacking("en-CA", wrong) == (str(tmp_path / "here"), str(tmp_path / "nowhere"))


# --------------------------------------------------------------------------------------------- Asterisk's sets

HEARD = {
    # Of these the sets have recordings that say the same in both languages.
    Phrase.ENTER_NUMBER: ["conf-getconfno"],
    Phrase.NO_SUCH_ROOM: ["conf-invalid"],
    Phrase.ENTER_PIN: ["confbridge-pin"],
    Phrase.WRONG_PIN: ["conf-invalidpin"],
    Phrase.TOO_MANY_TRIES: ["confbridge-pin-bad"],
    Phrase.SAY_NAME: ["vm-rec-name"],
    Phrase.ROOM_LOCKED: ["confbridge-lock-no-join"],
    Phrase.ROOM_FULL: ["conf-full"],
    Phrase.WAIT_FOR_HOST: ["conf-waitforleader"],
    Phrase.GOODBYE: ["goodbye"],
    Phrase.YOU_ARE_ALONE: ["conf-onlyperson"],
    Phrase.PEOPLE_IN_ROOM: ["conf-onlyperson"],  # without a number
    Phrase.HOST_HAS_LEFT: ["conf-leaderhasleft"],
    Phrase.CONFERENCE_ENDED: ["confbridge-conf-end"],
    Phrase.YOU_WERE_REMOVED: ["confbridge-removed"],
    Phrase.MUTED_BY_SELF: ["conf-muted"],
    Phrase.UNMUTED_BY_SELF: ["conf-unmuted"],
    Phrase.EVERYBODY_MUTED: ["conf-now-muted"],
    Phrase.EVERYBODY_UNMUTED: ["conf-now-unmuted"],
    Phrase.ROOM_NOW_LOCKED: ["conf-lockednow"],
    Phrase.ROOM_NOW_OPEN: ["conf-unlockednow"],
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_asterisk_sets_say_what_they_have(asterisk: Path, language: str) -> None:
    for phrase in Phrase:
        said = clips(Spoken(phrase), language, [asterisk])
        recorded = [clip for clip in said if clip.startswith(str(asterisk))]
        assert stems(tuple(recorded)) == HEARD.get(phrase, []), phrase
        for clip in recorded:
            assert len(load_clip(clip)) > 4000


@pytest.mark.parametrize("phrase", Phrase)
def test_no_sentence_is_lost_with_an_asterisk_set(asterisk: Path, phrase: Phrase) -> None:
    for language in LANGUAGES:
        for spoken in examples(phrase):
            said = [clip for clip in clips(spoken, language, [asterisk]) if not clip.startswith("silence:")]
            assert said
            assert all(clip in spoken.names or Path(clip).is_file() for clip in said)


def test_asterisk_numbers(asterisk: Path) -> None:
    def people(number: int, language: str) -> list[str]:
        return stems(clips(Spoken(Phrase.PEOPLE_IN_ROOM, number=number), language, [asterisk]))[1:-1]

    assert people(71, "fr-CA") == ["60", "et", "11"]
    assert people(2198, "fr-CA") == ["2", "thousand", "hundred", "80", "18"]
    assert people(2198, "en-CA") == ["2", "thousand", "1", "hundred", "90", "8"]
    have = {language: shelves(language, (str(asterisk),))[0].files for language in LANGUAGES}
    for language in LANGUAGES:
        for number in range(10_000):
            assert all(f"digits/{piece}" in have[language] for piece in spoken_number(number, language))


def test_asterisk_keys_and_names(asterisk: Path) -> None:
    spoken = Spoken(Phrase.KEYS, keys=(("*6", "mute-self"), ("*0", "help")))
    assert stems(clips(spoken, "fr-CA", [asterisk])) == [
        *("keys", "confbridge-mute-in", "vm-press", "star", "6"),
        *("key-help", "press", "number-star", "number-0"),
    ]
    joined = Spoken(Phrase.HAS_JOINED, names=("capture:1",))
    assert stems(clips(joined, "en-CA", [asterisk])) == ["capture:1", "confbridge-has-joined"]


def test_a_set_is_found_by_its_own_directory_its_parent_and_a_link(asterisk: Path, tmp_path: Path) -> None:
    own = next(asterisk.glob("fr_*"))
    link = tmp_path / "voice"
    link.symlink_to(own)
    for directory in (own, asterisk, link):
        said = clips(Spoken(Phrase.ROOM_FULL), "fr-CA", [directory])
        assert Path(said[0]).resolve() == (own / "conf-full.g722").resolve()
        assert lacking("fr-CA", [directory]) == ()
    # The French set says nothing to who wants English.
    assert clips(Spoken(Phrase.ROOM_FULL), "en-CA", [own])[0].startswith(str(HERE))
