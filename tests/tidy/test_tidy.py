"""What no linter checks: the shape of the tree."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 600
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
TEXT_ENDINGS = {".py", ".md", ".yaml", ".yml", ".toml", ".proto", ".sh", ".txt"}
MACHINE_PATHS = re.compile(r"/(?:work|farm)/|/root/|/tmp/bash_jobs")


def sources() -> list[Path]:
    """Return the hand-written modules of the core, the SDK and the plugins."""
    trees = (ROOT / "core", ROOT / "sdk/python/src", ROOT / "runners", ROOT / "sensors")
    return [p for t in trees for p in sorted(t.rglob("*.py")) if "wire" not in p.parts]


def texts() -> list[Path]:
    """Return the project's text files."""
    left_out = {".venv", ".git", "node_modules", "wire", ".accept", "dist", "bench-results"}
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.suffix in TEXT_ENDINGS
        and path.is_file()
        and not left_out.intersection(path.relative_to(ROOT).parts)
    ]


def test_the_core_folder_holds_one_package() -> None:
    """What stands in core/ is importable once installed, so only one thing does."""
    inside = [p.name for p in (ROOT / "core").iterdir() if p.name != "__pycache__"]

    assert ["whimbrel"] == inside


def test_functions_fit_a_screen() -> None:
    """No function body is over the limit."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.body[0].lineno >= FUNCTION_LINES_MAX
    ]

    assert [] == long


def test_modules_stay_readable() -> None:
    """No module is over the limit."""
    long = [
        str(path.relative_to(ROOT))
        for path in sources()
        if len(path.read_text().splitlines()) > MODULE_LINES_MAX
    ]

    assert [] == long


def test_modules_are_named_for_what_they_hold() -> None:
    """No module has a name that fits anything."""
    assert [] == [str(p.relative_to(ROOT)) for p in sources() if p.stem in VAGUE_NAMES]


def test_plugin_programs_have_names_of_their_own() -> None:
    """Type checkers see every plugin at once, so no two share a module name."""
    names = Counter(
        entry.stem if entry.is_file() else entry.name
        for manifest in ROOT.glob("*/*/plugin.yaml")
        for entry in manifest.parent.iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").exists()
    )

    assert [] == [name for name, count in names.items() if count > 1 and name != "tests"]


def test_a_manifest_is_named_after_its_folder() -> None:
    """A plugin's folder, name and kind agree."""
    for manifest in sorted(ROOT.glob("*/*/plugin.yaml")):
        said = yaml.safe_load(manifest.read_text())

        assert manifest.parent.name == said["name"]
        assert manifest.parts[-3] == said["kind"] + "s"


def test_every_plugin_has_tests_and_a_readme() -> None:
    """A bundled plugin shows how it is tested and used."""
    missing = [
        f"{manifest.parent.name}/{name}"
        for manifest in sorted(ROOT.glob("*/*/plugin.yaml"))
        for name in ("tests", "README.md")
        if not (manifest.parent / name).exists()
    ]

    assert [] == missing


def test_plugins_and_packs_are_checked_like_the_core() -> None:
    """No folder of sources or tests is left out of type checks and test runs."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    holders = {manifest.parts[-3] for manifest in ROOT.glob("*/*/plugin.yaml")}

    assert holders <= set(tools["mypy"]["files"])
    assert holders | {"tests"} <= set(tools["pytest"]["testpaths"])
    assert [path for path in tools["pytest"]["testpaths"] if not (ROOT / path).is_dir()] == []


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of a page names a file of the tree."""
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in texts()
        if page.suffix == ".md" and "packs" not in page.parts
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]

    assert [] == broken


def test_no_path_of_a_machine_stays_in_the_tree() -> None:
    """The tree is the same on every machine."""
    this = Path(__file__)
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts()
        if path != this
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]

    assert [] == found


def test_nothing_is_left_for_later_without_a_word() -> None:
    """No marker of unfinished work stays in the sources."""
    marker = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marker.search(line)
    ]

    assert [] == found
