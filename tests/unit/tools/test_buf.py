"""The proto check notices what would break a plugin that was built before."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="buf")
def loaded_tool() -> ModuleType:
    """Load the tool, which is a script."""
    spec = importlib.util.spec_from_file_location("buf_tool", ROOT / "tools/buf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="released")
def released_copy(tmp_path: Path) -> Path:
    """Copy the protos into a repository that has released them as v0.9.0 and v0.10.0."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*identity, "commit", "-q", "-m", "release"],
        ["tag", "v0.9.0"],
        ["tag", "v0.10.0"],
        ["tag", "vegetable"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_the_newest_release_is_found_by_number(buf: ModuleType, released: Path) -> None:
    """Versions are compared as numbers, and other tags are no releases."""
    assert "v0.10.0" == buf.newest_release(released)


def test_unchanged_protos_are_well(buf: ModuleType, released: Path) -> None:
    """The project's own protos are clean and break nothing."""
    assert 0 == buf.check(released)


def test_a_changed_field_is_a_break(buf: ModuleType, released: Path) -> None:
    """A field that changes its number breaks what was built before."""
    file = released / "proto/whimbrel/plugin/v1/runner_service.proto"
    file.write_text(file.read_text().replace("string run_id = 1;", "string run_id = 99;", 1))

    assert 0 != buf.check(released)
