"""The pages say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from server.api import PARTICIPANT_COMMANDS, ROOM_COMMANDS
from server.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_state_machines_are_drawn_as_they_are() -> None:
    module = draw()
    page = module.PAGE.read_text()
    assert page == module.drawn(page), "run: .venv/bin/python docs/draw.py"
    for name in module.MACHINES:
        assert f"<!-- drawn: {name} -->" in page


def test_files_that_the_architecture_names_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:server|worker|media|mixer|signalling|conference|tests|docs)/[\w/]+\.py)`", page))
    missing = [name for name in named if not ((ROOT / name).exists() or (ROOT / "bridge" / name).exists())]
    assert named
    assert not missing


def test_the_api_page_names_every_command() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in (*ROOM_COMMANDS, *PARTICIPANT_COMMANDS) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_that_the_readme_shows_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^visiopont (\w+)", readme, re.MULTILINE))
    assert commands
    for command in commands:
        done = CliRunner().invoke(app, [command, "--help"])
        assert done.exit_code == 0, command


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in readme] == []
