"""What the build puts into the wheel beside the package."""

import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUNDLED = "whimbrel/_bundled"
CHECKOUT_ONLY = {"tests", "__pycache__", ".venv", "node_modules"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel, built as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_every_plugin_and_pack_is_shipped_whole(wheel: zipfile.ZipFile) -> None:
    """An installed broker has the runners and packs of a checkout, with all that they need."""
    manifests = (*ROOT.glob("runners/*/plugin.yaml"), *ROOT.glob("packs/*/pack.yaml"))
    expected = {
        f"{BUNDLED}/{file.relative_to(ROOT)}"
        for manifest in manifests
        for file in manifest.parent.rglob("*")
        if file.is_file() and not CHECKOUT_ONLY.intersection(file.relative_to(ROOT).parts)
    }

    assert expected
    assert {name for name in wheel.namelist() if name.startswith(BUNDLED)} == expected


def test_what_only_a_checkout_needs_stays_out(wheel: zipfile.ZipFile) -> None:
    """Tests, caches and environments are not shipped."""
    assert [n for n in wheel.namelist() if CHECKOUT_ONLY.intersection(n.split("/"))] == []


def test_programs_of_packs_stay_executable(wheel: zipfile.ZipFile) -> None:
    """A script that the checkout can run can be run once installed."""
    for script in ROOT.glob("packs/*/actions/*.sh"):
        entry = wheel.getinfo(f"{BUNDLED}/{script.relative_to(ROOT)}")

        assert bool(entry.external_attr >> 16 & stat.S_IXUSR) == bool(
            script.stat().st_mode & stat.S_IXUSR
        )
