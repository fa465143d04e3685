"""Letters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.video import text


def test_every_letter_of_french_and_of_our_other_languages_is_there() -> None:
    letters = text._letters()
    wanted = (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 "
        "ÀÂÆÇÈÉÊËÎÏÔŒÙÛÜŸàâæçèéêëîïôœùûüÿ«»“”‘’—–…\u00a0€"
        "ÑñÅåØøÄäÖößŁłŻżŞşĞğŐőČčŠšĐđẾếẶặỮữΑαΩωДдЯяЇїᐃᓄᒃᑎᑐᑦᐊᖅ"
    )
    assert [char for char in wanted if ord(char) not in letters.at] == []


@given(st.text(max_size=40), st.integers(6, 60), st.integers(0, 800))
def test_any_text_gives_a_mask_no_wider_than_asked(words: str, size: int, most: int) -> None:
    found = text.mask(words, size, most)
    assert found.shape[0] % 2 == found.shape[1] % 2 == 0
    assert found.shape[1] <= most
    assert abs(found.shape[0] - 1.25 * size) <= 2
    assert not found.flags.writeable


@given(st.text(max_size=300))
def test_a_strangers_name_is_one_bounded_line_without_controls(words: str) -> None:
    found = text.clean(words)
    assert len(found) <= text.LONGEST
    assert found == " ".join(found.split())
    assert all(char.isprintable() for char in found)


def test_signs_that_turn_the_direction_are_gone() -> None:
    assert text.clean("Zoe\ufe0f") == "Zoe"
    assert text.clean("\u202eedoc\u2066 \u200fevil\n\r\tname\x00") == "edoc evil name"


def test_accents_sit_on_their_letters_composed_or_not() -> None:
    assert np.array_equal(text.mask("Élise", 20, 200), text.mask("E\u0301lise", 20, 200))
    plain, accented = text.mask("Elise", 20, 200), text.mask("Élise", 20, 200)
    assert plain.shape == accented.shape
    above = (accented.astype(int) - plain)[: plain.shape[0] // 3]
    assert above.max() > 100


def test_what_has_no_letter_is_a_box_and_a_whole_emoji_is_one() -> None:
    box = text.mask("□", 20, 200)
    for char in ("👍", "👩🏽‍💻", "👨‍👩‍👧‍👦", "山", "❤️"[:1]):
        found = text.mask(char, 20, 200)
        assert np.array_equal(found, box), char


def test_long_names_end_in_an_ellipsis() -> None:
    name = "Marie-Françoise de la Durantaye-Bélanger"
    assert text.shortened(name, 16, 1000) == name
    for most in (40, 80, 120, 200):
        short = text.shortened(name, 16, most)
        assert short.endswith("…")
        assert name.startswith(short[:-1])
        assert most - 20 <= text.width(short, 16) <= most
    assert text.shortened(name, 16, 3) == ""


@pytest.mark.parametrize("size", [11, 16, 24, 48])
def test_letters_have_their_size_and_weight(size: int) -> None:
    found = text.mask("HHHHH", size, 1000)
    rows = np.flatnonzero(found.max(axis=1) > 100)
    assert abs(len(rows) - 0.73 * size) <= 1.5
    assert found.max() >= 180
    assert text.width("HHHHH", size) == pytest.approx(5 * 0.752 * size, rel=0.06)


def test_letters_at_full_size_are_as_they_were_drawn() -> None:
    size = text._letters().em
    found = text.mask("M", size, 1000)
    assert found.max() == 255
    assert 0.1 < (found > 128).mean() < 0.6


def test_masks_are_kept_and_bounded() -> None:
    text.mask.cache_clear()
    assert text.mask("Zoë", 20, 200) is text.mask("Zoë", 20, 200)
    for i in range(text.MASKS + 20):
        text.mask(f"n{i}", 11, 100)
    assert text.mask.cache_info().currsize == text.MASKS


def test_senseless_sizes_are_refused() -> None:
    for size, most in ((5, 100), (201, 100), (20, -1), (20, 9000)):
        with pytest.raises(ValueError, match="no text"):
            text.mask("x", size, most)
