"""The page's files, without a browser: two whole dictionaries, no module that everyone fears, nothing inline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CLIENT = Path(__file__).resolve().parents[2] / "web" / "client"
SCRIPTS = sorted(path for path in CLIENT.rglob("*.js") if "vendor" not in path.parts)
PAGES = sorted(CLIENT.glob("*.html"))
LONGEST = 300
KEY = re.compile(r'^  "([^"]+)":', re.M)
DYNAMIC = re.compile(r"\bt\(\s*`([^`]*)`")
"""As in ``t(`quality.${grade}`)``: its fixed parts have to be found among the keys."""


def keys(language: str) -> dict[str, str]:
    text = (CLIENT / "i18n" / f"{language}.js").read_text("utf-8")
    return {match[1]: text[match.end() : text.index("\n", match.end())] for match in KEY.finditer(text)}


def test_both_languages_say_everything() -> None:
    french, english = keys("fr"), keys("en")
    assert set(french) == set(english)
    for key in french:
        fields = [sorted(set(re.findall(r"\{(\w+)\}", words[key]))) for words in (french, english)]
        assert fields[0] == fields[1], key


def test_french_is_set_as_in_canada() -> None:
    sentences = {key: re.findall(r'"([^"]*)"', words) for key, words in keys("fr").items()}
    pattern = re.compile(r"\s[?!;]|\w:\s|[“”]")
    wrong = [key for key, said in sentences.items() if any(map(pattern.search, said))]
    assert not wrong


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(CLIENT)))
def test_what_a_script_says_is_in_the_dictionaries(path: Path) -> None:
    known, text = keys("fr"), path.read_text("utf-8")
    literal = set(re.findall(r'\bt\(\s*"([^"]+)"', text)) - {"key"}
    assert literal <= set(known)
    for pattern in DYNAMIC.findall(text):
        parts = [re.escape(part) for part in re.split(r"\$\{[^}]*\}", pattern)]
        assert any(re.fullmatch(".+".join(parts), key) for key in known), pattern


def test_no_words_are_left_over() -> None:
    text = "\n".join(path.read_text("utf-8") for path in SCRIPTS if path.parent.name != "i18n")
    said = set(re.findall(r'"([a-zA-Z]+(?:[.-][\w-]+)*)"', text))
    shapes = [re.split(r"\$\{[^}]*\}", shape) for shape in re.findall(r"`([\w.-]*\$\{[^`]*)`", text)]
    patterns = [re.compile(".+".join(map(re.escape, shape))) for shape in shapes if shape[0]]
    left = [key for key in keys("fr") if key not in said and not any(p.fullmatch(key) for p in patterns)]
    assert not left


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(CLIENT)))
def test_no_script_is_one_that_everyone_fears(path: Path) -> None:
    if path.parent.name == "i18n":
        return
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert not re.search(r"innerHTML|insertAdjacentHTML|\beval\(|new Function", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_nothing_inline(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)", text)
    assert not re.search(r'(?:src|href)="(?!/client/)', text)
