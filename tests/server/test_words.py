"""Everything that a person reads is there in French and in English."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from server import cli, french
from server.top import picture
from server.words import LONGEST, Language, accepted, decimal, language, line, say, told, translated
from tests.server.process import ROOT
from tests.server.test_parts import status

SERVER = sorted((ROOT / "server").glob("*.py"))
SPOKEN = ("cli.py", "top.py", "check.py", "usage.py")
"""Whose output people read at a terminal."""
NAMES = {"visiopont", "Visiopont", "Python", "TLS", "HTTP", "HTTPS", "SIP", "BFCP"}
"""What is called the same in both."""
PARAMETERS = {"ok", "warning", "error", "call"}
"""Words for programs among the arguments."""
ENGINE = ("bridge/conference", "bridge/io.py", "bridge/resolve.py", "bridge/media/codecs/__init__.py", "server")
"""Whose errors reach a person through the API, the command line or ``check``."""
INSIDE = {
    "make.py": "makes the prompts, run by who builds the package",
    "number.py": "is asked for numbers by our code alone",
    "placement.py": "is caught by who places a call",
}
UNSEEN = {"no TLS settings"}
"""What no setting leads to."""


def fields(sentence: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("english", french.FRENCH)
def test_both_languages_have_the_same_fields(english: str) -> None:
    assert fields(french.FRENCH[english]) == fields(english)
    assert french.FRENCH[english].strip()


def test_french_is_set_as_french() -> None:
    for sentence in french.FRENCH.values():
        assert not re.search(r'\w"|"\w', re.sub(r"\{\{.*?\}\}", "", sentence)), f"« » in {sentence}"
        assert not re.search(r" [;!?]", sentence), f"no space before it here: {sentence}"
    assert told("fr-CA", "bridge") == "pont"
    assert line("pont", "libre", "fr-CA") == "pont\u00a0: libre"
    assert told("fr-CA", "{users}: there twice", users="a") == "a\u00a0: deux fois"


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def said() -> set[str]:
    """All sentences that are said by name, with their fields."""
    found = set()
    for path in SERVER:
        for name, call in calls(path):
            if name not in ("say", "frame") or path.name == "words.py" or "from .words import" not in path.read_text():
                continue
            assert isinstance(call.args[0], ast.Constant), f"{path.name}:{call.lineno}: write the sentence there"
            sentence = call.args[0].value
            found.add(sentence)
            if name == "say":
                assert {word.arg for word in call.keywords} == fields(sentence), f"{path.name}:{call.lineno}"
    return found


def test_every_sentence_that_is_said_has_its_french() -> None:
    assert said() - french.FRENCH.keys() == set()


def test_no_french_is_kept_for_what_nobody_says() -> None:
    ours = {**french.ANSWERS, **french.TOP, **french.CHECK}
    assert ours.keys() - said() == set()


def literals(node: ast.expr) -> Iterator[str]:
    """The words of a string that is shown as it stands."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.Constant):
                yield str(part.value)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.IfExp):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from literals(child)


@pytest.mark.parametrize("name", SPOKEN)
def test_nothing_is_shown_that_is_not_in_both_languages(name: str) -> None:
    shows = {"print", "Text", "add_row", "add_column", "Finding", "append", "_complain", "write", "Table"}
    untold = []
    for function, call in calls(ROOT / "server" / name):
        shown = list(call.args) if function in shows else []
        shown += [word.value for word in call.keywords if word.arg == "help"]
        for argument in shown:
            for text in literals(argument):
                words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"\[/?\w+\]", "", text)))
                untold += [(call.lineno, word) for word in words - NAMES - PARAMETERS]
    assert untold == []


def test_every_option_and_argument_says_in_words_what_it_wants() -> None:
    """Else the library writes its own, in English."""
    mute = []
    for name, call in calls(ROOT / "server" / "cli.py"):
        if name in ("Option", "Argument") and "metavar" not in {word.arg for word in call.keywords}:
            mute.append(ast.unparse(call.args[0]) if call.args else str(call.lineno))
    assert mute == ["'--markdown'", "'--wait/--no-wait'", "'--once'"], "switches want nothing"


def made(node: ast.expr) -> tuple[str, list[str]]:
    """A sentence with something in its fields, and what."""
    if isinstance(node, ast.Constant):
        return str(node.value), []
    assert isinstance(node, ast.JoinedStr)
    text, put = "", []
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        else:
            put.append(f"Zx{len(put)}y")
            text += put[-1]
    return text, put


