"""Imports go one way only (see docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ("bridge", "gateways", "recording", "services", "server")
ALLOWED: dict[str, tuple[str, ...]] = {
    "bridge.signalling": (),
    "bridge.media": (),
    "bridge.mixer": (),
    "bridge.worker": ("bridge.mixer", "bridge.media"),
    "bridge.io": ("bridge.signalling",),
    "bridge.resolve": ("bridge.signalling",),
    "bridge.conference": ("bridge.worker", "bridge.signalling", "bridge.io", "bridge.resolve"),
    "gateways": ("bridge",),
    "recording": ("bridge",),
    "services": ("bridge",),
    "server": ("bridge", "gateways", "recording", "services"),
}
SOURCES = sorted(path for place in HOUSE for path in (ROOT / place).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[str]:
    names: list[str] = []
    package = module_of(path).split(".")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            keep = len(package) - node.level + (path.name == "__init__.py")
            base = ".".join(package[:keep]) + "." if node.level else ""
            names += [f"{base}{node.module or ''}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] in HOUSE]


def part_of(module: str) -> str:
    return next((part for part in ALLOWED if module == part or module.startswith(part + ".")), "")


def test_every_module_belongs_to_a_part() -> None:
    strays = [m for m in map(module_of, SOURCES) if not part_of(m) and m not in ("bridge",)]
    assert not strays


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(module_of(path))
    wrong = [
        name
        for name in imports_of(path)
        if not any(name == ok or name.startswith(ok + ".") for ok in (part, *ALLOWED.get(part, ())) if ok)
    ]
    assert not wrong, f"{module_of(path)} may not import {wrong}"


@pytest.mark.parametrize("path", [p for p in SOURCES if "mixer" in p.parts], ids=module_of)
def test_the_mixer_imports_numpy_and_nothing_else(path: Path) -> None:
    foreign = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            foreign |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            foreign.add((node.module or "").split(".")[0])
    allowed = {
        "numpy",
        "bridge",
        "__future__",
        "collections",
        "dataclasses",
        "enum",
        "math",
        "typing",
        "functools",
    }
    assert not foreign - allowed


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_file_is_one_that_everyone_fears(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 700