def raised() -> Iterator[tuple[str, str, list[str]]]:
    for place in ENGINE:
        root = ROOT / place
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            if path.name in INSIDE or path.name in ("words.py", "french.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    for argument in node.exc.args:
                        if isinstance(argument, ast.JoinedStr) or (
                            isinstance(argument, ast.Constant) and " " in str(argument.value)
                        ):
                            yield f"{path.name}:{node.lineno}", *made(argument)


@pytest.mark.parametrize(("where", "sentence", "put"), list(raised()))
def test_every_error_that_reaches_a_person_has_its_french(where: str, sentence: str, put: list[str]) -> None:
    if sentence in UNSEEN or re.fullmatch(r"(\[room\.)?(Zx\dy|: |\] )+", sentence):
        return
    spoken = translated(sentence, "fr-CA")
    assert spoken != sentence, where
    assert all(part in spoken for part in put)
    assert translated(sentence, "en-CA") == sentence


def test_an_error_in_an_error_is_translated_too() -> None:
    error = "[room.a] room a: capacity 0: write a whole number from 2 to 100000"
    assert translated(error, "fr-CA") == (
        "[room.a] salle a\u00a0: capacity 0\u00a0: écrivez un nombre entier de 2 à 100000"
    )
    assert translated("there is no room 'x': dial the name or number of one that there is", "fr-CA").startswith(
        "il n'y a pas de salle «\u00a0x\u00a0»\u00a0:"
    )


@given(st.text(max_size=LONGEST + 50) | st.text("':{}[] room:", max_size=LONGEST))
def test_what_nobody_has_translated_comes_as_it_is(text: str) -> None:
    assert isinstance(translated(text, "fr-CA"), str)
    assert translated(text, "en-CA") == text
    assert translated(f"zzz {text}"[:LONGEST] + "\0", "fr-CA").endswith("\0")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en-CA"),
        ({"LANG": "fr_CA.UTF-8"}, "fr-CA"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_CA.UTF-8"}, "en-CA"),
        ({"LANG": "C.UTF-8", "LC_ALL": "fr_CA"}, "fr-CA"),
        ({"LANG": "fr_CA.UTF-8", "VISIOPONT_LANGUAGE": "en-CA"}, "en-CA"),
        ({"LANG": "de_DE.UTF-8", "VISIOPONT_LANGUAGE": "fr-CA"}, "fr-CA"),
        ({"LANG": "fr_CA.UTF-8", "LC_ALL": ""}, "fr-CA"),
    ],
)
def test_the_environment_says_the_language(environment: dict[str, str], expected: Language) -> None:
    assert language(environment) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en-CA"),
        ("fr", "fr-CA"),
        ("fr-CA, fr;q=0.9, en;q=0.8", "fr-CA"),
        ("en-US,en;q=0.9,fr;q=0.8", "en-CA"),
        ("de, fr;q=0.5, en;q=0.4", "fr-CA"),
        ("de;q=x, *;q=0.1", "en-CA"),
        ("en;q=0, fr;q=0.001", "fr-CA"),
        ("," * 9000, "en-CA"),
    ],
)
def test_the_request_says_the_language(header: str, expected: Language) -> None:
    assert accepted(header) == expected


@pytest.fixture
def in_french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIOPONT_LANGUAGE", "fr-CA")
    monkeypatch.delenv("VISIOPONT_SERVER", raising=False)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nix"], 2, "Il n'y a pas de commande"),
        (["call", "sip:a@b"], 2, "Il manque l'option"),
        (["call", "a", "b", "--room", "x"], 2, "Argument en trop"),
        (["rooms", "--servr"], 2, "Il n'y a pas d'option"),
        (["serve", "--workers", "x"], 2, "Valeur inutilisable"),
        (["rooms", "--server", "http://127.0.0.1:9"], 1, "aucun pont ne répond"),
        (["check", "--sip", "sctp:x"], 2, "commencez par udp:"),
        (["check", "--workers", "0"], 2, "écrivez au moins 1"),
        (["check", "--config", "nix.toml"], 2, "ce fichier de réglages n'existe pas"),
        (["check", "--http", "0.0.0.0"], 2, "écrivez une adresse et un port"),
    ],
)
@pytest.mark.usefixtures("in_french")
def test_complaints_are_in_french(words: list[str], code: int, says: str) -> None:
    done = CliRunner().invoke(cli.app, words, env={"COLUMNS": "200"})
    assert done.exit_code == code
    assert says in done.output.replace("\u00a0", " ")


def test_help_is_in_the_language_of_the_environment() -> None:
    def shown(*words: str, **environment: str) -> str:
        line = [sys.executable, "-m", "server.cli", *words]
        kept = {name: value for name, value in os.environ.items() if name != "VISIOPONT_LANGUAGE"}
        kept |= {"COLUMNS": "160", "PYTHONPATH": str(ROOT), "LC_ALL": "", "LC_MESSAGES": ""} | environment
        return subprocess.run(line, env=kept, capture_output=True, timeout=30, check=False).stdout.decode()

    spoken = shown("call", "--help", LANG="fr_CA.UTF-8")
    assert "Utilisation" in spoken
    assert "Affiche ceci" in spoken
    assert "obligatoire" in spoken
    for english in ("Usage", "Show", "required", "default", "whom", "env var", "[dim]"):
        assert english not in spoken
    assert "Usage" in shown("--help", LANG="en_CA.UTF-8")


@pytest.mark.usefixtures("in_french")
def test_top_is_in_french_with_decimal_commas() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(picture(status(1, 3), 24))
    drawn = text.getvalue().replace("\u00a0", " ")
    assert "depuis 1:02:05" in drawn
    assert "1,0 %" in drawn
    assert "muet, SRTP" in drawn
    assert decimal(2.5, 2) == "2,50"
    for english in ("muted", "speaking", "level", "loss", "jitter", "worker", "up "):
        assert not re.search(rf"\b{english}", drawn), english


def test_a_sentence_without_french_is_noticed() -> None:
    assert say("bridge") == "bridge"
    with pytest.raises(KeyError):
        told("fr-CA", "Nobody has put this into French.")
